//! Where one request ends and the next begins, what HTTP forbids in it, and clients that go before their answer.

use std::time::Duration;

use sessile_http::Limits;

use crate::world::{BASE, World, config};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn a_target_with_a_number_sign_is_refused_and_no_other_key_is_meant() {
    let world = World::new().await;
    world.post("a", "", b"value").await;
    let table = ["/sessions/v1/a#b", "/sessions/v1/#", "http://x/sessions/v1/a#", "/livez#x", "/#"];
    for target in table {
        for method in ["GET", "DELETE", "HEAD"] {
            let mut client = world.client().await;
            client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
            let answer = client.answer_to(method).await.unwrap();
            assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{method} {target}");
            assert!(client.is_closed().await);
        }
    }
    let mut client = world.client().await;
    let fine = format!("GET {BASE}a HTTP/1.1\r\nHost: x\r\nX: #\r\n\r\n");
    client.send(format!("{fine}{fine}DELETE {BASE}a#b HTTP/1.1\r\nHost: x\r\n\r\n{fine}")).await;
    for status in [200, 200, 400] {
        assert_eq!(client.answer().await.status, status, "also behind others");
    }
    assert!(client.is_closed().await);
    assert_eq!(world.get("a").await.status, 200);
    world.eventually("sessile_http_connections_closed_total", &["reason=\"malformed\""], 16.0).await;
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let world = World::new().await;
    for (head, status) in [
        ("GET /livez HTTP/1.1\r\n", 400),
        ("GET /livez HTTP/1.1\r\nHost: x\r\nHost: x\r\n", 400),
        ("GET /livez HTTP/1.0\r\nHost: x\r\nHost: y\r\n", 400),
        ("GET http://x/livez HTTP/1.1\r\n", 400),
        ("GET /livez HTTP/1.1\r\nhost:\r\n", 200),
        ("GET /livez HTTP/1.0\r\n", 200),
        ("GET http://x/livez HTTP/1.1\r\nHost: y\r\n", 200),
    ] {
        let mut client = world.client().await;
        client.send(format!("{head}\r\n")).await;
        assert_eq!(client.answer().await.status, status, "{head:?}");
        assert!(status == 200 || client.is_closed().await, "{head:?}");
    }
}

#[tokio::test]
async fn half_a_header_behind_another_request_meets_the_header_deadline() {
    let world = World::with(config(), Limits { header_timeout: SHORT, ..Limits::default() }).await;
    let (get, post) = (format!("GET {BASE}k HTTP/1.1\r\nHost: x\r\n"), format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\n"));
    let firsts = [
        format!("{get}\r\n"),
        format!("{post}Content-Length: 6\r\n\r\n12\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\n\r\n3;a\r\n\r\n1\r\n0\r\n\r\n"),
    ];
    let mut ended = 0.0;
    for first in &firsts {
        for half in ["G", "GET / HTTP/1.1\r\n", "\r\n"] {
            let mut client = world.client().await;
            client.send(format!("{first}{half}")).await;
            assert!([404, 200, 201].contains(&client.answer().await.status));
            assert!(client.is_closed().await, "{first:?} {half:?}");
            ended += 1.0;
        }
    }
    world.eventually("sessile_http_connections_closed_total", &["reason=\"header_timeout\""], ended).await;
    // Its time begins with the answer before it.
    world.fake.shut_gate();
    let mut client = world.client().await;
    client.send(format!("{get}\r\nGET")).await;
    world.arrivals(10).await;
    // As long as it takes another one, which came later, to meet the deadline.
    let mut later = world.client().await;
    later.send("GET").await;
    assert!(later.is_closed().await);
    world.fake.open_gate();
    assert_eq!(client.answer().await.status, 200);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn requests_sent_at_once_are_answered_in_turn_however_they_are_cut() {
    let world = World::new().await;
    let all = format!(
        "POST {BASE}k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\none\
         GET {BASE}k HTTP/1.1\r\nHost: x\r\n\r\n\r\n\
         POST {BASE}k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nt\r\n2\r\nwo\r\n0\r\n\r\n\
         GET {BASE}k HTTP/1.1\nHost: x\n\nDELETE {BASE}k HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n##"
    );
    for piece in [1, 2, 3, 7, 60, 100, all.len()] {
        let mut client = world.client().await;
        for piece in all.as_bytes().chunks(piece) {
            client.send(piece).await;
            tokio::task::yield_now().await;
        }
        for (status, body) in [(201, ""), (200, "one"), (201, ""), (200, "two"), (204, "")] {
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.text()), (status, body), "{piece}");
        }
        assert_eq!(client.request("GET", "/sessions/v1/k", "", b"").await.status, 404);
    }
}

#[tokio::test]
async fn a_request_whose_client_has_gone_is_dropped() {
    let world = World::with(config(), Limits { leave_timeout: SHORT, ..Limits::default() }).await;
    world.fake.shut_gate();
    for (number, body) in [(1.0, ""), (2.0, "Content-Length: 1\r\n")] {
        let mut client = world.client().await;
        let value = if body.is_empty() { "" } else { "v" };
        let method = if body.is_empty() { "GET" } else { "POST" };
        client.send(format!("{method} {BASE}k HTTP/1.1\r\nHost: x\r\n{body}\r\n{value}")).await;
        world.arrivals(1).await;
        drop(client);
        world.eventually("sessile_http_requests_aborted_total", &[], number).await;
        world.eventually("sessile_http_connections_closed_total", &["reason=\"left\""], number).await;
    }
    world.fake.open_gate();
    assert_eq!(world.get("k").await.status, 404);
    assert_eq!(world.fake.stored(), 0, "nothing is written for nobody");
}
