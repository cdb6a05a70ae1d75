# Debian's packages for the scripts that are sourced with this. They set `PACKAGES`, and define `is_complete`, which says
# whether all is there, and `note`, which says a line.
#
# CI=true          a missing package that cannot be installed is a failure, not a skip (exit 77)
# shellcheck shell=bash

install_packages() {
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300)
    [[ $(id -u) == 0 ]] || apt=(sudo -n "${apt[@]}")
    "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${PACKAGES[@]}"
}

provide_packages() {
    local lock output
    is_complete && return
    if ! command -v apt-get >/dev/null || { [[ $(id -u) != 0 ]] && [[ ${CI:-} != true ]]; }; then
        note "Something of ${PACKAGES[*]} is missing. On Debian, as root:"
        note "apt-get install --no-install-recommends ${PACKAGES[*]}"
        [[ ${CI:-} != true ]] || exit 1
        note "skipped"
        exit 77
    fi
    # One run at a time: apt waits for dpkg's lock, but not for the one on its lists.
    exec {lock}<"${BASH_SOURCE[0]}"
    flock "$lock"
    if ! is_complete; then
        note "installing ${PACKAGES[*]}"
        output=$(install_packages 2>&1) || { note "$output"; exit 1; }
        is_complete || { note "installed, and yet something of ${PACKAGES[*]} is missing"; exit 1; }
    fi
    exec {lock}<&-
}
