//! What happens at the server's own bounds, and when the store gives no answer.

use std::time::Duration;

use sessile_http::{ApiConfig, Limits, SessionsError};

use crate::client::PATIENCE;
use crate::fake::{Failure, Trouble};
use crate::world::{BASE, World, config};

#[tokio::test]
async fn each_trouble_of_the_store_has_its_own_answer() {
    let world = World::new().await;
    let table: [(Failure, u16, &str); 7] = [
        (|| SessionsError::NoQuorum, 503, "no_quorum"),
        (|| SessionsError::OutcomeUnknown, 503, "outcome_unknown"),
        (|| SessionsError::Overloaded, 503, "overloaded"),
        (|| SessionsError::ShuttingDown, 503, "shutting_down"),
        (|| SessionsError::StorageFull, 507, "insufficient_storage"),
        (|| SessionsError::ConditionFailed, 412, "precondition_failed"),
        (|| SessionsError::Internal("a defect".into()), 500, "server_error"),
    ];
    for (error, status, kind) in table {
        world.fake.be_in(Trouble::Error(error));
        for (method, body) in [("GET", ""), ("POST", "v"), ("PUT", "v"), ("DELETE", "")] {
            let answer = world.request(method, "/sessions/v1/k", "", body.as_bytes()).await;
            assert_eq!((answer.status, answer.kind().as_str()), (status, kind), "{method}");
            assert_eq!(answer.header("retry-after"), (status == 503).then_some("1"), "{method} {kind}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
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

#[tokio::test]
async fn values_that_are_half_received_are_bounded_over_all_connections() {
    let config = ApiConfig { max_in_flight_bytes: 100_000, ..config() };
    let world = World::with(config, Limits::default()).await;
    let value = vec![b'v'; 60_000];
    let head = format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\nContent-Length: 60001\r\n\r\n");
    // The first is received up to its last byte. That it is shows in the second being refused.
    let mut first = world.client().await;
    first.send(&head).await;
    first.send(&value).await;
    let refused = async {
        loop {
            let answer = world.post("other", "", &value).await;
            if answer.status != 201 {
                return answer;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, refused).await.expect("nobody is ever refused");
    assert_eq!((refused.status, refused.kind().as_str()), (503, "overloaded"));
    assert_eq!(world.post("small", "", b"v").await.status, 201, "what fits is taken");
    first.send("v").await;
    assert_eq!(first.answer().await.status, 201);
    assert_eq!(world.post("other", "", &value).await.status, 201, "the room is given back");
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
