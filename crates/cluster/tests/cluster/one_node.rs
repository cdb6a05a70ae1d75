//! A cluster of one on a real disk.

use std::time::Duration;

use sessile_cluster::{ClusterError, Node, NodeConfig};
use sessile_core::{
    Action, BaseUri, Condition, Delete, NamespaceName, NamespaceSettings, Outcome, Put, Refusal, Renew, Ttl,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_restart_and_is_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    let (id, cluster_id) = (node.cluster().status().node, node.cluster().status().cluster);
    for number in 0..100 {
        write(node.cluster(), key(number), put(b"before")).await;
    }
    node.stop().await.unwrap();
    let node = start(dir.path(), |_| {}).await;
    assert_eq!(read(node.cluster(), &key(99)).await.as_deref(), Some(&b"before"[..]), "the read waits for a leader");
    write(node.cluster(), key(1), put(b"after")).await;
    assert_eq!(read(node.cluster(), &key(1)).await.as_deref(), Some(&b"after"[..]));
    let status = node.cluster().status();
    assert_eq!((status.node, status.cluster), (id, cluster_id));
    assert!(status.is_leader && status.term >= 2, "a restarted leader wins a new term");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_add_the_same_key_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    let mut adders = JoinSet::new();
    for _ in 0..50 {
        let cluster = node.cluster().clone();
        let add = Put { condition: Condition::Absent, ..put(b"mine") };
        adders.spawn(async move { write(&cluster, key(1), add).await });
    }
    let outcomes = adders.join_all().await;
    let won = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Written { .. })).count();
    let lost = outcomes.iter().filter(|outcome| **outcome == Outcome::Refused(Refusal::ConditionFailed)).count();
    assert_eq!((won, lost), (1, 49));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_cluster_ticks_so_that_sessions_expire() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    let short = Put { ttl: Ttl::from_secs(1).unwrap(), ..put(b"soon gone") };
    write(node.cluster(), key(1), short).await;
    eventually("the session expires without another write", async || read(node.cluster(), &key(1)).await.is_none())
        .await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_full_disk_refuses_writes_and_lets_deletes_through() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    write(node.cluster(), key(1), put(b"there")).await;
    node.stop().await.unwrap();
    let node = start(dir.path(), |config| config.disk_reserve_bytes = u64::MAX).await;
    let refused = || node.cluster().write(SESSIONS, key(2), Action::Put(put(b"no room")), deadline());
    eventually("the disk is measured", async || refused().await == Err(ClusterError::StorageFull)).await;
    assert_eq!(read(node.cluster(), &key(1)).await.as_deref(), Some(&b"there"[..]));
    let delete = Action::Delete(Delete { condition: Condition::None, take: false });
    let deleted = node.cluster().write(SESSIONS, key(1), delete, deadline()).await.unwrap();
    assert_eq!(deleted, Outcome::Deleted { existed: true, taken: None });
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_up_refuses_the_writes_of_the_least_important_namespace_first() {
    let dir = tempfile::tempdir().unwrap();
    let ranked = |name: &str, priority| NamespaceSettings {
        priority,
        ..NamespaceSettings::unlimited(NamespaceName::new(name).unwrap(), BaseUri::new(name).unwrap())
    };
    let ranks = move |config: &mut NodeConfig| {
        config.namespaces = vec![ranked("sessions", 10), ranked("anonymous", 1)];
    };
    let node = start(dir.path(), ranks).await;
    eventually("the namespaces are made", async || node.cluster().namespaces().is_seeded()).await;
    let anonymous = node.cluster().namespaces().named("anonymous").unwrap().0;
    let ask = async |node: &Node, namespace, action: Action| {
        node.cluster().write(namespace, key(1), action, deadline()).await
    };
    let store = || Action::Put(put(b"a value"));
    assert!(ask(&node, anonymous, store()).await.is_ok());
    let free = node.cluster().status().disk_free_bytes;
    node.stop().await.unwrap();

    // Three quarters of what is free are to be left: two thirds of the way from twice that to that are gone.
    let node = start(dir.path(), |config| {
        ranks(config);
        config.disk_reserve_bytes = free / 4 * 3;
    })
    .await;
    let refused = async || ask(&node, anonymous, store()).await == Err(ClusterError::GivesWay);
    eventually("the disk is measured", refused).await;
    assert_eq!(node.cluster().status().gave_way.iter().collect::<Vec<_>>(), [&anonymous]);
    assert!(node.cluster().read(anonymous, &key(1), deadline()).await.unwrap().is_some(), "it can be read");
    assert!(matches!(ask(&node, SESSIONS, store()).await, Ok(Outcome::Written { .. })), "the other goes on");
    let renewed = ask(&node, anonymous, Action::Renew(renew())).await;
    assert_eq!(renewed, Err(ClusterError::GivesWay), "what lives longer keeps its room longer");
    let delete = Action::Delete(Delete { condition: Condition::None, take: false });
    assert_eq!(ask(&node, anonymous, delete).await, Ok(Outcome::Deleted { existed: true, taken: None }));
    node.stop().await.unwrap();
}

fn renew() -> Renew {
    Renew { ttl: Ttl::FOREVER, condition: Condition::None, if_due: false }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_behind_the_durable_state_goes_and_a_restart_needs_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |config| {
        config.persist_after = Duration::from_millis(100);
        config.keep_log_for = Duration::ZERO;
    })
    .await;
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let cluster = node.cluster().clone();
        writers.spawn(async move {
            for round in 0..800 {
                write(&cluster, key(writer * 1_000 + round % 40), put(&[7; 500])).await;
            }
        });
    }
    writers.join_all().await;
    // 12,800 entries of over 500 bytes were written; 5,000 are kept.
    eventually("what is durable in the state leaves the log", async || node.cluster().status().log_bytes < 4_000_000)
        .await;
    let counts = node.cluster().status().counts;
    node.stop().await.unwrap();
    let node = start(dir.path(), |_| {}).await;
    assert_eq!(read(node.cluster(), &key(39)).await.as_deref(), Some(&[7; 500][..]));
    assert_eq!(node.cluster().status().counts, counts);
    node.stop().await.unwrap();
}

/// Segments of the tests' logs have a megabyte: twelve thousand of these entries fill eight of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_log_stays_for_its_hour_until_its_bytes_are_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |config| config.persist_after = Duration::from_millis(100)).await;
    let mut writers = JoinSet::new();
    for writer in 0..16 {
        let cluster = node.cluster().clone();
        writers.spawn(async move {
            for round in 0..800 {
                write(&cluster, key(writer * 1_000 + round % 40), put(&[7; 500])).await;
            }
        });
    }
    writers.join_all().await;
    let first = |node: &Node| node.cluster().log_ids().first().map(|log_id| log_id.index);
    let written = node.cluster().status().log_bytes;
    node.stop().await.unwrap();

    // Everything is durable in the state by now, and many rounds of the upkeep have passed when this is.
    let node = start(dir.path(), |config| {
        config.persist_after = Duration::from_millis(100);
        config.keep_log_bytes = 4 << 20;
        config.keep_entries = 0;
    })
    .await;
    assert!(written > 7_000_000, "{written} bytes");
    eventually("the oldest segments go", async || first(&node) > Some(1)).await;
    eventually("no more than four segments stay", async || node.cluster().status().log_bytes <= 4 << 20).await;
    let kept = node.cluster().status().log_bytes;
    assert!(kept >= 2 << 20, "what there is room for stays: {kept} bytes");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_that_hand_out_more_than_the_state_remembers_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    // Together they hand out three times what is remembered of one proposer at once.
    for number in 0..12 {
        write(node.cluster(), key(number), put(&[7; 1024 * 1024])).await;
    }
    let mut takers = JoinSet::new();
    for number in 0..12 {
        let cluster = node.cluster().clone();
        let take = Action::Delete(Delete { condition: Condition::None, take: true });
        takers.spawn(async move { cluster.write(SESSIONS, key(number), take, deadline()).await });
    }
    write(node.cluster(), key(99), put(b"small")).await;
    for taken in takers.join_all().await {
        let Ok(Outcome::Deleted { taken: Some(taken), .. }) = taken else { panic!("{taken:?}") };
        assert_eq!(taken.value.len(), 1024 * 1024);
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_no_log_entry_holds_is_refused_and_the_node_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    let large = Put { value: vec![7; 5 * 1024 * 1024].into(), ..put(b"") };
    let refused = node.cluster().write(SESSIONS, key(1), Action::Put(large), deadline()).await;
    assert_eq!(refused, Err(ClusterError::TooLarge));
    let largest = Put { value: vec![7; 4 * 1024 * 1024].into(), ..put(b"") };
    assert!(matches!(write(node.cluster(), key(1), largest).await, Outcome::Written { .. }));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_past_its_deadline_says_that_nothing_changed() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    write(node.cluster(), key(1), put(b"there")).await;
    let past = Instant::now() - Duration::from_millis(1);
    let late = node.cluster().write(SESSIONS, key(1), Action::Put(put(b"late")), past).await;
    assert_eq!(late, Err(ClusterError::NoQuorum));
    assert_eq!(read(node.cluster(), &key(1)).await.as_deref(), Some(&b"there"[..]));
    node.stop().await.unwrap();
}

/// On one thread, so that no round can end between the question and the look at the deadline.
#[tokio::test]
async fn a_read_that_nobody_confirmed_by_its_deadline_is_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    write(node.cluster(), key(1), put(b"there")).await;
    let past = Instant::now() - Duration::from_millis(1);
    let late = node.cluster().read(SESSIONS, &key(1), past).await.map(|found| found.is_some());
    assert_eq!(late, Err(ClusterError::NoQuorum));
    assert_eq!(read(node.cluster(), &key(1)).await.as_deref(), Some(&b"there"[..]));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_stopped_answers_nothing_and_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    write(node.cluster(), key(1), put(b"there")).await;
    let cluster = node.cluster().clone();
    assert_eq!(cluster.ready(deadline()).await, Ok(()));
    node.stop().await.unwrap();
    assert_eq!(cluster.ready(deadline()).await, Err(ClusterError::Stopping));
    let read = cluster.read(SESSIONS, &key(1), deadline()).await.map(|found| found.is_some());
    assert_eq!(read, Err(ClusterError::Stopping));
    let written = cluster.write(SESSIONS, key(1), Action::Put(put(b"late")), deadline()).await;
    assert_eq!(written, Err(ClusterError::Stopping));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_that_nothing_changed_finds_that_nothing_changed() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    write(node.cluster(), key(0), put(b"warm")).await;
    let (mut unknown, mut unchanged, mut number) = (0, Vec::new(), 0);
    // Deadlines around what a write takes, so that they end before it is sent, while it is on its way, and after.
    let end = deadline();
    while unknown < 50 {
        assert!(Instant::now() < end, "never: a write is cut off on its way");
        number += 1;
        let soon = Instant::now() + Duration::from_micros(u64::try_from(number).unwrap() % 40 * 25);
        match node.cluster().write(SESSIONS, key(number), Action::Put(put(b"late")), soon).await {
            Ok(_) => {}
            Err(ClusterError::OutcomeUnknown) => unknown += 1,
            Err(ClusterError::NoQuorum | ClusterError::Overloaded) => unchanged.push(number),
            Err(other) => panic!("{other}"),
        }
    }
    for number in unchanged {
        assert_eq!(read(node.cluster(), &key(number)).await, None, "write {number} was said to have changed nothing");
    }
    node.stop().await.unwrap();
}
