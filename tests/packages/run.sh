#!/usr/bin/env bash
# Acceptance test: the package for Debian is installed, upgraded, removed while its node runs, installed again and purged.
#
#     tests/packages/run.sh [path-to-sessile-binary]
#
# All of that happens on this machine's own files, but under a layer that takes every change and goes when the test ends, with
# processes and a network of its own: nothing is left behind, and the port of the shipped configuration is free. No systemd runs
# there, as in a container. Needs root and cargo-deb (`cargo install cargo-deb --locked`).
#
# KEEP and CI: see tests/steps.sh
# shellcheck disable=SC2317,SC2329  # steps are called by name, which shellcheck takes for never
# shellcheck disable=SC2015,SC2016  # `a && b || because` is meant so; what is in quotes is for another shell
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/steps.sh
source "$here/../steps.sh"

readonly API=http://127.0.0.1:8081         # where a node of the shipped configuration listens
readonly OTHER=127.0.0.1:8099              # and one that is not the package's
readonly KEPT='/etc/sessile/config.yaml /etc/sessile/join.token'
readonly READY_LIMIT=60                    # seconds until a node is ready

holder=''                                  # the process that holds the layer
node=''                                    # the process of the package's node
kept=''                                    # checksums of what an operator has there

missing_packages() {
    local command
    declare -A package=([unshare]=util-linux [nsenter]=util-linux [setpriv]=util-linux [ip]=iproute2 [curl]=curl [strip]=binutils
        [dpkg-shlibdeps]=dpkg-dev [adduser]=adduser [gzip]=gzip)
    for command in "${!package[@]}"; do command -v "$command" >/dev/null || echo "${package[$command]}"; done | sort -u
}

stop_all() {
    local pid
    # What runs in the layer ends with it.
    for pid in $holder; do kill -KILL "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
}

# ---- The layer ------------------------------------------------------------------------------------------------

# The layer is memory. Its root is for everybody, as that of the machine.
make_layer() {
    mkdir "$run/layer"
    unshare --mount --net --pid --fork --kill-child bash -euc '
        mount -t tmpfs tmpfs "$1/layer"
        cd "$1/layer"
        mkdir upper work root
        chmod 0755 . upper root
        mount -t overlay overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" root
        mount -t proc proc root/proc
        mount --rbind /dev root/dev
        mount -t tmpfs -o mode=0755 tmpfs root/run
        mount -t tmpfs -o mode=1777 tmpfs root/tmp
        ip link set lo up
        touch "$1/layer-is-there"
        exec sleep infinity' bash "$run" >"$run/layer.log" 2>&1 &
    holder=$!
    until_true 10 "the layer could not be made" test -e "$run/layer-is-there"
}

# Runs a command there as root.
inside() {
    local of=/proc/$holder/ns
    nsenter --mount="$of/mnt" --net="$of/net" --pid="$of/pid_for_children" -- \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$run/layer/root" "$@"
}

# ---- Packages -------------------------------------------------------------------------------------------------

build() {
    "$root/deploy/debian/build.sh" -o "$run/first" -v 0.1.0-1 "$sessile" --fast >"$run/build.log" 2>&1 || because "see build.log"
    local packages=("$run"/first/*.deb)
    mv "${packages[0]}" "$run/first.deb"
}

# The same with a later version.
build_later() {
    dpkg-deb -R "$run/first.deb" "$run/later"
    sed -i 's/^Version: .*/Version: 0.1.0-2/' "$run/later/DEBIAN/control"
    dpkg-deb -Zgzip -z1 --root-owner-group --build "$run/later" "$run/later.deb" >"$run/build.log" 2>&1
}

# dpkg -i of a package, as a machine does it that nobody sits at.
install() { inside sh -c 'cat >/tmp/package.deb && dpkg -i /tmp/package.deb </dev/null' <"$run/$1.deb" >"$run/dpkg.log" 2>&1; }

dpkg_does() { inside dpkg "$@" </dev/null >"$run/dpkg.log" 2>&1; }

# is_so FILE OWNER MODE
is_so() {
    local found
    found=$(inside stat -c '%U %a' "$1") || { because "$1 is not there"; return 1; }
    [[ $found == "$2 $3" ]] || because "$1 is $found, not $2 $3"
}

is_gone() {
    local path
    for path; do ! inside test -e "$path" || { because "$path is still there"; return 1; }; done
}

owners_are_right() {
    is_so /var/lib/sessile sessile 700 && is_so /etc/sessile/join.token sessile 600 && is_so /etc/sessile/config.yaml root 644 &&
        is_so /usr/bin/sessile root 755
}

configuration_is_valid() {
    local shown
    shown=$(as_sessile sessile check-config /etc/sessile/config.yaml 2>&1) || { because "$shown"; return 1; }
    [[ $shown == *'# runs as a single node'* && $shown != *'# warning'* ]] || because "$shown"
}

# The comments that make a member of it, taken out, are a configuration, too, with the token that was made.
configuration_of_a_member_is_valid() {
    local shown
    shown=$(inside sh -c 'umask 022; sed -E "s/^#(cluster:|  [a-z]|admin:)/\1/" /etc/sessile/config.yaml >/etc/sessile/member.yaml' &&
        as_sessile env SESSILE_CLUSTER_NAME=n2 SESSILE_CLUSTER_LISTEN=10.0.0.2:7081 sessile check-config /etc/sessile/member.yaml 2>&1) ||
        { because "$shown"; return 1; }
    inside rm /etc/sessile/member.yaml
    [[ $shown == *'# runs as member n2 of a cluster of 3'* && $shown != *'# warning'* ]] || because "$shown"
}

pages_are_there() {
    local page
    for page in sessile sessile-serve sessile-cluster-remove sessile-namespace-token-add; do
        inside gzip -cd "/usr/share/man/man1/$page.1.gz" | grep -q '^\.TH ' || { because "there is no page $page"; return 1; }
    done
    inside test -s /usr/share/zsh/vendor-completions/_sessile && inside test -s /usr/share/fish/vendor_completions.d/sessile.fish &&
        inside bash -n /usr/share/bash-completion/completions/sessile || because "a completion script is missing"
}

unit_is_enabled() {
    inside test -L /etc/systemd/system/multi-user.target.wants/sessile.service || because "it would not start with the machine"
}

# ---- Nodes ----------------------------------------------------------------------------------------------------

as_sessile() { inside setpriv --reuid=sessile --regid=sessile --init-groups "$@"; }

get() { inside curl -sS --max-time 5 -o /dev/null -w '%{http_code}' "$1" 2>/dev/null || true; }

answers() { [[ $(get "$1") == 200 ]]; }

start_node() {
    as_sessile sessile serve --config /etc/sessile/config.yaml >>"$run/node.log" 2>&1 &
    node=$!
    until_true "$READY_LIMIT" "the node is not ready" answers "$API/readyz"
}

start_other() {
    inside setpriv --reuid=nobody --regid=nogroup --clear-groups sessile dev --listen "$OTHER" >>"$run/other.log" 2>&1 &
    until_true "$READY_LIMIT" "the other node is not ready" answers "http://$OTHER/readyz"
}

# What has become of the node: it has ended, and with 0.
has_ended_cleanly() {
    local code=0
    until_true "$STOP_LIMIT" "the node runs on" is_over "$node" || return 1
    wait "$node" || code=$?
    node=''
    ((code == 0)) || because "the node ended with $code"
}

is_over() { ! is_running "$1"; }

stop_node() {
    inside start-stop-daemon --stop --quiet --user sessile --exec /usr/bin/sessile && has_ended_cleanly
}

store_session() {
    local code
    code=$(inside curl -sS --max-time 5 -o /dev/null -w '%{http_code}' --data-binary 'kept' "$API/sessions/v1/a")
    [[ $code == 201 ]] || because "it answered $code"
}

session_is_there() { [[ $(inside curl -sS --max-time 5 "$API/sessions/v1/a") == kept ]] || because "the session is not there"; }

serves_on() { is_running "$node" && answers "$API/readyz" && session_is_there; }

# An operator's own line, and what must stay as it is.
change_configuration() {
    inside sh -c 'echo "log_level: warning" >>/etc/sessile/config.yaml'
    # shellcheck disable=SC2086  # two paths
    kept=$(inside cksum $KEPT)
}

configuration_is_kept() {
    # shellcheck disable=SC2086  # two paths
    [[ $(inside cksum $KEPT) == "$kept" ]] || because "configuration or token is another one"
}

has_version() { [[ $(inside dpkg-query -W -f '${Version}' sessile) == "$1" ]] || because "$1 is not installed"; }

nothing_is_left() {
    is_gone /usr/bin/sessile /var/lib/sessile /etc/sessile /etc/systemd/system/multi-user.target.wants/sessile.service || return 1
    ! inside getent passwd sessile >/dev/null || because "the user is still there"
}

# ---- Main -----------------------------------------------------------------------------------------------------

main() {
    if [[ $(id -u) != 0 ]] || ! command -v cargo-deb >/dev/null; then
        note "This needs root and cargo-deb (cargo install cargo-deb --locked)."
        note "skipped"
        exit 77
    fi
    prepare "$@"
    chapter=build
    must "a package is built" build
    must "and one of a later version" build_later
    must "a layer over this machine takes what is changed" make_layer

    chapter=install
    must "it is installed where no systemd runs" install first
    must "user, directories and token are there, for whom they should be" owners_are_right
    step "the configuration is valid" configuration_is_valid
    step "and what it says of a member, too, with a name from the environment" configuration_of_a_member_is_valid
    step "manual pages and completions are there" pages_are_there
    step "the unit is enabled" unit_is_enabled
    must "the node starts with it" start_node
    must "it keeps a session" store_session
    step "an operator changes the configuration" change_configuration

    chapter=upgrade
    must "a later version is installed while the node runs" install later
    step "it is that version" has_version 0.1.0-2
    step "the node serves on" serves_on
    step "configuration and token are as they were" configuration_is_kept
    must "the node stops cleanly" stop_node
    must "and starts again, by the new program" start_node
    step "the session is there" session_is_there

    chapter=remove
    must "somebody else runs a node of the same program" start_other
    must "the package is removed while its node runs" dpkg_does -r sessile
    must "the node has ended cleanly" has_ended_cleanly
    step "the other's is left alone" answers "http://$OTHER/readyz"
    step "the program is gone" is_gone /usr/bin/sessile
    step "configuration and token are still there" configuration_is_kept
    must "it is installed again" install later
    step "configuration and token are as they were" configuration_is_kept
    must "the node starts" start_node
    step "the session is there" session_is_there

    chapter=purge
    must "the package is purged while its node runs" dpkg_does -P sessile
    step "the node has ended cleanly" has_ended_cleanly
    step "nothing is left" nothing_is_left
    finish
}

main "$@"
