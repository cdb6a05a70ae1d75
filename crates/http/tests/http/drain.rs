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
