#!/usr/bin/env bash
# Upgrades from the program of an earlier commit to that of this tree, and goes back: tests/upgrade/main.rs and
# tests/system/upgrade.rs with two programs.
#
#     tests/upgrade/run.sh [REVISION]
#
# REVISION is any commit; otherwise the newest one before this tree whose program is another.
# Exit code 77: the history does not reach back to one.
set -euo pipefail
cd "$(dirname "$0")/../.."

# What the program is made of.
program=(Cargo.lock Cargo.toml proto rust-toolchain.toml crates/{core,store,cluster,http,embed}/{src,build.rs,Cargo.toml}
    crates/server/{src,build.rs})

skip() { printf 'skipped: %s\n' "$1" >&2; exit 77; }

newest_with_another_program() {
    if ! git diff --quiet HEAD -- "${program[@]}"; then
        echo HEAD
        return
    fi
    local changed
    changed=$(git rev-list --first-parent --max-count=1 HEAD -- "${program[@]}")
    echo "${changed:-HEAD}^"
}

git rev-parse --quiet --verify 'HEAD^{commit}' >/dev/null 2>&1 || skip 'this is no clone of a repository'
revision=$(git rev-parse --quiet --verify "${1:-$(newest_with_another_program)}^{commit}") || {
    [[ $# -eq 0 ]] || { printf '%s is no commit here\n' "$1" >&2; exit 64; }
    skip 'this clone has no earlier commit with another program; get more of its history, or name a REVISION'
}
printf 'From %s\n' "$(git log -1 --format='%h, %s' "$revision")"

target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
place=$target/upgrade
rm -rf "$place"
mkdir -p "$place/source"
git archive "$revision" | tar --extract --touch --directory "$place/source"

tests=(--locked --workspace --test system --test upgrade)
cargo test "${tests[@]}" --no-run
cp "$target/debug/sessile" "$place/current"

# Both trees share what is built of the dependencies, so with what tests ask of them (--examples). Of the crates of two
# trees Cargo makes the same names, and takes the one for the other by the times of files; unless one tree is built
# incrementally and the other is not, which is a matter of these crates alone.
case ${CARGO_INCREMENTAL:-1} in 0) other=1 ;; *) other=0 ;; esac
(cd "$place/source" &&
    CARGO_INCREMENTAL=$other cargo build --locked --workspace --bins --examples --target-dir "$target")
cp "$target/debug/sessile" "$place/previous"

SESSILE_PREVIOUS_PROGRAM=$place/previous SESSILE_PROGRAM=$place/current \
    cargo test "${tests[@]}" upgrade -- --nocapture
