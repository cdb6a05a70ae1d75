//! Clients that are broken, slow or many.

use std::time::Duration;

use sessile_http::{ApiConfig, Limits, MAX_HEADER_BYTES};

use crate::client::Client;
use crate::world::{BASE, World, config};

/// Short enough to wait for, where a test waits for the server to lose patience.
const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_body_shorter_than_declared_stores_nothing() {
    let world = World::new().await;
    for headers in ["Content-Length: 10\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\na\r\n"] {
        let mut client = world.client().await;
        client.send(format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\n{headers}short")).await;
        client.close_sending_half().await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.kind().as_str()), (400, "bad_request"));
        assert!(client.is_closed().await);
    }
    let mut client = world.client().await;
    client.send(format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nshort")).await;
    drop(client);
    world.eventually("sessile_http_connections", &[], 0.0).await;
    assert_eq!(world.fake.stored(), 0);
}

#[tokio::test]
async fn a_malformed_chunked_body_stores_nothing() {
    let world = World::new().await;
    let mut client = world.client().await;
    client
        .send(format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n"))
        .await;
    assert_eq!(client.answer().await.status, 400);
    assert!(client.is_closed().await);
    assert_eq!(world.fake.stored(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_in_time_is_not_waited_for() {
    let world = World::with(ApiConfig { body_timeout: SHORT, ..config() }, Limits::default()).await;
    for headers in ["Content-Length: 10\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\na\r\n"] {
        let mut client = world.client().await;
        client.send(format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\n{headers}slow")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.kind().as_str()), (408, "request_timeout"));
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.is_closed().await);
    }
    assert_eq!(world.fake.stored(), 0);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_is_sent_arrives_whole() {
    let world = World::new().await;
    // More than fits into the sockets' buffers: a server that just closed would reset the connection.
    let body = vec![b'v'; 12 << 20];
    let mut client = world.client().await;
    client.send(format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len())).await;
    client.send(&body).await;
    assert_eq!(client.answer().await.kind(), "payload_too_large");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_header_that_does_not_become_whole_in_time_ends_the_connection() {
    let limits = Limits { header_timeout: SHORT, ..Limits::default() };
    let world = World::with(config(), limits).await;
    let request = format!("GET {BASE}k HTTP/1.1\r\nHost: x\r\n\r\n");
    let halves = ["G", "POS", &request[..10], &request[..request.len() - 2]];
    for half in halves {
        let mut client = world.client().await;
        client.send(half).await;
        assert!(client.is_closed().await, "{half}");
        // Also after a request that was fine.
        let mut client = world.client().await;
        client.send(&request).await;
        assert_eq!(client.answer().await.status, 404);
        client.send(half).await;
        assert!(client.is_closed().await, "{half}");
    }
    #[allow(clippy::cast_precision_loss)]
    let ended = 2.0 * halves.len() as f64;
    world.eventually("sessile_http_connections_closed_total", &["reason=\"header_timeout\""], ended).await;
}

#[tokio::test]
async fn a_header_that_drips_in_has_no_more_time_than_one_that_stands_still() {
    let world = World::with(config(), Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let mut client = world.client().await;
    let drip = async {
        loop {
            client.send_until_refused(b"x").await;
            if world.metric("sessile_http_connections_closed_total", &["reason=\"header_timeout\""]) == 1.0 {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::client::PATIENCE, drip).await.expect("the connection outlives its header's deadline");
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_deadline_and_ends_at_its_own() {
    let limits = Limits { header_timeout: SHORT, idle_timeout: 8 * SHORT, ..Limits::default() };
    let world = World::with(config(), limits).await;
    let start = tokio::time::Instant::now();
    let mut used = world.client().await;
    used.request("GET", "/sessions/v1/k", "", b"").await;
    let mut unused = world.client().await;
    assert!(used.is_closed().await && unused.is_closed().await);
    assert!(start.elapsed() >= 8 * SHORT, "{:?}", start.elapsed());
    world.eventually("sessile_http_connections_closed_total", &["reason=\"idle\""], 2.0).await;
}

#[tokio::test]
async fn a_request_under_way_is_not_idle() {
    let limits = Limits { header_timeout: SHORT, idle_timeout: SHORT, ..Limits::default() };
    let world = World::with(config(), limits).await;
    world.fake.shut_gate();
    let mut client = world.client().await;
    client.send(format!("GET {BASE}k HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    world.arrivals(1).await;
    // Another connection goes through its whole idle time meanwhile, begun later.
    assert!(world.client().await.is_closed().await);
    world.fake.open_gate();
    assert_eq!(client.answer().await.status, 404);
}

#[tokio::test]
async fn a_client_that_takes_no_answer_is_left() {
    let limits = Limits { write_timeout: SHORT, ..Limits::default() };
    let world = World::with(config(), limits).await;
    world.post("k", "", &vec![b'v'; 1 << 20]).await;
    let mut client = world.client().await;
    let request = format!("GET {BASE}k HTTP/1.1\r\nHost: x\r\n\r\n");
    client.send(request.repeat(20)).await;
    world.eventually("sessile_http_connections_closed_total", &["reason=\"write_timeout\""], 1.0).await;
}

#[tokio::test]
async fn what_is_no_http_ends_its_connection_and_nothing_else() {
    let world = World::new().await;
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(101));
    let large = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(MAX_HEADER_BYTES));
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "k".repeat(MAX_HEADER_BYTES));
    for (what, bytes, status) in [
        ("garbage", "\u{1}\u{2}\u{3}\r\n\r\n", 400),
        ("no version", "GET /\r\n\r\n", 400),
        ("a version to come", "GET / HTTP/9.9\r\n\r\n", 400),
        ("a header without a colon", "GET / HTTP/1.1\r\nabc\r\n\r\n", 400),
        ("a target with a space", "GET /a b HTTP/1.1\r\n\r\n", 400),
        ("two lengths", "POST /sessions/v1/k HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nvv", 400),
        ("a negative length", "POST /sessions/v1/k HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        ("an unknown coding", "POST /sessions/v1/k HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\nv", 400),
        ("too many headers", &many, 431),
        ("too large a header", &large, 431),
        ("too long a target", &target, 431),
    ] {
        let mut client = world.client().await;
        client.send_until_refused(bytes.as_bytes()).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{what}");
        assert!(client.is_closed().await, "{what}");
    }
    assert_eq!(world.fake.stored(), 0);
    assert_eq!(world.get("k").await.status, 404, "the server goes on");
    world.eventually("sessile_http_connections_closed_total", &["reason=\"malformed\""], 11.0).await;
}

#[tokio::test]
async fn a_body_beside_a_length_and_a_coding_cannot_smuggle_a_request() {
    let world = World::new().await;
    let mut client = world.client().await;
    client
        .send(format!(
            "POST {BASE}k HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nv\r\n0\r\n\r\n"
        ))
        .await;
    let answer = client.answer_to("POST").await;
    // Chunked wins (RFC 9112, 6.3), or it is refused; either way it is one request.
    assert!(answer.is_some_and(|answer| answer.status == 201 || answer.status == 400));
    let stored = world.get("k").await;
    assert!(stored.status == 404 || stored.body == b"v");
}

#[tokio::test]
async fn ten_thousand_idle_connections_do_not_hinder_the_next_client() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    // Both ends are in this process, and the other tests need some descriptors too.
    let room = maximum.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap()).saturating_sub(1_000) / 2;
    let count = room.min(10_000);
    if count < 10_000 {
        println!("only {count} connections: the hard limit on open files is {maximum:?}");
    }
    let world = World::new().await;
    world.post("k", "", b"v").await;
    let mut idle = Vec::with_capacity(count);
    for number in 0..count {
        let mut client = Client::connect(world.address).await;
        if number % 2 == 0 {
            assert_eq!(client.request("GET", "/sessions/v1/k", "", b"").await.body, b"v");
        }
        idle.push(client);
    }
    #[allow(clippy::cast_precision_loss)]
    world.eventually("sessile_http_connections", &[], count as f64).await;
    let mut next = world.client().await;
    for _ in 0..100 {
        assert_eq!(next.request("GET", "/sessions/v1/k", "", b"").await.body, b"v");
    }
    for client in idle.iter_mut().step_by(500) {
        assert_eq!(client.request("GET", "/sessions/v1/k", "", b"").await.body, b"v", "and they are still served");
    }
}

#[tokio::test]
async fn bytes_that_should_have_been_percent_encoded_are_a_key_or_are_refused() {
    let world = World::new().await;
    world.post("%C3%A4", "", b"umlaut").await;
    for (key, status) in [(&b"\xc3\xa4"[..], 200), (b"\xff", 400), (b"a\x00b", 400), (b"a\x7fb", 400)] {
        let mut client = world.client().await;
        client.send([&b"GET /sessions/v1/"[..], key, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat()).await;
        assert_eq!(client.answer().await.status, status, "{key:?}");
    }
}
