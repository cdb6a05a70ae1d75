use std::collections::BTreeMap;
use std::fmt;

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use sessile_core::RulesVersion;

/// Of how many seeds one begins with programs of before.
const ONE_IN: u32 = 3;
/// What these can follow: what a program of before the first of these lacks is more than rules.
const OLDER: [RulesVersion; 3] = [RulesVersion::KEYS, RulesVersion::NAMESPACES, RulesVersion::TOKENS];

/// Which of a seed's machines begin with a program of before, and when they get the newest one.
#[derive(Debug, Clone, Default)]
pub(in crate::simulation) struct Upgrade {
    /// The newest rules that the programs at these places follow at first.
    pub(in crate::simulation) older: BTreeMap<usize, RulesVersion>,
    /// How often a machine has the newest program when it starts again.
    pub(in crate::simulation) at_a_start: f64,
    /// Whether all have it in the end.
    pub(in crate::simulation) of_all: bool,
}

impl Upgrade {
    /// By numbers of its own: a seed's day is the same whoever begins with which program.
    pub(super) fn draw(rng: &mut SmallRng, places: usize) -> Self {
        if !rng.random_ratio(1, ONE_IN) {
            return Self::default();
        }
        let of_one = OLDER.choose(rng).copied();
        let several = rng.random_bool(0.3);
        let older = (0..places).filter_map(|place| {
            let version = if several { OLDER.choose(rng).copied() } else { of_one };
            version.filter(|_| rng.random_bool(0.6)).map(|version| (place, version))
        });
        let older = older.collect();
        Self { older, at_a_start: rng.random_range(0.1..0.9), of_all: rng.random_bool(0.7) }
    }
}

impl fmt::Display for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.older.is_empty() {
            return Ok(());
        }
        f.write_str("\nof before are the programs of")?;
        self.older.iter().try_for_each(|(place, rules)| write!(f, " n{} (rules {rules})", place + 1))?;
        let end = if self.of_all { "all are newer in the end" } else { "not all need be newer in the end" };
        write!(f, "; {:.0} of 100 starts are of a newer one, and {end}", 100. * self.at_a_start)
    }
}
