//! Reads that ask nobody, and tell how old their answer may be.

use std::time::Duration;

use sessile_http::{ApiConfig, Limits, ReadConsistency, SessionsError};

use crate::fake::Trouble;
use crate::world::{BASE, World, config};

async fn local() -> World {
    let config = ApiConfig { read_consistency: ReadConsistency::Local, ..config() };
    World::with(config, Limits::default()).await
}

#[tokio::test]
async fn a_local_read_tells_its_age_whatever_it_finds() {
    let world = local().await;
    let written = world.post("k", "", b"v").await;
    assert_eq!((written.status, written.header("age")), (201, None));
    let etag = written.header("etag").unwrap().to_owned();
    for (age, seconds) in
        [(0, "0"), (1, "1"), (999, "1"), (1_000, "1"), (1_001, "2"), (59_000, "59"), (86_400_001, "86401")]
    {
        world.fake.lag(Duration::from_millis(age));
        let found = world.get("k").await;
        assert_eq!((found.status, found.text(), found.header("age")), (200, "v", Some(seconds)));
        assert_eq!((world.get("absent").await.status, world.get("absent").await.header("age")), (404, Some(seconds)));
    }
    let target = format!("{BASE}k");
    for (headers, status) in [(format!("If-None-Match: {etag}\r\n"), 304), ("If-Match: \"77\"\r\n".to_owned(), 412)] {
        let answer = world.request("GET", &target, &headers, b"").await;
        assert_eq!((answer.status, answer.header("age")), (status, Some("86401")));
    }
    let head = world.request("HEAD", &target, "", b"").await;
    assert_eq!((head.status, head.header("age")), (200, Some("86401")));
}

#[tokio::test]
async fn what_asks_a_majority_has_no_age() {
    let linearizable = World::new().await;
    linearizable.post("k", "", b"v").await;
    assert_eq!(linearizable.get("k").await.header("age"), None);
    assert_eq!(linearizable.get("absent").await.header("age"), None);
    let local = local().await;
    local.post("k", "", b"v").await;
    let taken = local.delete("k", "Prefer: return=representation\r\n").await;
    assert_eq!((taken.status, taken.header("age")), (200, None));
}

#[tokio::test]
async fn a_local_read_that_fails_tells_no_age() {
    let world = local().await;
    world.fake.be_in(Trouble::Error(|| SessionsError::NoQuorum));
    let answer = world.get("k").await;
    assert_eq!((answer.status, answer.header("age"), answer.header("retry-after")), (503, None, Some("1")));
    assert_eq!(world.request("GET", "/sessions/v1/k?x", "", b"").await.header("age"), None);
}
