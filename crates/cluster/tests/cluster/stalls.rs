//! Disks that do not answer for a while.

use std::time::Duration;

use sessile_cluster::{ClusterError, NodeConfig};
use sessile_core::{Action, Condition, Delete};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::stalling::{Need, STALLING, Stall};
use crate::support::*;

/// As many as need the disk at once: more than the runtime has threads, and more than may wait for a disk at a time.
const COLD: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_whose_disk_stalls_tells_how_it_is_and_others_go_on() {
    let mut cast = Cast::on(STALLING, 3, 3);
    cast.start_all();
    let status =
        cast.until("n1", "three voters", |status| voters(status).len() == 3 && !status.leader.is_empty()).await;
    let leader = status.leader;
    let slow = ["n1", "n2", "n3"].into_iter().find(|name| *name != leader).unwrap();
    let (on_leader, on_slow) = (cast.cluster(&leader).await, cast.cluster(slow).await);
    write(&on_leader, key(0), put(b"before")).await;
    assert!(read(&on_slow, &key(0)).await.is_some(), "it has applied that");

    let stall = Stall::of_writes(&cast.data_dir(slow));
    write(&on_leader, key(1), put(b"meanwhile")).await;
    eventually("its apply waits for its disk", async || stall.waiting() > 0).await;
    // What is scraped from it, asked of it, and reported by it.
    let scraped = on_slow.clone();
    let scraped = timeout(PATIENCE, tokio::task::spawn_blocking(move || scraped.status())).await;
    let scraped = scraped.expect("a scrape waits for no disk").unwrap();
    assert_eq!(scraped.counts.iter().map(|(_, _, tally)| tally.keys).sum::<u64>(), 1, "what it has applied");
    let asked = timeout(PATIENCE, cast.status(slow)).await.expect("neither does an operator's question");
    assert_eq!(asked.members.len(), 3);
    // It is heard of all the time: more lately than it has applied anything.
    eventually("the others hear from it for seconds while its disk stalls", async || {
        write(&on_leader, key(2), put(b"goes on")).await;
        assert_eq!(read(&on_leader, &key(2)).await.as_deref(), Some(&b"goes on"[..]));
        let status = cast.status(&leader).await;
        let member = status.members.iter().find(|member| member.name == slow).unwrap();
        member.behind_ms > 5_000 && member.last_contact_ms.is_some_and(|ago| ago < 3_000)
    })
    .await;
    assert!(stall.waiting() > 0, "it stalled all the while");
    drop(stall);
    assert_eq!(read(&on_slow, &key(1)).await.as_deref(), Some(&b"meanwhile"[..]), "and it catches up");
    eventually("it has caught up", async || {
        let status = cast.status(&leader).await;
        status.members.iter().all(|member| member.behind_ms < 5_000)
    })
    .await;
    for name in ["n1", "n2", "n3"] {
        cast.stop(name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_got_no_place_in_the_log_by_its_deadline_is_told_so_and_has_no_effect_later() {
    let dir = tempfile::tempdir().unwrap();
    let opening = try_open(dir.path(), STALLING).unwrap();
    let node = sessile_cluster::Node::start(opening, NodeConfig::new(dir.path().into()), None).await.unwrap();
    let cluster = node.cluster();
    write(cluster, key(0), put(b"before")).await;
    let stall = Stall::of_writes(dir.path());
    let put_by = |number, deadline| cluster.write(SESSIONS, key(number), Action::Put(put(b"late")), deadline);
    // The round that it is in ends when the disk goes on.
    let in_a_round = put_by(1, Instant::now() + Duration::from_millis(200));
    let others = async {
        eventually("a round waits for the disk", async || stall.waiting() > 0).await;
        let deadline = Instant::now() + Duration::from_millis(50);
        futures_util::future::join_all((2..10).map(|number| put_by(number, deadline))).await
    };
    let (first, others) = tokio::join!(in_a_round, others);
    assert_eq!(first, Err(ClusterError::OutcomeUnknown), "it is in the log");
    assert!(others.iter().all(|other| *other == Err(ClusterError::NoQuorum)), "{others:?}");
    drop(stall);
    write(cluster, key(10), put(b"after")).await;
    assert_eq!(read(cluster, &key(1)).await.as_deref(), Some(&b"late"[..]));
    for number in 2..10 {
        assert_eq!(read(cluster, &key(number)).await, None, "write {number} was told that it changed nothing");
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_another_member_is_not_put_into_the_log_after_its_deadline() {
    let mut cast = Cast::on(STALLING, 3, 3);
    cast.start_all();
    let status =
        cast.until("n1", "three voters", |status| voters(status).len() == 3 && !status.leader.is_empty()).await;
    let leader = status.leader;
    let follower = ["n1", "n2", "n3"].into_iter().find(|name| *name != leader).unwrap();
    let on_follower = cast.cluster(follower).await;
    write(&on_follower, key(0), put(b"before")).await;
    let stall = Stall::of_writes(&cast.data_dir(&leader));
    let put_by = |number, deadline| on_follower.write(SESSIONS, key(number), Action::Put(put(b"late")), deadline);
    let in_a_round = put_by(1, Instant::now() + Duration::from_millis(600));
    let others = async {
        eventually("a round waits for the leader's disk", async || stall.waiting() > 0).await;
        let deadline = Instant::now() + Duration::from_millis(300);
        futures_util::future::join_all((2..10).map(|number| put_by(number, deadline))).await
    };
    let (_, others) = tokio::join!(in_a_round, others);
    drop(stall);
    write(&on_follower, key(10), put(b"after")).await;
    for (other, number) in others.iter().zip(2..10) {
        let found = read(&on_follower, &key(number)).await;
        // It may have got into a round in time, which ended too late.
        assert!(
            found.is_none() || *other == Err(ClusterError::OutcomeUnknown),
            "write {number} has an effect: {other:?}"
        );
    }
    for name in ["n1", "n2", "n3"] {
        cast.stop(name).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_wait_for_the_disk_hold_up_none_that_memory_answers() {
    let dir = tempfile::tempdir().unwrap();
    let open = || try_open(dir.path(), STALLING).unwrap();
    let start = async || sessile_cluster::Node::start(open(), NodeConfig::new(dir.path().into()), None).await.unwrap();
    let node = start().await;
    for number in 0..=COLD {
        write(node.cluster(), key(number), put(b"kept")).await;
    }
    node.stop().await.unwrap();
    // Nothing is in memory but what is read.
    let node = start().await;
    assert_eq!(read(node.cluster(), &key(0)).await.as_deref(), Some(&b"kept"[..]));
    let stall = Stall::of_reads(dir.path());
    let mut cold = JoinSet::new();
    for number in 1..=COLD {
        let cluster = node.cluster().clone();
        cold.spawn(async move { read(&cluster, &key(number)).await });
    }
    eventually("they wait for the disk", async || stall.waiting() > 1).await;
    assert_eq!(read(node.cluster(), &key(0)).await.as_deref(), Some(&b"kept"[..]), "from memory");
    let soon = Instant::now() + Duration::from_millis(50);
    let given_up = node.cluster().read(SESSIONS, &key(1), soon).await;
    assert!(
        matches!(given_up, Err(ClusterError::Overloaded | ClusterError::NoQuorum)),
        "a request has its deadline: {given_up:?}"
    );
    drop(stall);
    assert!(cold.join_all().await.iter().all(|found| found.as_deref() == Some(&b"kept"[..])));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_receives_a_state_says_so_and_how_much_it_has() {
    let mut cast = Cast::on(STALLING, 3, 2);
    let purging = |config: &mut NodeConfig| {
        (config.persist_after, config.keep_entries) = (Duration::from_millis(100), 1);
        config.keep_log_for = Duration::ZERO;
    };
    ["n1", "n2"].into_iter().for_each(|name| cast.start_with(name, purging));
    cast.until("n1", "two voters", |status| voters(status).len() == 2 && !status.leader.is_empty()).await;
    let cluster = cast.cluster("n1").await;
    for number in 0..10 {
        write(&cluster, key(number), put(&[7; 100_000])).await;
    }
    eventually("the log's beginning is gone", async || cluster.status().log_bytes < 500_000).await;
    let stall = Stall::of_fills(&cast.data_dir("n3"));
    cast.start("n3");
    let receives = async || {
        let status = cast.status("n1").await;
        status
            .members
            .iter()
            .any(|member| member.name == "n3" && member.receiving_bytes.is_some_and(|bytes| bytes > 900_000))
    };
    eventually("it tells how much it has received", receives).await;
    assert_eq!(stall.waiting(), 1);
    drop(stall);
    cast.until("n1", "it has it", |status| voters(status).len() == 3).await;
    eventually("and receives nothing any more", async || {
        cast.status("n1").await.members.iter().all(|member| member.receiving_bytes.is_none())
    })
    .await;
    for name in ["n1", "n2", "n3"] {
        cast.stop(name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_stop_before_a_merge_has_no_room_and_come_back_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    let opening = try_open(dir.path(), STALLING).unwrap();
    let node = sessile_cluster::Node::start(opening, NodeConfig::new(dir.path().into()), None).await.unwrap();
    let cluster = node.cluster();
    let tried = || cluster.write(SESSIONS, key(1), Action::Put(put(b"there")), deadline());
    let enough = Need::default();
    let large_merge = Need { reserve_bytes: u64::MAX, ..enough };
    let over_quota = Need { is_refused: true, ..enough };
    for (need, says) in [(large_merge, "the disk is nearly full"), (over_quota, "the file system refuses room")] {
        tried().await.unwrap();
        need.is_of(dir.path());
        eventually("writes are refused", async || tried().await == Err(ClusterError::StorageFull)).await;
        let status = cluster.status();
        assert!(status.disk_nearly_full && status.disk_low && status.disk_limit_bytes == need.reserve_bytes);
        assert!(status.alerts.iter().any(|alert| alert.starts_with(says)), "{:?}", status.alerts);
        let delete = Action::Delete(Delete { condition: Condition::None, take: false });
        cluster.write(SESSIONS, key(1), delete, deadline()).await.unwrap();
        assert_eq!(read(cluster, &key(1)).await, None, "what makes room goes on");
        enough.is_of(dir.path());
        eventually("writes come back by themselves", async || tried().await.is_ok()).await;
        assert!(cluster.status().alerts.is_empty(), "{:?}", cluster.status().alerts);
    }
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_the_reserve_is_for_the_clock_and_not_for_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let opening = try_open(dir.path(), STALLING).unwrap();
    let node = sessile_cluster::Node::start(opening, NodeConfig::new(dir.path().into()), None).await.unwrap();
    let cluster = node.cluster();
    write(cluster, key(1), put(b"there")).await;
    let delete = || {
        cluster.write(SESSIONS, key(2), Action::Delete(Delete { condition: Condition::None, take: false }), deadline())
    };
    Need { is_refused: true, is_exhausted: true, ..Need::default() }.is_of(dir.path());
    eventually("deletes are refused", async || delete().await == Err(ClusterError::StorageExhausted)).await;
    let status = cluster.status();
    assert!(status.alerts.iter().any(|alert| alert.contains("writes and deletes are refused")), "{:?}", status.alerts);
    assert_eq!(read(cluster, &key(1)).await.as_deref(), Some(&b"there"[..]), "reads go on");
    let before = status.clock;
    eventually("and so does the clock, by which sessions end", async || cluster.status().clock > before).await;
    Need { is_refused: true, ..Need::default() }.is_of(dir.path());
    eventually("deletes come back by themselves", async || delete().await.is_ok()).await;
    node.stop().await.unwrap();
}
