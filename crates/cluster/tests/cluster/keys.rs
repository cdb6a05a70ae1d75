//! By which keys members recognise each other.

use std::fs;
use std::time::Duration;

use sessile_cluster::{Cluster, Node, NodeConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::support::{Cast, PATIENCE, deadline, eventually, key, open, put, read, voters, write};

const KEY: &str = "KEY";
const NAMES: [&str; 3] = ["n1", "n2", "n3"];

async fn formed() -> Cast {
    let mut cast = Cast::new(3, 3);
    cast.start_all();
    for name in NAMES {
        cast.cluster(name).await;
        cast.until(name, "all three vote", |status| voters(status) == NAMES).await;
    }
    cast
}

async fn is_ready(cluster: &Cluster) {
    eventually("it is ready", async || cluster.ready(deadline()).await.is_ok()).await;
}

/// How often a node refused somebody for that reason.
fn refused(cluster: &Cluster, reason: &str) -> u64 {
    cluster.status().refusals.iter().find(|count| count.reason == reason).unwrap().here
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_lost_its_key_does_not_start_and_says_what_to_do() {
    let mut cast = formed().await;
    cast.stop("n1").await;
    let path = cast.data_dir("n1").join(KEY);
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let refusal = cast.start_refused("n1", |_| {}).await;
    assert!(refusal.contains("KEY is lost") && refusal.contains("--discard-data-and-rejoin"), "{refusal}");
    assert!(!path.exists(), "nothing is made anew");
    fs::write(&path, kept).unwrap();
    cast.start("n1");
    is_ready(&cast.cluster("n1").await).await;
}

/// Its data directory is its own, and its key is that of another member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_another_members_key_is_refused_and_comes_back_with_its_own() {
    let mut cast = formed().await;
    cast.stop("n1").await;
    let path = cast.data_dir("n1").join(KEY);
    let kept = fs::read(&path).unwrap();
    fs::copy(cast.data_dir("n2").join(KEY), &path).unwrap();
    cast.start("n1");
    let (wrong, other) = (cast.cluster("n1").await, cast.cluster("n2").await);
    eventually("the others refuse it", async || refused(&other, "wrong_key") > 0).await;
    assert!(wrong.ready(Instant::now() + Duration::from_millis(300)).await.is_err(), "it is no member to anybody");
    is_ready(&other).await;
    drop((wrong, other));
    cast.stop("n1").await;
    fs::write(&path, kept).unwrap();
    cast.start("n1");
    is_ready(&cast.cluster("n1").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_changed_through_the_log_and_the_old_one_is_refused() {
    let mut cast = formed().await;
    for name in NAMES {
        let path = cast.data_dir(name).join(KEY);
        let old = fs::read(&path).unwrap();
        let said = cast.admin("n2").await.rotate_key(Some(name)).await.unwrap();
        assert!(said.changed && said.what.starts_with(&format!("{name} is recognised by the key ")), "{said:?}");
        assert!(!said.what.contains(", "), "by one alone: {said:?}");
        assert_ne!(fs::read(&path).unwrap(), old);
        assert!(!cast.data_dir(name).join("NEXT_KEY").exists());
        let cluster = cast.cluster(name).await;
        write(&cluster, key(1), put(b"with a new key")).await;
        drop(cluster);
        cast.stop(name).await;
        cast.start(name);
        is_ready(&cast.cluster(name).await).await;

        // What somebody may have copied before.
        cast.stop(name).await;
        let new = fs::read(&path).unwrap();
        fs::write(&path, old).unwrap();
        cast.start(name);
        let other = cast.cluster(if name == "n3" { "n1" } else { "n3" }).await;
        let before = refused(&other, "wrong_key");
        eventually("the old key is refused", async || refused(&other, "wrong_key") > before).await;
        drop((other, cast.cluster(name).await));
        cast.stop(name).await;
        fs::write(&path, new).unwrap();
        cast.start(name);
        is_ready(&cast.cluster(name).await).await;
    }
    let cluster = cast.cluster("n1").await;
    assert!(read(&cluster, &key(1)).await.is_some());
}

/// It would refuse the new key, and if that member leads, nobody would tell it of another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_key_is_used_before_every_member_has_heard_of_it() {
    let mut cast = formed().await;
    cast.stop("n3").await;
    let path = cast.data_dir("n1").join(KEY);
    let old = fs::read(&path).unwrap();
    let refused = cast.admin("n1").await.rotate_key(None).await.unwrap_err();
    assert!(refused.text.starts_with("n3 has not heard yet of the new key"), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), old);
    cast.start("n3");
    is_ready(&cast.cluster("n3").await).await;
    cast.admin("n1").await.rotate_key(None).await.unwrap();
    assert_ne!(fs::read(&path).unwrap(), old);
    for name in NAMES {
        is_ready(&cast.cluster(name).await).await;
    }
}

/// Its cluster is of a time when there were no keys: here one that was alone and had no use for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_without_a_key_tells_it_and_the_door_closes_behind_it() {
    let mut cast = Cast::new(2, 1);
    let dir = cast.data_dir("n1");
    let alone = Node::start(open(&dir), NodeConfig::new(dir.clone()), None).await.unwrap();
    alone.stop().await.unwrap();
    cast.start("n1");
    let first = cast.cluster("n1").await;
    is_ready(&first).await;
    eventually("nothing is taken without TLS", async || !takes_plain(&cast.address("n1")).await).await;
    cast.start_with("n2", |config| config.peers.as_mut().unwrap().expect = None);
    is_ready(&cast.cluster("n2").await).await;
    assert_eq!((refused(&first, "wrong_key"), refused(&first, "token")), (0, 0));
}

/// Whether HTTP/2 without TLS is answered there.
async fn takes_plain(address: &str) -> bool {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut answer = [0; 1];
    timeout(PATIENCE, stream.read(&mut answer)).await.expect("an answer or an end").is_ok_and(|read| read > 0)
}
