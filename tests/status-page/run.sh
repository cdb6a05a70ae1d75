#!/usr/bin/env bash
# Acceptance test: the status page of a real cluster of three nodes in a real browser, while clients are served and nodes
# are killed.
#
#     tests/status-page/run.sh [path-to-sessile-binary]
#
# The browser is Debian's Chromium, without a window. Playwright, which drives it, and axe, which looks for what keeps people
# out (WCAG 2, A and AA), come from npm in the versions of package-lock.json. What the page must do stands in story.mjs.
#
# SHOTS=dir      where the screenshots go; otherwise they go with the run
# CACHE=dir      where what is installed stays for the next run
# KEEP and CI: see tests/steps.sh
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/steps.sh
source "$here/../steps.sh"
# shellcheck source=tests/ready_nodes.sh
source "$here/../ready_nodes.sh"

readonly STORY_LIMIT=300      # seconds until the story has ended; each of its waits is bounded by itself
readonly RATE=50              # requests a second of the clients: a rate that shows, on a machine that does more

declare -A admin=()           # host:port of each node's page
bench_pid='' cache=''

stop_all() {
    local node
    if [[ -n $bench_pid ]]; then end "$bench_pid"; fi
    for node in "${!pid[@]}"; do
        if [[ -n ${pid[$node]} ]]; then end "${pid[$node]}"; fi
    done
}

missing_packages() {
    local command
    for command in curl node:nodejs npm chromium; do
        command -v "${command%:*}" >/dev/null || printf '%s\n' "${command#*:}"
    done
}

# The versions that are in the files of this folder, once for each of their states.
install_browser_driver() {
    local files=("$here/package.json" "$here/package-lock.json") building
    cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sessile}/status-page-$(cat "${files[@]}" | sha256sum | cut -c -16)
    [[ ! -d $cache ]] || return 0
    note "installing Playwright and axe into $cache"
    mkdir -p "${cache%/*}"
    building=$(mktemp -d "$cache.XXXXXX")
    cp "${files[@]}" "$building/"
    npm ci --prefix "$building" --no-audit --no-fund --loglevel error >/dev/null
    # Another run may be as far as this one.
    mv -T "$building" "$cache" 2>/dev/null || rm -rf "$building"
}

# ---- Steps ----------------------------------------------------------------------------------------------------

add_to_configuration() {
    admin[$1]=127.0.0.1:$(free_port)
    printf 'admin: { listen: "%s" }\n' "${admin[$1]}" >>"$run/$1.yaml"
}

serve_clients() {
    "$sessile" bench --connections 4 --keys 200 --rate "$RATE" --duration "${STORY_LIMIT}s" \
        "http://${http[n1]}/sessions/v1/" >>"$run/bench.log" 2>&1 &
    bench_pid=$!
}

# It prints a line for each step by itself, and ends nodes by the ids of their processes.
story() {
    local node code=0
    for node in "${NODES[@]}"; do printf '%s %s %s\n' "$node" "${admin[$node]}" "${pid[$node]}"; done >"$run/nodes"
    CHROMIUM=$(command -v chromium) SHOTS=${SHOTS:-$run} \
        timeout "$STORY_LIMIT" node "$here/story.mjs" "$cache/node_modules" "$run/nodes" || code=$?
    ((code == 0)) || because "it ended with $code"
    # What bash says of the nodes that were killed.
} 2>>"$run/story.log"

main() {
    prepare "$@"
    install_browser_driver
    chapter=nodes
    must "three nodes start" start_nodes
    must "clients begin to ask n1" serve_clients
    chapter=page
    must "the page holds what it promises" story
    finish
}

main "$@"
