//! What operators see, and what nobody may see.

use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use parking_lot::Mutex;
use prometheus::Registry;
use sessile_core::NamespaceId;
use sessile_http::{HttpMetrics, NO_REQUEST_ID, SECRET_TARGETS, SessionsError, router};
use tower::ServiceExt as _;
use tracing::Level;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::fake::{Fake, Trouble};
use crate::tokens::{READER, closed};
use crate::world::{BASE, World, config};

#[tokio::test]
async fn requests_are_counted_by_what_the_client_saw() {
    let world = World::new().await;
    world.post("k", "", b"v").await;
    world.get("k").await;
    world.get("k").await;
    world.request("HEAD", "/sessions/v1/absent", "", b"").await;
    world.request("PUT", "/sessions/v1/k", "", b"w").await;
    world.request("BREW", "/sessions/v1/k", "", b"").await;
    world.fake.be_in(Trouble::Error(|| SessionsError::NoQuorum));
    world.delete("k", "").await;
    world.request("GET", "/readyz", "", b"").await;
    for (code, method, count) in [
        ("201", "POST", 1.0),
        ("200", "GET", 2.0),
        ("404", "HEAD", 1.0),
        ("201", "PUT", 1.0),
        ("405", "OTHER", 1.0),
        ("503", "DELETE", 1.0),
    ] {
        let labels = [format!("code=\"{code}\""), format!("method=\"{method}\"")];
        let labels = labels.each_ref().map(String::as_str);
        world.eventually("http_requests_total", &labels, count).await;
        world.eventually("http_request_duration_seconds_count", &labels, count).await;
    }
    assert_eq!(world.metric("sessile_http_requests_aborted_total", &[]), 0.0);
    assert_eq!(world.metric("http_requests_total", &[]), 7.0, "and nothing else, /readyz's 503 least of all");

    let metrics = world.request("GET", "/metrics", "", b"").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4"));
    let buckets: Vec<_> = metrics
        .text()
        .lines()
        .filter(|line| line.starts_with("http_request_duration_seconds_bucket{code=\"201\",method=\"POST\""))
        .map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap())
        .collect();
    assert_eq!(buckets, ["0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "+Inf"]);
}

#[tokio::test]
async fn connections_are_counted() {
    let world = World::new().await;
    let first = world.client().await;
    let second = world.client().await;
    world.eventually("sessile_http_connections", &["listener=\"api\""], 2.0).await;
    drop((first, second));
    world.eventually("sessile_http_connections", &["listener=\"api\""], 0.0).await;
    assert_eq!(world.metric("sessile_http_connections_accepted_total", &["listener=\"api\""]), 2.0);
    assert_eq!(world.metric("sessile_http_connections_closed_total", &["reason=\"done\""]), 2.0);
}

/// Where a test's log goes.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    /// Everything at `TRACE`, but what a program is told to hold back. Only for this thread, which is this test's.
    fn install(&self) -> tracing::subscriber::DefaultGuard {
        let sink = self.clone();
        let held_back = filter_fn(|metadata| {
            let target = metadata.target().split("::").next().unwrap_or("");
            *metadata.level() <= Level::WARN || !SECRET_TARGETS.contains(&target)
        });
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || sink.clone());
        tracing::subscriber::set_default(tracing_subscriber::registry().with(layer.with_filter(held_back)))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

#[tokio::test]
async fn no_key_and_no_value_is_ever_logged_or_counted() {
    let sink = Sink::default();
    let _guard = sink.install();
    let world = World::new().await;
    let key = "enwiki:MWSession:topsecretkey";
    let value = b"topsecretvalue";
    let target = format!("{BASE}{key}");
    let tag = world.post(key, "TTL: 60\r\nX-Request-ID: the-id\r\n", value).await.header("etag").unwrap().to_owned();
    let encoded = key.replace(':', "%3A");
    for (method, target, headers, body) in [
        ("GET", target.as_str(), "", &b""[..]),
        ("HEAD", &target, "", b""),
        ("PUT", &target, "If-None-Match: *\r\n", value),
        ("PUT", &target, &format!("If-Match: {tag}\r\n"), value),
        ("PUT", &target, "TTL: topsecretvalue\r\n", value),
        ("PUT", &target, "If-Match: topsecretvalue\r\n", value),
        ("PATCH", &target, "", value),
        ("TOPSECRETKEY", &target, "", b""),
        ("GET", &format!("{BASE}{encoded}"), "", b""),
        ("GET", &format!("{target}?topsecretkey"), "", b""),
        ("GET", &format!("{target}%zz"), "", b""),
        ("GET", &format!("{target}%ff"), "", b""),
        ("GET", &format!("{target}%2Fx"), "", b""),
        ("GET", &format!("{target}{}", "x".repeat(1024)), "", b""),
        ("POST", &target, "", &b"topsecretvalue".repeat(100_000)),
        ("POST", &target, "", b""),
        ("DELETE", &target, "Prefer: return=representation\r\n", b""),
        ("DELETE", &target, "", b""),
    ] {
        world.request(method, target, headers, body).await;
    }
    let troubles: [Trouble; 4] = [
        Trouble::Error(|| SessionsError::NoQuorum),
        Trouble::Error(|| SessionsError::StorageFull),
        Trouble::Error(|| SessionsError::Internal("the story of the defect".into())),
        Trouble::Panic,
    ];
    for trouble in troubles {
        world.fake.be_in(trouble);
        world.request("GET", &target, "X-Request-ID: the-id\r\n", b"").await;
        world.request("POST", &target, "X-Request-ID: no good id\r\n", value).await;
        world.request("DELETE", &target, "", b"").await;
    }
    for broken in
        [format!("GET {target} topsecretkey\r\n\r\n"), format!("GET {target} HTTP/1.1\r\ntopsecretkey\r\n\r\n")]
    {
        let mut client = world.client().await;
        client.send(broken).await;
        assert_eq!(client.answer().await.status, 400);
    }
    let mut short = world.client().await;
    short.send(format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ntopsecretvalue")).await;
    short.close_sending_half().await;
    assert_eq!(short.answer().await.status, 400);
    world.fake.be_in(None);
    world.fake.have(closed());
    for shown in ["Bearer topsecrettoken", "Basic topsecrettoken", "topsecrettoken", &format!("Bearer {READER}")] {
        world.request("GET", &target, &format!("Authorization: {shown}\r\n"), b"").await;
        world.request("POST", &target, &format!("Authorization: {shown}\r\n"), value).await;
    }

    let log = sink.text();
    for expected in ["the story of the defect", "panicked", "answered", "the TTL is no number", "sessile_http"] {
        assert!(log.contains(expected), "{expected} is missing: the log is not what this test takes it for");
    }
    let lowered = log.to_lowercase();
    assert!(!lowered.contains("topsecret"), "{}", lines_with(&log, "topsecret"));
    let metrics = world.request("GET", "/metrics", "", b"").await;
    assert!(!metrics.text().to_lowercase().contains("topsecret"));
}

fn lines_with(log: &str, what: &str) -> String {
    log.lines().filter(|line| line.to_lowercase().contains(what)).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn log_lines_carry_the_id_of_the_request() {
    let sink = Sink::default();
    let _guard = sink.install();
    let world = World::new().await;
    world.fake.be_in(Trouble::Error(|| SessionsError::Internal("first defect".into())));
    world.request("GET", "/sessions/v1/k", "X-Request-ID: 6ba7b810-9dad\r\n", b"").await;
    world.fake.be_in(Trouble::Error(|| SessionsError::Internal("second defect".into())));
    let answer = world.request("GET", "/sessions/v1/k", "", b"").await;
    assert_eq!(answer.header("x-request-id"), None, "Kask does not send it back");
    let log = sink.text();
    for (defect, id) in [("first defect", "6ba7b810-9dad"), ("second defect", NO_REQUEST_ID)] {
        let line = log.lines().find(|line| line.contains("ERROR") && line.contains(defect)).unwrap();
        assert!(line.contains(&format!("request_id=\"{id}\"")), "{line}");
    }
}

/// What a line of the log says in that field.
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, value) = line.split_once(&format!(" {name}=")).unwrap_or_else(|| panic!("{name} is missing: {line}"));
    value.split(' ').next().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_slow_request_is_told_with_a_keyed_hash_in_the_place_of_its_key() {
    let sink = Sink::default();
    let _guard = sink.install();
    let (fake, metrics) = (Fake::new(), HttpMetrics::register(&Registry::new()).unwrap());
    let router = router(Arc::clone(&fake), config(), metrics.clone(), String::new);
    let get = async |target: &str| {
        let request = Request::get(target).header("X-Request-ID", "the-id").body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    };
    assert_eq!(get("/sessions/v1/enwiki:topsecret").await, 404);
    assert!(!sink.text().contains("was slow"), "{}", sink.text());
    fake.be_in(Trouble::Silence);
    for key in ["enwiki:topsecret", "enwiki%3Atopsecret", "enwiki:topsecret2"] {
        assert_eq!(get(&format!("{BASE}{key}")).await, 503);
    }
    let log = sink.text();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("a request was slow")).collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (name, value) in
        [("method", "\"GET\""), ("namespace", "\"sessions\""), ("status", "503"), ("request_id", "\"the-id\"")]
    {
        assert_eq!(field(lines[0], name), value, "{}", lines[0]);
    }
    assert!(lines[0].contains("WARN") && field(lines[0], "took_ms").parse::<u64>().unwrap() >= 2_000, "{}", lines[0]);
    let hashes: Vec<&str> = lines.iter().map(|line| field(line, "key_hash")).collect();
    assert!(hashes[0] == hashes[1] && hashes[0] != hashes[2], "{hashes:?}");
    assert!(!log.contains("topsecret"), "{}", lines_with(&log, "topsecret"));
    assert_eq!(metrics.namespace_requests(NamespaceId::SESSIONS), [4, 0, 0, 0]);
}
