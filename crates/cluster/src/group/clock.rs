use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use sessile_core::{LogTime, Stamp, stamp};
use sessile_store::{Moment, NodeId};
use tokio::time::Instant;
use tracing::{info, warn};

use super::clock_jump::{ClockJump, LEAST};
use crate::wall_clock::{Uptime, WallClock};

/// Shows the clocks of the other members.
pub(crate) trait OtherClocks: Send + Sync {
    /// What the clocks of those show now, as far as that is known.
    fn fresh(&self, of: &BTreeSet<NodeId>) -> Vec<LogTime>;
}

/// What the leader stamps entries with. Stamps never go back, not even within what is proposed and not yet applied.
pub(crate) struct LeaderClock {
    last: Mutex<Last>,
    seen: Mutex<Option<Seen>>,
    jump: Mutex<Option<ClockJump>>,
    wall: WallClock,
}

/// How far this node's clock may be ahead of a time that stands still before nothing is stamped with it any more.
const STANDS_STILL: Duration = Duration::from_secs(5);
/// How long a stamp serves for all entries: time in the log is for lifetimes of seconds.
const STAMP_SERVES: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Last {
    stamped: LogTime,
    /// The time that is waited with, because no majority of the clocks agrees on it.
    held: Option<LogTime>,
    /// When it was made.
    at: Option<Instant>,
}

/// How far the replicated clock has come, and when this process saw it come there: what it goes forward afterwards is no jump
/// as far as as much time has gone by.
#[derive(Default)]
struct Seen {
    reached: LogTime,
    /// `None` for what it had reached when this process started, unless it is known when that was.
    at: Option<Instant>,
    /// How long before that it had reached it, while this program did not run.
    before: Duration,
    /// Whether the machine has been off since it had reached that, and nobody knows for how long.
    was_off: bool,
}

impl LeaderClock {
    pub(crate) fn new(wall: WallClock) -> Self {
        Self { last: Mutex::default(), seen: Mutex::default(), jump: Mutex::default(), wall }
    }

    /// This process starts: the log has reached that time, and this node last noted so much.
    ///
    /// If the machine has run since then, it knows for how long, whatever was done to its clock. If it was off, nothing that
    /// it has could tell a clock that was set meanwhile from one that went on.
    pub(crate) fn starts(&self, reached: LogTime, noted: Option<Moment>) {
        let mut seen = Seen { reached, ..Seen::default() };
        if let (Some(Moment { boot, uptime_ms, reached_ms }), Some(uptime)) = (noted, self.wall.uptime()) {
            // In a container the machine may seem to start with it.
            let ran_on = uptime.lasts.checked_sub(Duration::from_millis(uptime_ms)).filter(|_| boot == uptime.boot);
            match ran_on {
                Some(went_by) => {
                    let came_further = reached.since(LogTime::from_millis(reached_ms));
                    (seen.at, seen.before) = (Some(Instant::now()), went_by.saturating_sub(came_further));
                }
                None => seen.was_off = true,
            }
        }
        *self.seen.lock() = Some(seen);
    }

    /// What this node is to note now, for its next start; `None` where there is nothing to go by.
    pub(crate) fn moment(&self, reached: LogTime) -> Option<Moment> {
        let Uptime { boot, lasts } = self.wall.uptime().filter(|_| reached != LogTime::default())?;
        let uptime_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        Some(Moment { boot, uptime_ms, reached_ms: reached.as_millis() })
    }

    /// What the clocks want the time to be while it waits, because no majority agrees on it.
    pub(crate) fn held(&self) -> Option<LogTime> {
        self.last.lock().held
    }

    /// The newest stamp, if it is fresh enough to stand on one more entry.
    pub(crate) fn fresh_stamp(&self, reached: LogTime) -> Option<LogTime> {
        let last = self.last.lock();
        let fresh = last.at.is_some_and(|at| at.elapsed() < STAMP_SERVES);
        (fresh && last.stamped >= reached && last.stamped != LogTime::default()).then_some(last.stamped)
    }

    /// The stamp for the next entry, after what the log has reached, by this node's clock and the fresh ones of the other
    /// voters. While a majority of the clocks is not known, time stands still: one clock alone must not move it. `None`
    /// when it has stood still for long, waits for clocks that agree, or has not begun: what would be stamped with it would
    /// have expired when it goes on.
    pub(crate) fn stamp(&self, reached: LogTime, mut others: Vec<LogTime>, voters: usize) -> Option<LogTime> {
        self.sees(reached);
        let mut last = self.last.lock();
        let previous = last.stamped.max(reached);
        let own = self.wall.now();
        others.push(own);
        let majority_is_known = others.len() > voters / 2;
        // What is stamped long before its time would have expired when time goes on.
        if !majority_is_known && own.since(previous) > STANDS_STILL {
            return None;
        }
        let next = if majority_is_known { stamp(previous, &others, voters) } else { Stamp::At(previous) };
        match next {
            Stamp::Held { at, wanted } => {
                if last.held.is_none() {
                    warn!(%at, %wanted, "the members' clocks want a jump that no majority agrees on; the replicated clock \
                           waits until they do, or until an operator decides with `sessile cluster set-time`");
                }
                *last = Last { stamped: previous, held: Some(wanted), at: None };
                None
            }
            Stamp::At(at) => {
                if majority_is_known {
                    self.goes(previous, at, voters);
                }
                *last = Last { stamped: at, held: None, at: Some(Instant::now()) };
                (at != LogTime::default()).then_some(at)
            }
        }
    }

    /// The log has reached that time, as this node sees it.
    pub(crate) fn sees(&self, reached: LogTime) {
        let mut seen = self.seen.lock();
        match &*seen {
            None => *seen = Some(Seen { reached, ..Seen::default() }),
            Some(last) if reached > last.reached => {
                let before = last.before.saturating_sub(reached.since(last.reached));
                *seen = Some(Seen { reached, at: Some(Instant::now()), before, was_off: last.was_off });
            }
            Some(_) => {}
        }
    }

    /// The clocks of a majority take the replicated clock from there to there. What no time that went by here explains is a
    /// jump.
    ///
    /// What a node that is alone finds when its machine was off is none: that is what an hour without it looks like. A clock
    /// that was set meanwhile looks the same, and one that was set wrong is told once it is right. Where there are several, an
    /// outage of all is told.
    fn goes(&self, from: LogTime, to: LogTime, voters: usize) {
        let now = Instant::now();
        let here = Seen { reached: to, at: Some(now), ..Seen::default() };
        let Seen { at, before, was_off, .. } = self.seen.lock().replace(here).unwrap_or_default();
        let went_by = at.map(|at| now - at).unwrap_or_default() + before;
        let is_far = to.since(from).saturating_sub(went_by) > LEAST && from != LogTime::default();
        if is_far && was_off && voters == 1 {
            info!(%from, %to, seconds = to.since(from).as_secs(), "this machine was off, and its time goes on: what had less \
                   time left has expired");
        } else if is_far {
            warn!(%from, %to, seconds = to.since(from).as_secs(), "the replicated clock goes on after a while, or a clock was \
                   set: what had less time left has expired");
            self.knows_of(ClockJump { from, to, at: now, ordered: false });
        }
    }

    /// The replicated clock went forward at once. The newest one is what is told.
    pub(crate) fn knows_of(&self, jump: ClockJump) {
        let mut known = self.jump.lock();
        let is_news = known.is_none_or(|known| jump.to > known.to) && jump.by() > LEAST;
        if is_news {
            *known = Some(jump);
        }
    }

    /// The last time that the replicated clock went forward at once, for as long as that is told.
    pub(crate) fn jump(&self) -> Option<ClockJump> {
        self.jump.lock().filter(ClockJump::is_told)
    }

    /// What this member's own clock shows.
    pub(crate) fn wall(&self) -> LogTime {
        self.wall.now()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn at(millis: u64) -> LogTime {
        LogTime::from_millis(millis)
    }

    #[test]
    fn stamps_never_go_back() {
        let clock = LeaderClock::new(WallClock::new(|| LogTime::from_millis(1_000)));
        assert_eq!(clock.stamp(LogTime::default(), vec![], 1), Some(at(1_000)));
        assert_eq!(clock.stamp(at(5_000), vec![], 1), Some(at(5_000)), "the log is ahead of the wall");
        assert_eq!(clock.stamp(LogTime::default(), vec![], 1), Some(at(5_000)));
    }

    #[test]
    fn nothing_is_stamped_with_a_time_that_waits_for_clocks_that_agree() {
        let (hour, minute) = (3_600_000, 60_000);
        let clock = LeaderClock::new(WallClock::new(move || LogTime::from_millis(2 * hour)));
        assert_eq!(
            clock.stamp(at(minute), vec![at(2 * hour + minute + 1)], 3),
            None,
            "all were down, and two disagree"
        );
        assert_eq!(clock.held(), Some(at(2 * hour)));
        assert_eq!(clock.fresh_stamp(at(minute)), None);
        assert_eq!(clock.stamp(at(minute), vec![at(2 * hour + minute)], 3), Some(at(2 * hour)), "they were set right");
        assert_eq!(clock.held(), None);
    }

    /// A clock that shows what was stored last, in milliseconds, and this node's with it.
    fn set_by_hand(shows: u64) -> (Arc<AtomicU64>, LeaderClock) {
        let hand = Arc::new(AtomicU64::new(shows));
        let clock = LeaderClock::new(WallClock::new({
            let hand = hand.clone();
            move || LogTime::from_millis(hand.load(Ordering::Relaxed))
        }));
        (hand, clock)
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_forward_is_a_jump_and_time_that_went_by_is_none() {
        let (hand, clock) = set_by_hand(1_000);
        let goes_to = |millis| {
            hand.store(millis, Ordering::Relaxed);
            clock.stamp(LogTime::default(), vec![], 1);
            clock.jump().map(|jump| (jump.from, jump.to))
        };
        assert_eq!(goes_to(1_000), None, "time begins");
        assert_eq!(goes_to(61_000), None, "a minute");
        assert_eq!(goes_to(121_001), Some((at(61_000), at(121_001))), "more than a minute at once");
        tokio::time::advance(Duration::from_secs(600)).await;
        assert_eq!(goes_to(721_000), Some((at(61_000), at(121_001))), "ten minutes in ten minutes");
        tokio::time::advance(Duration::from_secs(3_001)).await;
        assert_eq!(clock.jump(), None, "an hour later it is told no more");
        assert_eq!(
            goes_to(721_000 + 3_001_000 + 60_001),
            Some((at(721_000), at(3_782_001))),
            "half of it is explained"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_went_by_while_a_leader_without_a_quorum_waited_is_no_jump_and_while_all_were_down_is_one() {
        let (hand, clock) = set_by_hand(1_000);
        clock.sees(at(900));
        clock.sees(at(1_000));
        tokio::time::advance(Duration::from_secs(1_800)).await;
        hand.store(1_801_000, Ordering::Relaxed);
        assert_eq!(clock.stamp(at(1_000), vec![at(1_801_000)], 3), Some(at(1_801_000)));
        assert_eq!(clock.jump(), None, "this process was there");
        let (_, clock) = set_by_hand(1_801_000);
        clock.sees(at(1_000));
        assert_eq!(clock.stamp(at(1_000), vec![at(1_801_000)], 3), Some(at(1_801_000)));
        assert!(clock.jump().is_some(), "nobody knows whether that is how long all were down");
    }

    #[tokio::test(start_paused = true)]
    async fn how_long_a_node_was_down_is_no_jump_where_its_machine_knows_it_or_was_off() {
        let (hour, minute) = (3_600_000, 60_000);
        let starts = |boot: &'static str, uptime: u64| {
            let wall = WallClock::new(move || LogTime::from_millis(10 * hour));
            let uptime = Duration::from_millis(uptime);
            let clock = LeaderClock::new(wall.on(move || Some(Uptime { boot: boot.into(), lasts: uptime })));
            // It had noted that a minute before it ended, after an hour.
            let noted = Moment { boot: "first".into(), uptime_ms: hour, reached_ms: 2 * hour - minute };
            clock.starts(at(2 * hour), Some(noted));
            // What its log has besides.
            clock.sees(at(2 * hour + 500));
            clock
        };
        let jumps = |clock: &LeaderClock, voters| {
            let others = vec![at(10 * hour); voters - 1];
            assert_eq!(clock.stamp(at(2 * hour + 500), others, voters), Some(at(10 * hour)));
            clock.jump().is_some()
        };
        assert!(!jumps(&starts("first", 9 * hour + minute), 1), "eight hours, by a machine that ran on");
        assert!(jumps(&starts("first", hour + minute + 5_000), 1), "five seconds, and its clock was set");
        assert!(!jumps(&starts("second", 30_000), 1), "the machine was off");
        assert!(jumps(&starts("second", 30_000), 3), "all were");
        assert!(!jumps(&starts("first", 9 * hour + minute), 3), "all were down, for as long as that");
        let clock = starts("second", 30_000);
        jumps(&clock, 1);
        assert_eq!(clock.stamp(at(12 * hour), vec![], 1), Some(at(12 * hour)));
        let noted = clock.moment(at(12 * hour)).unwrap();
        assert_eq!((noted.uptime_ms, noted.reached_ms), (30_000, 12 * hour));
        assert_eq!(clock.moment(LogTime::default()), None, "time has not begun");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_time_that_stood_still_a_jump_is_one_all_the_same() {
        let (hand, clock) = set_by_hand(1_000);
        clock.stamp(at(500_000), vec![], 1);
        for _ in 0..10 {
            tokio::time::advance(Duration::from_secs(100)).await;
            assert_eq!(clock.stamp(at(500_000), vec![], 1), Some(at(500_000)), "the log is ahead of the wall");
        }
        hand.store(700_000, Ordering::Relaxed);
        clock.stamp(at(500_000), vec![], 1);
        assert_eq!(clock.jump().map(|jump| jump.by()), Some(Duration::from_secs(200)));
    }

    #[test]
    fn one_clock_among_three_does_not_move_time_alone() {
        let hour_ahead = LeaderClock::new(WallClock::new(|| LogTime::from_millis(3_600_000 + 10_000)));
        assert_eq!(hour_ahead.stamp(LogTime::default(), vec![], 3), None, "time has not begun");
        assert_eq!(hour_ahead.stamp(at(9_000), vec![], 3), None, "nothing is stamped long before its time");
        assert_eq!(hour_ahead.stamp(at(3_608_000), vec![], 3), Some(at(3_608_000)), "and stands still");
        let hour_ahead = LeaderClock::new(WallClock::new(|| LogTime::from_millis(3_600_000 + 10_000)));
        assert_eq!(hour_ahead.stamp(at(9_000), vec![at(10_000)], 3), Some(at(10_000)), "of two, the lower");
        let year = 365 * 86_400_000;
        assert_eq!(
            hour_ahead.stamp(at(9_000), vec![at(11_000), at(12_000)], 3),
            Some(at(12_000)),
            "of three, the median"
        );
        assert_eq!(
            hour_ahead.stamp(at(9_000), vec![at(13_000), at(14_000), at(15_000), at(year)], 5),
            Some(at(15_000))
        );
    }
}
