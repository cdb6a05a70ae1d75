//! A node in the process of the test.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]

use std::path::Path;
use std::time::Duration;

use sessile_embed::{
    BaseUri, Condition, Config, Error, Member, Memory, NamespaceName, NamespaceSettings, Node, Sessions, SessionsError,
    StoreError, WriteOptions,
};
use sessile_testkit::PATIENCE;
use tokio::time::timeout;

/// A deadline that a busy machine does not reach.
fn patient(node: &Node) -> Sessions {
    node.sessions().within(PATIENCE)
}

fn config(data_dir: &Path) -> Config {
    let memory = Memory::divide(Memory::LEAST_BYTES, None, Config::MAX_VALUE_BYTES);
    Config { memory, reserve_bytes: 0, ..Config::new(data_dir) }
}

/// In a cluster that nobody makes.
fn lonely(data_dir: &Path) -> Config {
    config(data_dir).with_member(Member::new("n1", "127.0.0.1:0", "a token of the tests"))
}

fn only_if(condition: Condition) -> WriteOptions {
    WriteOptions::default().only_if(condition)
}

/// Why there is no node.
async fn refused(config: Config) -> Error {
    Node::from_config(config).await.err().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_compare_what_is_there_and_a_session_is_taken_once() {
    let node = Node::dev().await.unwrap();
    let sessions = patient(&node);
    let first = sessions.put("k", "one", only_if(Condition::Absent)).await.unwrap();
    let again = sessions.put("k", "two", only_if(Condition::Absent)).await;
    assert_eq!(again, Err(SessionsError::ConditionFailed));
    let second = sessions.put("k", "two", only_if(Condition::Matches(vec![first]))).await.unwrap();
    assert!(second > first);
    let stale = Condition::Matches(vec![first]);
    assert_eq!(sessions.delete("k", stale.clone()).await, Err(SessionsError::ConditionFailed));
    assert_eq!(sessions.take("k", stale).await, Err(SessionsError::ConditionFailed));

    let [one, other] = [sessions.clone(), sessions.clone()].map(|sessions| async move {
        sessions.take("k", Condition::None).await.unwrap().map(|taken| (taken.value, taken.version))
    });
    let (one, other) = tokio::join!(one, other);
    assert_eq!([one, other].into_iter().flatten().collect::<Vec<_>>(), [("two".into(), second)]);
    assert_eq!(sessions.get("k").await, Ok(None));
    assert_eq!(sessions.delete("k", Condition::None).await, Ok(false));
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_the_lifetime_that_was_asked_for_within_what_its_namespace_grants() {
    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);
    let node = Node::dev().await.unwrap();
    let sessions = patient(&node);
    for (options, granted) in [(WriteOptions::default().ttl(HOUR), HOUR), (WriteOptions::default(), DAY)] {
        sessions.put("k", "v", options).await.unwrap();
        let left = sessions.get("k").await.unwrap().unwrap().remaining.unwrap();
        assert!(left <= granted && left + PATIENCE > granted, "{left:?} of {granted:?}");
    }

    let written = sessions.put("k", "v", WriteOptions::default().ttl(HOUR)).await.unwrap();
    let renewed =
        sessions.renew("k", WriteOptions::default().only_if(Condition::Matches(vec![written]))).await.unwrap();
    let found = sessions.get("k").await.unwrap().unwrap();
    assert_eq!((renewed, found.version, &found.value[..]), (Some(written), written, &b"v"[..]));
    assert!(found.remaining.unwrap() > DAY - PATIENCE);
    assert_eq!(sessions.renew("absent", WriteOptions::default()).await, Ok(None));
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_a_reason_and_shows_no_key() {
    let node = Node::dev().await.unwrap();
    let sessions = patient(&node);
    let long = "topsecret".repeat(200);
    for (refused, said) in [
        (sessions.get("").await.err(), "the key is empty"),
        (sessions.get(&long).await.err(), "at most 1024"),
        (sessions.delete(&long, Condition::None).await.err(), "at most 1024"),
        (
            sessions.put("k", vec![0; Config::MAX_VALUE_BYTES + 1], WriteOptions::default()).await.err(),
            "at most 1048576 are stored",
        ),
        (
            node.namespace(NamespaceName::new("echo").unwrap()).get("k").await.err(),
            "there is no namespace echo; name it in the configuration",
        ),
    ] {
        let sentence = refused.unwrap().to_string();
        assert!(sentence.contains(said) && !sentence.contains("topsecret"), "{sentence}");
    }
    sessions.put("k", vec![0; Config::MAX_VALUE_BYTES], WriteOptions::default()).await.unwrap();
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_namespace_has_sessions_and_lifetimes_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let echo = NamespaceName::new("echo").unwrap();
    let settings = NamespaceSettings::unlimited(echo.clone(), BaseUri::new("/echo/v1/").unwrap());
    let mut config = config(data.path());
    config.namespaces.push(settings);
    let node = Node::from_config(config).await.unwrap();
    let (sessions, seen) = (patient(&node), node.namespace(echo).within(PATIENCE));
    seen.put("k", "echo", WriteOptions::default()).await.unwrap();
    assert_eq!(sessions.get("k").await, Ok(None));
    let found = seen.get("k").await.unwrap().unwrap();
    assert_eq!((&found.value[..], found.remaining), (&b"echo"[..], None));
    node.shutdown().await.unwrap();
}

/// A node there, once the one of before has ended.
async fn started_again(data_dir: &Path) -> Node {
    let started = async {
        loop {
            match Node::from_config(config(data_dir)).await {
                Err(Error::Store(StoreError::Locked { .. })) => tokio::task::yield_now().await,
                started => return started.unwrap(),
            }
        }
    };
    timeout(PATIENCE, started).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_there_at_the_next_start_although_somebody_kept_a_handle() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::from_config(config(data.path())).await.unwrap();
    node.ready().await.unwrap();
    let first = patient(&node);
    let version = first.put("k", "v", WriteOptions::default()).await.unwrap();
    node.shutdown().await.unwrap();
    assert_eq!(first.get("k").await, Err(SessionsError::Stopping));

    let node = Node::from_config(config(data.path())).await.unwrap();
    let second = patient(&node);
    assert_eq!(second.get("k").await.unwrap().unwrap().version, version);
    // Told to stop by that, too, and nobody waits for it.
    drop(node);

    let node = started_again(data.path()).await;
    assert_eq!(patient(&node).get("k").await.unwrap().unwrap().version, version);
    for gone in [&first, &second] {
        assert_eq!(gone.get("k").await, Err(SessionsError::Stopping));
    }
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_its_cluster_is_not_ready_answers_in_time_and_stops_when_it_is_told_to() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::from_config(lonely(data.path())).await.unwrap();
    let soon = Duration::from_millis(20);
    assert!(timeout(soon, node.ready()).await.is_err());
    let answer = node.sessions().within(soon).get("k").await;
    assert_eq!(answer, Err(SessionsError::NoQuorum(soon)));
    timeout(PATIENCE, node.leave()).await.unwrap();
    timeout(PATIENCE, node.shutdown()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leaves_is_not_ready_and_does_what_comes_until_it_stops() {
    let node = Node::dev().await.unwrap();
    node.ready().await.unwrap();
    node.leave().await;
    assert!(timeout(Duration::from_millis(20), node.ready()).await.is_err());
    patient(&node).put("k", "v", WriteOptions::default()).await.unwrap();
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_cannot_start_says_why_and_touches_nothing() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("letter"), "dear").unwrap();
    let foreign = refused(config(data.path())).await;
    assert!(matches!(foreign, Error::Store(StoreError::Foreign { .. })), "{foreign}");
    assert!(foreign.to_string().contains("letter"), "{foreign}");

    let file = refused(config(&data.path().join("letter"))).await;
    assert!(file.to_string().contains("letter"), "{file}");

    let used = data.path().join("used");
    let node = Node::from_config(config(&used)).await.unwrap();
    let locked = refused(config(&used)).await;
    assert!(matches!(locked, Error::Store(StoreError::Locked { .. })), "{locked}");
    node.shutdown().await.unwrap();

    let absent = data.path().join("absent");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let member = Member::new("n1", address.as_str(), "a token of the tests");
    let in_use = refused(config(&absent).with_member(member.clone())).await;
    assert!(matches!(&in_use, Error::Listen { address: said, .. } if *said == address), "{in_use}");
    let alone = refused(config(&absent).with_member(member.first_members([address]))).await;
    assert!(matches!(alone, Error::Config(_)), "{alone}");
    assert!(!absent.exists());
}
