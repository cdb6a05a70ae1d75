use std::collections::BTreeSet;
use std::time::Duration;

use parking_lot::Mutex;
use sessile_core::{LogTime, MAX_FORWARD_JUMP, Stamp, stamp};
use sessile_store::NodeId;
use tokio::time::Instant;
use tracing::warn;

use crate::wall_clock::WallClock;

/// Shows the clocks of the other members.
pub(crate) trait OtherClocks: Send + Sync {
    /// What the clocks of those show now, as far as that is known.
    fn fresh(&self, of: &BTreeSet<NodeId>) -> Vec<LogTime>;
}

/// What the leader stamps entries with. Stamps never go back, not even within what is proposed and not yet applied.
pub(crate) struct LeaderClock {
    last: Mutex<Last>,
    wall: WallClock,
}

/// How far this node's clock may be ahead of a time that stands still before nothing is stamped with it any more.
const STANDS_STILL: Duration = Duration::from_secs(5);
/// How long a stamp serves for all entries: time in the log is for lifetimes of seconds.
const STAMP_SERVES: Duration = Duration::from_millis(5);

#[derive(Default)]
struct Last {
    stamped: LogTime,
    held: bool,
    /// When it was made.
    at: Option<Instant>,
}

impl LeaderClock {
    pub(crate) fn new(wall: WallClock) -> Self {
        Self { last: Mutex::default(), wall }
    }

    /// Whether time waits, because the clocks want a jump that no majority agrees on.
    pub(crate) fn is_held(&self) -> bool {
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
        let held = matches!(next, Stamp::Held { .. });
        if let Stamp::Held { at, wanted } = next
            && !last.held
        {
            warn!(%at, %wanted, "the members' clocks want a jump that no majority agrees on; the replicated clock waits");
        }
        if held {
            *last = Last { stamped: previous, held, at: None };
            return None;
        }
        let jump = next.time().since(previous);
        if jump > MAX_FORWARD_JUMP && previous != LogTime::default() {
            warn!(from = %previous, to = %next.time(), seconds = jump.as_secs(), "the replicated clock goes on after a while, or a \
                   clock was set: what had less time left has expired");
        }
        *last = Last { stamped: next.time(), held, at: Some(Instant::now()) };
        (next.time() != LogTime::default()).then_some(next.time())
    }

    /// What this member's own clock shows.
    pub(crate) fn wall(&self) -> LogTime {
        self.wall.now()
    }
}

#[cfg(test)]
mod tests {
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
        assert!(clock.is_held());
        assert_eq!(clock.fresh_stamp(at(minute)), None);
        assert_eq!(clock.stamp(at(minute), vec![at(2 * hour + minute)], 3), Some(at(2 * hour)), "they were set right");
        assert!(!clock.is_held());
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
