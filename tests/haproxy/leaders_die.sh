#!/usr/bin/env bash
# Ten leaders are killed behind HAProxy as it ships (deploy/haproxy/haproxy.cfg), and no client notices.
#
#     tests/haproxy/leaders_die.sh [path-to-sessile-binary]
#
# Two kinds of clients read and write all the while: `sessile bench`, which keeps its connections, and curl, with a
# connection for each request. Needs curl, ss and haproxy (Debian: curl iproute2 haproxy).
#
# KILLS=n      how many leaders are killed (default 10)
# RATE=n       requests a second on kept connections (default 100)
# KEEP=1       leaves the directory of the run
#
# Exit code 0 if every request was answered with what it asked for.
# shellcheck disable=SC2317  # what is called by trap, it takes for never called
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
sessile=$(realpath "${1:-$root/target/debug/sessile}")
PATH=$PATH:/usr/sbin                 # where Debian has haproxy

readonly KILLS=${KILLS:-10} RATE=${RATE:-100}
readonly CLIENTS=4                   # processes of curl at a time
readonly START_LIMIT=60              # seconds a node has to be ready
readonly AFTER_A_KILL=3              # seconds until the node comes back: an election takes one
readonly LOAD=8                      # seconds of load around a kill: time enough to come back

run=$(mktemp -d) bench_pid=''
clients=()

# shellcheck source=tests/nodes.sh
source "$root/tests/nodes.sh"

fail() { printf '%s\n' "$*" >&2; exit 1; }

# Ends what this script started, and nothing else.
clean_up() {
    local process
    for process in "${clients[@]}" $bench_pid $haproxy_pid "${pid[@]}"; do
        kill -KILL "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    if [[ ${KEEP:-0} == 1 ]]; then printf 'kept: %s\n' "$run"; else rm -rf "$run"; fi
}
trap clean_up EXIT

# Below the range that the kernel takes for outgoing connections.
free_port() {
    local port
    while port=$((10000 + RANDOM % 20000)); do
        [[ -n $(ss -Htnl "sport = :$port") ]] || { echo "$port"; return; }
    done
}

status() { curl -s --max-time 5 -o /dev/null -w '%{http_code}' "$1" || true; }

await() {
    local deadline=$((SECONDS + START_LIMIT))
    until [[ $(status "$1") == 200 ]]; do
        ((SECONDS < deadline)) || fail "$1 did not answer 200 within $START_LIMIT s"
        sleep 0.1
    done
}

start_nodes() {
    local node
    configure_nodes
    for node in "${NODES[@]}"; do launch_node "$node"; done
    for node in "${NODES[@]}"; do await "http://${http[$node]}/readyz"; done
}

# Who leads, by the first node that answers.
leader() {
    local node said
    for node in "${NODES[@]}"; do
        said=$("$sessile" status --json --data-dir "$run/$node-data" 2>/dev/null) || [[ -n $said ]] || continue
        sed -n 's/^  "leader": "\(.*\)",$/\1/p' <<<"$said"
        return
    done
}

# A request, a connection: what was not answered as it should be stands in failures.
ask_with_new_connections() {
    local client=$1 nth=0 code
    while :; do
        nth=$((nth + 1))
        if ((nth % 3)); then
            code=$(curl -s -o /dev/null -w '%{http_code}' "$url/curl:$client:$((nth % 50))") || true
        else
            code=$(curl -s -o /dev/null -w '%{http_code}' --data-binary value "$url/curl:$client:$((nth % 50))") || true
        fi
        echo "$code" >>"$run/asked-$client"
        [[ $code == 20[01] || $code == 404 ]] || printf '%(%T)T %s\n' -1 "$code" >>"$run/failures"
    done
}

start_nodes
launch_haproxy
url=http://$balancer/sessions/v1
await "http://$balancer/readyz"

for ((client = 0; client < CLIENTS; client++)); do
    ask_with_new_connections "$client" &
    clients+=($!)
done
kept=0
for ((kill = 1; kill <= KILLS; kill++)); do
    node=$(leader)
    "$sessile" bench "$url/" --connections 16 --keys 100 --rate "$RATE" --duration "${LOAD}s" >"$run/bench-$kill" 2>&1 &
    bench_pid=$!
    sleep 1
    kill -KILL "${pid[$node]}"
    wait "${pid[$node]}" 2>/dev/null || true
    sleep "$AFTER_A_KILL"
    launch_node "$node"
    if wait "$bench_pid"; then said=''; else said=$(sed -n '/^failed:/,$p' "$run/bench-$kill"); kept=$((kept + 1)); fi
    bench_pid=''
    await "http://${http[$node]}/readyz"
    printf '%2d: %s led and was killed %s\n' "$kill" "$node" "$said"
done
for client in "${clients[@]}"; do kill "$client"; wait "$client" || true; done 2>/dev/null
clients=()

asked=$(cat "$run"/asked-* | wc -l)
touch "$run/failures"
printf '%s of %s requests with a connection each failed; with kept ones some failed at %s of %s kills\n' \
    "$(wc -l <"$run/failures")" "$asked" "$kept" "$KILLS"
cat "$run/failures"
[[ ! -s $run/failures && $kept == 0 ]]
