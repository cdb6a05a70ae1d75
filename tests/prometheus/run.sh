#!/usr/bin/env bash
# Acceptance test: a stock Prometheus reads the rules of deploy/prometheus, scrapes three Sessile nodes, and an alert fires
# when one of them is gone.
#
#     tests/prometheus/run.sh [path-to-sessile-binary]
#
# Prometheus is Debian's package. The rules are those that are shipped: only how long each has to hold (`for:`) is shortened.
#
# KEEP and CI: see tests/steps.sh
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/steps.sh
source "$here/../steps.sh"
# shellcheck source=tests/ready_nodes.sh
source "$here/../ready_nodes.sh"

readonly RULES=$root/deploy/prometheus/sessile.rules.yml
readonly SCRAPE_LIMIT=30      # seconds until every node was scraped: it is tried every second
readonly FIRE_LIMIT=60        # seconds until an alert fires: a scrape, an evaluation and `for:` are a second each

prometheus='' prometheus_pid=''      # host:port and process

stop_all() {
    local node
    if [[ -n $prometheus_pid ]]; then end "$prometheus_pid"; fi
    for node in "${!pid[@]}"; do
        if [[ -n ${pid[$node]} ]]; then end "${pid[$node]}"; fi
    done
}

missing_packages() {
    local command
    for command in prometheus curl; do command -v "$command" >/dev/null || echo "$command"; done
}

# ---- Steps ----------------------------------------------------------------------------------------------------

rules_are_rules() { promtool check rules "$RULES" >"$run/promtool.log" 2>&1 || because "promtool refuses them"; }

rules_fire_as_they_should() {
    promtool test rules "$root"/deploy/prometheus/tests/*.test.yml >"$run/promtool.log" 2>&1 || because "see promtool.log"
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
        until_true "$READY_LIMIT" "Prometheus is not ready" prometheus_answers && return
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

# ---- Main -----------------------------------------------------------------------------------------------------

main() {
    prepare "$@"
    chapter=rules
    must "promtool finds no fault with the rules" rules_are_rules
    must "what happened in five outages would have paged" rules_fire_as_they_should
    chapter=nodes
    must "three nodes start" start_nodes
    must "promtool finds no fault with what a node serves" metrics_are_well_formed
    chapter=alerts
    must "Prometheus starts with the rules" start_prometheus
    must "it scrapes all three" every_node_is_scraped
    must "it says that they have just started" fires SessileNodesRestart
    must "nothing else fires" nothing_else_fires
    must "n3 is killed" end_n3
    must "SessileNodeDown fires" fires SessileNodeDown
    must "SessileOneLossStopsWrites fires" fires SessileOneLossStopsWrites
    must "n3 starts again" launch_node n3
    must "SessileNodeDown ends" ends SessileNodeDown
    must "SessileOneLossStopsWrites ends" ends SessileOneLossStopsWrites
    finish
}

main "$@"
