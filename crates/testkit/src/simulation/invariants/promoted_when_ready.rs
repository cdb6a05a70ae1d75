use std::collections::BTreeMap;
use std::time::Duration;

use sessile_store::NodeId;

use super::{Always, Seen};
use crate::simulation::node::STABILISE;

/// How far behind the leader a learner may be that is given a vote, and what may have come since.
const BEHIND: u64 = 400;

/// A node that joins is given a vote only when it has been there for a while and has caught up: one that counts and lags would
/// have every write wait for it (No error while a majority lives).
#[derive(Default)]
pub(in super::super) struct PromotedWhenReady {
    /// When a node was first seen as a member, and whether it has a vote by now.
    known: BTreeMap<NodeId, (Duration, bool)>,
}

impl Always for PromotedWhenReady {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        let Some(leader) = seen.iter().find(|seen| seen.status.leads_in.is_some()) else { return Ok(()) };
        if self.known.is_empty() {
            // The first members have a vote from the beginning.
            self.known.extend(leader.status.voters.iter().map(|node| (*node, (leader.now, true))));
        }
        for Seen { name, status, now, .. } in seen {
            let counts = leader.status.voters.contains(&status.node);
            let known = self.known.entry(status.node).or_insert((*now, false));
            if !counts || known.1 {
                continue;
            }
            known.1 = true;
            let (there_for, applied) = (now.saturating_sub(known.0), status.applied.unwrap_or(0));
            if there_for + Duration::from_millis(500) < STABILISE {
                return Err(format!("{name}, node {}, has a vote after {there_for:?}", status.node));
            }
            if applied + BEHIND < leader.status.applied.unwrap_or(0) {
                return Err(format!("{name}, node {}, has a vote, and has applied up to {applied}", status.node));
            }
        }
        Ok(())
    }
}
