use std::time::Duration;

use crate::LogTime;

/// How far the clock may go forward in one step on the word of one median: longer pauses are rare, and a wrong one
/// would end every session at once.
pub const MAX_FORWARD_JUMP: Duration = Duration::from_secs(3_600);
/// How close clocks must be to count as saying the same about a longer jump.
pub const JUMP_AGREEMENT: Duration = Duration::from_secs(60);
/// With fewer fresh clocks than this there is no median that one bad clock could not be.
const MEDIAN_NEEDS: usize = 3;

/// A clock that is behind the log's time by more than this is known to be wrong: that time came from a median.
const LEFT_BEHIND: Duration = Duration::from_secs(5);

/// What the leader puts into the next entry's envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// This time.
    At(LogTime),
    /// The time it has, because the clocks want a jump that no majority agrees on.
    Held {
        /// The time to stamp.
        at: LogTime,
        /// The time that the clocks would give.
        wanted: LogTime,
    },
}

impl Stamp {
    /// The time to stamp.
    pub fn time(self) -> LogTime {
        match self {
            Self::At(at) | Self::Held { at, .. } => at,
        }
    }
}

/// The stamp for the next entry: the median of the members' fresh wall clocks (with fewer than three, the lowest that
/// is not known to be wrong), but never before `previous`. Were a clock that the log's time has left behind the lowest, that
/// time would stand still, and what is written meanwhile would have expired when a third clock is heard of again. One bad clock among three ends nobody's session, whichever way it is wrong. A jump of more
/// than [`MAX_FORWARD_JUMP`] needs a majority of the `voters` within [`JUMP_AGREEMENT`] of it. A clock that never
/// showed anything (zero) may go anywhere.
pub fn stamp(previous: LogTime, fresh_walls: &[LogTime], voters: usize) -> Stamp {
    let mut walls = fresh_walls.to_vec();
    walls.sort_unstable();
    let wanted = match walls.len() {
        0 => return Stamp::At(previous),
        count if count < MEDIAN_NEEDS => {
            let goes_with_the_log = |wall: &&LogTime| previous.since(**wall) <= LEFT_BEHIND;
            let Some(lowest) = walls.iter().find(goes_with_the_log) else { return Stamp::At(previous) };
            *lowest
        }
        _ => median(&walls).unwrap_or(previous),
    };
    if wanted <= previous {
        return Stamp::At(previous);
    }
    let agrees = |wall: &&LogTime| wall.since(wanted).max(wanted.since(**wall)) <= JUMP_AGREEMENT;
    let small = wanted.since(previous) <= MAX_FORWARD_JUMP || previous == LogTime::default();
    if small || walls.iter().filter(agrees).count() > voters / 2 {
        Stamp::At(wanted)
    } else {
        Stamp::Held { at: previous, wanted }
    }
}

/// The one in the middle of sorted clocks; of an even number the lower of the two there, because a TTL is a lower bound.
pub(crate) fn median(sorted: &[LogTime]) -> Option<LogTime> {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> LogTime {
        LogTime::from_millis(seconds * 1_000)
    }

    #[test]
    fn one_bad_clock_ends_nobodys_session() {
        let now = 1_700_000_000;
        let year = 31_536_000;
        let table: &[(&str, &[u64], u64)] = &[
            ("alone", &[now + 1], now + 1),
            ("two, one ahead", &[now + 1, now + year], now + 1),
            ("three, one ahead", &[now + 1, now + 2, now + year], now + 2),
            ("three, one behind", &[now - year, now + 1, now + 2], now + 1),
            ("five, two ahead", &[now + 1, now + 2, now + 3, now + year, now + year], now + 3),
            ("two, one a little behind", &[now - 3, now + 1], now),
            ("two, one left behind", &[now - year, now + 1], now + 1),
            ("two, both left behind", &[now - year, now - 6], now),
            ("none fresh", &[], now),
            ("all behind", &[now - 5, now - 6, now - 7], now),
        ];
        for (case, walls, expected) in table {
            let walls: Vec<LogTime> = walls.iter().copied().map(seconds).collect();
            assert_eq!(stamp(seconds(now), &walls, walls.len().max(1)), Stamp::At(seconds(*expected)), "{case}");
        }
    }

    #[test]
    fn a_jump_beyond_an_hour_waits_for_a_majority() {
        let now = 1_700_000_000;
        let later = now + 7_200;
        let held = Stamp::Held { at: seconds(now), wanted: seconds(later) };
        assert_eq!(stamp(seconds(now), &[seconds(later)], 3), held);
        assert_eq!(stamp(seconds(now), &[seconds(later), seconds(later + 10)], 3), Stamp::At(seconds(later)));
        assert_eq!(stamp(seconds(now), &[seconds(later)], 1), Stamp::At(seconds(later)));
        assert_eq!(stamp(seconds(now), &[seconds(now + 3_600)], 3), Stamp::At(seconds(now + 3_600)));
        assert_eq!(stamp(LogTime::default(), &[seconds(now)], 3), Stamp::At(seconds(now)));
    }
}
