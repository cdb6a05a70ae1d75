#!/usr/bin/env bash
# Acceptance test: five outages of session stores, replayed on three real nodes under MediaWiki's mix, with a stock Prometheus
# beside them that has the rules of deploy/prometheus. What each tells is printed; docs/outages.md has what the real ones were.
#
#     tests/outages/run.sh [path-to-sessile-binary [NUMBER...]]
#
# All five take an hour; 1 to 5 name some of them. The figures count if the program and the clients are optimised, so without a
# path both are built so. OUT=DIR keeps the reports and their timelines (SVG).
#
# Prometheus is Debian's package. Networks and disks of the nodes' own (3, 4 and 5) need root.
#
# KEEP and CI: see tests/steps.sh
# shellcheck disable=SC2317  # steps are called by name, which shellcheck takes for never
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/steps.sh
source "$here/../steps.sh"

# What the test kit starts ends with it.
stop_all() { :; }

missing_packages() {
    local package
    declare -A has=([prometheus]=prometheus [iproute2]=ip [e2fsprogs]=mkfs.ext4)
    for package in "${!has[@]}"; do
        command -v "${has[$package]}" >/dev/null || echo "$package"
    done
}

main() {
    local program=("${@:1:1}") only
    only=$(IFS=,; echo "${*:2}")
    prepare "${program[@]}"
    # What went wrong is told by the report itself.
    reported=yes
    cargo run --quiet --release -p sessile-testkit -- outages --program "$sessile" --out "${OUT:-$run/out}" \
        ${only:+--only "$only"}
}

main "$@"
