#!/usr/bin/env bash
# What /openapi promises, held against the running program by somebody else's imagination (schemathesis, from PyPI).
#
#     tests/schemathesis/run.sh [path-to-sessile-binary]
#
# SEED=n       generate the same requests again; the report names the seed that was used
# EXAMPLES=n   requests that are generated for each operation (default 150)
# VENV=dir     where schemathesis is, or is installed to if it is not there yet
#
# Ends with schemathesis's own summary; exit code 0 if there was no failure.
# shellcheck disable=SC2317  # what is called by trap, it takes for never called
set -euo pipefail

readonly VERSION=4.32.5              # the checks grow with the versions, so a new one is taken on purpose
readonly START_LIMIT=30              # seconds the program has to listen

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
sessile=${1:-$root/target/debug/sessile}
venv=${VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/sessile/schemathesis-$VERSION}
run='' node=''

fail() { printf '%s\n' "$*" >&2; exit 1; }

# Ends what this script started, and nothing else.
clean_up() {
    if [[ -n $node ]]; then
        kill "$node" 2>/dev/null || true
        wait "$node" 2>/dev/null || true
    fi
    [[ -z $run ]] || rm -rf "$run"
}
trap clean_up EXIT

install() {
    [[ ! -x $venv/bin/schemathesis ]] || return 0
    printf 'installing schemathesis %s into %s\n' "$VERSION" "$venv"
    python3 -m venv "$venv" || fail 'python3 with its venv module is needed (Debian: python3-venv)'
    "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$VERSION" || {
        rm -rf "$venv"
        fail 'schemathesis could not be installed from PyPI'
    }
}

# Prints the base URL once the program listens.
start() {
    # Whether the disk has room is not what is tested.
    cat >"$run/config.yaml" <<YAML
listen_port: 0
storage: { data_dir: $run/data, reserve_mb: 0 }
YAML
    # Before it starts: it is looked into at once.
    : >"$run/log"
    "$sessile" serve --config "$run/config.yaml" >"$run/log" 2>&1 &
    node=$!
    local until=$((SECONDS + START_LIMIT)) address=''
    while [[ -z $address ]]; do
        kill -0 "$node" 2>/dev/null || fail "sessile ended: $(tail -n 3 "$run/log")"
        ((SECONDS < until)) || fail "sessile does not listen after $START_LIMIT s"
        address=$(sed -n 's/.*"msg":"listening".*"address":"\([^"]*\)".*/\1/p' "$run/log")
        sleep 0.05
    done
    url=http://$address
}

[[ -x $sessile ]] || fail "there is no program at $sessile; cargo build makes it"
install
run=$(mktemp -d "${TMPDIR:-/tmp}/sessile-schemathesis.XXXXXX")
start

seed=${SEED:-$((RANDOM * 32768 + RANDOM))}
printf 'SEED=%s\n' "$seed"
status=0
(
    # It keeps a cache of failures beside itself.
    cd "$run"
    "$venv/bin/schemathesis" run "$url/openapi" --url "$url" \
        --checks all --phases examples,coverage,fuzzing,stateful --mode all \
        --max-examples "${EXAMPLES:-150}" --seed "$seed" --workers 2 --request-timeout 10 --no-color
) || status=$?

kill -0 "$node" 2>/dev/null || fail "sessile did not survive: $(tail -n 3 "$run/log")"
if grep -q '"level":"\(ERROR\|FATAL\)"' "$run/log"; then
    grep '"level":"\(ERROR\|FATAL\)"' "$run/log" | head -n 5
    fail 'sessile logged an error'
fi
exit "$status"
