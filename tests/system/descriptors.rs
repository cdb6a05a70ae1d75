//! A process that may open few files, and clients that keep more connections than that open and say nothing.

use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use sessile_testkit::{Client, Process, eventually};

use crate::world::{BASE, Place, listener, sentence, sessile};

/// What the node may open: too few for the connections below, enough for a member with every listener.
const FILES: u64 = 400;
/// Connections that say nothing, on each port.
const IDLE: usize = 450;
/// For how long it is watched what the node spends on idle connections.
const WATCHED: Duration = Duration::from_secs(2);

/// The same command in a process that may open so many files, and can not raise that.
fn with_limit(files: u64, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -n "$0" && exec "$@""#, &files.to_string()]);
    // Only so are its entries in /proc for the user that it runs as.
    shell.arg(command.get_program()).args(command.get_args()).env("SESSILE_CORE_DUMPS", "1");
    shell
}

fn idle_connections(address: SocketAddr) -> Vec<TcpStream> {
    (0..IDLE).map(|_| TcpStream::connect(address).unwrap()).collect()
}

/// How long the processors were busy with that process, in all its threads.
fn processor_time(process: &Process) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    // After the name, which may hold anything: user and system time are the twelfth and thirteenth (proc(5)).
    let ticks = stat.rsplit_once(')').unwrap().1.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
}

fn open_files(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count()
}

#[test]
fn idle_connections_beyond_the_limit_of_open_files_neither_end_the_node_nor_keep_anybody_out() {
    let place = Place::new("fjall");
    let token = place.join_token();
    let token = token.to_str().unwrap();
    let by = place.secret("operator.token", "a-token-of-the-tests");
    let known = place.secret("operators", "tests admin a-token-of-the-tests\n");
    let known = known.display();
    let member = format!(
        "cluster: {{ name: n1, listen: '127.0.0.1:0', join_token_file: '{token}', operator_token_file: '{known}', \
         listen_ms: 0 }}\n\
         admin: {{ listen: '127.0.0.1:0' }}\n"
    );
    let mut node = Process::start(with_limit(FILES, &place.serve(&member))).unwrap();
    let grpc = listener(&node, "listening for peers");
    let operators = listener(&node, "listening for operators");
    let grpc_text = grpc.to_string();
    let from_elsewhere = ["--server", &grpc_text, "--token-file", by.to_str().unwrap(), "--timeout", "60s"];
    let ask = |words: &[&str]| sessile().args(words).args(from_elsewhere).output().unwrap();
    assert!(ask(&["cluster", "init"]).status.success());
    let api = node.ready();

    let idle: Vec<_> = [api, grpc, operators].into_iter().map(idle_connections).collect();
    // The state and the log are written while they are there, and a new client and a new operator are served.
    for round in 0..20 {
        let mut client = Client::connect(api).unwrap();
        for key in 0..5 {
            let stored = client.request("PUT", &format!("{BASE}{round}-{key}"), "", &[b'v'; 10_000]).unwrap();
            assert_eq!(stored.status, 201);
        }
        assert_eq!(client.request("GET", &format!("{BASE}{round}-0"), "", b"").unwrap().status, 200);
        let status = ask(&["status"]);
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stderr));
    }
    let mut operator = Client::connect(operators).unwrap();
    assert_eq!(operator.request("GET", "/readyz", "", b"").unwrap().status, 200);
    let metrics = Client::connect(api).unwrap().request("GET", "/metrics", "", b"").unwrap().text();
    let sum = |name: &str| -> f64 {
        let samples = metrics.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    };
    assert_eq!(sum("sessile_http_accept_errors_total"), 0.0, "there was always a descriptor left");
    assert!(metrics.contains(r#"reason="evicted""#), "the idle ones made room:\n{metrics}");
    assert!(open_files(&node) < usize::try_from(FILES).unwrap());

    // Whoever spins is busy all the time; a busy machine makes that less, not more.
    let (before, begin) = (processor_time(&node), Instant::now());
    std::thread::sleep(WATCHED);
    let (spent, passed) = (processor_time(&node) - before, begin.elapsed());
    assert!(spent < passed / 2, "{spent:?} of {passed:?} were spent on nothing");

    drop(idle);
    assert!(!node.has_ended(), "{}", node.stderr());
    eventually("the node forgets the connections that went", || (open_files(&node) < 200).then_some(()));
}

#[test]
fn a_limit_of_open_files_below_what_a_node_needs_is_refused_with_the_figure() {
    let place = Place::new("fjall");
    let mut node = Process::start(with_limit(64, &place.serve(""))).unwrap();
    assert_eq!(node.ends().code(), Some(69));
    let said = node.stderr();
    assert!(sentence(&said).contains("may open 64 files") && said.contains("needs 220 at least"), "{said}");
    assert!(!place.data_dir().exists(), "nothing was begun");
}
