#!/usr/bin/env python3
"""Measures the program on this machine, on loopback, and prints the tables of docs/performance.md.

    tests/performance/run.py                    # the steady load, and leaders that go: 6 minutes
    tests/performance/run.py large              # four million sessions on a node
    tests/performance/run.py soak               # ten minutes at half of the peak, with sessions that live for one
    tests/performance/run.py steady large soak failover --program target/release/sessile

Needs a release build of the program (cargo build --release) and Linux. Everything it starts it ends, and its data goes
with it. Compare figures of one run only, and prefer processor time for each operation: a busy machine moves all others.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
READY_WITHIN = 120  # seconds
LARGE = 4_000_000
VALUE_BYTES = 1_800


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


class Node:
    def __init__(self, program, root, name, port, cluster):
        self.program, self.root, self.name, self.port = program, os.path.join(root, name), name, port
        self.peer = cluster[name] if len(cluster) > 1 else None
        self.process = None
        os.mkdir(self.root)
        lines = [
            "service_name: sessile", "listen_address: 127.0.0.1", f"listen_port: {port}", "log_level: warning",
            f"storage: {{ data_dir: {self.root}/data }}",
        ]
        if self.peer:
            seeds = ", ".join(f"127.0.0.1:{peer}" for peer in cluster.values())
            lines += [
                "cluster:", f"  name: {name}", f"  listen: 127.0.0.1:{self.peer}", f"  seeds: [{seeds}]",
                f"  expect: {len(cluster)}", f"  join_token_file: {root}/join.token",
                "  listen_ms: 500", "  stabilise_ms: 1000",
            ]
        with open(f"{self.root}/config.yaml", "w") as config:
            config.write("\n".join(lines) + "\n")

    def start(self):
        log = open(f"{self.root}/log", "a")
        command = [self.program, "serve", "--config", f"{self.root}/config.yaml"]
        self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def url(self):
        return f"http://127.0.0.1:{self.port}/sessions/v1/"

    def wait_ready(self):
        """Seconds until it could serve."""
        begin = time.monotonic()
        while time.monotonic() < begin + READY_WITHIN:
            if self.process.poll() is not None:
                break
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=3).read()
                return time.monotonic() - begin
            except (urllib.error.URLError, OSError):
                time.sleep(0.01)
        sys.exit(f"{self.name} did not become ready; see {self.root}/log")

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait()

    def cpu(self):
        """Seconds of a processor that it has taken."""
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * PAGE

    def disk(self):
        size = 0
        for directory, _, names in os.walk(f"{self.root}/data"):
            for name in names:
                try:
                    size += os.lstat(os.path.join(directory, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
        return size


class Cluster:
    def __init__(self, program, count):
        self.program, self.root = program, tempfile.mkdtemp(prefix="sessile-performance-")
        with open(f"{self.root}/join.token", "w") as token:
            token.write(os.urandom(24).hex())
        os.chmod(f"{self.root}/join.token", 0o600)
        ports = free_ports(2 * count)
        peers = {f"n{nth + 1}": ports[count + nth] for nth in range(count)}
        self.nodes = [Node(program, self.root, name, ports[nth], peers) for nth, name in enumerate(peers)]

    def __enter__(self):
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            node.wait_ready()
        return self

    def __exit__(self, *_):
        for node in self.nodes:
            if node.process and node.process.poll() is None:
                node.end(signal.SIGKILL)
        shutil.rmtree(self.root, ignore_errors=True)

    def begin(self, seconds, *options, nodes=None):
        urls = [node.url() for node in nodes or self.nodes]
        command = [self.program, "bench", *urls, "--duration", f"{int(seconds * 1000)}ms", "--json", *options]
        errors = open(f"{self.root}/bench", "w")
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)

    def measured(self, load):
        told = load.communicate()[0]
        if not told:
            with open(f"{self.root}/bench") as errors:
                sys.exit(f"the load test gave up: {errors.read().splitlines()[-1:]}")
        return json.loads(told)

    def load(self, seconds, *options, nodes=None):
        """What the load test measured, and the processor time of all nodes for each operation, in microseconds."""
        before = sum(node.cpu() for node in self.nodes)
        measured = self.measured(self.begin(seconds, *options, nodes=nodes))
        spent = sum(node.cpu() for node in self.nodes) - before
        return measured, spent / max(1, measured["operations"]["all"]["count"]) * 1e6

    def fill(self, *options):
        self.load(1, "--mix", "1:0:0", *options)

    def leader(self):
        for node in self.nodes:
            if node.process.poll() is None:
                status = subprocess.run(
                    [self.program, "status", "--server", f"127.0.0.1:{node.peer}", "--json"], capture_output=True
                )
                name = json.loads(status.stdout or "{}").get("leader")
                if name:
                    return next(node for node in self.nodes if node.name == name)
        sys.exit("nobody leads")


def ms(micros):
    return f"{micros / 1000:.2f}"


def steady(options):
    print("| nodes | load | requests/s | GET p50 / p99 ms | SET p50 / p99 ms | processor us a request |")
    print("|---|---|---|---|---|---|")
    loads = [
        ("mix 74:25:1", []),
        ("GET", ["--mix", "100:0:0"]),
        ("SET", ["--mix", "0:100:0"]),
        ("GET, 90 % absent", ["--mix", "100:0:0", "--misses", "90"]),
        ("mix, 512 connections", ["--connections", "512"]),
    ]
    for count in (3, 1):
        with Cluster(options.program, count) as cluster:
            cluster.fill()
            for name, more in loads:
                runs = [cluster.load(options.seconds, "--no-fill", *more) for _ in range(options.runs)]

                def median(of):
                    return statistics.median(of(measured, cpu) for measured, cpu in runs)

                def wait(kind, which):
                    waits = [run["operations"][kind]["wait_us"] for run, _ in runs if kind in run["operations"]]
                    return ms(statistics.median(wait[which] for wait in waits)) if waits else "–"

                rate = median(lambda measured, _: measured["operations"]["all"]["count"] / measured["seconds"])
                waits = [f"{wait(kind, 'p50')} / {wait(kind, 'p99')}" for kind in ("get", "set")]
                print(f"| {count} | {name} | {rate:,.0f} | {waits[0]} | {waits[1]} | {median(lambda _, cpu: cpu):.1f} |")
                failed = {kind: n for run, _ in runs for kind, n in run["failures"].items()}
                if failed:
                    sys.exit(f"requests failed: {failed}")
                sys.stdout.flush()


def failover(options):
    print("| leader | rounds | longest wait at the others, median / worst ms | failed |")
    print("|---|---|---|---|")
    for name, how, rounds in (("killed", signal.SIGKILL, options.rounds), ("told to stop", signal.SIGTERM, options.rounds)):
        longest, failed = [], 0
        with Cluster(options.program, 3) as cluster:
            cluster.fill()
            for _ in range(rounds):
                leader = cluster.leader()
                others = [node for node in cluster.nodes if node is not leader]
                load = cluster.begin(4, "--no-fill", "--rate", "1000", nodes=others)
                time.sleep(1.5)
                leader.end(how)
                measured = cluster.measured(load)
                longest.append(measured["operations"]["all"]["wait_us"]["max"])
                failed += sum(measured["failures"].values())
                leader.start()
                leader.wait_ready()
        print(f"| {name} | {rounds} | {ms(statistics.median(longest))} / {ms(max(longest))} | {failed} |")
        sys.stdout.flush()


def large(options):
    print(f"| {options.sessions:,} sessions on a node | |")
    print("|---|---|")
    live = options.sessions * VALUE_BYTES

    def tell(what, value):
        print(f"| {what} | {value} |")
        sys.stdout.flush()

    with Cluster(options.program, 1) as cluster:
        node = cluster.nodes[0]
        cluster.fill("--keys", "20000")
        few, _ = cluster.load(options.seconds, "--no-fill")
        keys = ["--keys", str(options.sessions), "--ttl", "86400"]
        begin = time.monotonic()
        cluster.fill(*keys)
        tell("written in", f"{time.monotonic() - begin:.0f} s")
        many, _ = cluster.load(options.seconds, "--no-fill", *keys)
        ratio = many["operations"]["all"]["count"] / few["operations"]["all"]["count"]
        tell("requests/s over those at 20,000 sessions, mix", f"{ratio:.2f}")
        tell("resident memory", f"{node.resident() / 1e6:,.0f} MB")
        time.sleep(10)
        tell("disk over live bytes, ten seconds later", f"{node.disk() / live:.2f}")
        node.end(signal.SIGTERM)
        node.start()
        tell("from start to ready, after a clean stop", f"{node.wait_ready():.1f} s")
        cluster.load(2, "--no-fill", *keys)
        node.end(signal.SIGKILL)
        node.start()
        tell("from start to ready, after kill -9, its state checked", f"{node.wait_ready():.1f} s")
        tell("resident memory then", f"{node.resident() / 1e6:,.0f} MB")


def soak(options):
    with Cluster(options.program, 3) as cluster:
        cluster.fill("--ttl", "60")
        peak, _ = cluster.load(options.seconds, "--no-fill", "--ttl", "60")
        rate = int(peak["operations"]["all"]["count"] / peak["seconds"] / 2)
        load = cluster.begin(options.soak_seconds, "--no-fill", "--ttl", "60", "--rate", str(rate))
        print(f"{options.soak_seconds} s at {rate:,} requests/s, half of the peak, sessions of 60 s")
        print("| after s | resident MB | disk MB |")
        print("|---|---|---|")
        begin = time.monotonic()
        while load.poll() is None:
            time.sleep(max(1, options.soak_seconds / 10))
            resident = max(node.resident() for node in cluster.nodes) / 1e6
            disk = max(node.disk() for node in cluster.nodes) / 1e6
            print(f"| {time.monotonic() - begin:.0f} | {resident:,.0f} | {disk:,.0f} |")
            sys.stdout.flush()
        measured = cluster.measured(load)
        waits = measured["operations"]["all"]["wait_us"]
        print(f"p50 {ms(waits['p50'])} ms, p99.9 {ms(waits['p999'])} ms, longest {ms(waits['max'])} ms, "
              f"failed: {measured['failures']}")


def main():
    parts = {"steady": steady, "failover": failover, "large": large, "soak": soak}
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="steady|failover|large|soak", default=["steady", "failover"])
    parser.add_argument("--program", default=os.path.join(root, "target/release/sessile"))
    parser.add_argument("--seconds", type=float, default=5, help="how long one run takes (5)")
    parser.add_argument("--runs", type=int, default=3, help="of how many runs the median is told (3)")
    parser.add_argument("--rounds", type=int, default=20, help="how many leaders go (20)")
    parser.add_argument("--sessions", type=int, default=LARGE, help="how many are many (4,000,000)")
    parser.add_argument("--soak-seconds", type=int, default=600, help="how long the soak takes (600)")
    options = parser.parse_args()
    if unknown := [part for part in options.parts if part not in parts]:
        parser.error(f"there is no part {unknown[0]!r}: choose of {', '.join(parts)}")
    if not os.access(options.program, os.X_OK):
        sys.exit(f"{options.program} is no program; build it with: cargo build --release")
    for part in options.parts:
        print(f"\n## {part}\n")
        parts[part](options)


if __name__ == "__main__":
    main()
