//! HTTP/2 with prior knowledge, on the same port.

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sessile_http::{ApiConfig, Drained, Limits};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::client::PATIENCE;
use crate::world::{World, config};

/// Method, target, body; the status, and how the answer's body begins.
type Exchange<'a> = (&'a str, &'a str, &'a [u8], u16, &'a [u8]);
type Sender = SendRequest<Full<Bytes>>;

async fn connect(world: &World) -> (Sender, JoinSet<hyper::Result<()>>) {
    let io = TokioIo::new(TcpStream::connect(world.address).await.unwrap());
    let (sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    (sender, driver)
}

fn request(method: &str, target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let uri = format!("http://x{target}");
    Request::builder().method(method).uri(uri).version(Version::HTTP_2).body(Full::new(body.into())).unwrap()
}

async fn whole(answer: impl Future<Output = hyper::Result<Response<hyper::body::Incoming>>>) -> (u16, Bytes) {
    let answer = tokio::time::timeout(PATIENCE, answer).await.expect("the server is silent").unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
    assert!(answer.headers().get("cache-control").unwrap().to_str().unwrap().starts_with("no-store"));
    assert_eq!(answer.headers().get("connection"), None);
    (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn http_2_speaks_the_same_contract() {
    let world = World::new().await;
    let (mut sender, _driver) = connect(&world).await;
    let large = vec![b'v'; 1 << 20];
    let table: [Exchange; 12] = [
        ("GET", "/sessions/v1/a%3Ab", b"", 404, b"{"),
        ("POST", "/sessions/v1/a%3Ab", b"value", 201, b""),
        ("GET", "/sessions/v1/a:b", b"", 200, b"value"),
        ("HEAD", "/sessions/v1/a:b", b"", 200, b""),
        ("POST", "/sessions/v1/k", b"", 400, b"{"),
        ("PUT", "/sessions/v1/k", &large, 201, b""),
        ("GET", "/sessions/v1/k", b"", 200, &large),
        ("GET", "/sessions/v1/k?x", b"", 400, b"{"),
        ("GET", "/sessions/v1/a%2Fb", b"", 404, b"{"),
        ("LINK", "/sessions/v1/k", b"", 405, b"{"),
        ("DELETE", "/sessions/v1/k", b"", 204, b""),
        ("GET", "/livez", b"", 200, b"The process is running.\n"),
    ];
    for (method, target, body, status, start) in table {
        let answer = whole(sender.send_request(request(method, target, body.to_vec()))).await;
        assert_eq!(answer.0, status, "{method} {target}");
        assert!(answer.1.starts_with(start), "{method} {target}");
        assert!(!start.is_empty() || answer.1.is_empty(), "{method} {target}");
    }
    let answer = whole(sender.send_request(request("POST", "/sessions/v1/k", vec![b'v'; (1 << 20) + 1]))).await;
    assert_eq!(answer.0, 413);
}

#[tokio::test]
async fn an_answer_keeps_its_room_until_its_client_has_taken_it() {
    // Larger than what a client lets come before it looks at it.
    const VALUE: usize = 16 << 20;
    let config = ApiConfig { max_value_bytes: VALUE, ..config() };
    let world = World::with(config, Limits::default()).await;
    assert_eq!(world.post("k", "", &vec![b'v'; VALUE]).await.status, 201);
    let (mut sender, _driver) = connect(&world).await;
    let answer = sender.send_request(request("GET", "/sessions/v1/k", "")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let held = ["of=\"answers\""];
    world.eventually("sessile_http_held_bytes", &held, VALUE as f64).await;
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes().len(), VALUE);
    world.eventually("sessile_http_held_bytes", &held, 0.0).await;
}

#[tokio::test]
async fn streams_do_not_wait_for_each_other_and_are_drained() {
    let mut world = World::new().await;
    let (mut sender, _driver) = connect(&world).await;
    world.fake.shut_gate();
    let waiting: Vec<_> =
        (0..50).map(|n| sender.send_request(request("POST", &format!("/sessions/v1/{n}"), "v"))).collect();
    world.arrivals(50).await;
    assert_eq!(whole(sender.send_request(request("GET", "/livez", ""))).await.0, 200);
    world.shutdown.cancel();
    world.fake.open_gate();
    for answer in waiting {
        assert_eq!(whole(answer).await.0, 201);
    }
    drop(sender);
    assert_eq!(world.drained().await, Drained { cut_off: 0 });
    assert_eq!(world.fake.stored(), 50);
}

#[tokio::test]
async fn an_idle_http_2_connection_outlives_the_header_deadline() {
    let short = std::time::Duration::from_millis(50);
    let limits = Limits { header_timeout: short, idle_timeout: 8 * short, ..Limits::default() };
    let world = World::with(config(), limits).await;
    let start = tokio::time::Instant::now();
    let (_sender, mut driver) = connect(&world).await;
    let _ = tokio::time::timeout(PATIENCE, driver.join_next()).await.expect("the connection is never closed");
    assert!(start.elapsed() >= 8 * short, "{:?}", start.elapsed());
}

#[tokio::test]
async fn what_an_http_2_client_never_ends_is_cut_off() {
    let limits = Limits { drain: std::time::Duration::from_millis(50), ..Limits::default() };
    let mut world = World::with(config(), limits).await;
    world.fake.shut_gate();
    let (mut sender, _driver) = connect(&world).await;
    let waiting = sender.send_request(request("GET", "/sessions/v1/k", ""));
    world.arrivals(1).await;
    world.shutdown.cancel();
    assert_eq!(world.drained().await, Drained { cut_off: 1 });
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn a_request_whose_client_left_counts_as_aborted_and_nothing_else() {
    let world = World::new().await;
    world.fake.shut_gate();
    let (mut sender, _driver) = connect(&world).await;
    let waiting = sender.send_request(request("GET", "/sessions/v1/k", ""));
    world.arrivals(1).await;
    drop(waiting);
    world.eventually("sessile_http_requests_aborted_total", &["method=\"GET\""], 1.0).await;
    assert_eq!(world.metric("http_requests_total", &[]), 0.0);
}
