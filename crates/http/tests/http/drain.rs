//! A server that is told to stop.

use std::time::Duration;

use sessile_http::{Drained, Limits};
use tokio::net::TcpStream;

use crate::world::{BASE, World, config};

#[tokio::test]
async fn what_is_in_flight_is_answered_and_the_last_of_its_connection() {
    let mut world = World::new().await;
    world.fake.shut_gate();
    let mut client = world.client().await;
    client.send(format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nv")).await;
    world.arrivals(1).await;
    world.shutdown.cancel();
    // It no longer accepts.
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    world.fake.open_gate();
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    assert!(client.is_closed().await);
    assert_eq!(world.drained().await, Drained { cut_off: 0 });
    assert_eq!(world.fake.stored(), 1);
}

#[tokio::test]
async fn an_idle_connection_may_bring_one_more_request() {
    let limits =
        Limits { drain_idle: Duration::from_secs(3600), drain: Duration::from_secs(3600), ..Limits::default() };
    let mut world = World::with(config(), limits).await;
    let mut client = world.client().await;
    assert_eq!(client.request("GET", "/livez", "", b"").await.header("connection"), None);
    world.shutdown.cancel();
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let answer = client.request("GET", "/sessions/v1/k", "", b"").await;
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    assert!(client.is_closed().await);
    assert_eq!(world.drained().await, Drained { cut_off: 0 });
}

#[tokio::test]
async fn connections_that_stay_idle_are_closed() {
    let limits = Limits { drain_idle: Duration::from_millis(1), ..Limits::default() };
    let mut world = World::with(config(), limits).await;
    let mut used = world.client().await;
    used.request("GET", "/livez", "", b"").await;
    let mut unused = world.client().await;
    world.eventually("sessile_http_connections", &[], 2.0).await;
    world.shutdown.cancel();
    assert!(used.is_closed().await && unused.is_closed().await);
    assert_eq!(world.drained().await, Drained { cut_off: 0 });
    assert_eq!(world.metric("sessile_http_connections", &[]), 0.0);
}

#[tokio::test]
async fn what_does_not_end_is_cut_off() {
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    let mut world = World::with(config(), limits).await;
    world.fake.shut_gate();
    let mut client = world.client().await;
    client.send(format!("GET {BASE}k HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    world.arrivals(1).await;
    world.shutdown.cancel();
    assert!(client.is_closed().await);
    assert_eq!(world.drained().await, Drained { cut_off: 1 });
}

#[tokio::test]
async fn a_connection_that_asks_its_first_question_late_is_answered() {
    let limits =
        Limits { drain_idle: Duration::from_secs(3600), drain: Duration::from_secs(3600), ..Limits::default() };
    let mut world = World::with(config(), limits).await;
    let mut client = world.client().await;
    world.eventually("sessile_http_connections", &[], 1.0).await;
    world.shutdown.cancel();
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let answer = client.request("POST", &format!("{BASE}k"), "", b"v").await;
    assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
    assert!(client.is_closed().await);
    assert_eq!(world.drained().await, Drained { cut_off: 0 });
}

/// The end of `drain_idle` comes when half of the header is there: on a connection that was used before, and on a new one.
#[tokio::test]
async fn a_request_that_has_begun_to_arrive_is_answered() {
    let limits = Limits {
        drain_idle: Duration::from_millis(1),
        drain: Duration::from_secs(3600),
        header_timeout: Duration::from_secs(3600),
        ..Limits::default()
    };
    let mut world = World::with(config(), limits).await;
    let mut used = world.client().await;
    assert_eq!(used.request("GET", "/livez", "", b"").await.status, 200);
    let (mut new, mut idle) = (world.client().await, world.client().await);
    for client in [&mut used, &mut new] {
        client.send(format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\n")).await;
    }
    // On its way to the server, as far as a client can know.
    world.eventually("sessile_http_connections", &[], 3.0).await;
    assert_eq!(world.get("k").await.status, 404);
    world.shutdown.cancel();
    assert!(idle.is_closed().await, "now whoever is idle is sent away");
    for client in [&mut used, &mut new] {
        client.send("Content-Length: 1\r\n\r\nv").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (201, Some("close")));
        assert!(client.is_closed().await);
    }
    assert_eq!(world.drained().await, Drained { cut_off: 0 });
}

/// The system accepts connections for a server before the server does.
#[tokio::test]
async fn who_still_waits_for_a_place_is_answered() {
    let limits = Limits { max_connections: 1, drain: Duration::from_secs(3600), ..Limits::default() };
    let mut world = World::with(config(), limits).await;
    world.fake.shut_gate();
    let request = format!("GET {BASE}k HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = world.client().await;
        client.send(&request).await;
        clients.push(client);
    }
    world.arrivals(1).await;
    world.shutdown.cancel();
    while TcpStream::connect(world.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    world.fake.open_gate();
    for client in &mut clients {
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
        assert!(client.is_closed().await);
    }
    assert_eq!(world.drained().await, Drained { cut_off: 0 });
}
