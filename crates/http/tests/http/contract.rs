//! KASK.md, line by line.

use std::time::Duration;

use sessile_core::{Ttl, TtlPolicy};
use sessile_http::{ApiConfig, BaseUri, Limits};

use crate::world::{BASE, World, config};

#[tokio::test]
async fn what_was_posted_is_read_back_until_it_is_deleted() {
    let world = World::new().await;
    let mut client = world.client().await;
    let target = format!("{BASE}enwiki%3AMWSession%3A0123");
    assert_eq!(client.request("GET", &target, "", b"").await.status, 404);

    let stored = client.request("POST", &target, "", b"PHP..a:0:{}").await;
    assert_eq!((stored.status, stored.header("content-length"), stored.body.len()), (201, Some("0"), 0));
    assert_eq!(stored.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(stored.header("ttl"), Some("86400"));
    assert_eq!(stored.header("content-type"), None);

    let read = client.request("GET", &target, "", b"").await;
    assert_eq!((read.status, read.body.as_slice()), (200, &b"PHP..a:0:{}"[..]));
    assert_eq!(read.header("content-type"), Some("application/octet-stream"));
    assert_eq!(read.header("content-length"), Some("11"));
    assert_eq!(read.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(read.header("etag"), stored.header("etag"));

    let deleted = client.request("DELETE", &target, "", b"").await;
    assert_eq!((deleted.status, deleted.header("content-length"), deleted.body.len()), (204, None, 0));
    assert_eq!(deleted.header("cache-control"), Some("no-store, no-transform"));
    assert_eq!(client.request("GET", &target, "", b"").await.status, 404);
    assert_eq!(client.request("DELETE", &target, "", b"").await.status, 204, "also when absent");
}

#[tokio::test]
async fn bytes_come_back_as_they_were() {
    let world = World::new().await;
    let value: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    assert_eq!(world.post("k", "", &value).await.status, 201);
    assert_eq!(world.get("k").await.body, value);
}

#[tokio::test]
async fn put_is_post() {
    let world = World::new().await;
    let stored = world.request("PUT", "/sessions/v1/k", "", b"v").await;
    assert_eq!((stored.status, stored.header("content-length")), (201, Some("0")));
    assert_eq!(world.get("k").await.body, b"v");
    let again = world.post("k", "", b"w").await;
    assert_eq!(again.status, 201, "an overwrite too");
    assert_eq!(world.get("k").await.body, b"w");
    assert_eq!(world.request("PUT", "/sessions/v1/k", "Content-Length: 0\r\n", b"").await.status, 400);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let world = World::new().await;
    world.post("k", "TTL: 100\r\n", b"value").await;
    for target in
        ["/sessions/v1/k", "/sessions/v1/absent", "/sessions/v1/k?x=1", "/sessions/v1/", "/healthz", "/openapi"]
    {
        let mut client = world.client().await;
        let mut get = client.request("GET", target, "", b"").await;
        let mut head = client.request("HEAD", target, "", b"").await;
        assert_eq!(head.body, b"", "{target}");
        assert_eq!(client.request("GET", "/livez", "", b"").await.status, 200, "{target}: the connection is in step");
        get.body.clear();
        get.headers.retain(|(name, _)| name != "date");
        head.headers.retain(|(name, _)| name != "date");
        assert_eq!(head, get, "{target}");
        assert!(head.header("content-length").is_some(), "{target}");
    }
}

#[tokio::test]
async fn an_empty_body_is_refused() {
    let world = World::new().await;
    for (headers, body) in
        [("", &b""[..]), ("Content-Length: 0\r\n", b""), ("Transfer-Encoding: chunked\r\n", b"0\r\n\r\n")]
    {
        let mut client = world.client().await;
        client.send(format!("POST {BASE}k HTTP/1.1\r\nHost: x\r\n{headers}\r\n")).await;
        client.send(body).await;
        assert_eq!(client.answer().await.status, 400, "{headers}");
    }
    assert_eq!(world.fake.stored(), 0);
}

#[tokio::test]
async fn a_query_string_is_refused_before_anything_else_is_looked_at() {
    let world = World::new().await;
    let long = format!("{BASE}{}?x", "k".repeat(1025));
    for (method, target) in [
        ("GET", "/sessions/v1/k?x=1"),
        ("GET", "/sessions/v1/k?x"),
        ("GET", "/sessions/v1/k??"),
        ("GET", "/sessions/v1/?x"),
        ("GET", "/elsewhere?x"),
        ("GET", "/sessions/v1/%zz?x"),
        ("GET", "/sessions/v1/a%2Fb?x"),
        ("GET", &long),
        ("BREW", "/sessions/v1/k?x"),
        ("POST", "/sessions/v1/k?x"),
        ("DELETE", "/sessions/v1/k?x"),
        ("GET", "http://host/sessions/v1/k?x"),
    ] {
        assert_eq!(world.request(method, target, "", b"").await.status, 400, "{method} {target}");
    }
    world.post("k", "", b"v").await;
    assert_eq!(world.get("k?").await.body, b"v", "a bare ? is none");
}

#[tokio::test]
async fn other_methods_are_told_which_are_allowed() {
    let world = World::new().await;
    for method in ["LINK", "OPTIONS", "TRACE", "BREW", "get"] {
        for target in ["/sessions/v1/k", "/sessions/v1/", "/sessions/v1/%zz", "/elsewhere"] {
            let answer = world.request(method, target, "", b"").await;
            assert_eq!((answer.status, answer.kind().as_str()), (405, "method_not_allowed"), "{method} {target}");
            assert_eq!(answer.header("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE"));
        }
    }
    assert_eq!(world.request("OPTIONS", "*", "", b"").await.status, 405);
    assert_eq!(world.request("CONNECT", "host:80", "", b"").await.status, 405);
    for method in ["POST", "DELETE", "PUT", "BREW"] {
        let answer = world.request(method, "/healthz", "", b"").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[tokio::test]
async fn keys_are_decoded_once() {
    let world = World::new().await;
    // What was stored under the first is found under the second, and not under the third.
    for (stored, same, other) in [
        ("enwiki:MWSession:1", "enwiki%3AMWSession%3A1", "enwiki%253AMWSession%253A1"),
        ("enwiki%3aMWSession%3a2", "enwiki:MWSession:2", "enwiki:mwsession:2"),
        ("a+b", "a%2Bb", "a%20b"),
        ("%C3%A4", "%c3%a4", "a"),
        ("%2525", "%2525", "%25"),
        (".", "%2E", ".%20"),
        ("..", "%2e.", "."),
        ("%00", "%00", "0"),
        ("a;b=c", "a%3Bb%3dc", "a"),
        ("%3F", "%3f", "%23"),
    ] {
        let value = stored.as_bytes();
        assert_eq!(world.post(stored, "", value).await.status, 201, "{stored}");
        assert_eq!(world.get(same).await.body, value, "{same}");
        assert_eq!(world.get(other).await.status, 404, "{other}");
        world.delete(same, "").await;
        assert_eq!(world.get(stored).await.status, 404, "{stored}");
    }
}

#[tokio::test]
async fn a_path_without_a_key_is_not_found() {
    let world = World::new().await;
    for method in ["GET", "POST", "PUT", "DELETE"] {
        for target in [
            "/sessions/v1/",
            "/sessions/v1",
            "/sessions/v1/a/b",
            "/sessions/v1/a/",
            "/sessions/v1//",
            "/sessions/v1/a%2Fb",
            "/sessions/v1/a%2fb",
            "/sessions/v1/%2F",
            "/sessions/v1/foo%2Fsessions%2Fv1%2Fbar",
            "/sessions/v1/foo/sessions/v1/bar",
            "/sessions/v2/k",
            "/Sessions/v1/k",
            "//sessions/v1/k",
            "/",
            "/elsewhere",
            "/healthz/k",
        ] {
            let answer = world.request(method, target, "", b"v").await;
            assert_eq!((answer.status, answer.kind().as_str()), (404, "not_found"), "{method} {target}");
        }
    }
    assert_eq!(world.fake.stored(), 0);
    // The base URI is looked for in the decoded path, as Kask does.
    world.post("k", "", b"v").await;
    assert_eq!(world.request("GET", "/%73essions%2Fv1/k", "", b"").await.body, b"v");
}

#[tokio::test]
async fn a_path_that_cannot_be_decoded_is_refused() {
    let world = World::new().await;
    for key in ["%", "%4", "a%", "%zz", "%4g", "%%41", "a%2", "%ff", "%C3", "%C3%28", "%ED%A0%80", "a%FFb"] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = world.request(method, &format!("{BASE}{key}"), "", b"v").await;
            assert_eq!((answer.status, answer.kind().as_str()), (400, "bad_request"), "{method} {key}");
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["instance"], format!("{BASE}{key}"), "as it came");
        }
    }
}

#[tokio::test]
async fn a_key_has_at_most_1024_bytes() {
    let world = World::new().await;
    for (bytes, status) in [(1, 201), (1023, 201), (1024, 201), (1025, 414), (4000, 414)] {
        let plain = "k".repeat(bytes);
        let encoded = "%6B".repeat(bytes);
        assert_eq!(world.post(&plain, "", b"v").await.status, status, "{bytes}");
        assert_eq!(world.post(&encoded, "", b"v").await.status, status, "{bytes}, encoded");
    }
    let umlauts = "%C3%A4".repeat(513);
    assert_eq!(world.get(&umlauts).await.kind(), "uri_too_long", "bytes count, not characters");
}

#[tokio::test]
async fn a_value_has_at_most_the_configured_size() {
    let max = 100_000;
    let world = World::with(ApiConfig { max_value_bytes: max, ..config() }, Limits::default()).await;
    for (bytes, status) in [(max - 1, 201), (max, 201), (max + 1, 413), (20 * max, 413)] {
        let value = vec![b'v'; bytes];
        let answer = world.post("k", "", &value).await;
        assert_eq!(answer.status, status, "{bytes}");
        if status == 413 {
            assert_eq!((answer.kind().as_str(), answer.header("connection")), ("payload_too_large", Some("close")));
        } else {
            assert_eq!(world.get("k").await.body.len(), bytes);
        }
        let mut client = world.client().await;
        client.send(format!("POST {BASE}c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
        for chunk in value.chunks(7_000) {
            client.send_until_refused(format!("{:x}\r\n", chunk.len()).as_bytes()).await;
            client.send_until_refused(chunk).await;
            client.send_until_refused(b"\r\n").await;
        }
        client.send_until_refused(b"0\r\n\r\n").await;
        assert_eq!(client.answer().await.status, status, "{bytes}, chunked");
    }
    assert_eq!(world.get("k").await.body.len(), max, "what was refused changed nothing");
}

#[tokio::test]
async fn the_default_limit_is_a_mebibyte() {
    let world = World::new().await;
    assert_eq!(world.post("k", "", &vec![0; 1 << 20]).await.status, 201);
    assert_eq!(world.post("k", "", &vec![0; (1 << 20) + 1]).await.status, 413);
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_hears_first_whether_it_is_worth_it() {
    let world = World::new().await;
    let head = |length: usize, target: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nExpect: 100-continue\r\n\r\n")
    };
    for (length, target, status) in [
        ((1 << 20) + 1, "/sessions/v1/k", 413),
        (5, "/sessions/v1/", 404),
        (5, "/sessions/v1/k?x", 400),
        (5, "/sessions/v1/%zz", 400),
    ] {
        let mut client = world.client().await;
        client.send(head(length, target)).await;
        assert_eq!(client.answer().await.status, status, "{target}");
    }
    let mut client = world.client().await;
    client.send(head(5, "/sessions/v1/k")).await;
    assert_eq!(client.answer().await.status, 100);
    client.send("value").await;
    assert_eq!(client.answer().await.status, 201);
    assert_eq!(world.get("k").await.body, b"value");
}

#[tokio::test]
async fn ttl_asks_for_a_lifetime_and_tells_what_is_left() {
    let world = World::new().await;
    assert_eq!(world.post("k", "TTL: 100\r\n", b"v").await.header("ttl"), Some("100"));
    world.fake.pass_time(Duration::from_millis(1));
    assert_eq!(world.get("k").await.header("ttl"), Some("99"), "rounded down");
    world.fake.pass_time(Duration::from_millis(99_500));
    assert_eq!(world.get("k").await.header("ttl"), Some("0"), "still there");
    world.fake.pass_time(Duration::from_millis(499));
    assert_eq!(world.get("k").await.status, 404);
}

#[tokio::test]
async fn ttl_is_cut_to_the_maximum_and_must_be_a_number() {
    let ttl = TtlPolicy::new(Ttl::from_secs(60).unwrap(), Ttl::from_secs(3600).unwrap()).unwrap();
    let world = World::with(ApiConfig { ttl, ..config() }, Limits::default()).await;
    let huge = "9".repeat(200);
    for (header, granted) in [
        ("", Some("60")),
        ("TTL: 1\r\n", Some("1")),
        ("TTL:   7  \r\n", Some("7")),
        ("ttl: 007\r\n", Some("7")),
        ("TTL: 3599\r\n", Some("3599")),
        ("TTL: 3600\r\n", Some("3600")),
        ("TTL: 3601\r\n", Some("3600")),
        ("TTL: 18446744073709551615\r\n", Some("3600")),
        ("TTL: 18446744073709551616\r\n", Some("3600")),
        (&format!("TTL: {huge}\r\n"), Some("3600")),
        ("TTL: 0\r\n", None),
        ("TTL: 000\r\n", None),
        ("TTL: -1\r\n", None),
        ("TTL: +1\r\n", None),
        ("TTL: 1.5\r\n", None),
        ("TTL: 1e3\r\n", None),
        ("TTL: 0x10\r\n", None),
        ("TTL: day\r\n", None),
        ("TTL: 10s\r\n", None),
        ("TTL: 1 2\r\n", None),
        ("TTL: 1, 2\r\n", None),
        ("TTL: \r\n", None),
        ("TTL:\r\n", None),
        ("TTL: \u{663}\r\n", None),
        ("TTL: 10\r\nTTL: 10\r\n", None),
    ] {
        let answer = world.post("k", header, b"v").await;
        let expected = if granted.is_some() { 201 } else { 400 };
        assert_eq!((answer.status, answer.header("ttl")), (expected, granted), "{header}");
    }
}

#[tokio::test]
async fn what_never_expires_has_no_ttl() {
    let forever = TtlPolicy::new(Ttl::FOREVER, Ttl::FOREVER).unwrap();
    let world = World::with(ApiConfig { ttl: forever, ..config() }, Limits::default()).await;
    assert_eq!(world.post("k", "", b"v").await.header("ttl"), None);
    world.fake.pass_time(Duration::from_secs(1 << 40));
    let read = world.get("k").await;
    assert_eq!((read.status, read.header("ttl")), (200, None));
    assert_eq!(world.post("k", "TTL: 5\r\n", b"v").await.header("ttl"), Some("5"));
}

#[tokio::test]
async fn the_base_uri_is_configured() {
    for (base, target) in [("/v1/", "/v1/k"), ("/", "/k"), ("/a/b/c", "/a/b/c/k")] {
        let config = ApiConfig { base_uri: BaseUri::new(base).unwrap(), ..config() };
        let world = World::with(config, Limits::default()).await;
        assert_eq!(world.request("POST", target, "", b"v").await.status, 201, "{base}");
        assert_eq!(world.request("GET", target, "", b"").await.body, b"v", "{base}");
        assert_eq!(world.request("GET", "/sessions/v1/k", "", b"").await.status, 404, "{base}");
        let health = world.request("GET", "/healthz", "", b"").await;
        assert_eq!(health.header("content-type"), Some("application/json"), "{base}: the endpoints win");
        assert_eq!(world.request("POST", "/healthz", "", b"v").await.status, 405, "{base}: the endpoints win");
    }
}

#[tokio::test]
async fn absolute_form_and_http_1_0_and_chunked_posts_work() {
    let world = World::new().await;
    let stored = world.request("POST", "http://elsewhere:1234/sessions/v1/k", "", b"v").await;
    assert_eq!(stored.status, 201);
    assert_eq!(world.request("GET", "http://elsewhere/sessions/v1/k", "", b"").await.body, b"v");
    let absent = world.request("GET", "http://elsewhere/sessions/v1/x%3Ay", "", b"").await;
    assert!(absent.text().contains("\"instance\": \"/sessions/v1/x:y\""), "{}", absent.text());

    let mut client = world.client().await;
    client.send("GET /sessions/v1/k HTTP/1.0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.version.as_str(), answer.status, answer.body.as_slice()), ("HTTP/1.0", 200, &b"v"[..]));
    assert!(client.is_closed().await, "HTTP/1.0 closes");
    let mut client = world.client().await;
    for _ in 0..2 {
        client.send("POST /sessions/v1/k HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nv").await;
        assert_eq!(client.answer().await.status, 201, "unless asked not to");
    }

    let mut client = world.client().await;
    client.send("POST /sessions/v1/c HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("2\r\nab\r\n3;extension=1\r\ncde\r\n0\r\nTrailer: x\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 201);
    assert_eq!(world.get("c").await.body, b"abcde");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let world = World::new().await;
    let mut client = world.client().await;
    client
        .send(
            "POST /sessions/v1/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\noneGET /sessions/v1/k HTTP/1.1\r\nHost: \
             x\r\n\r\nPUT /sessions/v1/k HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\ntwoGET /sessions/v1/k \
             HTTP/1.1\r\nHost: x\r\n\r\nDELETE /sessions/v1/k HTTP/1.1\r\nHost: x\r\n\r\nGET /sessions/v1/k \
             HTTP/1.1\r\nHost: x\r\n\r\n",
        )
        .await;
    for (status, body) in [(201, ""), (200, "one"), (201, ""), (200, "two"), (204, "")] {
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (status, body));
    }
    assert_eq!(client.answer().await.status, 404);
}

#[tokio::test]
async fn a_client_may_close_its_half_after_its_request() {
    let limits = Limits { leave_timeout: crate::client::PATIENCE, ..Limits::default() };
    let world = World::with(config(), limits).await;
    world.fake.shut_gate();
    let mut client = world.client().await;
    client.send("POST /sessions/v1/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nv").await;
    client.close_sending_half().await;
    world.arrivals(1).await;
    world.fake.open_gate();
    assert_eq!(client.answer().await.status, 201);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn readiness_follows_the_store_and_liveness_does_not() {
    use crate::fake::Trouble;
    use sessile_http::SessionsError;
    let world = World::new().await;
    assert_eq!(world.request("GET", "/readyz?verbose", "", b"").await.status, 200);
    world.fake.be_in(Trouble::Error(|| SessionsError::NoQuorum));
    let answer = world.request("GET", "/readyz", "", b"").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.text().contains("could not reach a majority"), "{}", answer.text());
    assert_eq!(world.request("GET", "/livez", "", b"").await.status, 200);
    assert_eq!(world.request("GET", "/healthz", "", b"").await.status, 200);
    world.fake.be_in(None);
    assert_eq!(world.request("HEAD", "/readyz", "", b"").await.status, 200);
}
