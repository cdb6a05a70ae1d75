//! Clocks that are wrong, and an operator's word for time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sessile_cluster::admin::{AdminErrorKind, SetTimeRequest, StatusResponse};
use sessile_cluster::{ClusterError, Node, Uptime, WallClock};
use sessile_core::{Action, LogTime, Put, RulesVersion, Ttl};
use tokio::time::Instant;

use crate::support::*;

/// 2026-11-30T00:53:20Z, in milliseconds since the Unix epoch.
const NOW: u64 = 1_796_000_000_000;
const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// How long a write that must be refused is waited for.
const REFUSED_WITHIN: Duration = Duration::from_millis(500);

/// Members add to a clock how old its report is, so the time of several goes a little ahead of hands that stand still.
fn is_about(shown: u64, meant: u64) -> bool {
    (meant..meant + 5_000).contains(&shown)
}

/// A wall clock that shows what a test says, and stands still.
#[derive(Clone)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn at(millis: u64) -> Self {
        Self(Arc::new(AtomicU64::new(millis)))
    }

    fn shows(&self, millis: u64) {
        self.0.store(millis, Ordering::Relaxed);
    }

    fn clock(&self) -> WallClock {
        let shown = self.0.clone();
        WallClock::new(move || LogTime::from_millis(shown.load(Ordering::Relaxed)))
    }
}

async fn alone(dir: &Path, hand: &Hand) -> Node {
    let clock = hand.clock();
    start(dir, |config| config.wall_clock = clock).await
}

/// Waits until a node that is alone says that.
async fn says(node: &Node, what: &str) -> StatusResponse {
    eventually(what, async || node.cluster().status().alerts.iter().any(|alert| alert.contains(what))).await;
    node.cluster().cluster_status().await
}

fn lives(seconds: u64) -> Put {
    Put { ttl: Ttl::from_secs(seconds).unwrap(), ..put(b"v") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_a_year_ahead_is_told_as_soon_as_the_clock_is_right() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Hand::at(NOW + 365 * DAY);
    let node = alone(dir.path(), &hand).await;
    write(node.cluster(), key(1), lives(3)).await;
    assert_eq!(node.cluster().status().alerts, Vec::<String>::new(), "nobody can know yet");
    hand.shows(NOW);
    says(&node, "the cluster's time is 31536000 s ahead of its members' clocks").await;
    node.stop().await.unwrap();
    let node = alone(dir.path(), &hand).await;
    says(&node, "ahead of its members' clocks").await;
    assert!(read(node.cluster(), &key(1)).await.is_some(), "it was promised to live for a while");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_start_in_1970_is_told_at_once_and_the_jump_to_the_right_time_too() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Hand::at(10_000);
    let node = alone(dir.path(), &hand).await;
    says(&node, "shows 1970-01-01T00:00:10Z, when this program was not written yet").await;
    write(node.cluster(), key(1), lives(86_400)).await;
    hand.shows(NOW);
    let status = says(&node, "went forward by 1795999990 s at once").await;
    assert!(!status.alerts.iter().any(|alert| alert.contains("1970-01-01T00:00:10Z, when")), "{:?}", status.alerts);
    let jump = status.clock_jump.unwrap();
    assert_eq!((jump.from_ms, jump.to_ms, jump.ordered), (10_000, NOW, false));
    assert_eq!(node.cluster().status().clock_jump, Some(Duration::from_millis(NOW - 10_000)));
    // Told as soon as it is stamped, a moment before it is applied.
    eventually("what had less time left has ended", async || read(node.cluster(), &key(1)).await.is_none()).await;
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_was_a_day_behind_before_a_restart_is_told_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = alone(dir.path(), &Hand::at(NOW - DAY)).await;
    write(node.cluster(), key(1), lives(3_600)).await;
    node.stop().await.unwrap();
    let node = alone(dir.path(), &Hand::at(NOW)).await;
    let status = says(&node, "went forward by 86400 s at once, from 2026-11-29T").await;
    assert_eq!(status.clock_jump.map(|jump| (jump.from_ms, jump.to_ms)), Some((NOW - DAY, NOW)));
    node.stop().await.unwrap();
}

/// A machine that was off for a night is no reason to call anybody; a clock that was set while nothing ran is.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_was_off_for_is_no_jump_of_its_clock_and_what_it_ran_on_for_is_known() {
    for (boot, uptime_hours, is_told) in [("first", 9, false), ("first", 1, true), ("second", 1, false)] {
        let dir = tempfile::tempdir().unwrap();
        let on = |boot: &'static str, hours| {
            move || Some(Uptime { boot: boot.to_owned(), lasts: Duration::from_millis(hours * HOUR) })
        };
        let clock = Hand::at(NOW).clock().on(on("first", 1));
        let node = start(dir.path(), |config| config.wall_clock = clock).await;
        write(node.cluster(), key(1), lives(60)).await;
        eventually("it has noted that it runs", async || dir.path().join("MOMENT").exists()).await;
        node.stop().await.unwrap();
        let clock = Hand::at(NOW + 8 * HOUR).clock().on(on(boot, uptime_hours));
        let node = start(dir.path(), |config| config.wall_clock = clock).await;
        eventually("the session has ended", async || read(node.cluster(), &key(1)).await.is_none()).await;
        let jump = node.cluster().status().clock_jump;
        assert_eq!(jump.is_some(), is_told, "{boot} {uptime_hours}: {jump:?}");
        node.stop().await.unwrap();
    }
}

const ALL: [&str; 3] = ["n1", "n2", "n3"];

/// Three nodes with clocks that are set by hand.
struct ByHand {
    cast: Cast,
    hands: [Hand; 3],
}

impl ByHand {
    async fn formed() -> Self {
        let mut cluster = Self { cast: Cast::new(3, 3), hands: ALL.map(|_| Hand::at(NOW)) };
        ALL.iter().for_each(|name| cluster.start(name));
        for name in ALL {
            cluster.cast.until(name, "three voters, ready", |status| voters(status) == ALL && status.ready).await;
        }
        cluster
    }

    fn start(&mut self, name: &str) {
        let number = ALL.iter().position(|known| *known == name).unwrap();
        let clock = self.hands[number].clock();
        self.cast.start_with(name, |config| config.wall_clock = clock);
    }

    async fn set_time(&self, at: &str, to_ms: Option<u64>, force: bool) -> Result<(bool, u64, u64, String), String> {
        let request = SetTimeRequest { to_ms, force, only_asks: false };
        match self.cast.admin(at).await.set_time(request).await {
            Ok(answer) => Ok((answer.changed, answer.to_ms, answer.ends, answer.what)),
            Err(error) => {
                assert_eq!(error.kind, AdminErrorKind::Refused, "{error}");
                Err(error.text)
            }
        }
    }
}

fn told(status: &StatusResponse, what: &str) -> bool {
    status.alerts.iter().any(|alert| alert.contains(what))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_outage_time_waits_for_clocks_that_agree_or_an_operators_word_and_writes_are_told_so() {
    let mut cluster = ByHand::formed().await;
    let before = cluster.cast.cluster("n1").await;
    write(&before, key(1), lives(3_600)).await;
    write(&before, key(2), lives(86_400)).await;
    drop(before);
    for name in ALL {
        cluster.cast.stop(name).await;
    }
    cluster.hands[0].shows(NOW + 2 * HOUR);
    cluster.hands[1].shows(NOW + 2 * HOUR + 5 * MINUTE);
    let back = ["n1", "n2"];
    back.iter().for_each(|name| cluster.start(name));
    for name in back {
        let waits = |status: &StatusResponse| {
            status.clock_wants_ms.is_some_and(|wanted| is_about(wanted, NOW + 2 * HOUR))
                && told(status, "decide with `sessile cluster set-time`")
        };
        let status = cluster.cast.until(name, "time waits, and it says so", waits).await;
        assert!(!status.ready, "it takes no write");
        let member = cluster.cast.cluster(name).await;
        assert!(member.status().clock_waits);
        let write = member.write(SESSIONS, key(3), Action::Put(lives(60)), Instant::now() + REFUSED_WITHIN).await;
        assert_eq!(write.unwrap_err(), ClusterError::TimeWaits, "at {name}");
        let ready = member.ready(Instant::now() + REFUSED_WITHIN).await;
        assert_eq!(ready, Err(ClusterError::TimeWaits), "at {name}, for the same reason");
        assert!(read(&member, &key(1)).await.is_some(), "reads go on");
    }

    let (changed, to, ends, what) = cluster.set_time("n2", None, false).await.unwrap();
    assert!(changed && is_about(to, NOW + 2 * HOUR) && ends == 1, "{what}");
    assert!(what.contains("went forward by 7") && what.contains("about 1 sessions ended"), "{what}");
    for name in back {
        let moved = |status: &StatusResponse| {
            let ordered = status.clock_jump.is_some_and(|jump| jump.ordered && is_about(jump.to_ms, NOW + 2 * HOUR));
            status.ready && ordered && told(status, "an operator moved the cluster's time forward by 7")
        };
        cluster.cast.until(name, "time goes on, and why is told", moved).await;
        let member = cluster.cast.cluster(name).await;
        write(&member, key(3), lives(60)).await;
        assert!(read(&member, &key(1)).await.is_none() && read(&member, &key(2)).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_moves_time_forward_and_never_back_and_is_told_what_stands_still() {
    let cluster = ByHand::formed().await;
    let has_begun = |status: &StatusResponse| is_about(status.clock_ms, NOW);
    cluster.cast.until("n1", "time has begun", has_begun).await;
    let (changed, _, _, what) = cluster.set_time("n1", None, false).await.unwrap();
    assert!(!changed && what == "the cluster's time goes with its members' clocks", "{what}");

    let past = cluster.set_time("n1", Some(NOW - HOUR), true).await.unwrap_err();
    assert!(past.contains("is 2026-11-30T") && past.contains("never goes back to 2026-11-29T"), "{past}");
    let far = cluster.set_time("n2", Some(NOW + 3 * DAY), false).await.unwrap_err();
    assert!(far.contains(" s ahead of every member's clock, more than 86400 s") && far.contains("--force"), "{far}");
    assert!(has_begun(&cluster.cast.status("n2").await), "nothing was changed");

    let asked = SetTimeRequest { to_ms: Some(NOW + HOUR), force: false, only_asks: true };
    let would = cluster.cast.admin("n3").await.set_time(asked).await.unwrap();
    assert!(would.changed && would.what.contains("would go forward by 3"), "{would:?}");
    assert!(has_begun(&cluster.cast.status("n3").await), "it was only asked");

    let keeps_history = |status: &StatusResponse| status.rules >= RulesVersion::HISTORY.number();
    cluster.cast.until("n1", "it keeps a history", keeps_history).await;
    let (changed, to, _, what) = cluster.set_time("n3", Some(NOW + 3 * DAY), true).await.unwrap();
    assert!(changed && to == NOW + 3 * DAY, "{what}");
    assert!(what.contains(" s ahead of the members' clocks: until they reach it, no session expires"), "{what}");
    let recorded = |status: &StatusResponse| status.recent_changes.iter().any(|change| change.what == "set the time");
    cluster.cast.until("n2", "the history tells of it", recorded).await;
    let (changed, _, _, what) = cluster.set_time("n1", None, false).await.unwrap();
    assert!(!changed && what.contains("stands still until they have reached it"), "{what}");
    for name in ALL {
        cluster
            .cast
            .until(name, "it says why nothing expires", |status| told(status, " s ahead of its members' clocks"))
            .await;
    }
    cluster.hands.iter().for_each(|hand| hand.shows(NOW + 3 * DAY + MINUTE));
    cluster.cast.until("n2", "time goes on", |status| is_about(status.clock_ms, NOW + 3 * DAY + MINUTE)).await;
}
