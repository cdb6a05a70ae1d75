//! What the program costs on this machine: the tables of docs/performance.md. Its own load test is the client, and real
//! processes on loopback are the nodes.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Fleet, Process, eventually};

/// What a node keeps in memory of what it read and wrote, in MiB: the program's own default.
const CACHE_MB: u64 = 256;
/// What the load test's sessions have in bytes, without their keys.
const VALUE_BYTES: u64 = 1_800;
/// How many sessions are few.
const FEW: &str = "20000";
/// How long a load runs around the end of a leader, and after how many of its writes that comes: about a second of them.
const AROUND: Duration = Duration::from_secs(4);
const INTO_IT: u64 = 250;
/// A node is at rest that takes less than so much of a processor for so long: the engine has merged what was written.
const AT_REST: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often a soak is looked at.
const LOOKS: u32 = 10;

/// How long and how often everything runs.
#[derive(Debug, Clone)]
pub struct PerformanceOptions {
    /// The binary.
    pub program: PathBuf,
    /// How long one load runs.
    pub run: Duration,
    /// Of how many loads the median is told.
    pub runs: u64,
    /// How many leaders go.
    pub rounds: u64,
    /// How many sessions are many.
    pub sessions: u64,
    /// How long the soak takes.
    pub soak: Duration,
}

/// Says a line of a table.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

/// Some nodes that are ready.
struct Nodes {
    fleet: Fleet,
    program: PathBuf,
}

/// What a load test told.
struct Told(Value);

/// What a load came to.
struct Measured {
    told: Told,
    /// Microseconds of processor time of all nodes for each request.
    cost: f64,
}

impl Nodes {
    fn ready(options: &PerformanceOptions, nodes: usize) -> Self {
        let mut fleet = Fleet::of(&options.program, nodes);
        for name in fleet.names() {
            let settings = fleet.settings(&name);
            settings.cache_mb = CACHE_MB;
            settings.lines = "log_level: warning\n".into();
            if nodes == 1 {
                settings.expect = None;
            }
        }
        fleet.start_all();
        if nodes == 1 {
            fleet.wait_until_it_is_a_cluster("n1");
        }
        fleet.names().iter().for_each(|name| fleet.wait_until_ready(name));
        Self { fleet, program: options.program.clone() }
    }

    fn bench(&self, at: &[String], time: Duration, more: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("bench").args(at.iter().map(|name| format!("http://{}/sessions/v1/", self.fleet.http(name))));
        command.args(["--json", "--duration"]).arg(format!("{}ms", time.as_millis())).args(more);
        command.stdin(Stdio::null());
        command
    }

    fn load(&mut self, time: Duration, more: &[&str]) -> Result<Measured, String> {
        let names = self.fleet.names();
        let before = self.processor_time()?;
        let told = Told::of(self.bench(&names, time, more).output())?;
        let spent = self.processor_time()? - before;
        let count = told.0["operations"]["all"]["count"].as_u64().unwrap_or(0).max(1);
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let cost = spent.as_micros() as f64 / count as f64;
        Ok(Measured { told, cost })
    }

    fn fill(&mut self, keys: &str, more: &[&str]) -> Result<(), String> {
        let all = [&["--mix", "1:0:0", "--keys", keys], more].concat();
        self.load(Duration::from_secs(1), &all).map(drop)
    }

    fn processor_time(&mut self) -> Result<Duration, String> {
        let mut ticks = 0;
        for name in self.fleet.names() {
            let stat = of_process(self.fleet.process(&name), "stat")?;
            // utime and stime are the 14th and the 15th field (proc_pid_stat(5)); the second, in brackets, may hold anything.
            let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
            ticks += fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
        }
        Ok(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second()))
    }

    /// Megabytes of memory that the node with the most of it takes.
    fn resident(&mut self) -> Result<u64, String> {
        let mut most = 0;
        for name in self.fleet.running() {
            let statm = of_process(self.fleet.process(&name), "statm")?;
            let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
            most = most.max(pages * rustix::param::page_size() as u64 / 1_000_000);
        }
        Ok(most)
    }

    /// Waits until nobody merges what was written.
    fn come_to_rest(&mut self) -> Result<(), String> {
        let (mut since, mut spent) = (Instant::now(), self.processor_time()?);
        eventually("the nodes are at rest", || {
            let (little, long) = AT_REST;
            if since.elapsed() < long {
                return None;
            }
            let now = match self.processor_time() {
                Ok(now) => now,
                Err(error) => return Some(Err(error)),
            };
            let rested = now - spent < little;
            (since, spent) = (Instant::now(), now);
            rested.then_some(Ok(()))
        })
    }

    /// The last entry that the leader has applied, as it says itself.
    fn applied(&mut self, leader: &str) -> u64 {
        self.fleet.wait_until("the leader says how far it is", |fleet| {
            fleet.status(leader)?.member(leader).map(|member| member.applied)
        })
    }

    /// Bytes on disk of the node with the most.
    fn disk(&self) -> u64 {
        self.fleet.names().iter().map(|name| disk_bytes(&self.fleet.data_dir(name))).max().unwrap_or(0)
    }

    fn restart(&mut self, name: &str) -> Duration {
        let begin = Instant::now();
        self.fleet.start(name);
        self.fleet.wait_until_ready(name);
        begin.elapsed()
    }
}

impl Told {
    /// What the load test printed; it exits with 1 where requests failed, and tells that too.
    fn of(output: std::io::Result<Output>) -> Result<Self, String> {
        let output = output.map_err(|error| error.to_string())?;
        serde_json::from_slice(&output.stdout).map(Self).map_err(|_| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("the load test gave up: {}", said.lines().last().unwrap_or("without a word"))
        })
    }

    fn rate(&self) -> f64 {
        self.0["operations"]["all"]["per_second"].as_f64().unwrap_or(0.0)
    }

    /// A wait in milliseconds, if there were such requests.
    fn wait(&self, kind: &str, which: &str) -> Option<f64> {
        self.0["operations"][kind]["wait_us"][which].as_f64().map(|micros| micros / 1_000.0)
    }

    fn failed(&self) -> u64 {
        self.0["failures"].as_object().map_or(0, |kinds| kinds.values().filter_map(Value::as_u64).sum())
    }
}

/// Loads as fast as they are answered, on three nodes and on one.
pub fn steady(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    tell("| nodes | load | requests/s | GET p50 / p99 ms | SET p50 / p99 ms | processor us a request | failed |");
    tell("|---|---|---|---|---|---|---|");
    let loads: [(&str, &[&str]); 5] = [
        ("mix 74:25:1", &[]),
        ("GET", &["--mix", "100:0:0"]),
        ("SET", &["--mix", "0:100:0"]),
        ("GET, 90 % absent", &["--mix", "100:0:0", "--misses", "90"]),
        ("mix, 512 connections", &["--connections", "512"]),
    ];
    for count in [3, 1] {
        let mut nodes = Nodes::ready(options, count);
        nodes.fill(FEW, &[])?;
        for (name, more) in loads {
            let more = [&["--no-fill"], more].concat();
            let runs = (0..options.runs).map(|_| nodes.load(options.run, &more)).collect::<Result<Vec<_>, _>>()?;
            let waits = |kind, which| {
                let waits = runs.iter().filter_map(|run| run.told.wait(kind, which)).collect();
                median(waits).map_or("–".to_owned(), |wait| format!("{wait:.2}"))
            };
            tell(&format!(
                "| {count} | {name} | {:.0} | {} / {} | {} / {} | {:.1} | {} |",
                median(runs.iter().map(|run| run.told.rate()).collect()).unwrap_or(0.0),
                waits("get", "p50"),
                waits("get", "p99"),
                waits("set", "p50"),
                waits("set", "p99"),
                median(runs.iter().map(|run| run.cost).collect()).unwrap_or(0.0),
                runs.iter().map(|run| run.told.failed()).sum::<u64>(),
            ));
        }
    }
    Ok(())
}

/// Leaders that are killed, and leaders that are told to stop, under a load at the others.
pub fn failover(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    tell("| leader | rounds | longest wait at the others, median / worst ms | failed |");
    tell("|---|---|---|---|");
    for how in ["killed", "told to stop"] {
        let mut nodes = Nodes::ready(options, 3);
        nodes.fill(FEW, &[])?;
        let mut runs = Vec::new();
        for _ in 0..options.rounds {
            let leader = nodes.fleet.wait_for_leader();
            let others: Vec<_> = nodes.fleet.names().into_iter().filter(|name| *name != leader).collect();
            let mut command = nodes.bench(&others, AROUND, &["--no-fill", "--rate", "1000"]);
            let before = nodes.applied(&leader);
            let load = thread::spawn(move || command.output());
            eventually("the load is under way", || (nodes.applied(&leader) >= before + INTO_IT).then_some(()));
            if how == "killed" {
                nodes.fleet.kill(&leader);
            } else {
                nodes.fleet.stop(&leader);
            }
            let output = load.join().map_err(|_| "the load test's thread panicked")?;
            runs.push(Told::of(output)?);
            nodes.restart(&leader);
        }
        let longest: Vec<_> = runs.iter().filter_map(|run| run.wait("all", "max")).collect();
        let worst = longest.iter().copied().fold(0.0, f64::max);
        let failed: u64 = runs.iter().map(Told::failed).sum();
        let median = median(longest).unwrap_or(0.0);
        tell(&format!("| {how} | {} | {median:.0} / {worst:.0} | {failed} |", options.rounds));
    }
    Ok(())
}

/// Many sessions on one node.
pub fn large(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    tell(&format!("| {} sessions on a node | |", options.sessions));
    tell("|---|---|");
    let mut nodes = Nodes::ready(options, 1);
    let keys = options.sessions.to_string();
    nodes.fill(FEW, &[])?;
    let few = nodes.load(options.run, &["--no-fill"])?;
    let begin = Instant::now();
    nodes.fill(&keys, &["--ttl", "86400"])?;
    tell(&format!("| written in | {:.0} s |", begin.elapsed().as_secs_f64()));
    tell(&format!("| resident memory | {} MB |", nodes.resident()?));
    nodes.come_to_rest()?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let ratio = nodes.disk() as f64 / (options.sessions * VALUE_BYTES) as f64;
    tell(&format!("| disk over live bytes, once all is merged | {ratio:.2} |"));
    let more = ["--no-fill", "--keys", &keys, "--ttl", "86400"];
    let many = nodes.load(options.run, &more)?;
    tell(&format!(
        "| requests/s over those at {FEW} sessions, mix | {:.2} ({:.1} us of a processor each, beside {:.1}) |",
        many.told.rate() / few.told.rate(),
        many.cost,
        few.cost
    ));
    nodes.fleet.stop("n1");
    let took = nodes.restart("n1").as_secs_f64();
    tell(&format!("| from start to ready, after a clean stop | {took:.1} s |"));
    nodes.load(options.run, &more)?;
    nodes.fleet.kill("n1");
    let took = nodes.restart("n1").as_secs_f64();
    tell(&format!("| from start to ready, after `kill -9`, its state checked | {took:.1} s |"));
    tell(&format!("| resident memory then | {} MB |", nodes.resident()?));
    Ok(())
}

/// Half of the peak for long, with sessions that live for a minute.
pub fn soak(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let mut nodes = Nodes::ready(options, 3);
    nodes.fill(FEW, &["--ttl", "60"])?;
    let peak = nodes.load(options.run, &["--no-fill", "--ttl", "60"])?.told.rate();
    let rate = format!("{:.0}", peak / 2.0);
    tell(&format!("| after s, at {rate} requests/s | resident MB | disk MB |"));
    tell("|---|---|---|");
    let names = nodes.fleet.names();
    let mut command = nodes.bench(&names, options.soak, &["--no-fill", "--ttl", "60", "--rate", &rate]);
    let begin = Instant::now();
    let (ends, ended) = mpsc::sync_channel(1);
    thread::spawn(move || ends.send(command.output()));
    let mut output = None;
    for look in 1..=LOOKS {
        // A load that fails is not looked at until its time would be over.
        output = ended.recv_timeout((options.soak * look / LOOKS).saturating_sub(begin.elapsed())).ok();
        let (resident, disk) = (nodes.resident()?, nodes.disk() / 1_000_000);
        tell(&format!("| {:.0} | {resident} | {disk} |", begin.elapsed().as_secs_f64()));
        if output.is_some() {
            break;
        }
    }
    let output = output.or_else(|| ended.recv().ok()).ok_or("the load test's thread panicked")?;
    let all = Told::of(output)?;
    let wait = |which| all.wait("all", which).unwrap_or(0.0);
    tell("");
    tell(&format!(
        "p50 {:.2} ms, p99.9 {:.2} ms, longest {:.2} ms, failed: {}",
        wait("p50"),
        wait("p999"),
        wait("max"),
        all.failed()
    ));
    Ok(())
}

fn of_process(process: &Process, file: &str) -> Result<String, String> {
    let path = format!("/proc/{}/{file}", process.id());
    fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

fn disk_bytes(dir: &Path) -> u64 {
    // What goes meanwhile takes nothing.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_load_test_tells_is_read_and_what_it_does_not_is_said() {
        use std::os::unix::process::ExitStatusExt as _;
        let read = |stdout: &str, stderr: &str| {
            let status = std::process::ExitStatus::from_raw(256);
            Told::of(Ok(Output { status, stdout: stdout.into(), stderr: stderr.into() }))
        };
        let told = r#"{"operations":{"all":{"per_second":5.5,"wait_us":{"max":2500}}},"failures":{"503":2,"cut":1}}"#;
        let told = read(told, "").unwrap();
        assert_eq!((told.rate(), told.wait("all", "max"), told.failed()), (5.5, Some(2.5), 3));
        assert_eq!(told.wait("set", "max"), None);
        let gave_up = read("", "a\nnobody answers\n").err();
        assert_eq!(gave_up.as_deref(), Some("the load test gave up: nobody answers"));
        assert_eq!((median(vec![3.0, 1.0, 2.0]), median(vec![])), (Some(2.0), None));
    }
}
