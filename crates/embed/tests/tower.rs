//! The store of tower-sessions.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]

use sessile_embed::{Condition, Node, Sessions, TowerStore, WriteOptions};
use sessile_testkit::PATIENCE;
use tower_sessions::SessionStore;
use tower_sessions::cookie::time::{Duration, OffsetDateTime};
use tower_sessions::session::{Id, Record};

async fn node() -> (Node, Sessions, TowerStore) {
    let node = Node::dev().await.unwrap();
    let sessions = node.sessions().within(PATIENCE);
    let store = TowerStore::new(sessions.clone());
    (node, sessions, store)
}

fn record(user: &str, lifetime: Duration) -> Record {
    let data = [("user".to_owned(), user.into())].into();
    Record { id: Id::default(), data, expiry_date: OffsetDateTime::now_utc() + lifetime }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_loaded_as_it_was_saved_and_lives_as_long_as_it_says() {
    let (node, sessions, store) = node().await;
    let mut ada = record("Ada", Duration::HOUR);
    store.create(&mut ada).await.unwrap();
    assert_eq!(store.load(&ada.id).await.unwrap(), Some(ada.clone()));
    let left = sessions.get(&format!("tower-sessions:{}", ada.id)).await.unwrap().unwrap().remaining.unwrap();
    let hour = std::time::Duration::from_secs(3_600);
    assert!(left <= hour && left + PATIENCE > hour, "{left:?}");

    let grace = Record { data: record("Grace", Duration::HOUR).data, ..ada.clone() };
    store.save(&grace).await.unwrap();
    assert_eq!(store.load(&ada.id).await.unwrap(), Some(grace.clone()));

    let over = Record { expiry_date: OffsetDateTime::now_utc() - Duration::SECOND, ..grace };
    store.save(&over).await.unwrap();
    assert_eq!(store.load(&ada.id).await.unwrap(), None);
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_stays_one_when_a_request_that_was_under_way_saves_its_session() {
    let (node, _, store) = node().await;
    let mut ada = record("Ada", Duration::HOUR);
    store.create(&mut ada).await.unwrap();
    store.delete(&ada.id).await.unwrap();
    store.save(&ada).await.unwrap();
    assert_eq!(store.load(&ada.id).await.unwrap(), None);
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_takes_nobody_elses_id() {
    let (node, _, store) = node().await;
    let mut ada = record("Ada", Duration::HOUR);
    store.create(&mut ada).await.unwrap();
    let mut grace = Record { id: ada.id, ..record("Grace", Duration::HOUR) };
    store.create(&mut grace).await.unwrap();
    assert_ne!(grace.id, ada.id);
    assert_eq!(store.load(&ada.id).await.unwrap(), Some(ada));
    assert_eq!(store.load(&grace.id).await.unwrap(), Some(grace));
    node.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_session_is_an_error_that_shows_nothing_of_it() {
    let (node, sessions, store) = node().await;
    let id = Id::default();
    sessions.put(&format!("tower-sessions:{id}"), "topsecret", WriteOptions::default()).await.unwrap();
    let error = store.load(&id).await.unwrap_err().to_string();
    assert!(error.contains("none of tower-sessions") && !error.contains("topsecret"), "{error}");
    assert!(!format!("{store:?}").contains(&id.to_string()));
    assert!(sessions.take(&format!("tower-sessions:{id}"), Condition::None).await.unwrap().is_some());
    node.shutdown().await.unwrap();
}
