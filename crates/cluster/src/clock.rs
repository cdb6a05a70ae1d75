use parking_lot::Mutex;
use sessile_core::{LogTime, Stamp, stamp};
use tracing::warn;

/// What the leader stamps entries with. Stamps never go back, not even within what is proposed and not yet applied.
pub(crate) struct LeaderClock {
    last: Mutex<Last>,
    walls: fn() -> LogTime,
}

#[derive(Default)]
struct Last {
    stamped: LogTime,
    held: bool,
}

impl LeaderClock {
    pub(crate) fn new(wall: fn() -> LogTime) -> Self {
        Self { last: Mutex::default(), walls: wall }
    }

    /// The stamp for the next entry, after what the log has reached.
    pub(crate) fn stamp(&self, reached: LogTime) -> LogTime {
        let mut last = self.last.lock();
        // A cluster of one has one clock, which is its majority.
        let next = stamp(last.stamped.max(reached), &[(self.walls)()], 1);
        let held = matches!(next, Stamp::Held { .. });
        if let Stamp::Held { at, wanted } = next
            && !last.held
        {
            warn!(%at, %wanted, "the members' clocks want a jump that no majority agrees on; the replicated clock waits");
        }
        *last = Last { stamped: next.time(), held };
        next.time()
    }

    /// What this member's own clock shows.
    pub(crate) fn wall(&self) -> LogTime {
        (self.walls)()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_never_go_back() {
        let clock = LeaderClock::new(|| LogTime::from_millis(1_000));
        assert_eq!(clock.stamp(LogTime::default()), LogTime::from_millis(1_000));
        assert_eq!(
            clock.stamp(LogTime::from_millis(5_000)),
            LogTime::from_millis(5_000),
            "the log is ahead of the wall"
        );
        assert_eq!(clock.stamp(LogTime::default()), LogTime::from_millis(5_000));
    }
}
