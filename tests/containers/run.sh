#!/usr/bin/env bash
# Acceptance test: the static program runs in containers that have nothing else in them, as deploy/docker says and in the way that
# Kubernetes moves pods: made anew at another address, and with an empty volume.
#
#     tests/containers/run.sh [path-to-sessile-binary]
#
# There is no Docker here. What it would do is done with what it is made of: a root with the files of the image, read-only, a user
# that has only a number, a network of its own with names in /etc/hosts, and the environment of deploy/docker/compose.yaml. Needs
# root. Without a binary it is built for x86_64-unknown-linux-musl (`rustup target add`, Debian's musl-tools). A binary that is not
# static is given this machine's libraries beside it.
#
# KEEP and CI: see tests/steps.sh
# shellcheck disable=SC2317,SC2329  # steps are called by name, which shellcheck takes for never
# shellcheck disable=SC2015,SC2016  # `a && b || because` is meant so; what is in quotes is for another shell
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=tests/steps.sh
source "$here/../steps.sh"

readonly TARGET=x86_64-unknown-linux-musl
readonly NODES=(n1 n2 n3)
readonly USER_NUMBER=10001                 # as the image has it
readonly READY_LIMIT=60                    # seconds until a container is healthy
readonly VOTER_LIMIT=60                    # seconds until a reimaged member has its vote again
readonly GATEWAY=10.99.0.254               # this side of the network

holder=''                                  # the process that holds roots and networks
group=''                                   # a control group with a limit
libraries=''                               # directories that a program which is not static needs
declare -A address=([n1]=10.99.0.1 [n2]=10.99.0.2 [n3]=10.99.0.3) pid=()

missing_packages() {
    local command
    declare -A package=([unshare]=util-linux [nsenter]=util-linux [setpriv]=util-linux [ip]=iproute2 [curl]=curl)
    for command in "${!package[@]}"; do command -v "$command" >/dev/null || echo "${package[$command]}"; done | sort -u
}

stop_all() {
    # What runs there ends with it.
    [[ -z $holder ]] || { kill -KILL "$holder" 2>/dev/null && wait "$holder" 2>/dev/null; } || true
}

# ---- Roots and networks ---------------------------------------------------------------------------------------

make_host() {
    unshare --mount --net --pid --fork --kill-child bash -euc '
        mount -t proc proc /proc
        mount -t tmpfs -o mode=0755 tmpfs /run
        mount -t tmpfs -o mode=0755 tmpfs "$1/host"
        ip link set lo up
        ip link add bridge0 type bridge
        ip addr add "$2/24" dev bridge0
        ip link set bridge0 up
        touch "$1/host-is-there"
        exec sleep infinity' bash "$run" "$GATEWAY" >"$run/host.log" 2>&1 &
    holder=$!
    until_true 10 "roots and networks cannot be made" test -e "$run/host-is-there"
}

# Runs a command where the containers are.
on_host() {
    local of=/proc/$holder/ns
    nsenter --mount="$of/mnt" --net="$of/net" --pid="$of/pid_for_children" -- env -u TMPDIR "$@"
}

# The files of the image, with what Docker puts beside them: /proc, /sys, names, the secret and the volume.
make_container() {
    (umask 022 && on_host bash -euc '
        node=$1 program=$2 config=$3 token=$4 user=$5 dir=$6/host/$1 libraries=$7
        mkdir -p "$dir/root"/{usr/bin,etc/sessile,run/secrets,var/lib/sessile,proc,sys} "$dir/volume"
        chown "$user:$user" "$dir/volume"
        chmod 0700 "$dir/volume"
        cp "$program" "$dir/root/usr/bin/sessile"
        cp "$config" "$dir/root/etc/sessile/config.yaml"
        install -m 0400 -o "$user" -g "$user" "$token" "$dir/root/run/secrets/join.token"
        touch "$dir/root/etc/hosts"
        for library in $libraries; do mkdir -p "$dir/root$library"; done
        mount --bind "$dir/root" "$dir/root"
        mount -o remount,bind,ro "$dir/root"
        for library in $libraries; do mount --bind "$library" "$dir/root$library"; done
        mount --bind "$dir/volume" "$dir/root/var/lib/sessile"
        touch "$dir/hosts"
        mount --bind "$dir/hosts" "$dir/root/etc/hosts"
        mount -t proc proc "$dir/root/proc"
        mount --rbind /sys "$dir/root/sys"
        ip netns add "$node"
        ip link add "to-$node" type veth peer name eth0 netns "$node"
        ip link set "to-$node" master bridge0 up
        ip -n "$node" link set lo up
        ip -n "$node" link set eth0 up' \
        bash "$1" "$sessile" "$root/deploy/docker/config.yaml" "$run/join.token" "$USER_NUMBER" "$run" "$libraries") >>"$run/host.log" 2>&1 ||
        because "the container cannot be made"
}

make_containers() {
    local node
    "$sessile" cluster new-token >"$run/join.token"
    for node in "${NODES[@]}"; do make_container "$node" || return 1; done
    connect
}

# Each at its address, and all of them by name.
connect() {
    local node
    for node in "${NODES[@]}"; do
        on_host ip -n "$node" addr flush dev eth0
        on_host ip -n "$node" addr add "${address[$node]}/24" dev eth0
        for other in "${NODES[@]}"; do echo "${address[$other]} $other"; done | on_host tee "$run/host/$node/hosts" >/dev/null
    done
}

# environment NODE: what compose.yaml says of it, NAME=VALUE one a line.
environment() {
    awk -v node="$1" '
        /^[^ #]/ { all = /^x-cluster:/; services = /^services:/ }
        services && /^  [^ ]/ { its = ($1 == node ":") }
        (all || (services && its)) && $1 ~ /^SESSILE_/ { name = $1; sub(/:$/, "", name); sub(/^ *[^ ]+ /, ""); gsub(/"/, ""); print name "=" $0 }
        ' "$root/deploy/docker/compose.yaml"
}

# within NODE WORDS...: the program in the container, with its environment and its rights.
within() {
    local node=$1 variables
    shift
    mapfile -t variables < <(environment "$node")
    # Nobody wants to wait here for what is right on a network.
    on_host ip netns exec "$node" setpriv --no-new-privs env -i "${variables[@]}" SESSILE_CLUSTER_LISTEN_MS=500 \
        SESSILE_CLUSTER_STABILISE_MS=1000 /usr/sbin/chroot --userspec="$USER_NUMBER:$USER_NUMBER" "$run/host/$node/root" \
        /usr/bin/sessile "$@"
}

# ---- Containers -----------------------------------------------------------------------------------------------

# As the image's ENTRYPOINT, CMD and HEALTHCHECK.
launch() {
    within "$1" serve --config /etc/sessile/config.yaml >>"$run/$1.log" 2>&1 &
    pid[$1]=$!
}

is_healthy() { within "$1" ready --timeout 4s >"$run/answer" 2>&1; }

all_healthy() {
    local node
    for node in "${NODES[@]}"; do
        until_true "$READY_LIMIT" "$node is not healthy" is_healthy "$node" || return 1
    done
}

start_others() { launch n2 && launch n3 && all_healthy; }

answers() { [[ $(on_host curl -s --max-time 5 -o /dev/null -w '%{http_code}' "http://${address[$1]}:8081$2") == "$3" ]]; }

# What restarts a pod on Kubernetes asks for the first; a restart would bring it no cluster.
lives_and_waits() {
    until_true "$READY_LIMIT" "it does not answer /livez" answers n1 /livez 200 || return 1
    answers n1 /readyz 503 || { because "/readyz is not 503"; return 1; }
    ! is_healthy n1 || because "it is healthy by itself"
}

# SIGTERM, as Docker does it. The code is that of the program.
stop() {
    local code=0
    on_host start-stop-daemon --stop --quiet --exec "$run/host/$1/root/usr/bin/sessile" || { because "it is not there"; return 1; }
    until_true "$STOP_LIMIT" "$1 does not stop" is_over "${pid[$1]}" || return 1
    wait "${pid[$1]}" || code=$?
    ((code == 0)) || because "it ended with $code"
}

is_over() { ! is_running "$1"; }

kill_at_once() {
    on_host start-stop-daemon --stop --quiet --signal KILL --exec "$run/host/$1/root/usr/bin/sessile"
    wait "${pid[$1]}" 2>/dev/null || true
}

put() {
    local code
    code=$(on_host curl -sS --max-time 5 -o /dev/null -w '%{http_code}' --data-binary "$2" "http://${address[$1]}:8081/sessions/v1/$3")
    [[ $code == 201 ]] || because "$1 answered $code"
}

has() { [[ $(on_host curl -sS --max-time 5 "http://${address[$1]}:8081/sessions/v1/$3") == "$2" ]] || because "$1 has not got it"; }

# member NAME FIELD: of the cluster's status, as n1 tells it.
member() {
    within n1 status --json 2>/dev/null | tr -d ' \n' | grep -o '{[^{}]*"name":"'"$1"'"[^{}]*}' | grep -o "\"$2\":[^,}]*" | cut -d : -f 2 | tr -d '"'
}

remember_ids() { id_of_n2=$(member n2 id) id_of_n3=$(member n3 id); [[ -n $id_of_n2 && -n $id_of_n3 ]] || because "n1 does not name them"; }

is_same_member() { [[ $(member "$1" id) == "$2" ]] || because "$1 has another identity"; }

is_new_voter() { [[ $(member "$1" id) != "$2" && $(member "$1" voter) == true ]]; }

is_static() { ! ldd "$sessile" >"$run/answer" 2>&1 || [[ $(<"$run/answer") == *'statically linked'* ]]; }

root_is_read_only() { ! on_host touch "$run/host/n1/root/etc/x" 2>/dev/null || because "something can be written to it"; }

# A control group below this process's own that allows LIMIT bytes, by either version of control groups: its directory, or nothing
# where none can be made.
make_group() {
    local mount=/sys/fs/cgroup own file=memory.max
    own=$(sed -n 's/^0:://p' /proc/self/cgroup)
    if [[ -e $mount/memory/memory.limit_in_bytes ]]; then
        mount=$mount/memory file=memory.limit_in_bytes
        own=$(sed -nE 's/^[0-9]+:([a-z_,]*,)?memory(,[a-z_,]*)?://p' /proc/self/cgroup)
    fi
    (umask 022 && mkdir "$mount$own/sessile-$$") 2>/dev/null || return 0
    if echo "$1" 2>/dev/null >"$mount$own/sessile-$$/$file"; then
        echo "$mount$own/sessile-$$"
    else
        rmdir "$mount$own/sessile-$$"
    fi
}

memory_is_a_third_of_the_limit() {
    local shown
    # shellcheck disable=SC2094  # the shell of the command is put into the group before it runs
    shown=$( (echo "$BASHPID" >"$group/cgroup.procs" && within n1 check-config /etc/sessile/config.yaml) 2>&1) || true
    rmdir "$group"
    [[ $shown == *'# memory_mb: 200, by what this machine or its control group has'* ]] || because "$shown"
}

# ---- Stories --------------------------------------------------------------------------------------------------

move_n2() {
    stop n2 || return 1
    address[n2]=10.99.0.22
    connect
    launch n2
    all_healthy
}

reimage_n3() {
    kill_at_once n3
    on_host find "$run/host/n3/volume" -mindepth 1 -delete
    launch n3
    until_true "$VOTER_LIMIT" "n3 is no voter again" is_new_voter n3 "$id_of_n3"
}

build_static() {
    rustup target list --installed 2>/dev/null | grep -qx "$TARGET" && command -v musl-gcc >/dev/null || return 1
    (cd "$root" && cargo build --quiet --release --locked -p sessile --target "$TARGET") || exit 1
    realpath -- "${CARGO_TARGET_DIR:-$root/target}/$TARGET/release/sessile"
}

main() {
    local program=${1:-}
    if [[ $(id -u) != 0 ]] || { [[ -z $program ]] && ! program=$(build_static); }; then
        note "This needs root and a static program (rustup target add $TARGET, apt-get install musl-tools)."
        note "skipped"
        exit 77
    fi
    prepare "$program"
    mkdir -p "$run/host"
    chapter=image
    must "there is a host" make_host
    if is_static; then
        must "three containers have the program, a volume, names and a secret, and nothing else" make_containers
    else
        libraries='/lib /lib64'
        must "three containers have the program, this machine's libraries, a volume, names and a secret" make_containers
    fi
    step "their roots are read-only" root_is_read_only
    group=$(make_group $((600 << 20)))
    if [[ -n $group ]]; then
        step "of a control group that allows 600 MiB it takes a third" memory_is_a_third_of_the_limit
    fi

    chapter=start
    launch n1
    step "one alone lives, is not healthy, and waits" lives_and_waits
    must "with the two others it becomes healthy, by the names and the environment of compose.yaml" start_others
    must "n1 keeps a session" put n1 first a
    step "n3 has it" has n3 first a
    must "n1 knows who they are" remember_ids

    chapter=moved
    must "n2 stops cleanly and comes back at another address, with its volume" move_n2
    step "it is the same member" is_same_member n2 "$id_of_n2"
    step "it has the session" has n2 first a
    step "and takes another one" put n2 second b
    step "which n3 has" has n3 second b

    chapter=reimage
    must "n3 is killed, comes back with an empty volume, and is a voter by itself" reimage_n3
    step "it has what was kept" has n3 first a
    step "and n2 is still itself" is_same_member n2 "$id_of_n2"
    finish
}

main "$@"
