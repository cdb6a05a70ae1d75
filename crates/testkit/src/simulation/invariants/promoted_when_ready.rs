use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sessile_store::NodeId;

use super::{Always, Seen};

/// How far behind the leader a learner may be that is given a vote, and what may have come since.
const BEHIND: u64 = 400;

/// A node that joins is given a vote only when it has been there for a while and has caught up: one that counts and lags would
/// have every write wait for it (No error while a majority lives).
pub(in super::super) struct PromotedWhenReady {
    stabilise: Duration,
    /// When a leader was last seen, by whose membership the node was none yet, and whether it has a vote by now.
    known: BTreeMap<NodeId, (Duration, bool)>,
    /// When a leader was last seen.
    before: Duration,
    /// Who is given a vote by command, which waits for nothing but that it has caught up.
    by_command: BTreeSet<String>,
}

impl PromotedWhenReady {
    /// Not before it was healthy for so long.
    pub(in super::super) fn after(stabilise: Duration) -> Self {
        Self { stabilise, known: BTreeMap::new(), before: Duration::ZERO, by_command: BTreeSet::new() }
    }

    /// From now on an operator may give that member a vote.
    pub(in super::super) fn by_command(&mut self, name: &str) {
        self.by_command.insert(name.to_owned());
    }
}

impl Always for PromotedWhenReady {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        // Of two, the older one does not know yet that it leads no more.
        let leader = seen.iter().max_by_key(|seen| seen.status.leads_in);
        let Some(leader) = leader.filter(|seen| seen.status.leads_in.is_some()) else { return Ok(()) };
        if self.known.is_empty() {
            // The first members have a vote from the beginning.
            self.known.extend(leader.status.voters.iter().map(|node| (*node, (leader.now, true))));
        }
        for member in &leader.status.members {
            let known = self.known.entry(member.node).or_insert((self.before, false));
            if known.1 || !leader.status.voters.contains(&member.node) {
                continue;
            }
            known.1 = true;
            let there_for = leader.now.saturating_sub(known.0);
            if there_for < self.stabilise && !self.by_command.contains(&member.name) {
                return Err(format!("{}, node {}, has a vote after {there_for:?}", member.name, member.node));
            }
            let Some(seen) = seen.iter().find(|seen| seen.status.node == member.node) else { continue };
            let applied = seen.status.applied.unwrap_or(0);
            if applied + BEHIND < leader.status.applied.unwrap_or(0) {
                return Err(format!(
                    "{}, node {}, has a vote, and has applied up to {applied}",
                    member.name, member.node
                ));
            }
        }
        self.before = leader.now;
        Ok(())
    }
}
