#!/usr/bin/env bash
# Builds the program as it is meant to run in production: laid out for the ways that it takes under load
# (profile-guided optimisation). docs/performance.md has what that saves.
#
#     deploy/build.sh [OUT]
#
# First a program is built that counts its ways; it serves a load for a minute, as three nodes and as one, and then the
# program is built again by what was counted, into OUT (target/profiled/sessile if none is named). That takes two to three
# times as long as `cargo build --profile dist`, and gives the same program: what it does depends on no profile.
#
# Needs what `cargo build` needs, curl, and llvm-profdata: of the compiler itself (`rustup component add llvm-tools`), or
# of an LLVM that is not much older (Debian: llvm-19). The ports 8081 to 8083 and 7081 to 7083 of this machine must be free.
set -euo pipefail
shopt -s inherit_errexit # a build that fails in $(…) ends the script, too

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

readonly START_LIMIT=60 # seconds until a node is ready
readonly URLS=(http://127.0.0.1:8081/sessions/v1/ http://127.0.0.1:8082/sessions/v1/ http://127.0.0.1:8083/sessions/v1/)
# What sessions are asked for: as a wiki does, and each by itself.
readonly LOADS=('--duration 12s' '--duration 5s --mix 100:0:0' '--duration 5s --mix 0:100:0' '--duration 5s --rate 5000')

work='' nodes=''

note() { printf '%s\n' "$*" >&2; }

fail() { note "$*"; exit 1; }

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

# llvm-profdata: the compiler's own before all others, then the newest.
profdata() {
    local own other
    own=$(rustc --print target-libdir)/../bin/llvm-profdata
    if [[ -x $own ]]; then echo "$own"; return; fi
    other=$(compgen -c llvm-profdata | sort -u -V | tail -n 1)
    [[ -n $other ]] || fail 'llvm-profdata is missing: rustup component add llvm-tools, or on Debian apt-get install llvm-19'
    command -v "$other"
}

# build DIRECTORY FLAG: with that flag for the program alone, not for what cargo runs to build it. It joins those of
# .cargo/config.toml; the variable RUSTFLAGS would replace them.
build() {
    cargo build --profile dist --locked -p sessile --config "build.rustflags=['$2']" --target "$host" --target-dir "$1" >&2
    echo "$1/$host/dist/sessile"
}

stop_nodes() {
    [[ -z $nodes ]] || { kill "$nodes" 2>/dev/null && wait "$nodes"; } || true
    nodes=''
}

clean_up() {
    stop_nodes
    [[ -z $work ]] || rm -rf "$work"
}

# serve COMMAND...: starts nodes, and waits until they say what to try.
serve() {
    local deadline=$((SECONDS + START_LIMIT))
    "$@" >"$work/nodes" 2>&1 </dev/null &
    nodes=$!
    until grep -q '^ *curl ' "$work/nodes"; do
        kill -0 "$nodes" 2>/dev/null || fail "the nodes for the load ended: $(tail -n 1 "$work/nodes")"
        ((SECONDS < deadline)) || fail "the nodes for the load were not ready within $START_LIMIT s"
        sleep 0.2
    done
}

# load PROGRAM URL...: every load, one after the other.
load() {
    local program=$1 words
    shift
    for words in "${LOADS[@]}"; do
        # shellcheck disable=SC2086 # several words
        "$program" bench $words "$@" >/dev/null 2>"$work/bench" || fail "the load failed: $(tail -n 1 "$work/bench")"
    done
}

main() {
    local merge counting target out profile built
    case ${1:-} in -*) usage; [[ $1 == -h || $1 == --help ]] && exit 0 || exit 64 ;; esac
    (($# <= 1)) || { usage >&2; exit 64; }
    command -v curl >/dev/null || fail 'curl is missing'
    [[ -z ${RUSTFLAGS:-}${CARGO_ENCODED_RUSTFLAGS:-} ]] || fail 'RUSTFLAGS is set, and would replace the flags of .cargo/config.toml: unset it'
    out=${1:+$(realpath -m "$1")}
    cd "$root"
    host=$(rustc -vV | sed -n 's/^host: //p')
    merge=$(profdata)
    target=${CARGO_TARGET_DIR:-$root/target}/profiled
    out=${out:-$target/sessile}
    work=$(mktemp -d "${TMPDIR:-/tmp}/sessile-build.XXXXXX")
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    note 'building the program that counts'
    counting=$(build "$target/counting" "-Cprofile-generate=$target/counts")
    rm -rf "$target/counts" "$target"/profile-*
    note 'counting, as three nodes'
    serve "$root/deploy/local/run.sh" "$counting"
    load "$counting" "${URLS[@]}"
    stop_nodes
    note 'counting, as one'
    serve "$counting" dev
    load "$counting" "${URLS[0]}"
    stop_nodes
    "$merge" merge -o "$work/profile" "$target"/counts/*.profraw || fail "$merge cannot read what this compiler's programs count"
    # Cargo knows the flag and not the file: another profile needs another name to be taken.
    profile=$target/profile-$(cksum <"$work/profile" | cut -d ' ' -f 1)
    mv "$work/profile" "$profile"

    note 'building the program'
    built=$(build "$target/laid-out" "-Cprofile-use=$profile")
    install -D -m 755 "$built" "$out"
    note "$out is built"
}

main "$@"
