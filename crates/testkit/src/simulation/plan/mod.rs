//! What a seed draws before its first moment: which kinds of faults it has and how often, how far its nodes are from each
//! other, and the constants that they run with. Days that have a bit of everything are all alike: what only comes of a
//! kind's long absence, or of a constant that another one hides, they never show.

mod constants;
mod distance;
mod upgrade;

use std::fmt;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use sessile_cluster::Timing;

pub(super) use constants::Constants;
pub(super) use distance::Distance;
use upgrade::Upgrade;

use super::Fault;

/// Of how many seeds one has no faults at all: nothing may go wrong there by itself.
const CALM_ONE_IN: u32 = 24;
/// Of how many seeds one has every kind of fault.
const FULL_ONE_IN: u32 = 6;
/// By up to so many powers of two more often than others a kind comes in a seed that has it.
const OFTEN: std::ops::RangeInclusive<u32> = 0..=4;

/// What a seed draws.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) nodes: usize,
    /// The kinds of faults that it has, and how often each is drawn beside the others.
    pub(super) faults: Vec<(Fault, u32)>,
    /// How often something is mended where a fault would be.
    pub(super) mends: f64,
    /// Between two faults, at most.
    pub(super) pause: Duration,
    pub(super) clients: usize,
    pub(super) keys: usize,
    /// Between two requests of one client, at most.
    pub(super) think: Duration,
    /// Of a hundred connections between nodes, on so many everything comes twice.
    pub(super) doubled: u32,
    pub(super) distance: Distance,
    pub(super) constants: Constants,
    pub(super) upgrade: Upgrade,
}

impl Plan {
    /// `versions` draws which programs there are, and nothing else.
    pub(super) fn draw(rng: &mut SmallRng, versions: &mut SmallRng) -> Self {
        let nodes = if rng.random_bool(0.1) { 5 } else { 3 };
        let distance = Distance::draw(rng, nodes);
        let timing = Timing::of(distance.max_rtt());
        let faults = kinds(rng);
        // Where nothing happens nobody starts again.
        let upgrade = if faults.is_empty() { Upgrade::default() } else { Upgrade::draw(versions, nodes) };
        Self {
            nodes,
            faults,
            mends: rng.random_range(0.25..0.65),
            pause: Duration::from_millis(rng.random_range(1_000..=6_000)),
            clients: rng.random_range(2..=4),
            keys: rng.random_range(1..=10),
            think: Duration::from_millis(rng.random_range(100..=700)),
            doubled: if rng.random_bool(0.6) { 0 } else { rng.random_range(5..=50) },
            distance,
            constants: Constants::draw(rng, timing),
            upgrade,
        }
    }

    /// Whether nothing is ever done to its nodes.
    pub(super) fn is_calm(&self) -> bool {
        self.faults.is_empty()
    }

    /// The next fault, of a seed that has any.
    pub(super) fn draw_fault(&self, rng: &mut SmallRng) -> Fault {
        self.faults.choose_weighted(rng, |(_, weight)| *weight).map_or(Fault::Kill, |(fault, _)| *fault)
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.faults.iter().any(|(kind, _)| *kind == fault)
    }
}

/// Which kinds of faults a seed has, and how often: each half of the time not at all.
fn kinds(rng: &mut SmallRng) -> Vec<(Fault, u32)> {
    if rng.random_ratio(1, CALM_ONE_IN) {
        return Vec::new();
    }
    if rng.random_ratio(1, FULL_ONE_IN) {
        return Fault::WEIGHTS.to_vec();
    }
    let drawn = Fault::WEIGHTS.into_iter().filter_map(|(fault, weight)| {
        let often = 1 << rng.random_range(OFTEN);
        rng.random_bool(0.5).then_some((fault, weight * often))
    });
    let kinds: Vec<_> = drawn.collect();
    if kinds.is_empty() { Fault::WEIGHTS.to_vec() } else { kinds }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, faults, mends, pause, clients, keys, think, doubled, distance, constants, upgrade } = self;
        writeln!(f, "{nodes} nodes, {clients} clients on {keys} keys that think for up to {think:?}; {distance}")?;
        writeln!(f, "{constants}{upgrade}")?;
        if *doubled > 0 {
            writeln!(f, "on {doubled} of 100 connections between nodes everything comes twice")?;
        }
        if faults.is_empty() {
            return f.write_str("nothing is done to them");
        }
        write!(f, "every {pause:?} at the latest something is mended, {:.0} times of 100, or happens:", 100. * mends)?;
        faults.iter().try_for_each(|(fault, weight)| write!(f, " {fault} ({weight}),"))
    }
}
