//! What members hold for each other and for strangers has a bound.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use sessile_cluster::{Cluster, ClusterError, NodeConfig, QueueBytes};
use sessile_core::{Action, Condition, Put, Ttl};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant};

use crate::support::*;

const ALL: [&str; 3] = ["n1", "n2", "n3"];

async fn three(change: fn(&mut NodeConfig)) -> (Cast, Vec<Cluster>) {
    let mut cast = Cast::new(3, 3);
    ALL.iter().for_each(|name| cast.start_with(name, change));
    let mut clusters = Vec::new();
    for name in ALL {
        clusters.push(cast.cluster(name).await);
    }
    for name in ALL {
        cast.until(name, "three voters, ready", |status| voters(status) == ALL && status.ready).await;
    }
    (cast, clusters)
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_of_a_few_kilobytes_slow_writes_down_and_lose_none() {
    const WRITES: usize = 60;
    let (_cast, clusters) = three(|config| {
        config.queues = QueueBytes { proposals: 4_096, forwarded: 4_096, replicated: 256 << 10 };
    })
    .await;
    // Values that fill the queues, and every tenth one that is larger than all of one.
    let value = |number: usize| vec![b'v'; if number.is_multiple_of(10) { 9_000 } else { 3_000 } + number];
    let writes = (0..WRITES).map(|number| {
        let put = Put { value: value(number).into(), ttl: Ttl::FOREVER, condition: Condition::None };
        clusters[number % 3].write(SESSIONS, key(number), Action::Put(put), deadline())
    });
    for written in join_all(writes).await {
        written.unwrap();
    }
    for number in 0..WRITES {
        let found = read(&clusters[(number + 1) % 3], &key(number)).await;
        assert_eq!(found.map(|found| found.len()), Some(value(number).len()), "{number}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_more_large_values_than_there_is_time_for_each_is_stored_or_refused_without_a_trace() {
    const WRITES: usize = 120;
    let (_cast, clusters) = three(|_| {}).await;
    let written = join_all((0..WRITES).map(|number| {
        let put = Put { value: vec![b'v'; 1 << 20].into(), ttl: Ttl::FOREVER, condition: Condition::None };
        let deadline = Instant::now() + Duration::from_millis(500);
        clusters[number % 3].write(SESSIONS, key(number), Action::Put(put), deadline)
    }))
    .await;
    for (number, written) in written.iter().enumerate() {
        let found = read(&clusters[(number + 1) % 3], &key(number)).await;
        match written {
            Ok(_) => assert!(found.is_some(), "{number}"),
            Err(ClusterError::OutcomeUnknown) => {}
            Err(_) => assert_eq!(found, None, "{number} was told that it changed nothing"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_that_keep_connections_to_a_member_keep_nobody_out() {
    const PLACES: usize = 64;
    const STRANGERS: usize = 200;
    let (cast, clusters) = three(|config| config.max_connections = PLACES).await;
    let mut strangers = Vec::new();
    for name in ALL {
        for _ in 0..STRANGERS {
            strangers.push(TcpStream::connect(cast.address(name)).await.unwrap());
        }
    }
    for (number, cluster) in clusters.iter().enumerate() {
        write(cluster, key(number), put(b"here")).await;
        for other in &clusters {
            assert_eq!(read(other, &key(number)).await.as_deref(), Some(&b"here"[..]));
        }
    }
    // Whoever is new is let in, however many there are; and the members know each other still.
    for name in ALL {
        cast.until(name, "three voters, ready", |status| voters(status) == ALL && status.ready).await;
    }
    // So many had to make room at least; the others still have theirs, and say nothing.
    let closed: FuturesUnordered<_> = strangers.iter_mut().map(ends).collect();
    let enough = closed.take(3 * (STRANGERS - PLACES)).count();
    tokio::time::timeout(PATIENCE, enough).await.expect("strangers make room");
}

/// Returns when the other side has closed that connection.
async fn ends(stranger: &mut TcpStream) {
    while matches!(stranger.read(&mut [0; 64]).await, Ok(1..)) {}
}
