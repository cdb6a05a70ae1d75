//! Clusters, and what a client says to their nodes.

use std::process::Command;
use std::time::Duration;

use sessile_testkit::{Fleet, Said, Status};

/// Under this the sessions are.
const BASE: &str = "/sessions/v1/";

/// How long something that must not happen is watched for: several times what it would take to happen, by the
/// configuration of the tests' nodes (`listen_ms`, `stabilise_ms`, heartbeats and elections below one second).
pub(crate) const WATCHED: Duration = Duration::from_secs(3);

/// So many nodes, configured, none started.
pub(crate) fn fleet(nodes: usize) -> Fleet {
    Fleet::of(env!("CARGO_BIN_EXE_sessile"), nodes)
}

/// By what whoever asks from elsewhere is known to nodes that know anybody.
const OPERATOR: &str = "a-token-of-the-operators-of-tests";

/// So many nodes that answer whoever asks from elsewhere and knows the token.
pub(crate) fn fleet_with_operators(nodes: usize) -> Fleet {
    let mut fleet = fleet(nodes);
    for name in fleet.names() {
        fleet.settings(&name).operator_token = Some(OPERATOR.to_owned());
    }
    fleet
}

/// So many of them that made a cluster.
pub(crate) fn formed_with_operators(nodes: usize) -> (Fleet, Status) {
    started(fleet_with_operators(nodes))
}

/// So many nodes that made a cluster by themselves.
pub(crate) fn formed(nodes: usize) -> (Fleet, Status) {
    started(fleet(nodes))
}

/// The same, of nodes whose logs keep nothing for the sake of its age.
pub(crate) fn formed_with_short_logs(nodes: usize) -> (Fleet, Status) {
    let mut fleet = fleet(nodes);
    for name in fleet.names() {
        fleet.settings(&name).log_keep_minutes = Some(0);
    }
    started(fleet)
}

fn started(mut fleet: Fleet) -> (Fleet, Status) {
    fleet.start_all();
    let status = fleet.wait_until_formed();
    let names = fleet.names();
    assert_eq!(status.voters(), names);
    (fleet, status)
}

/// Stores a session at a node. Gives the status, and of an error its kind.
pub(crate) fn put(fleet: &Fleet, node: &str, key: &str, value: &[u8]) -> (u16, String) {
    let answer = fleet.client(node).request("POST", &format!("{BASE}{key}"), "", value).unwrap();
    (answer.status, kind(&answer.text()))
}

/// Stores it. Panics if that is refused.
#[track_caller]
pub(crate) fn store(fleet: &Fleet, node: &str, key: &str, value: &str) {
    let stored = put(fleet, node, key, value.as_bytes());
    assert_eq!(stored.0, 201, "{stored:?} by {node}");
}

/// Stores it for that long.
#[track_caller]
pub(crate) fn store_for(fleet: &Fleet, node: &str, key: &str, value: &str, ttl: Duration) {
    let header = format!("TTL: {}\r\n", ttl.as_secs());
    let answer = fleet.client(node).request("POST", &format!("{BASE}{key}"), &header, value.as_bytes()).unwrap();
    assert_eq!(answer.status, 201, "{} by {node}", answer.text());
}

/// What is there, by that node; `None` if it says that there is nothing. Panics if it does not answer that.
#[track_caller]
pub(crate) fn read(fleet: &Fleet, node: &str, key: &str) -> Option<String> {
    let answer = fleet.client(node).request("GET", &format!("{BASE}{key}"), "", b"").unwrap();
    match answer.status {
        200 => Some(answer.text()),
        404 => None,
        status => panic!("{node} answers {status} {}", kind(&answer.text())),
    }
}

/// That node serves nothing: it says so, or nobody listens.
#[track_caller]
pub(crate) fn serves_nothing(fleet: &Fleet, node: &str) {
    assert!(matches!(fleet.readiness(node), Some(503) | None), "{node} is ready");
    // It may have ended meanwhile.
    let Ok(mut client) = sessile_testkit::Client::connect(fleet.http(node)) else { return };
    for (method, body) in [("GET", &b""[..]), ("POST", b"v")] {
        let Ok(answer) = client.request(method, &format!("{BASE}nobody"), "", body) else { return };
        assert_eq!(answer.status, 503, "{method} at {node}");
        assert!(answer.header("retry-after").is_some(), "{method} at {node}");
    }
}

/// Waits until that node has said it where an operator looks: as what it waits for or an alert in its status, as a
/// warning or worse in its log, or with its last sentence.
#[track_caller]
pub(crate) fn says(fleet: &mut Fleet, node: &str, what: &str) {
    let matters = |line: &str| {
        let level = ["WARNING", "ERROR", "FATAL"].iter().any(|level| line.contains(&format!(r#""level":"{level}""#)));
        level || line.starts_with("sessile: ")
    };
    fleet.wait_until(&format!("{node} says {what:?}"), |fleet| {
        let in_words = fleet.words(node).lines().any(|line| matters(line) && line.contains(what));
        (in_words || fleet.status(node).is_some_and(|status| status.says(what))).then_some(())
    });
}

/// Waits until `sessile status` at that node says that it waits for it.
#[track_caller]
pub(crate) fn waits_for(fleet: &mut Fleet, node: &str, what: &str) {
    fleet.wait_until(&format!("{node} says that it waits for {what:?}"), |fleet| {
        let status = fleet.status(node)?;
        status.waiting_for.iter().any(|sentence| sentence.contains(what)).then_some(())
    });
}

/// Ends it, whether it has ended by itself or not.
pub(crate) fn ends_anyhow(fleet: &mut Fleet, node: &str) {
    fleet.kill(node);
}

/// What a node answers to a read, if it answers at all: nothing but what was stored under that key.
#[track_caller]
pub(crate) fn shows_at_most(fleet: &Fleet, node: &str, key: &str, value: &str) {
    let Ok(mut client) = sessile_testkit::Client::connect(fleet.http(node)) else { return };
    let Ok(answer) = client.request("GET", &format!("{BASE}{key}"), "", b"") else { return };
    let shown = (answer.status, answer.text());
    assert!(shown.0 == 503 || shown == (200, value.to_owned()), "{node} shows {shown:?}");
}

/// Any of them that is not the one.
pub(crate) fn other_than(fleet: &Fleet, name: &str) -> String {
    fleet.running().into_iter().find(|other| other != name).unwrap()
}

/// What `sessile …` says with these addresses as `--server`, and the token of that fleet.
pub(crate) fn run_at(fleet: &Fleet, words: &[&str], servers: &str) -> Said {
    let token = fleet.operator_token_file("n1");
    run(&[words, &["--server", servers, "--token-file", token.to_str().unwrap()]].concat())
}

/// What `sessile …` says.
pub(crate) fn run(words: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_sessile")).args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

fn kind(problem: &str) -> String {
    let kind = problem.split("\"type\": \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    kind.rsplit('/').next().unwrap_or_default().to_owned()
}
