use std::time::Duration;

use crate::LogTime;
use crate::stamp::median;

/// How far ahead of every clock an operator may set the replicated clock without saying that it is meant: nothing expires
/// until the clocks have reached it, and it never goes back.
pub const MAX_SET_AHEAD: Duration = Duration::from_secs(86_400);
/// What is closer than this is the same time: the clock of an idle cluster goes in steps of a second or two.
const SAME_TIME: Duration = Duration::from_secs(5);

/// What becomes of the replicated clock when an operator sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeOrder {
    /// It goes forward.
    Forward {
        /// To this time.
        to: LogTime,
        /// How far that is ahead of the members' clocks: so long it stands still there. Zero if it is not.
        ahead: Duration,
    },
    /// It is ahead of the members' clocks, and stands still until they have reached it.
    Stands {
        /// So far.
        ahead: Duration,
    },
    /// It shows what the members' clocks show.
    Agrees,
}

/// Why an operator cannot set the replicated clock to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeRefusal {
    /// It never goes back: what has ended would begin again.
    Past {
        /// So far it would have to.
        by: Duration,
    },
    /// That is more than [`MAX_SET_AHEAD`] ahead of every clock, and was not said to be meant.
    FarAhead {
        /// Of the latest clock, so far.
        by: Duration,
    },
    /// Not enough clocks are known to tell.
    ClocksUnknown,
}

/// What an operator's word makes of the replicated clock: `to` that time, or to the median of the members' `walls` if none
/// is given. `walls` are the fresh clocks of the `voters`, of which a majority must be known.
pub fn set_time(
    clock: LogTime,
    walls: &[LogTime],
    voters: usize,
    to: Option<LogTime>,
    forced: bool,
) -> Result<TimeOrder, TimeRefusal> {
    let mut walls = walls.to_vec();
    walls.sort_unstable();
    let (Some(median), Some(latest)) = (median(&walls), walls.last()) else { return Err(TimeRefusal::ClocksUnknown) };
    if walls.len() <= voters / 2 {
        return Err(TimeRefusal::ClocksUnknown);
    }
    match to {
        None if median.since(clock) > SAME_TIME => Ok(TimeOrder::Forward { to: median, ahead: Duration::ZERO }),
        None if clock.since(median) > SAME_TIME => Ok(TimeOrder::Stands { ahead: clock.since(median) }),
        None => Ok(TimeOrder::Agrees),
        Some(to) if to <= clock => Err(TimeRefusal::Past { by: clock.since(to) }),
        Some(to) if to.since(*latest) > MAX_SET_AHEAD && !forced => {
            Err(TimeRefusal::FarAhead { by: to.since(*latest) })
        }
        Some(to) => Ok(TimeOrder::Forward { to, ahead: to.since(median) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;
    const DAY: u64 = 86_400;

    fn at(seconds: u64) -> LogTime {
        LogTime::from_millis(seconds * 1_000)
    }

    fn ask(clock: u64, walls: &[u64], to: Option<u64>, forced: bool) -> Result<TimeOrder, TimeRefusal> {
        let walls: Vec<LogTime> = walls.iter().copied().map(at).collect();
        set_time(at(clock), &walls, 3, to.map(at), forced)
    }

    fn span(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn without_a_time_it_goes_to_the_median_of_the_clocks_or_stands_until_they_have_reached_it() {
        let forward = |to| Ok(TimeOrder::Forward { to: at(to), ahead: Duration::ZERO });
        for (case, clock, walls, becomes) in [
            ("three clocks", NOW, &[NOW + 7_200, NOW + 7_201, NOW + 365 * DAY][..], forward(NOW + 7_201)),
            ("of two the lower", NOW, &[NOW + 7_200, NOW + 9_000], forward(NOW + 7_200)),
            ("as the clocks", NOW, &[NOW - 5, NOW, NOW + 6], Ok(TimeOrder::Agrees)),
            ("ahead", NOW + DAY, &[NOW, NOW, NOW + 1], Ok(TimeOrder::Stands { ahead: span(DAY) })),
            ("one of three", NOW, &[NOW + 7_200], Err(TimeRefusal::ClocksUnknown)),
            ("none", NOW, &[], Err(TimeRefusal::ClocksUnknown)),
        ] {
            assert_eq!(ask(clock, walls, None, false), becomes, "{case}");
        }
    }

    #[test]
    fn a_time_is_taken_that_is_ahead_of_the_log_and_at_most_a_day_of_every_clock() {
        let walls = &[NOW, NOW + 1, NOW + 10][..];
        let forward = |to, ahead| Ok(TimeOrder::Forward { to: at(to), ahead: span(ahead) });
        for (clock, to, forced, becomes) in [
            (NOW - 7_200, NOW - 3_600, false, forward(NOW - 3_600, 0)),
            (NOW, NOW + 61, false, forward(NOW + 61, 60)),
            (NOW, NOW, false, Err(TimeRefusal::Past { by: span(0) })),
            (NOW, NOW - 60, false, Err(TimeRefusal::Past { by: span(60) })),
            (NOW, NOW - 60, true, Err(TimeRefusal::Past { by: span(60) })),
            (NOW, NOW + 10 + DAY, false, forward(NOW + 10 + DAY, DAY + 9)),
            (NOW, NOW + 11 + DAY, false, Err(TimeRefusal::FarAhead { by: span(DAY + 1) })),
            (NOW, NOW + 11 + DAY, true, forward(NOW + 11 + DAY, DAY + 10)),
        ] {
            assert_eq!(ask(clock, walls, Some(to), forced), becomes, "{clock} {to} {forced}");
        }
    }
}
