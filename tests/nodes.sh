# Three nodes and HAProxy as it ships, for the scripts that are sourced with this. They set `run` (a directory for all that is
# written), `root` (the repository) and `sessile` (the program), have a `free_port` and an `await` (as in tests/steps.sh), and
# end what is started: `pid` and `haproxy_pid`.
# shellcheck shell=bash

readonly NODES=(n1 n2 n3)
declare -A http=() grpc=() pid=()    # of each node: host:port for clients and for peers, and its process
haproxy_pid='' balancer=''           # its process, and host:port for clients

configure_nodes() {
    local node
    for node in "${NODES[@]}"; do
        http[$node]=127.0.0.1:$(free_port)
        grpc[$node]=127.0.0.1:$(free_port)
    done
    (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$run/join.token")
    for node in "${NODES[@]}"; do
        cat >"$run/$node.yaml" <<YAML
listen_address: 127.0.0.1
listen_port: ${http[$node]##*:}
storage: { data_dir: "$run/$node-data", engine: fjall, reserve_mb: 0 }
cluster:
  name: $node
  listen: "${grpc[$node]}"
  advertise: "${grpc[$node]}"
  seeds: ["${grpc[n1]}", "${grpc[n2]}", "${grpc[n3]}"]
  expect: 3
  join_token_file: "$run/join.token"
  listen_ms: 500
  stabilise_ms: 1000
YAML
    done
}

launch_node() {
    "$sessile" serve --config "$run/$1.yaml" >>"$run/sessile-$1.log" 2>&1 &
    pid[$1]=$!
}

start_nodes() {
    local node
    configure_nodes
    for node in "${NODES[@]}"; do launch_node "$node"; done
    for node in "${NODES[@]}"; do await "${pid[$node]}" "http://${http[$node]}/readyz" || return 1; done
}

launch_haproxy() {
    balancer=127.0.0.1:$(free_port)
    SESSILE_BIND=$balancer SESSILE_N1=${http[n1]} SESSILE_N2=${http[n2]} SESSILE_N3=${http[n3]} \
        haproxy -db -f "$root/deploy/haproxy/haproxy.cfg" >>"$run/haproxy.log" 2>&1 &
    haproxy_pid=$!
}
