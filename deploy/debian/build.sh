#!/usr/bin/env bash
# Builds a package for Debian and Ubuntu: the program, its unit for systemd, manual pages, completions and the pages for
# operators.
#
#     deploy/debian/build.sh [-o DIR] [-v VERSION] [PROGRAM [OPTION-OF-CARGO-DEB...]]
#
# Without PROGRAM it is built by deploy/build.sh, which takes a while. The package goes to DIR (target/debian if none is named);
# its name is printed. VERSION is 0.1.0-1 and the like; by default it is that of Cargo.toml.
#
# Needs cargo-deb (`cargo install cargo-deb --locked`), and Debian's binutils, gzip and dpkg-dev.
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
readonly STAGE=$root/target/debian-stage # as [package.metadata.deb] in crates/server/Cargo.toml names it

fail() { printf '%s\n' "$*" >&2; exit 1; }

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"; }

stage() {
    local program=$1
    rm -rf "$STAGE"
    mkdir -p "$STAGE/completions"
    install -m 0755 "$program" "$STAGE/sessile"
    strip --strip-unneeded "$STAGE/sessile"
    "$program" man "$STAGE/man1"
    gzip --best --no-name "$STAGE"/man1/*.1
    "$program" completions bash >"$STAGE/completions/sessile"
    "$program" completions zsh >"$STAGE/completions/_sessile"
    "$program" completions fish >"$STAGE/completions/sessile.fish"
}

main() {
    local option out=$root/target/debian version=() program
    while getopts 'o:v:h' option; do
        case $option in
            o) out=$(realpath -m -- "$OPTARG") ;;
            v) version=(--deb-version "$OPTARG") ;;
            h) usage; exit 0 ;;
            *) usage >&2; exit 64 ;;
        esac
    done
    shift $((OPTIND - 1))
    command -v cargo-deb >/dev/null || fail 'cargo-deb is missing: cargo install cargo-deb --locked'
    if (($# > 0)); then
        program=$(realpath -- "$1")
        [[ -x $program && -f $program ]] || fail "$1 is no program"
        shift
    else
        "$root/deploy/build.sh"
        program=${CARGO_TARGET_DIR:-$root/target}/profiled/sessile
    fi
    stage "$program"
    mkdir -p "$out"
    cd "$root"
    cargo deb --quiet --no-build --no-strip -p sessile -o "$out/" "${version[@]}" "$@"
    rm -rf "$STAGE"
}

main "$@"
