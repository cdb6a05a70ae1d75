//! What must hold, whatever happens. Each has a file of its own, with the promise that it guards.

mod calm;
mod converges;
mod equal_states;
mod followed_rules;
mod kept_state;
mod lifetimes;
mod linearizable;
mod log_matching;
mod once;
mod one_cluster;
mod one_leader_a_term;
mod promoted_when_ready;
mod recounted;
mod removed_for_good;

use std::time::Duration;

use sessile_core::RulesVersion;
use sessile_store::LogId;

pub(super) use calm::calm;
pub(super) use converges::whole;
pub(super) use equal_states::EqualStates;
pub(super) use followed_rules::{FollowedRules, newest_rules};
pub(super) use kept_state::kept_state;
pub(super) use lifetimes::{expiries, outlived};
pub(super) use linearizable::linearizable;
pub(super) use log_matching::LogMatching;
pub(super) use once::Once;
pub(super) use one_cluster::OneCluster;
pub(super) use one_leader_a_term::OneLeaderATerm;
pub(super) use promoted_when_ready::PromotedWhenReady;
pub(super) use recounted::recounted;
pub(super) use removed_for_good::RemovedForGood;

/// A node as it shows itself at one moment.
pub(super) struct Seen<'a> {
    pub(super) name: &'a str,
    /// How often it was started.
    pub(super) start: u64,
    /// How long the simulation has lasted.
    pub(super) now: Duration,
    pub(super) status: &'a sessile_cluster::Status,
    /// The newest rules that its program can follow.
    pub(super) follows: RulesVersion,
    /// The last entry that it has applied, and a digest of its tables there.
    pub(super) rows: (Option<u64>, u64),
    /// Which entries its log holds.
    pub(super) log: Vec<LogId>,
}

/// Something that holds at every moment.
pub(super) trait Always {
    /// Looks at all nodes that run, and says what does not hold.
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String>;
}

pub(super) fn at(moment: Duration) -> String {
    format!("{:.3} s", moment.as_secs_f64())
}
