//! What an operator should know of the clocks: which one is wrong, whether the cluster's time is ahead of all of them, and
//! whether it went forward at once or waits to.

use std::time::Duration;

use sessile_core::LogTime;

use super::alert::AlertKind;
use crate::group::ClockJump;
use crate::wall_clock::in_words;

/// How far clocks may be apart before it is said.
const OFF: Duration = Duration::from_secs(5);
/// 2026-01-01T00:00:00Z. This program was written later, so a clock that shows less is wrong, whatever the others show: that
/// of a machine whose battery is empty shows 1970.
const WRITTEN: LogTime = LogTime::from_millis(1_767_225_600_000);

/// One thing that an operator should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClockAlert {
    /// By which it is the same one a moment later, when the numbers in it are others.
    pub(super) about: String,
    pub(super) kind: AlertKind,
    /// The sentence.
    pub(super) text: String,
}

impl ClockAlert {
    fn new(about: impl Into<String>, text: String) -> Self {
        Self { about: about.into(), kind: AlertKind::Other, text }
    }
}

/// `cluster` is the time that the log has reached, and never goes back; `walls` are the members with what
/// their clocks show now, as far as this node has heard of them lately, of `voters` that there are.
///
/// A clock is judged by the others, not by the cluster's time: that stands still while there is no quorum.
pub(super) fn alerts(cluster: LogTime, mut walls: Vec<(String, LogTime)>, voters: usize) -> Vec<ClockAlert> {
    walls.sort_by_key(|(_, wall)| *wall);
    let mut alerts = wrong_ones(cluster, &walls);
    if let Some((_, median)) = walls.get(walls.len().saturating_sub(1) / 2)
        && walls.len() > voters / 2
        && cluster.since(*median) > OFF
    {
        let text = format!(
            "the cluster's time is {} s ahead of its members' clocks, as after clocks that were wrong: until they reach it, no \
             session expires",
            cluster.since(*median).as_secs()
        );
        alerts.push(ClockAlert::new("ahead", text));
    }
    alerts
}

/// The clocks that nobody need be asked about to know that they are wrong.
pub(super) fn impossible(walls: &[(String, LogTime)]) -> Vec<ClockAlert> {
    let impossible = walls.iter().filter(|(_, wall)| *wall < WRITTEN);
    let alert = |(name, wall): &(String, LogTime)| {
        let text = format!(
            "the clock of {name} shows {}, when this program was not written yet: set it, before sessions are stored by it",
            in_words(*wall)
        );
        ClockAlert::new(format!("clock {name}"), text)
    };
    impossible.map(alert).collect()
}

/// The replicated clock went forward at once.
pub(super) fn jumped(jump: &ClockJump) -> ClockAlert {
    let (by, from, to) = (jump.by().as_secs(), in_words(jump.from), in_words(jump.to));
    let text = if jump.ordered {
        format!(
            "an operator moved the cluster's time forward by {by} s, from {from} to {to}: what had less time left has ended"
        )
    } else {
        format!(
            "the cluster's time went forward by {by} s at once, from {from} to {to}, as after an outage of that length or \
             clocks that were set: sessions that had less time left have ended"
        )
    };
    ClockAlert { kind: AlertKind::TimeJumped, ..ClockAlert::new(format!("jump {to}"), text) }
}

/// It waits at that time, and the members' clocks want another one.
pub(super) fn waits(at: LogTime, wanted: LogTime) -> ClockAlert {
    let text = format!(
        "time waits at {}, and writes are refused: the members' clocks want {}, {} s later, and no majority agrees on that; set \
         them to within a minute of each other, or decide with `sessile cluster set-time`",
        in_words(at),
        in_words(wanted),
        wanted.since(at).as_secs()
    );
    ClockAlert { kind: AlertKind::TimeWaits, ..ClockAlert::new("waits", text) }
}

fn wrong_ones(cluster: LogTime, walls: &[(String, LogTime)]) -> Vec<ClockAlert> {
    let named = |(name, wall): &(String, LogTime), right: LogTime| {
        let way = if *wall > right { "ahead of" } else { "behind" };
        let by = apart(*wall, right).as_secs();
        ClockAlert::new(format!("clock {name}"), format!("the clock of {name} is {by} s {way} the other members'"))
    };
    match walls {
        [] | [_] => Vec::new(),
        // Of two the cluster's time decides, if one of them keeps to it.
        [earlier, later] if apart(earlier.1, later.1) > OFF => {
            vec![match [earlier, later].map(|(_, wall)| apart(*wall, cluster) <= OFF) {
                [true, _] => named(later, earlier.1),
                [_, true] => named(earlier, later.1),
                _ => ClockAlert::new(
                    "two clocks",
                    format!(
                        "the clocks of {} and {} are {} s apart",
                        earlier.0,
                        later.0,
                        apart(earlier.1, later.1).as_secs()
                    ),
                ),
            }]
        }
        [_, _] => Vec::new(),
        many => {
            let median = many[(many.len() - 1) / 2].1;
            many.iter().filter(|(_, wall)| apart(*wall, median) > OFF).map(|wall| named(wall, median)).collect()
        }
    }
}

fn apart(one: LogTime, other: LogTime) -> Duration {
    one.since(other).max(other.since(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(cluster: u64, walls: &[u64]) -> Vec<String> {
        let voters = walls.len();
        let walls =
            walls.iter().zip(1..).map(|(wall, number)| (format!("n{number}"), LogTime::from_millis(wall * 1_000)));
        let alerts = alerts(LogTime::from_millis(cluster * 1_000), walls.collect(), voters);
        alerts.into_iter().map(|alert| alert.text).collect()
    }

    #[test]
    fn a_clock_is_judged_by_the_others() {
        assert!(told(1_000, &[1_000, 1_003, 998]).is_empty());
        assert_eq!(told(1_000, &[1_000, 1_060, 1_001]), ["the clock of n2 is 59 s ahead of the other members'"]);
        assert_eq!(told(1_000, &[400, 1_000, 1_001]), ["the clock of n1 is 600 s behind the other members'"]);
    }

    #[test]
    fn a_time_that_stands_still_makes_no_clock_wrong() {
        assert!(told(1_000, &[1_033, 1_034, 1_033]).is_empty(), "there is no quorum");
        assert!(told(1_000, &[1_033, 1_034]).is_empty());
        assert!(told(1_000, &[9_000]).is_empty(), "a node that starts after a while");
    }

    #[test]
    fn of_two_clocks_the_one_is_named_that_does_not_keep_to_the_clusters_time() {
        assert_eq!(told(1_000, &[1_001, 1_060]), ["the clock of n2 is 59 s ahead of the other members'"]);
        assert_eq!(
            told(1_060, &[1_001, 1_060]),
            [
                "the clock of n1 is 59 s behind the other members'",
                "the cluster's time is 59 s ahead of its members' clocks, as after clocks that were wrong: until they reach it, no \
             session expires"
            ]
        );
        assert_eq!(told(500, &[1_001, 1_060]), ["the clocks of n1 and n2 are 59 s apart"]);
    }

    #[test]
    fn a_time_ahead_of_all_clocks_is_told_also_by_a_node_that_is_alone() {
        let says =
            |alerts: Vec<String>| alerts.len() == 1 && alerts[0].starts_with("the cluster's time is 86400 s ahead");
        assert!(says(told(1_000 + 86_400, &[1_000])));
        assert!(says(told(1_000 + 86_400, &[1_000, 1_001, 1_000])));
    }

    #[test]
    fn a_clock_that_shows_a_time_before_this_program_is_told_at_once_and_alone() {
        let told = |shows: LogTime| impossible(&[("n1".to_owned(), shows)]);
        assert_eq!(told(WRITTEN), []);
        let [alert] = &told(LogTime::from_millis(10_000))[..] else { panic!("one is told") };
        assert!(alert.text.starts_with("the clock of n1 shows 1970-01-01T00:00:10Z"), "{}", alert.text);
    }

    #[tokio::test]
    async fn a_jump_and_a_wait_name_their_times_and_the_way_out() {
        let (from, to) = (LogTime::from_millis(1_790_000_000_000), LogTime::from_millis(1_790_007_200_000));
        let jump = |ordered| jumped(&ClockJump { from, to, at: tokio::time::Instant::now(), ordered }).text;
        let times = "7200 s, from 2026-09-21T14:13:20Z to 2026-09-21T16:13:20Z";
        assert!(jump(true).contains(times) && jump(true).starts_with("an operator"), "{}", jump(true));
        assert!(jump(false).contains("7200 s at once, from 2026-09-21T14:13:20Z to 2026-09-21T16:13:20Z"));
        let waits = waits(from, to).text;
        assert!(
            waits.contains("2026-09-21T16:13:20Z, 7200 s later") && waits.contains("sessile cluster set-time"),
            "{waits}"
        );
    }
}
