//! A list of seeds that leaves out who is silent, as one from a service that only knows who is up would.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};
use turmoil::net::TcpStream;

/// How long a seed may take to answer.
const PATIENCE: Duration = Duration::from_millis(250);

/// The seeds after a while, without the one that does not answer at a port then, if it is one.
pub(in crate::simulation) async fn without_a_silent_one(seeds: Vec<String>, port: u16, after: Duration) -> Vec<String> {
    sleep(after).await;
    let answers = |seed: &String| {
        let host = seed.split(':').next().unwrap_or_default().to_owned();
        async move { matches!(timeout(PATIENCE, TcpStream::connect((host.as_str(), port))).await, Ok(Ok(_))) }
    };
    let answered = join_all(seeds.iter().map(answers)).await;
    match answered.iter().filter(|answered| !**answered).count() {
        1 => seeds.into_iter().zip(answered).filter_map(|(seed, answered)| answered.then_some(seed)).collect(),
        _ => seeds,
    }
}
