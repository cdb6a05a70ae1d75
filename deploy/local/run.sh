#!/usr/bin/env bash
# Three nodes of one cluster on this machine, to try things out: what a kill, a reimage and a restart do to it.
#
#     deploy/local/run.sh [-d DIR] [path-to-sessile-binary]
#
# Sessions at 127.0.0.1:8081, 8082 and 8083, peers and administration at 7081, 7082 and 7083. Without a binary it is
# built with cargo. With -d the data stays in DIR and is found again; otherwise it goes when the script ends.
#
# When all three are ready it prints what to try, in another terminal, and then tells whenever a node becomes ready or
# stops being so. Ctrl-C stops all three cleanly. Each node has a directory DIR/n1 … with
#
#     config.yaml   what `sessile serve --config` reads
#     data/         its disk
#     log           what it says
#     pid           its process
#     start         starts it again, after it was stopped, killed or reimaged
#
# These nodes listen on 127.0.0.1 only and speak without TLS. For more than this machine, see the comments in
# config.yaml.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

readonly NODES=(n1 n2 n3)
readonly START_LIMIT=60   # seconds until all are ready
readonly STOP_LIMIT=20    # seconds a node has to end; its own grace is 10
readonly LOOK_AGAIN=0.5   # seconds between two looks at a node

dir='' keep='' sessile=''

note() { printf '%s\n' "$*"; }

fail() { printf '%s\n' "$*" >&2; exit 1; }

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

http_of() { echo "127.0.0.1:808${1#n}"; }

grpc_of() { echo "127.0.0.1:708${1#n}"; }

# ---- Nodes ----------------------------------------------------------------------------------------------------

write_node() {
    local node=$1 seeds=() other
    mkdir -p "$dir/$node"
    for other in "${NODES[@]}"; do seeds+=("\"$(grpc_of "$other")\""); done
    cat >"$dir/$node/config.yaml" <<YAML
# $node of a cluster of three. On machines of their own each has the same ports and another address.
service_name: sessile
listen_address: 127.0.0.1               # for clients
listen_port: 808${node#n}
# tls: { cert: /etc/sessile/cert.pem, key: /etc/sessile/key.pem }   # for clients over TLS
# listen_unix: /run/sessile/sessile.sock                            # for clients on the same machine
storage: { data_dir: "$dir/$node/data", engine: fjall }
cluster:
  name: $node
  listen: "$(grpc_of "$node")"               # for the other nodes and for administration
  advertise: "$(grpc_of "$node")"            # where they find this one
  seeds: [$(IFS=,; echo "${seeds[*]}")]
  expect: 3                             # a cluster begins when so many have met
  join_token_file: "$dir/join.token"
  # operator_token_file: /etc/sessile/operators   # who may ask from other machines: `NAME read|admin TOKEN`, one a line
  # How long a new node listens for a cluster, and must be healthy before it votes. The defaults, 3 s and 10 s, are for
  # networks; here nobody wants to wait.
  listen_ms: 500
  stabilise_ms: 1000
YAML
    # A process group of its own (set -m): Ctrl-C in the terminal of the three is for the script, which then stops them.
    cat >"$dir/$node/start" <<START
#!/usr/bin/env bash
# Starts $node in the background.
set -m
$(printf '%q ' "$sessile" serve --config "$dir/$node/config.yaml") >>$(printf '%q' "$dir/$node/log") 2>&1 </dev/null &
echo \$! >$(printf '%q' "$dir/$node/pid")
START
    chmod +x "$dir/$node/start"
}

# The process of a node, if it lives and is really that: a number in a file may be another's by now.
pid_of() {
    local pid arguments
    pid=$(cat "$dir/$1/pid" 2>/dev/null) && [[ -n $pid ]] || return 1
    arguments=$(ps -ww -o args= -p "$pid" 2>/dev/null) || return 1
    # In its first moment it is still the shell that becomes it.
    [[ $arguments == *"--config $dir/$1/config.yaml"* || $arguments == *"$dir/$1/start" ]] || return 1
    echo "$pid"
}

is_ready() { curl -fsS --noproxy '*' --max-time 5 -o /dev/null "http://$(http_of "$1")/readyz" 2>/dev/null; }

await_all() {
    local node deadline=$((SECONDS + START_LIMIT))
    for node in "${NODES[@]}"; do
        until is_ready "$node"; do
            pid_of "$node" >/dev/null || fail "$node ended: $(tail -n 1 "$dir/$node/log")"
            ((SECONDS < deadline)) || fail "$node was not ready within $START_LIMIT s: $(tail -n 3 "$dir/$node/log")"
            sleep "$LOOK_AGAIN"
        done
    done
}

stop_all() {
    local node pid deadline=$((SECONDS + STOP_LIMIT)) living=()
    for node in "${NODES[@]}"; do
        if pid=$(pid_of "$node"); then
            kill "$pid" 2>/dev/null || true
            living+=("$node")
        fi
    done
    for node in ${living[@]+"${living[@]}"}; do
        while pid=$(pid_of "$node") && ((SECONDS < deadline)); do sleep 0.1; done
        if pid=$(pid_of "$node"); then
            note "$node did not stop within $STOP_LIMIT s, and is killed"
            kill -KILL "$pid" 2>/dev/null || true
        fi
        rm -f "$dir/$node/pid"
    done
}

clean_up() {
    local status=$?
    trap - EXIT
    trap '' INT TERM
    stop_all
    if [[ -n $keep ]]; then note "The data stays in $dir"; else rm -rf "$dir"; fi
    exit "$status"
}

# ---- For people -----------------------------------------------------------------------------------------------

say_what_to_try() {
    local key=http://127.0.0.1:8081/sessions/v1/wiki:hello
    cat <<TEXT

Three nodes serve, in $dir. In another terminal:

  write to one node, read from another
    curl -i -d 'a session' $key
    curl -i ${key/8081/8083}

  who leads, who votes, how far each is
    $sessile status --data-dir $dir/n1/data

  kill one (any; who leads does not matter), go on, start it again
    kill -9 \$(cat $dir/n1/pid)
    curl -i ${key/8081/8082}
    $dir/n1/start

  reimage one: it comes back with an empty disk, as a new node, and is a voter again after a moment
    kill -9 \$(cat $dir/n1/pid); rm -r $dir/n1/data; $dir/n1/start
    $sessile status --data-dir $dir/n2/data --watch

  lose the majority: the one that is left says so, and serves nothing stale
    kill -9 \$(cat $dir/n1/pid) \$(cat $dir/n2/pid)
    curl -i ${key/8081/8083}
    $dir/n1/start; $dir/n2/start

Ctrl-C stops all three.

TEXT
}

# Until Ctrl-C: a line whenever a node becomes ready or stops being so.
watch_nodes() {
    local node now
    declare -A was=()
    for node in "${NODES[@]}"; do was[$node]=ready; done
    while sleep "$LOOK_AGAIN"; do
        for node in "${NODES[@]}"; do
            if is_ready "$node"; then now=ready; elif pid_of "$node" >/dev/null; then now='not ready'; else now=down; fi
            [[ ${was[$node]} == "$now" ]] || note "$(date +%T)  $node is $now"
            was[$node]=$now
        done
    done
}

# ---- Main -----------------------------------------------------------------------------------------------------

main() {
    local option node
    while getopts 'd:h' option; do
        case $option in
            d) keep=yes dir=$OPTARG ;;
            h) usage; exit 0 ;;
            *) usage >&2; exit 64 ;;
        esac
    done
    shift $((OPTIND - 1))
    (($# <= 1)) || { usage >&2; exit 64; }
    command -v curl >/dev/null || fail "curl is missing"
    if (($# == 1)); then
        sessile=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
        [[ -x $sessile && -f $sessile ]] || fail "$1 is no program"
    else
        note "building sessile"
        (cd "$root" && cargo build --quiet --release -p sessile)
        sessile=${CARGO_TARGET_DIR:-$root/target}/release/sessile
    fi

    umask 077
    if [[ -n $keep ]]; then
        mkdir -p "$dir"
        dir=$(cd "$dir" && pwd)
        for node in "${NODES[@]}"; do
            ! pid_of "$node" >/dev/null || fail "$node runs already in $dir"
        done
    else
        dir=$(mktemp -d "${TMPDIR:-/tmp}/sessile-local.XXXXXX")
    fi
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    [[ -s $dir/join.token ]] || (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$dir/join.token")
    for node in "${NODES[@]}"; do
        write_node "$node"
        "$dir/$node/start"
    done
    await_all
    say_what_to_try
    watch_nodes
}

main "$@"
