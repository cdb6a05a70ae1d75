//! Clients that begin a TLS handshake and do not go on.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::version::TLS13;
use sessile_http::Limits;

use crate::certificates::{NAME, Place, client_config, connect, get, pair, world};
use crate::client::Client;

/// How many in all, and how many of them are begun before somebody comes who goes on.
const COUNT: usize = 10_000;
const LOT: usize = 500;
/// The most that the server has open.
const AT_ONCE: f64 = 1_024.0;

#[tokio::test]
async fn ten_thousand_half_open_handshakes_hinder_nobody() {
    let _alone = crate::ALONE.lock().await;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let pair = pair();
    let limits = Limits { header_timeout: Duration::from_secs(3600), ..Limits::default() };
    let world = world(&Place::with(&pair).load(), limits).await;
    let (mut open, mut begun) = (Vec::new(), 0_usize);
    // This process may have both ends of a few thousand open.
    for lot in 0..COUNT / LOT {
        let mut half_open = Vec::new();
        for number in 0..LOT {
            let mut client = Client::connect(world.address).await;
            // Half of them have begun to say hello.
            if number % 2 == 0 {
                client.send_until_refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
            }
            half_open.push(client);
            begun += 1;
        }
        open.push(half_open);
        let mut stream = connect(world.address, client_config(&pair.der, &TLS13, None), NAME).await.unwrap();
        assert_eq!(get(&mut stream).await.unwrap(), "HTTP/1.1 200 OK", "{lot}");
        #[allow(clippy::cast_precision_loss)]
        let accepted = (begun + lot + 1) as f64;
        world.eventually("sessile_http_connections_accepted_total", &[], accepted).await;
        assert!(world.metric("sessile_http_connections", &[]) <= AT_ONCE + 21.0);
        if open.len() > 3 {
            open.remove(0);
        }
    }
    assert!(world.metric("sessile_http_connections_closed_total", &["reason=\"evicted\""]) > 7_000.0);
}
