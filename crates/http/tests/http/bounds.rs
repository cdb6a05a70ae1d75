//! What happens at the server's own bounds, and when the store gives no answer.

use std::time::Duration;

use sessile_http::{ApiConfig, Limits, SessionsError};

use crate::fake::{Failure, Trouble};
use crate::world::{BASE, World, config};

#[tokio::test]
async fn each_trouble_of_the_store_has_its_own_answer() {
    let world = World::new().await;
    let table: [(Failure, u16, &str); 9] = [
        (|| SessionsError::NoQuorum, 503, "no_quorum"),
        (|| SessionsError::TimeWaits, 503, "time_waits"),
        (|| SessionsError::OutcomeUnknown, 503, "outcome_unknown"),
        (|| SessionsError::Overloaded, 503, "overloaded"),
        (|| SessionsError::ShuttingDown, 503, "shutting_down"),
        (|| SessionsError::StorageFull, 507, "insufficient_storage"),
        (|| SessionsError::StorageExhausted, 507, "storage_exhausted"),
        (|| SessionsError::ConditionFailed, 412, "precondition_failed"),
        (|| SessionsError::Internal("a defect".into()), 500, "server_error"),
    ];
    for (error, status, kind) in table {
        world.fake.be_in(Trouble::Error(error));
        for (method, body) in [("GET", ""), ("POST", "v"), ("PUT", "v"), ("DELETE", "")] {
            let answer = world.request(method, "/sessions/v1/k", "", body.as_bytes()).await;
            assert_eq!((answer.status, answer.kind().as_str()), (status, kind), "{method}");
            assert_eq!(answer.header("retry-after"), (status == 503).then_some("1"), "{method} {kind}");
            assert_eq!(answer.header("cache-control"), Some("no-store, no-transform"));
        }
    }
}

#[tokio::test]
async fn a_panic_is_a_server_error_and_the_connection_goes_on() {
    let world = World::new().await;
    let mut client = world.client().await;
    world.fake.be_in(Trouble::Panic);
    assert_eq!(client.request("GET", "/sessions/v1/k", "", b"").await.kind(), "server_error");
    assert_eq!(client.request("POST", "/sessions/v1/k", "", b"v").await.kind(), "server_error");
    world.fake.be_in(None);
    assert_eq!(client.request("GET", "/sessions/v1/k", "", b"").await.status, 404);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for() {
    let config = ApiConfig { request_timeout: Duration::from_millis(20), ..config() };
    let world = World::with(config, Limits::default()).await;
    world.fake.be_in(Trouble::Silence);
    assert_eq!(world.get("k").await.kind(), "no_quorum");
    assert_eq!(world.post("k", "", b"v").await.kind(), "outcome_unknown");
    assert_eq!(world.delete("k", "").await.kind(), "outcome_unknown");
    assert_eq!(world.request("GET", "/readyz", "", b"").await.status, 503);
}

fn head(key: &str, framing: &str) -> String {
    format!("POST {BASE}{key} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n")
}

#[tokio::test]
async fn a_body_has_its_room_before_it_is_read_and_who_finds_none_is_told_so_and_may_come_again() {
    let world = World::with(ApiConfig { max_body_bytes: 100_000, ..config() }, Limits::default()).await;
    let value = vec![b'v'; 60_000];
    // Nothing of it has come but its length.
    let mut first = world.client().await;
    first.send(head("k", "Content-Length: 60000")).await;
    world.eventually("sessile_http_held_bytes", &["of=\"large_bodies\""], 60_000.0).await;
    let mut second = world.client().await;
    second.send(head("other", "Content-Length: 60000\r\nExpect: 100-continue")).await;
    let refused = second.answer().await;
    assert_eq!((refused.status, refused.kind().as_str()), (503, "overloaded"), "its body was not asked for");
    assert_eq!((refused.header("retry-after"), refused.header("connection")), (Some("1"), Some("close")));
    assert!(second.is_closed().await, "or the body would be taken for a request");
    assert_eq!(world.post("small", "", &[b'v'; 16 << 10]).await.status, 201, "what is small has a room of its own");
    first.send(&value).await;
    assert_eq!(first.answer().await.status, 201);
    assert_eq!(world.post("other", "", &value).await.status, 201, "the room is given back");
    assert_eq!(world.metric("sessile_http_overloaded_total", &["of=\"large_bodies\""]), 1.0);
    world.eventually("sessile_http_held_bytes", &[], 0.0).await;
}

#[tokio::test]
async fn a_body_that_does_not_tell_its_length_takes_as_much_room_as_it_may_need() {
    let config = ApiConfig { max_body_bytes: 100_000, max_value_bytes: 70_000, ..config() };
    let world = World::with(config, Limits::default()).await;
    let mut chunked = world.client().await;
    chunked.send(head("k", "Transfer-Encoding: chunked")).await;
    world.eventually("sessile_http_held_bytes", &[], 70_000.0).await;
    world.fake.shut_gate();
    chunked.send("1\r\nv\r\n0\r\n\r\n").await;
    world.arrivals(1).await;
    assert_eq!(world.metric("sessile_http_held_bytes", &[]), 1.0, "and when it is read, as much as it has");
    world.fake.open_gate();
    assert_eq!(chunked.answer().await.status, 201);
}

#[tokio::test]
async fn who_waits_for_room_goes_on_when_there_is_some_and_who_leaves_gives_it_back() {
    // A quarter of it is for small ones.
    let world = World::with(ApiConfig { max_body_bytes: 4_000, ..config() }, Limits::default()).await;
    for _ in 0..10 {
        let mut first = world.client().await;
        first.send(head("k", "Content-Length: 1000")).await;
        world.eventually("sessile_http_held_bytes", &[], 1_000.0).await;
        let mut waits = world.client().await;
        waits.send(head("k", "Content-Length: 3")).await;
        drop(first);
        waits.send("abc").await;
        assert!(
            [201, 503].contains(&waits.answer().await.status),
            "it depends on how soon the system tells of the end"
        );
        world.eventually("sessile_http_held_bytes", &[], 0.0).await;
    }
    // A body that is larger than all the room has all of it.
    assert_eq!(world.post("k", "", &[b'v'; 5_000]).await.status, 201);
    assert_eq!(world.metric("sessile_http_held_bytes_peak", &["of=\"small_bodies\""]), 1_000.0);
}

#[tokio::test]
async fn many_large_bodies_at_once_never_hold_more_than_there_is_room_for() {
    let world = World::with(ApiConfig { max_body_bytes: 400_000, ..config() }, Limits::default()).await;
    let value = vec![b'v'; 100_000];
    let posts = (0..64).map(|number| {
        let (world, value) = (&world, &value);
        async move { world.post(&format!("k{number}"), "", value).await }
    });
    for answer in futures_util::future::join_all(posts).await {
        let refused = answer.status == 503 && answer.header("retry-after") == Some("1");
        assert!(answer.status == 201 || refused, "{}", answer.status);
    }
    let peak = world.metric("sessile_http_held_bytes_peak", &["of=\"large_bodies\""]);
    assert!((100_000.0..=300_000.0).contains(&peak), "{peak}");
    assert_eq!(world.metric("sessile_http_held_bytes_max", &["of=\"large_bodies\""]), 300_000.0);
}

#[tokio::test]
async fn large_answers_that_nobody_takes_are_bounded_and_small_ones_are_not_held_up_by_them() {
    // Larger than what the sockets of both sides hold.
    const VALUE: usize = 40 << 20;
    let config =
        ApiConfig { max_answer_bytes: VALUE + 1, max_value_bytes: VALUE, max_body_bytes: 2 * VALUE, ..config() };
    let world = World::with(config, Limits::default()).await;
    assert_eq!(world.post("large", "", &vec![b'v'; VALUE]).await.status, 201);
    assert_eq!(world.post("small", "", b"v").await.status, 201);
    let mut slow = world.client().await;
    slow.send(format!("GET {BASE}large HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    world.eventually("sessile_http_held_bytes", &["of=\"answers\""], VALUE as f64).await;
    let refused = world.get("large").await;
    assert_eq!((refused.status, refused.kind().as_str()), (503, "overloaded"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(world.get("small").await.status, 200);
    assert_eq!(world.request("HEAD", &format!("{BASE}small"), "", b"").await.status, 200);
    assert_eq!(slow.answer().await.status, 200, "it is all there when it is taken");
    world.eventually("sessile_http_held_bytes", &["of=\"answers\""], 0.0).await;
    assert_eq!(world.get("large").await.status, 200);
}

#[tokio::test]
async fn what_a_delete_hands_out_has_its_room_before_it_is_removed() {
    const VALUE: usize = 40 << 20;
    let config =
        ApiConfig { max_answer_bytes: VALUE + 1, max_value_bytes: VALUE, max_body_bytes: 2 * VALUE, ..config() };
    let world = World::with(config, Limits::default()).await;
    for key in ["large", "small"] {
        assert_eq!(world.post(key, "", &vec![b'v'; if key == "large" { VALUE } else { 1 }]).await.status, 201);
    }
    let mut slow = world.client().await;
    slow.send(format!("DELETE {BASE}large HTTP/1.1\r\nHost: x\r\nPrefer: return=representation\r\n\r\n")).await;
    world.arrivals(3).await;
    world.eventually("sessile_http_held_bytes", &["of=\"answers\""], VALUE as f64).await;
    let refused = world.delete("small", "Prefer: return=representation\r\n").await;
    assert_eq!((refused.status, refused.kind().as_str()), (503, "overloaded"));
    assert_eq!(world.get("small").await.status, 200, "it is still there to be taken");
    assert_eq!(slow.answer().await.body.len(), VALUE);
    world.eventually("sessile_http_held_bytes", &["of=\"answers\""], 0.0).await;
    assert_eq!(world.delete("small", "Prefer: return=representation\r\n").await.text(), "v");
}

#[tokio::test]
async fn with_all_places_taken_the_one_idle_longest_makes_place() {
    let limits = Limits { max_connections: 20, ..Limits::default() };
    let world = World::with(config(), limits).await;
    world.fake.shut_gate();
    let mut busy = world.client().await;
    busy.send(format!("GET {BASE}k HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    world.arrivals(1).await;
    let mut idle = Vec::new();
    for _ in 0..19 {
        let mut client = world.client().await;
        assert_eq!(client.request("GET", "/livez", "", b"").await.status, 200);
        idle.push(client);
    }
    let mut next = world.client().await;
    assert_eq!(next.request("GET", "/livez", "", b"").await.status, 200);
    assert!(idle[0].is_closed().await);
    world.fake.open_gate();
    assert_eq!(busy.answer().await.status, 404, "who is being served keeps its place");
    assert_eq!(idle[18].request("GET", "/livez", "", b"").await.status, 200, "who was just served, too");
    assert!(world.metric("sessile_http_connections_closed_total", &["reason=\"evicted\""]) >= 1.0);
}
