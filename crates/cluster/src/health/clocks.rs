//! What an operator should know of the clocks: which one is wrong, and whether the cluster's time is ahead of all of them.

use std::time::Duration;

use sessile_core::LogTime;

/// How far clocks may be apart before it is said.
const OFF: Duration = Duration::from_secs(5);

/// As sentences. `cluster` is the time that the log has reached, and never goes back; `walls` are the members with what
/// their clocks show now, as far as this node has heard of them lately, of `voters` that there are.
///
/// A clock is judged by the others, not by the cluster's time: that stands still while there is no quorum.
pub(super) fn alerts(cluster: LogTime, mut walls: Vec<(String, LogTime)>, voters: usize) -> Vec<String> {
    walls.sort_by_key(|(_, wall)| *wall);
    let mut alerts = wrong_ones(cluster, &walls);
    if let Some((_, median)) = walls.get(walls.len().saturating_sub(1) / 2)
        && walls.len() > voters / 2
        && cluster.since(*median) > OFF
    {
        alerts.push(format!(
            "the cluster's time is {} s ahead of its members' clocks, as after clocks that were wrong: until they reach it, no \
             session expires",
            cluster.since(*median).as_secs()
        ));
    }
    alerts
}

fn wrong_ones(cluster: LogTime, walls: &[(String, LogTime)]) -> Vec<String> {
    let named = |(name, wall): &(String, LogTime), right: LogTime| {
        let way = if *wall > right { "ahead of" } else { "behind" };
        format!("the clock of {name} is {} s {way} the other members'", apart(*wall, right).as_secs())
    };
    match walls {
        [] | [_] => Vec::new(),
        // Of two the cluster's time decides, if one of them keeps to it.
        [earlier, later] if apart(earlier.1, later.1) > OFF => {
            vec![match [earlier, later].map(|(_, wall)| apart(*wall, cluster) <= OFF) {
                [true, _] => named(later, earlier.1),
                [_, true] => named(earlier, later.1),
                _ => format!(
                    "the clocks of {} and {} are {} s apart",
                    earlier.0,
                    later.0,
                    apart(earlier.1, later.1).as_secs()
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
        alerts(LogTime::from_millis(cluster * 1_000), walls.collect(), voters)
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
}
