//! Sessions that live on, and requests that come again, at any node and after any crash.

use sessile_cluster::Cluster;
use sessile_cluster::admin::{AdminClient, NamespaceChoices, SetNamespaceRequest};
use sessile_core::{
    Action, Condition, Delete, Idempotency, IdempotencyKey, Outcome, Put, Refusal, Renew, Renewal, RulesVersion,
    SessionKey, SessionRequest, Ttl, TtlPolicy,
};
use tokio::task::JoinSet;

use crate::support::*;

const ALL: [&str; 3] = ["n1", "n2", "n3"];

fn take(name: &str) -> SessionRequest {
    named(Action::Delete(Delete { condition: Condition::None, take: true }), name)
}

fn add(name: &str) -> SessionRequest {
    named(Action::Put(Put { condition: Condition::Absent, ..put(b"a value") }), name)
}

fn named(action: Action, name: &str) -> SessionRequest {
    let key = IdempotencyKey::new(name.to_owned()).unwrap();
    SessionRequest { action, idempotency: Some(Idempotency { key, asked: None }) }
}

fn renew(seconds: u64) -> Renew {
    Renew { ttl: Ttl::from_secs(seconds).unwrap(), condition: Condition::None, if_due: false }
}

async fn ask(cluster: &Cluster, key: &SessionKey, request: impl Into<SessionRequest> + Send) -> Outcome {
    cluster.write(SESSIONS, key.clone(), request, deadline()).await.unwrap()
}

/// Until the rules in force know such a request, it is refused; a test waits for them.
async fn newest_rules(cluster: &Cluster) {
    eventually("the newest rules are in force", async || cluster.status().rules == RulesVersion::SUPPORTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_handed_out_once_and_told_again_by_every_node_after_crashes_and_a_reimage() {
    let mut cast = Cast::new(3, 3);
    cast.start_all();
    let first = cast.cluster("n1").await;
    newest_rules(&first).await;
    write(&first, key(1), put(b"a token")).await;
    let taken = ask(&first, &key(1), take("take-1")).await;
    assert!(matches!(&taken, Outcome::Deleted { taken: Some(taken), .. } if taken.value == "a token"), "{taken:?}");
    let added = ask(&first, &key(2), add("add-1")).await;
    assert!(matches!(added, Outcome::Written { .. }), "{added:?}");

    cast.crash("n1").await;
    let second = cast.cluster("n2").await;
    assert_eq!(
        ask(&second, &key(1), take("take-1")).await,
        taken,
        "another node, without the one that was asked first"
    );
    cast.start("n1");
    cast.wipe("n3").await;
    cast.start("n3");
    let reimaged = cast.cluster("n3").await;
    newest_rules(&reimaged).await;
    assert_eq!(ask(&reimaged, &key(2), add("add-1")).await, added, "a node that got its state from another");
    for name in ALL {
        cast.crash(name).await;
    }
    cast.start_all();
    for name in ALL {
        let cluster = cast.cluster(name).await;
        assert_eq!(ask(&cluster, &key(1), take("take-1")).await, taken, "{name}, after all of them were killed");
        assert_eq!(ask(&cluster, &key(2), add("add-1")).await, added, "{name}");
        let reused = Outcome::Refused(Refusal::IdempotencyKeyReused);
        assert_eq!(ask(&cluster, &key(2), take("take-1")).await, reused, "{name}");
        let failed = Outcome::Refused(Refusal::ConditionFailed);
        assert_eq!(ask(&cluster, &key(2), add(&format!("add-2-{name}"))).await, failed, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_the_same_at_once_through_all_nodes_one_has_done_it_and_all_are_told_so() {
    let mut cast = Cast::new(3, 3);
    cast.start_all();
    let mut asking = JoinSet::new();
    for (place, name) in ALL.into_iter().cycle().take(30).enumerate() {
        let cluster = cast.cluster(name).await;
        newest_rules(&cluster).await;
        if place == 0 {
            write(&cluster, key(1), put(b"a token")).await;
        }
        asking.spawn(async move { ask(&cluster, &key(1), take("all")).await });
    }
    let told = asking.join_all().await;
    assert!(matches!(&told[0], Outcome::Deleted { taken: Some(taken), .. } if taken.value == "a token"));
    assert!(told.iter().all(|outcome| *outcome == told[0]), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_renews_at_the_first_request_and_says_no_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |_| {}).await;
    write(node.cluster(), key(1), put(b"before")).await;
    assert_eq!(node.cluster().status().rules, RulesVersion::FIRST, "what a program of before can follow");
    let mut asking = JoinSet::new();
    for number in 1..=20 {
        let cluster = node.cluster().clone();
        asking.spawn(async move { ask(&cluster, &key(number), Action::Renew(renew(60))).await });
    }
    let told = asking.join_all().await;
    let renewed = told.iter().filter(|outcome| matches!(outcome, Outcome::Renewed { version: Some(_) })).count();
    assert_eq!((renewed, told.len()), (1, 20), "{told:?}");
    let left = node.cluster().read(SESSIONS, &key(1), deadline()).await.unwrap().unwrap();
    assert!(left.record.header.expires_at.since(left.clock).as_secs() <= 60);
    node.stop().await.unwrap();
    let node = start(dir.path(), |_| {}).await;
    assert_eq!(ask(node.cluster(), &key(1), Action::Renew(renew(60))).await, told_of(&left));
    node.stop().await.unwrap();
}

fn told_of(record: &sessile_cluster::LiveRecord) -> Outcome {
    Outcome::Renewed { version: Some(record.record.header.version) }
}

#[tokio::test(flavor = "multi_thread")]
async fn records_keep_their_lifetime_from_when_their_namespace_is_told_that_reads_renew_them() {
    let mut cast = Cast::new(3, 3);
    cast.start_all();
    let cluster = cast.cluster("n1").await;
    newest_rules(&cluster).await;
    eventually("the namespaces are made", async || cluster.namespaces().is_seeded()).await;
    let hour = Put { ttl: Ttl::from_secs(3_600).unwrap(), ..put(b"v") };
    write(&cluster, key(1), hour.clone()).await;
    let mut admin = cast.admin("n2").await;
    let choices = NamespaceChoices { renew_half: Some(true), ..NamespaceChoices::default() };
    let set = SetNamespaceRequest { name: "sessions".to_owned(), choices: Some(choices) };
    let told = admin.set_namespace(set).await.unwrap();
    assert!(told.what.contains("renew half"), "{}", told.what);
    let listed = admin.namespaces().await.unwrap().namespaces;
    assert!(listed[0].renew_half);
    write(&cluster, key(2), hour).await;
    for (number, lifetime) in [(1, None), (2, Ttl::from_secs(3_600))] {
        let found = cluster.read(SESSIONS, &key(number), deadline()).await.unwrap().unwrap();
        assert_eq!(found.record.header.lifetime, lifetime, "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_said_of_renewals_outlives_a_start_by_a_file_that_says_nothing_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |config| config.admin_socket = true).await;
    let mut admin = AdminClient::connect_in(dir.path(), PATIENCE).await.unwrap();
    let choices = NamespaceChoices { renew_half: Some(true), ..NamespaceChoices::default() };
    let set = SetNamespaceRequest { name: "sessions".to_owned(), choices: Some(choices) };
    admin.set_namespace(set).await.unwrap();
    drop(admin);
    node.stop().await.unwrap();

    // It says another lifetime, so the test can see when it was followed.
    let hour = Ttl::from_secs(3_600).unwrap();
    let node = start(dir.path(), |config| config.namespaces[0].ttl = TtlPolicy::new(hour, hour).unwrap()).await;
    let settings = || node.cluster().namespaces().get(SESSIONS).map(|sessions| sessions.settings.clone());
    eventually("the file is followed", async || settings().is_some_and(|now| now.ttl.default_ttl() == hour)).await;
    assert_eq!(settings().map(|now| now.renewal), Some(Renewal::Half));
    node.stop().await.unwrap();
}
