# Steps of stories about three nodes that are ready. Sourced after tests/steps.sh, in the place of tests/nodes.sh.
# shellcheck shell=bash
# shellcheck source=tests/nodes.sh
source "$root/tests/nodes.sh"

readonly READY_LIMIT=60       # seconds until three nodes are ready, or another program is

# add_to_configuration NODE: what the story wants in the file of a node beside what every node has.
add_to_configuration() { :; }

# Without PHP. Below the range the kernel takes for outgoing connections; nobody listens there now.
free_port() {
    local try port
    for ((try = 0; try < 100; try++)); do
        port=$((RANDOM % 22000 + 10000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
    done
    return 1
}

all_ready() {
    local node
    for node in "${NODES[@]}"; do [[ $(status "http://${http[$node]}/readyz") == 200 ]] || return 1; done
}

# Ports may have been taken meanwhile: then all three begin anew.
start_nodes() {
    local attempt node
    for ((attempt = 1; attempt <= BIND_ATTEMPTS; attempt++)); do
        configure_nodes
        for node in "${NODES[@]}"; do
            add_to_configuration "$node"
            launch_node "$node"
        done
        until_true "$READY_LIMIT" "the nodes are not ready within $READY_LIMIT s" all_ready && return
        for node in "${NODES[@]}"; do end "${pid[$node]}"; pid[$node]=''; rm -rf "$run/$node-data"; done
    done
    return 1
}
