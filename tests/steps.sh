# What stories about other people's programs share: a report of one line a step, processes, one node of Sessile, and what
# must be installed. Sourced by them. They define
#
#     stop_all            ends whatever they have started, also when a step has failed
#     missing_packages    prints Debian's packages that they need and this machine has not; PHP and curl must be there
#
# and set `chapter`, the second word of each line of the report.
#
# KEEP=1    nothing is redacted, and the directory of the run stays
# CI=true   a missing package that cannot be installed is a failure, not a skip (exit 77)
#
# shellcheck shell=bash
# shellcheck disable=SC2034  # names that the stories use
# shellcheck disable=SC2016  # PHP's variables, not the shell's

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

readonly START_LIMIT=30              # seconds a server has to answer
readonly STOP_LIMIT=10               # seconds a server has to end
readonly BIND_ATTEMPTS=5             # another process may take a free port before we do

sessile=''                           # the program
run=''                               # this run's directory
chapter=setup
passed=0 failed=0 reported=''
store=''                             # base URL of the session API
store_address='' store_pid=''        # host:port and process of Sessile

# ---- Report ---------------------------------------------------------------------------------------------------

note() { printf '%s\n' "$*"; }

# Says why a step failed; the last answer is in the log dump.
because() { printf '%s\n' "$*" >"$run/reason"; return 1; }

# step WORDS COMMAND...: one line of the report. Not fatal; steps that lean on it fail by themselves.
step() {
    local words=$1
    shift
    : >"$run/reason"
    if "$@"; then
        passed=$((passed + 1))
        printf '%-7s %-8s %s\n' ok "$chapter" "$words"
    else
        failed=$((failed + 1))
        printf '%-7s %-8s %s\n' FAILED "$chapter" "$words"
        [[ ! -s $run/reason ]] || sed 's/^/                 /' "$run/reason" | redact
    fi
}

# The same for a step without which those that follow would fail by themselves: then this is the last one.
must() {
    step "$@"
    ((failed == 0)) || finish
}

# Session ids, tokens and passwords are runs of 26 or more of these; all of them are credentials.
redact() {
    if [[ ${KEEP:-0} == 1 ]]; then cat; else sed -E 's/[0-9A-Za-z_-]{26,}/<redacted>/g'; fi
}

dump_logs() {
    local log
    for log in "$run"/*.log "$run/answer" "$run/page"; do
        [[ -s $log ]] || continue
        note "---- ${log##*/} (its end)"
        tail -n 40 "$log" | cut -c -400 | redact
    done
}

# What is left up where KEEP=1; a story that has something says so and waits.
stay_up() { :; }

finish() {
    reported=yes
    ((failed == 0)) || dump_logs
    local code=$((failed > 0))
    note "$passed passed, $failed failed"
    if [[ ${KEEP:-0} == 1 ]]; then stay_up "$code"; fi
    exit "$code"
}

# ---- Processes ------------------------------------------------------------------------------------------------

# Below the range the kernel takes for outgoing connections, so that Sessile finds its port free after the crash.
free_port() {
    php -r '
        for ( $try = 0; $try < 100; $try++ ) {
            $port = random_int( 10000, 32000 );
            $socket = @stream_socket_server( "tcp://127.0.0.1:$port" );
            if ( $socket ) { echo $port; exit( 0 ); }
        }
        exit( 1 );'
}

# await PID URL [STATUS]: until the URL answers 200, or STATUS. Fails when the process ends or START_LIMIT is over.
await() {
    local deadline=$((SECONDS + START_LIMIT)) wanted=${3:-200}
    until [[ $(status "$2") == "$wanted" ]] && is_running "$1"; do
        is_running "$1" || { because "the process ended before $2 answered"; return 1; }
        ((SECONDS < deadline)) || { because "$2 did not answer $wanted within ${START_LIMIT} s"; return 1; }
        sleep 0.1
    done
}

# until_true SECONDS REASON COMMAND...: until the command succeeds, or fails for that reason.
until_true() {
    local deadline=$((SECONDS + $1)) reason=$2
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || { because "$reason"; return 1; }
        sleep 0.2
    done
}

is_running() { kill -0 "$1" 2>/dev/null; }

# end PID [GROUP]: asks the process, or its group, to end; insists after STOP_LIMIT.
end() {
    local deadline=$((SECONDS + STOP_LIMIT))
    kill -- "${2:-$1}" 2>/dev/null || true
    while is_running "$1" && ((SECONDS < deadline)); do sleep 0.1; done
    kill -KILL -- "${2:-$1}" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

status() { curl -sS --max-time 5 -o /dev/null -w '%{http_code}' "$1" 2>/dev/null || true; }

clean_up() {
    local status=$?
    trap - EXIT
    if [[ $status != 0 && $status != 130 && -z $reported ]]; then dump_logs; fi
    stop_all
    if [[ ${KEEP:-0} == 1 ]]; then note "kept: $run"; else rm -rf "$run"; fi
    exit "$status"
}

# ---- One node of Sessile ----------------------------------------------------------------------------------------

start_store() {
    local attempt
    if [[ -n $store_address ]]; then
        launch_store && return
        stop_store
        return 1
    fi
    for ((attempt = 1; attempt <= BIND_ATTEMPTS; attempt++)); do
        store_address=127.0.0.1:$(free_port)
        store=http://$store_address
        launch_store && return
        # Only a process that has ended may have lost its port to another.
        if is_running "$store_pid"; then stop_store; return 1; fi
        store_pid=''
    done
    return 1
}

launch_store() {
    "$sessile" dev --listen "$store_address" --data-dir "$run/data" >>"$run/sessile.log" 2>&1 &
    store_pid=$!
    await "$store_pid" "$store/readyz"
}

crash_store() {
    kill -KILL "$store_pid"
    wait "$store_pid" 2>/dev/null || true
    store_pid=''
}

stop_store() {
    [[ -n $store_pid ]] || return 0
    end "$store_pid"
    store_pid=''
}

store_is_down() { [[ $(status "$store/readyz") == 000 ]] || because "something still answers on its port"; }

# ---- What it needs --------------------------------------------------------------------------------------------

install_packages() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300)
    [[ $(id -u) == 0 ]] || apt=(sudo -n "${apt[@]}")
    "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "$@"
}

provide_packages() {
    local lock output packages
    mapfile -t packages < <(missing_packages)
    ((${#packages[@]} > 0)) || return 0
    if ! command -v apt-get >/dev/null || { [[ $(id -u) != 0 ]] && [[ ${CI:-} != true ]]; }; then
        note "Something of ${packages[*]} is missing. On Debian, as root:"
        note "apt-get install --no-install-recommends ${packages[*]}"
        [[ ${CI:-} != true ]] || exit 1
        note "skipped"
        exit 77
    fi
    # One run at a time: apt waits for dpkg's lock, but not for the one on its lists.
    exec {lock}<"$root/tests/steps.sh"
    flock "$lock"
    mapfile -t packages < <(missing_packages)
    if ((${#packages[@]} > 0)); then
        note "installing ${packages[*]}"
        output=$(install_packages "${packages[@]}" 2>&1) || { note "$output"; exit 1; }
        mapfile -t packages < <(missing_packages)
        ((${#packages[@]} == 0)) || { note "installed, and yet something is missing of ${packages[*]}"; exit 1; }
    fi
    exec {lock}<&-
}

# prepare [BINARY]: packages, the program, and a directory for this run that goes when it ends.
prepare() {
    if (($# > 0)); then
        sessile=$(realpath -- "$1")
        [[ -x $sessile ]] || { note "$1 is no program"; exit 64; }
    fi
    provide_packages
    cd "$root" || exit 1
    if (($# == 0)); then
        note "building sessile"
        cargo build --quiet --release -p sessile
        sessile=$(realpath -- "${CARGO_TARGET_DIR:-target}/release/sessile")
    fi
    # Everything from here on is on this machine, whatever proxy leads out of it.
    export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

    umask 077
    run=$(mktemp -d)
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}
