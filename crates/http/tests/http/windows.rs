//! Clients over HTTP/2 that do not let their answers come, or ask for too much at once.

use std::time::Duration;

use sessile_http::{ApiConfig, Limits};

use crate::frames::{DATA, Frames, GOAWAY, HEADERS, NO_WINDOW, RST_STREAM, WINDOW_UPDATE, frame, get};
use crate::world::{World, config};

/// Short enough to wait for.
const SHORT: Duration = Duration::from_millis(100);
const GET: &str = "/sessions/v1/k";
/// The reason of a stream that was not looked at.
const REFUSED_STREAM: &[u8] = &[0, 0, 0, 7];

async fn world(limits: Limits) -> World {
    let world = World::with(config(), limits).await;
    assert_eq!(world.post("k", "", &vec![b'v'; 50_000]).await.status, 201);
    world
}

#[tokio::test]
async fn who_lets_no_answer_come_keeps_nobody_out_for_longer_than_the_write_timeout() {
    let world = world(Limits { max_connections: 2, write_timeout: SHORT, ..Limits::default() }).await;
    let mut greedy = Vec::new();
    for _ in 0..2 {
        let mut client = Frames::connect(world.address, &NO_WINDOW).await;
        client.send(&get(1, GET)).await;
        assert_eq!(client.status().await, (1, 200));
        greedy.push(client);
    }
    assert_eq!(world.get("k").await.status, 200, "the third is served");
    for client in &mut greedy {
        client.ends().await;
    }
    world.eventually("sessile_http_connections_closed_total", &["reason=\"write_timeout\""], 2.0).await;
    world.eventually("sessile_http_held_bytes", &["of=\"answers\""], 0.0).await;
}

#[tokio::test]
async fn who_takes_a_byte_now_and_then_takes_nothing() {
    let world = world(Limits { write_timeout: SHORT, ..Limits::default() }).await;
    let mut client = Frames::connect(world.address, &NO_WINDOW).await;
    client.send(&get(1, GET)).await;
    assert_eq!(client.status().await, (1, 200));
    let byte = frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes());
    let trickle = async {
        // The answer has 50,000 bytes, and a round trip takes longer than a microsecond.
        while client.send_until_refused(&byte).await {
            match client.next().await {
                Some(next) if next.kind == DATA => assert_eq!(next.payload.len(), 1),
                Some(_) => {}
                None => return,
            }
            tokio::time::sleep(SHORT / 50).await;
        }
    };
    trickle.await;
    world.eventually("sessile_http_connections_closed_total", &["reason=\"write_timeout\""], 1.0).await;
}

#[tokio::test]
async fn who_takes_its_answers_slowly_gets_all_of_them() {
    let world = world(Limits { write_timeout: 20 * SHORT, ..Limits::default() }).await;
    let mut client = Frames::connect(world.address, &NO_WINDOW).await;
    client.send(&get(1, GET)).await;
    assert_eq!(client.status().await, (1, 200));
    let mut taken = 0;
    for window in [10_000_u32, 16_384, 16_384, 7_231, 1] {
        client.send(&frame(WINDOW_UPDATE, 0, 1, &window.to_be_bytes())).await;
        let end = taken + usize::try_from(window).unwrap();
        while taken < end {
            taken += client.next_of(DATA).await.payload.len();
        }
    }
    assert_eq!(taken, 50_000);
    world.eventually("sessile_http_held_bytes", &["of=\"answers\""], 0.0).await;
    client.send(&get(3, "/livez")).await;
    assert_eq!(client.status().await, (3, 200), "and the connection goes on");
}

#[tokio::test]
async fn an_answer_that_is_given_up_does_not_take_the_others_of_its_connection_along() {
    let world = world(Limits { write_timeout: SHORT, ..Limits::default() }).await;
    let mut client = Frames::connect(world.address, &NO_WINDOW).await;
    client.send(&get(1, GET)).await;
    assert_eq!(client.status().await, (1, 200));
    world.arrivals(2).await;
    world.fake.shut_gate();
    client.send(&get(3, "/sessions/v1/none")).await;
    world.arrivals(1).await;
    client.next_of(GOAWAY).await;
    world.fake.open_gate();
    assert_eq!(client.status().await, (3, 404), "it is answered, and told to go elsewhere");
    client.ends().await;
}

#[tokio::test]
async fn one_connection_cannot_take_the_room_of_all_answers() {
    // One connection has an eighth of it.
    let config = ApiConfig { max_answer_bytes: 100_000, ..config() };
    let world = World::with(config, Limits::default()).await;
    assert_eq!(world.post("k", "", &[b'v'; 10_000]).await.status, 201);
    let mut greedy = Frames::connect(world.address, &NO_WINDOW).await;
    greedy.send(&get(1, GET)).await;
    assert_eq!(greedy.status().await, (1, 200));
    greedy.send(&get(3, GET)).await;
    assert_eq!(greedy.status().await.0, 3);
    assert_eq!(world.metric("http_requests_total", &["code=\"503\""]), 1.0);
    let mut other = Frames::connect(world.address, &[]).await;
    other.send(&get(1, GET)).await;
    assert_eq!(other.status().await, (1, 200), "there is room for others");
    world.eventually("sessile_http_held_bytes", &["of=\"answers\""], 10_000.0).await;
}

#[tokio::test]
async fn requests_beyond_all_that_there_may_be_are_refused_unread_and_everybody_has_a_few() {
    let world = World::with(config(), Limits { max_streams: 20, ..Limits::default() }).await;
    world.fake.shut_gate();
    let mut greedy = Frames::connect(world.address, &[]).await;
    let asked: Vec<u8> = (0..21).flat_map(|number| get(2 * number + 1, GET)).collect();
    greedy.send(&asked).await;
    world.arrivals(20).await;
    let refused = greedy.next_of(RST_STREAM).await;
    assert_eq!((refused.stream, &refused.payload[..]), (41, REFUSED_STREAM), "it may send that again");
    let mut other = Frames::connect(world.address, &[]).await;
    let asked: Vec<u8> = (0..5).flat_map(|number| get(2 * number + 1, GET)).collect();
    other.send(&asked).await;
    world.arrivals(4).await;
    assert_eq!(other.next_of(RST_STREAM).await.stream, 9);
    world.fake.open_gate();
    for _ in 0..4 {
        assert_eq!(other.status().await.1, 404);
    }
    for _ in 0..20 {
        assert_eq!(greedy.next_of(HEADERS).await.payload[0], 0x8d, "404");
    }
    greedy.send(&get(43, GET)).await;
    assert_eq!(greedy.status().await, (43, 404), "places are given back");
}

#[tokio::test]
async fn a_client_that_does_not_say_goodbye_makes_place_all_the_same() {
    let world = World::with(config(), Limits { max_connections: 1, ..Limits::default() }).await;
    let mut silent = Frames::connect(world.address, &[]).await;
    silent.send(&get(1, "/livez")).await;
    assert_eq!(silent.status().await, (1, 200));
    assert_eq!(world.request("GET", "/livez", "", b"").await.status, 200);
    silent.ends().await;
}

#[tokio::test]
async fn a_preface_in_pieces_begins_http_2_and_half_of_one_meets_the_header_deadline() {
    use tokio::io::AsyncWriteExt as _;
    let limits = Limits { header_timeout: SHORT, idle_timeout: 8 * SHORT, ..Limits::default() };
    let world = World::with(config(), limits).await;
    let preface = crate::frames::PREFACE;
    for pieces in [1, 2, 20, 23] {
        let mut stream = tokio::net::TcpStream::connect(world.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&preface[..pieces]).await.unwrap();
        // Whoever asks later is answered when the piece has been read.
        assert_eq!(world.request("GET", "/livez", "", b"").await.status, 200);
        stream.write_all(&preface[pieces..]).await.unwrap();
        let mut client = Frames::over(stream);
        client.send(&frame(crate::frames::SETTINGS, 0, 0, &[])).await;
        let begin = tokio::time::Instant::now();
        client.ends().await;
        assert!(begin.elapsed() >= 7 * SHORT, "the header's deadline is not for it: {:?}", begin.elapsed());
    }
    let mut half = world.client().await;
    half.send(&preface[..20]).await;
    assert!(half.is_closed().await);
    world.eventually("sessile_http_connections_closed_total", &["reason=\"header_timeout\""], 1.0).await;
}
