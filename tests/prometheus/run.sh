#!/usr/bin/env bash
# Acceptance test: a stock Prometheus reads the rules of deploy/prometheus, scrapes three Sessile nodes, and an alert fires
# when one of them is gone.
#
#     tests/prometheus/run.sh [path-to-sessile-binary]
#
# Prometheus is Debian's package. The rules are those that are shipped: only how long each has to hold (`for:`) is shortened.
#
# KEEP=1           leaves the directory of the run
# CI=true          a missing package that cannot be installed is a failure, not a skip (exit 77)
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=tests/nodes.sh
source "$here/../nodes.sh"
# shellcheck source=tests/packages.sh
source "$here/../packages.sh"

# shellcheck disable=SC2034  # packages.sh reads it
PACKAGES=(prometheus curl)

readonly RULES=$root/deploy/prometheus/sessile.rules.yml
readonly START_LIMIT=60       # seconds until three nodes are ready, or Prometheus is
readonly SCRAPE_LIMIT=30      # seconds until every node was scraped: it is tried every second
readonly FIRE_LIMIT=60        # seconds until an alert fires: a scrape, an evaluation and `for:` are a second each
readonly STOP_LIMIT=15        # seconds a process has to end
readonly BIND_ATTEMPTS=5      # another process may take a free port before we do

sessile='' run='' prometheus='' prometheus_pid=''
passed=0 failed=0

# ---- Report ---------------------------------------------------------------------------------------------------

note() { printf '%s\n' "$*"; }

because() { printf '%s\n' "$*" >"$run/reason"; return 1; }

# step WORDS COMMAND...: one line of the report. What follows a failed step is not done.
step() {
    local words=$1
    shift
    : >"$run/reason"
    if "$@"; then
        passed=$((passed + 1))
        printf '%-7s %s\n' ok "$words"
    else
        failed=$((failed + 1))
        printf '%-7s %s\n' FAILED "$words"
        sed 's/^/        /' "$run/reason"
        tail -n 15 "$run"/*.log 2>/dev/null | cut -c -300 || true
        exit 1
    fi
}

# ---- Processes ------------------------------------------------------------------------------------------------

# Below the range the kernel takes for outgoing connections. Nobody listens there now.
free_port() {
    local try port
    for ((try = 0; try < 100; try++)); do
        port=$((RANDOM % 22000 + 10000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
    done
    return 1
}

is_running() { kill -0 "$1" 2>/dev/null; }

end() {
    local deadline=$((SECONDS + STOP_LIMIT))
    kill "$1" 2>/dev/null || true
    while is_running "$1" && ((SECONDS < deadline)); do sleep 0.1; done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

status() { curl -sS --max-time 5 -o /dev/null -w '%{http_code}' "$1" 2>/dev/null || true; }

# until_true SECONDS REASON COMMAND...
until_true() {
    local deadline=$((SECONDS + $1)) reason=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || { because "$reason"; return 1; }
        sleep 0.2
    done
}

clean_up() {
    local code=$? node
    trap - EXIT
    [[ -z $prometheus_pid ]] || end "$prometheus_pid"
    for node in "${!pid[@]}"; do [[ -z ${pid[$node]} ]] || end "${pid[$node]}"; done
    if [[ ${KEEP:-0} == 1 ]]; then note "kept: $run"; else rm -rf "$run"; fi
    exit "$code"
}

# ---- Steps ----------------------------------------------------------------------------------------------------

rules_are_rules() { promtool check rules "$RULES" >"$run/promtool.log" 2>&1 || because "promtool refuses them"; }

rules_fire_as_they_should() {
    promtool test rules "$root"/deploy/prometheus/tests/*.test.yml >"$run/promtool.log" 2>&1 || because "see promtool.log"
}

all_ready() {
    local node
    for node in "${NODES[@]}"; do [[ $(status "http://${http[$node]}/readyz") == 200 ]] || return 1; done
}

# Ports may have been taken meanwhile: then all three begin anew.
start_nodes() {
    local attempt node
    for ((attempt = 1; attempt <= BIND_ATTEMPTS; attempt++)); do
        configure_nodes
        for node in "${NODES[@]}"; do launch_node "$node"; done
        until_true "$START_LIMIT" "the nodes are not ready within $START_LIMIT s" all_ready && return
        for node in "${NODES[@]}"; do end "${pid[$node]}"; pid[$node]=''; rm -rf "$run/$node-data"; done
    done
    return 1
}

# What each node serves is text that Prometheus itself finds no fault with.
metrics_are_well_formed() {
    curl -sS --fail --max-time 5 "http://${http[n1]}/metrics" | promtool check metrics >"$run/lint.log" 2>&1 && return
    # It lints names, too. Kask's are as they are.
    if grep -vE '^(http_request|sessile_http_held_bytes)' "$run/lint.log" | grep -q .; then because "see lint.log"; fi
}

configure_prometheus() {
    local node targets=()
    for node in "${NODES[@]}"; do targets+=("\"${http[$node]}\""); done
    sed -E 's/^( *for:) .*/\1 1s/' "$RULES" >"$run/sessile.rules.yml"
    cat >"$run/prometheus.yml" <<YAML
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: ["$run/sessile.rules.yml"]
scrape_configs:
  - job_name: sessile
    static_configs:
      - targets: [$(IFS=,; echo "${targets[*]}")]
YAML
    promtool check config "$run/prometheus.yml" >"$run/promtool.log" 2>&1 || because "see promtool.log"
}

start_prometheus() {
    configure_prometheus || return 1
    local attempt
    for ((attempt = 1; attempt <= BIND_ATTEMPTS; attempt++)); do
        prometheus=127.0.0.1:$(free_port)
        prometheus --config.file="$run/prometheus.yml" --storage.tsdb.path="$run/tsdb" \
            --web.listen-address="$prometheus" >"$run/prometheus.log" 2>&1 &
        prometheus_pid=$!
        until_true "$START_LIMIT" "Prometheus is not ready" prometheus_answers && return
        end "$prometheus_pid"
        prometheus_pid=''
    done
    return 1
}

prometheus_answers() { [[ $(status "http://$prometheus/-/ready") == 200 ]] || ! is_running "$prometheus_pid"; }

# query PROMQL: the value of the first series, or nothing.
query() {
    curl -sS --fail --max-time 5 --data-urlencode "query=$1" "http://$prometheus/api/v1/query" |
        sed -nE 's/.*"value":\[[^,]*,"([^"]*)"\].*/\1/p'
}

finds() { [[ $(query "$1") == "$2" ]]; }

every_node_is_scraped() {
    until_true "$SCRAPE_LIMIT" "it does not scrape three nodes that are ready" finds 'sum(sessile_ready{job="sessile"})' 3
}

# While they start, with hardly any `for:`, an alert may fire.
nothing_else_fires() {
    until_true "$SCRAPE_LIMIT" "an alert fires although all is well: $(alerts)" \
        finds 'count(ALERTS{alertstate="firing", alertname!="SessileNodesRestart"}) or vector(0)' 0
}

alerts() { curl -sS --max-time 5 "http://$prometheus/api/v1/alerts" | grep -oE '"alertname":"[^"]*"' | sort -u | tr '\n' ' '; }

end_n3() {
    kill -KILL "${pid[n3]}"
    wait "${pid[n3]}" 2>/dev/null || true
    pid[n3]=''
}

fires() {
    until_true "$FIRE_LIMIT" "$1 does not fire within $FIRE_LIMIT s; these do: $(alerts)" \
        finds "count(ALERTS{alertstate=\"firing\", alertname=\"$1\"})" 1
}

ends() {
    until_true "$FIRE_LIMIT" "$1 goes on although its cause is gone" \
        finds "count(ALERTS{alertstate=\"firing\", alertname=\"$1\"}) or vector(0)" 0
}

# ---- What it needs --------------------------------------------------------------------------------------------

is_complete() { command -v prometheus >/dev/null && command -v promtool >/dev/null && command -v curl >/dev/null; }

# ---- Main -----------------------------------------------------------------------------------------------------

main() {
    if (($# > 0)); then
        sessile=$(realpath -- "$1")
        [[ -x $sessile ]] || { note "$1 is no program"; exit 64; }
    fi
    provide_packages
    if (($# == 0)); then
        note "building sessile"
        (cd "$root" && cargo build --quiet --release -p sessile)
        sessile=$(realpath -- "${CARGO_TARGET_DIR:-$root/target}/release/sessile")
    fi
    export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1
    umask 077
    run=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    step "promtool finds no fault with the rules" rules_are_rules
    step "what happened in five outages would have paged" rules_fire_as_they_should
    step "three nodes start" start_nodes
    step "promtool finds no fault with what a node serves" metrics_are_well_formed
    step "Prometheus starts with the rules" start_prometheus
    step "it scrapes all three" every_node_is_scraped
    step "it says that they have just started" fires SessileNodesRestart
    step "nothing else fires" nothing_else_fires
    step "n3 is killed" end_n3
    step "SessileNodeDown fires" fires SessileNodeDown
    step "SessileOneLossStopsWrites fires" fires SessileOneLossStopsWrites
    step "n3 starts again" launch_node n3
    step "SessileNodeDown ends" ends SessileNodeDown
    step "SessileOneLossStopsWrites ends" ends SessileOneLossStopsWrites
    note "$passed passed, $failed failed"
}

main "$@"
