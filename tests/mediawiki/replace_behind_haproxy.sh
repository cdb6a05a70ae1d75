#!/usr/bin/env bash
# Acceptance test: a stock MediaWiki stays logged in while each of three Sessile nodes is replaced behind HAProxy.
#
#     tests/mediawiki/replace_behind_haproxy.sh [path-to-sessile-binary]
#
# HAProxy (Debian's package) runs with deploy/haproxy/haproxy.cfg. One node after the other is stopped, loses its disk
# and starts again, while a user goes on looking at pages and edits. The environment is that of run.sh.
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
# shellcheck disable=SC2016  # PHP's variables, not the shell's
set -euo pipefail

# shellcheck source=tests/mediawiki/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tests/nodes.sh
source "$(dirname "${BASH_SOURCE[0]}")/../nodes.sh"

PACKAGES+=(haproxy)
COMMANDS+=(haproxy)
PATH=$PATH:/usr/sbin                 # where Debian has haproxy

readonly JOIN_LIMIT=60               # seconds a node has to become a voter again
readonly LOOKS=5                     # times the user looks at the wiki at least, while a node is replaced

declare -A id=()                     # of each node: who it was before
watcher_pid=''

# ---- Three nodes and a balancer -------------------------------------------------------------------------------

start_haproxy() {
    launch_haproxy
    store=http://$balancer
    await "$haproxy_pid" "$store/readyz"
}

stop_store() {
    local node
    stop_watching
    if [[ -n $haproxy_pid ]]; then end "$haproxy_pid"; fi
    haproxy_pid=''
    for node in "${!pid[@]}"; do
        if [[ -n ${pid[$node]} ]]; then end "${pid[$node]}"; fi
        pid[$node]=''
    done
}

# member NODE FIELD: what the cluster says of the member of that name, by the node itself; nothing if it does not answer.
member() {
    "$sessile" status --data-dir "$run/$1-data" --json 2>/dev/null | php -r '
        $status = json_decode( stream_get_contents( STDIN ), true );
        foreach ( $status["members"] ?? [] as $member ) {
            if ( $member["name"] === $argv[1] ) { echo json_encode( $member[$argv[2]] ?? null ); }
        }' -- "$1" "$2"
}

# sessions_asked NODE: how many requests for sessions that node has answered.
sessions_asked() {
    curl -sS --fail --max-time "$REQUEST_LIMIT" "http://${http[$1]}/metrics" |
        awk '/^http_requests_total\{/ && $0 ~ /code="20[014]"/ { sum += $NF } END { print sum + 0 }'
}

# The balancer sends some of the wiki's requests to that node: what happens to it matters.
node_serves_the_wiki() {
    local before tries
    before=$(sessions_asked "$1") || return 1
    for ((tries = 0; tries < 20; tries++)); do
        user_is "$jar" "$USER_NAME" || return 1
        (($(sessions_asked "$1") == before)) || return 0
    done
    because "no request of the wiki reached $1"
}

stop_and_wipe() {
    id[$1]=$(member "$1" id)
    [[ -n ${id[$1]} ]] || { because "$1 does not say who it is"; return 1; }
    end "${pid[$1]}"
    pid[$1]=''
    rm -rf "$run/$1-data"
}

node_is_a_voter_again() {
    local deadline=$((SECONDS + JOIN_LIMIT))
    launch_node "$1"
    until [[ $(member "$1" voter) == true && $(status "http://${http[$1]}/readyz") == 200 ]]; do
        is_running "${pid[$1]}" || { because "$1 ended"; return 1; }
        ((SECONDS < deadline)) || { because "$1 was no voter within $JOIN_LIMIT s"; return 1; }
        sleep 0.2
    done
    [[ $(member "$1" id) != "${id[$1]}" ]] || because "$1 has an empty disk, and yet its old id"
}

# ---- The user who goes on -------------------------------------------------------------------------------------

# In the background, with cookies and files of its own.
start_watching() {
    rm -rf "$run/watch"
    mkdir "$run/watch"
    cp "$jar" "$run/watch/jar"
    watch &
    watcher_pid=$!
}

watch() {
    local run=$run/watch
    trap - EXIT
    while :; do
        if user_is "$run/jar" "$USER_NAME"; then echo >>"$run/looks"; else cat "$run/reason" >>"$run/failures"; fi
        sleep 0.1
    done
}

stop_watching() {
    if [[ -n $watcher_pid ]]; then end "$watcher_pid"; fi
    watcher_pid=''
}

was_logged_in_all_the_while() {
    local deadline=$((SECONDS + START_LIMIT)) looks
    while looks=$(wc -l 2>/dev/null <"$run/watch/looks" || echo 0) && ((looks < LOOKS && SECONDS < deadline)); do
        sleep 0.1
    done
    stop_watching
    [[ ! -s $run/watch/failures ]] || { because "$(head -n 1 "$run/watch/failures")"; return 1; }
    ((looks >= LOOKS)) || because "the user looked only $looks times"
}

# ---- The story ------------------------------------------------------------------------------------------------

replace() {
    local node=$1
    step "some of its requests go to $node" node_serves_the_wiki "$node"
    start_watching
    step "$node is stopped, and its disk wiped" stop_and_wipe "$node"
    step "an edit succeeds without it" edit_and_look "$jar" "Without $node" "While $node was away."
    step "$node starts, and is a voter again" node_is_a_voter_again "$node"
    step "an edit succeeds with it" edit_and_look "$jar" "With $node" "After $node came back."
    step "the user was logged in all the while" was_logged_in_all_the_while
    step "MediaWiki logged no error about the store" wiki_logged_no_error
}

main() {
    local node
    prepare "$@"
    jar=$run/user.jar
    touch "$jar"
    step "MediaWiki is installed, on SQLite" install_wiki
    step "three nodes start" start_nodes
    step "HAProxy finds one that is ready" start_haproxy
    ((failed == 0)) || finish
    chapter=POST
    step "the wiki is up and keeps its sessions behind HAProxy" start_wiki
    [[ -n $wiki_pid ]] || finish
    step "the user logs in" log_in "$jar"
    step "the user's session is in Sessile" session_is_stored "$jar"
    step "the session gives an edit token" fetch_edit_token "$jar"
    for node in "${NODES[@]}"; do replace "$node"; done
    cp "$jar" "$run/old.jar"
    step "the user logs out" log_out "$jar"
    step "the old session is deleted" session_is_gone "$run/old.jar"
    finish
}

main "$@"
