use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use sessile_cluster::Timing;

use crate::simulation::driver::TICK;

/// How long the longest way is, there and back, in milliseconds.
const FARTHEST_MS: u64 = 300;
/// How long a message between two that are at one place takes, in milliseconds, and by how much each may take longer than
/// its way.
const NEAR_MS: u64 = 1;
const LATE_MS: u64 = 7;
/// Of how many seeds one has all nodes at one place.
const NEAR_ONE_IN: u32 = 3;

/// How far the nodes of a seed are from each other: round trips between the places that they have, and the setting
/// (`cluster.max_rtt_ms`) that fits them.
#[derive(Debug, Clone)]
pub(in crate::simulation) struct Distance {
    /// In milliseconds, by the lower place and the higher one.
    round_trips: BTreeMap<(usize, usize), u64>,
    max_rtt: Duration,
}

impl Distance {
    /// All near, all equally far, one far from the others, or no two the same.
    pub(super) fn draw(rng: &mut SmallRng, places: usize) -> Self {
        let far = rng.random_range(0..=FARTHEST_MS);
        let shape = if rng.random_ratio(1, NEAR_ONE_IN) { 0 } else { rng.random_range(1..=3) };
        let remote = rng.random_range(0..places);
        let mut round_trips = BTreeMap::new();
        for one in 0..places {
            for other in one + 1..places {
                let round_trip = match shape {
                    0 => 0,
                    1 => far,
                    2 if one == remote || other == remote => far,
                    2 => 0,
                    _ => rng.random_range(0..=FARTHEST_MS),
                };
                round_trips.insert((one, other), round_trip);
            }
        }
        let longest = round_trips.values().max().copied().unwrap_or(0);
        let max_rtt = longest + 2 * (NEAR_MS + LATE_MS) + 2 * u64::try_from(TICK.as_millis()).unwrap_or(0);
        let max_rtt = max_rtt.clamp(*Timing::MAX_RTT_MS.start(), *Timing::MAX_RTT_MS.end());
        Self { round_trips, max_rtt: Duration::from_millis(max_rtt) }
    }

    /// What the nodes are told.
    pub(in crate::simulation) fn max_rtt(&self) -> Duration {
        self.max_rtt
    }

    /// How long a message between two places takes, at least and at most.
    pub(in crate::simulation) fn latency(&self, one: usize, other: usize) -> (Duration, Duration) {
        let way = self.round_trips.get(&(one.min(other), one.max(other))).copied().unwrap_or(0) / 2;
        (Duration::from_millis(way + NEAR_MS), Duration::from_millis(way + NEAR_MS + LATE_MS))
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("round trips")?;
        for ((one, other), round_trip) in &self.round_trips {
            write!(f, " {}–{} {round_trip}", one + 1, other + 1)?;
        }
        write!(f, " ms, and max_rtt_ms is {}", self.max_rtt.as_millis())
    }
}
