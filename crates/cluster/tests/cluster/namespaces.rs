//! Namespaces of three nodes: made, limited, emptied and dropped while clients write through all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{Stream, StreamExt};
use sessile_cluster::Cluster;
use sessile_cluster::admin::{
    AdminClient, AdminError, AdminErrorKind, CreateNamespaceRequest, DropNamespaceRequest, KeyStatus, ListKeysRequest,
    ListKeysResponse, NamespaceChoices, NamespaceStatus, SetNamespaceRequest, TruncateNamespaceRequest,
};
use sessile_core::{
    Action, BaseUri, Limit, NamespaceId, NamespaceName, NamespaceSettings, Outcome, Refusal, RulesVersion, SessionKey,
};
use tokio::task::JoinSet;

use crate::support::*;

const ALL: [&str; 3] = ["n1", "n2", "n3"];

/// Three that run with `sessions` and `echo` of their configuration, and their handles.
async fn three() -> (Cast, Vec<Cluster>) {
    let mut cast = Cast::new(3, 3);
    for name in ALL {
        cast.start_with(name, |config| config.namespaces.push(echo()));
    }
    let mut clusters = Vec::new();
    for name in ALL {
        let cluster = cast.cluster(name).await;
        eventually("the namespaces of the configuration are made", async || cluster.namespaces().is_seeded()).await;
        clusters.push(cluster);
    }
    (cast, clusters)
}

fn echo() -> NamespaceSettings {
    NamespaceSettings::unlimited(NamespaceName::new("echo").unwrap(), BaseUri::new("/echoseen/v1").unwrap())
}

fn echo_id(cluster: &Cluster) -> NamespaceId {
    cluster.namespaces().named("echo").unwrap().0
}

async fn listed(admin: &mut AdminClient, name: &str) -> NamespaceStatus {
    let all = admin.namespaces().await.unwrap().namespaces;
    all.into_iter().find(|namespace| namespace.name == name).unwrap()
}

async fn write_to(cluster: &Cluster, namespace: NamespaceId, key: SessionKey) -> Outcome {
    cluster.write(namespace, key, Action::Put(put(b"a value")), deadline()).await.unwrap()
}

async fn is_there(cluster: &Cluster, namespace: NamespaceId, key: &SessionKey) -> bool {
    cluster.read(namespace, key, deadline()).await.unwrap().is_some()
}

fn set(name: &str, choices: NamespaceChoices) -> SetNamespaceRequest {
    SetNamespaceRequest { name: name.to_owned(), choices: Some(choices) }
}

fn truncate(name: &str, group: &str) -> TruncateNamespaceRequest {
    TruncateNamespaceRequest { name: name.to_owned(), group: group.to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_namespaces_of_the_configuration_are_everywhere_and_a_change_through_any_node_stands_in_the_history() {
    let (mut cast, clusters) = three().await;
    let echo = echo_id(&clusters[0]);
    write_to(&clusters[0], SESSIONS, key(1)).await;
    write_to(&clusters[1], echo, key(1)).await;
    write_to(&clusters[1], echo, key(2)).await;
    for name in ALL {
        let mut admin = cast.admin(name).await;
        let (sessions, echo) = (listed(&mut admin, "sessions").await, listed(&mut admin, "echo").await);
        assert_eq!((sessions.keys, echo.keys, echo.base_uri.as_str()), (1, 2, "/echoseen/v1/"), "at {name}");
    }

    let mut admin = cast.admin("n2").await;
    let choices = NamespaceChoices { base_uri: Some("/central/v1".into()), max_keys: Some(9), ..Default::default() };
    let request = CreateNamespaceRequest { name: "central".to_owned(), choices: Some(choices) };
    admin.create_namespace(request).await.unwrap();
    let central = listed(&mut admin, "central").await;
    assert_eq!((central.max_keys, central.default_ttl_seconds), (9, 86_400));
    let told = admin.truncate_namespace(truncate("echo", "awiki")).await.unwrap();
    assert_eq!(told.keys, 2);
    assert!(told.what.starts_with("2 sessions of group awiki of the namespace echo have ended"), "{}", told.what);
    let request = DropNamespaceRequest { name: "central".to_owned(), force: false };
    admin.drop_namespace(request).await.unwrap();
    let history = admin.history().await.unwrap().entries;
    for what in ["create the namespace central under /central/v1/", "truncate group awiki of the namespace echo"] {
        let entry = history.iter().find(|entry| entry.what == what).unwrap_or_else(|| panic!("{what}: {history:?}"));
        assert!(entry.result.is_some() && entry.who == "token tests", "{entry:?}");
    }

    // A node that gets its state from another, and all of them after a restart.
    cast.wipe("n3").await;
    cast.start("n3");
    let reimaged = cast.cluster("n3").await;
    eventually("it has the namespaces", async || reimaged.namespaces().named("echo").is_some()).await;
    assert!(is_there(&reimaged, SESSIONS, &key(1)).await && !is_there(&reimaged, echo, &key(1)).await);
    for name in ALL {
        cast.stop(name).await;
    }
    cast.start_all();
    for name in ALL {
        let cluster = cast.cluster(name).await;
        assert!(!is_there(&cluster, echo, &key(1)).await, "what was truncated stays so at {name}");
        assert!(is_there(&cluster, SESSIONS, &key(1)).await, "and what was not is there at {name}");
        assert_eq!(cluster.namespaces().named("echo").map(|(id, _)| id), Some(echo));
    }
}

async fn pages(mut pages: impl Stream<Item = Result<ListKeysResponse, AdminError>> + Unpin) -> (u64, Vec<KeyStatus>) {
    let (mut count, mut keys) = (0, Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        count += page.count;
        keys.extend(page.keys);
    }
    (count, keys)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_there_is_listed_by_hashes_and_who_wants_the_keys_stands_in_the_history() {
    let (cast, clusters) = three().await;
    let echo = echo_id(&clusters[0]);
    for number in 0..1_200 {
        write_to(&clusters[number % 3], echo, key(number)).await;
    }
    let mut admin = cast.admin("n2").await;
    let all = || ListKeysRequest { namespace: "echo".to_owned(), group: None, count_only: false };
    let (count, keys) = pages(admin.keys(all()).await.unwrap()).await;
    assert_eq!((count, keys.len()), (1_200, 1_200));
    let is_told = |key: &KeyStatus| {
        let lives = key.expires_in_ms.is_some_and(|left| (1..=86_400_000).contains(&left));
        key.key.is_empty() && key.group == "awiki" && key.bytes == 7 && lives
    };
    assert!(keys.iter().all(is_told), "{:?}", keys.first());
    let hashes: std::collections::BTreeSet<_> = keys.iter().map(|key| &key.hash).collect();
    assert_eq!(hashes.len(), 1_200, "each can be told from the others");

    let (count, revealed) = pages(admin.reveal_keys(all()).await.unwrap()).await;
    let first = revealed.iter().map(|key| key.key.as_bytes()).min();
    assert_eq!((count, first), (1_200, (0..1_200).map(key).min().as_ref().map(SessionKey::as_bytes)));
    let history = admin.history().await.unwrap().entries;
    let asked: Vec<_> = history.iter().filter(|entry| entry.what == "show the keys of the namespace echo").collect();
    assert!(matches!(&asked[..], [entry] if entry.who == "token tests"), "{history:?}");

    let counted = ListKeysRequest { group: Some("awiki".to_owned()), count_only: true, ..all() };
    assert_eq!(pages(admin.keys(counted).await.unwrap()).await, (1_200, Vec::new()));
    let (_other, busy) = (admin.keys(all()).await.unwrap(), admin.keys(all()).await);
    assert!(busy.is_err_and(|error| error.text.contains("lists keys for somebody else")), "one at a time");
    for (request, sentence) in [
        (ListKeysRequest { namespace: "nobody".to_owned(), ..all() }, "there is no namespace \"nobody\""),
        (ListKeysRequest { group: Some("g".repeat(1_000)), ..all() }, "a group's name"),
    ] {
        let refused = admin.keys(request).await.err().unwrap();
        assert!(refused.text.contains(sentence), "{}", refused.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_a_sentence_and_changes_nothing() {
    let (cast, clusters) = three().await;
    let mut admin = cast.admin("n1").await;
    write_to(&clusters[0], echo_id(&clusters[0]), key(1)).await;
    let before = admin.namespaces().await.unwrap();
    let create = |name: &str, base_uri: &str, change: &dyn Fn(&mut NamespaceChoices)| {
        let mut choices = NamespaceChoices { base_uri: Some(base_uri.to_owned()), ..Default::default() };
        change(&mut choices);
        CreateNamespaceRequest { name: name.to_owned(), choices: Some(choices) }
    };
    use AdminErrorKind::{Invalid, NotFound, Refused};
    for (request, kind, sentence) in [
        (create("echo", "/other", &|_| {}), Refused, "a namespace of that name exists"),
        (create("other", "/echoseen", &|_| {}), Refused, "overlaps with that of echo (/echoseen/v1/)"),
        (create("Other", "/other", &|_| {}), Invalid, "a namespace's name is 1 to 64 of"),
        (create("other", "/a//b", &|_| {}), Invalid, "must not have an empty segment"),
        (create("other", "/other", &|it| it.max_ttl_seconds = Some(60)), Invalid, "is over the longest, 60 s"),
    ] {
        let refused = admin.create_namespace(request.clone()).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{refused}");
        assert!(refused.text.contains(sentence) && refused.text.contains("nothing was changed"), "{refused}");
    }
    let long = "g".repeat(1024);
    for (name, group, kind, sentence) in [
        ("nobody", "", NotFound, "there are: sessions, echo"),
        ("echo", "cwiki", NotFound, "has no session of that group"),
        ("echo", &*long, Invalid, "a group's name is up to 64"),
    ] {
        let refused = admin.truncate_namespace(truncate(name, group)).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{refused}");
        assert!(refused.text.contains(sentence) && !refused.text.contains(&long), "{refused}");
    }
    let too_low = set("echo", NamespaceChoices { max_bytes: Some(1), ..Default::default() });
    let refused = admin.set_namespace(too_low).await.unwrap_err();
    assert!(
        refused.kind == Refused && refused.text.contains("1 session, 24 bytes, which is over that quota"),
        "{refused}"
    );
    let not_empty = DropNamespaceRequest { name: "echo".to_owned(), force: false };
    let refused = admin.drop_namespace(not_empty).await.unwrap_err();
    assert!(refused.kind == Refused && refused.text.contains("give --force"), "{refused}");
    assert_eq!(admin.namespaces().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_is_exact_however_many_write_at_once_through_three_nodes() {
    const KEYS: u64 = 50;
    let (cast, clusters) = three().await;
    let echo = echo_id(&clusters[0]);
    let mut admin = cast.admin("n1").await;
    let limit = NamespaceChoices { max_keys: Some(KEYS), ..Default::default() };
    admin.set_namespace(set("echo", limit)).await.unwrap();
    let mut writers = JoinSet::new();
    for number in 0..3 * KEYS {
        let cluster = clusters[usize::try_from(number % 3).unwrap()].clone();
        writers.spawn(async move { write_to(&cluster, echo, key(usize::try_from(number).unwrap())).await });
    }
    let outcomes = writers.join_all().await;
    let written = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Written { .. })).count();
    let over = outcomes.iter().filter(|outcome| **outcome == Outcome::Refused(Refusal::Limit(Limit::Keys))).count();
    assert_eq!((written as u64, over as u64), (KEYS, 2 * KEYS));
    assert_eq!(listed(&mut admin, "echo").await.keys, KEYS);
    assert!(matches!(write_to(&clusters[1], SESSIONS, key(1)).await, Outcome::Written { .. }), "others have their own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncate_ends_what_was_acknowledged_before_it_and_nothing_that_is_written_after() {
    let (cast, clusters) = three().await;
    let echo = echo_id(&clusters[0]);
    for number in 0..60 {
        write_to(&clusters[number % 3], echo, key(number)).await;
        write_to(&clusters[number % 3], SESSIONS, key(number)).await;
    }
    // Others write meanwhile, through every node.
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for (nth, cluster) in clusters.iter().enumerate() {
        let (cluster, stop) = (cluster.clone(), stop.clone());
        writers.spawn(async move {
            let mut number = 1_000 * (nth + 1);
            while !stop.load(Ordering::Relaxed) {
                write_to(&cluster, echo, key(number)).await;
                number += 1;
            }
        });
    }
    let gone = cast.admin("n2").await.truncate_namespace(truncate("echo", "")).await.unwrap();
    assert!(gone.keys >= 60, "{}", gone.what);
    for cluster in &clusters {
        for number in 0..60 {
            assert!(!is_there(cluster, echo, &key(number)).await, "it was acknowledged before");
            assert!(is_there(cluster, SESSIONS, &key(number)).await, "another namespace keeps what it has");
        }
    }
    write_to(&clusters[0], echo, key(7)).await;
    stop.store(true, Ordering::Relaxed);
    writers.join_all().await;
    for cluster in &clusters {
        assert!(is_there(cluster, echo, &key(7)).await, "it was written after");
    }
    let mut counts = Vec::new();
    for name in ALL {
        counts.push(listed(&mut cast.admin(name).await, "echo").await);
    }
    assert!(counts.iter().all(|of| *of == counts[0]), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_one_has_the_newest_rules_and_its_namespaces_too() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |config| config.namespaces.push(echo())).await;
    let cluster = node.cluster().clone();
    eventually("its namespaces are made", async || cluster.namespaces().is_seeded()).await;
    assert_eq!(cluster.status().rules, RulesVersion::SUPPORTED);
    let echo = echo_id(&cluster);
    write_to(&cluster, echo, key(1)).await;
    drop(cluster);
    node.stop().await.unwrap();
    // A node that is alone does what its file says at each start. What it does not name stays.
    let elsewhere = BaseUri::new("/elsewhere").unwrap();
    let other = elsewhere.clone();
    let node = start(dir.path(), move |config| config.namespaces[0].base_uri = other).await;
    eventually("it is as the file says", async || {
        node.cluster().namespaces().get(SESSIONS).is_some_and(|sessions| sessions.settings.base_uri == elsewhere)
    })
    .await;
    assert!(is_there(node.cluster(), echo, &key(1)).await);
    assert_eq!(node.cluster().namespaces().len(), 2);
    node.stop().await.unwrap();
}

/// A program of before knows older rules, and refuses a state of newer ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_single_node_without_limits_leaves_its_rules_as_they_are_until_somebody_changes_namespaces() {
    let dir = tempfile::tempdir().unwrap();
    let node = start(dir.path(), |config| config.admin_socket = true).await;
    let cluster = node.cluster().clone();
    write_to(&cluster, SESSIONS, key(1)).await;
    write_to(&cluster, SESSIONS, key(2)).await;
    let before = cluster.status().rules;
    let mut admin = AdminClient::connect_in(dir.path(), PATIENCE).await.unwrap();
    let sessions = listed(&mut admin, "sessions").await;
    assert_eq!((sessions.keys, sessions.base_uri.as_str()), (2, "/sessions/v1/"));
    assert_eq!(admin.groups("sessions").await.unwrap().groups.len(), 1);
    assert!(before < RulesVersion::NAMESPACES && cluster.status().rules == before, "nothing was changed: {before}");
    let told = admin.truncate_namespace(truncate("sessions", "awiki")).await.unwrap();
    assert_eq!(told.keys, 2);
    write_to(&cluster, SESSIONS, key(3)).await;
    let told = admin.truncate_namespace(truncate("sessions", "")).await.unwrap();
    assert!(told.what.starts_with("1 session of the namespace sessions has ended, "), "{}", told.what);
    assert!(cluster.status().rules >= RulesVersion::NAMESPACES);
    assert!(!is_there(&cluster, SESSIONS, &key(1)).await);
    drop((admin, cluster));
    node.stop().await.unwrap();
}
