//! Who is well and how far behind, and whether what a change of the membership would leave is a quorum.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use sessile_store::{LogId, Member, NodeId, StoredMembership};
use tonic::Status;

use crate::cluster::Inner;

/// How old the last heartbeat that a member took may be for it to count as one that answers.
const HEARTBEAT_FRESH: Duration = Duration::from_secs(1);
/// A learner that is no further behind than this has caught up: what a busy leader has on its way at a time. Far below
/// what the log keeps, so that it never needs a snapshot as a voter.
pub(crate) const CAUGHT_UP_ENTRIES: u64 = 1_000;

/// The voters that a change would leave, and which of them are known to be well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arithmetic {
    pub(crate) voters: usize,
    pub(crate) healthy: usize,
}

impl Arithmetic {
    pub(crate) fn quorum(&self) -> usize {
        self.voters / 2 + 1
    }

    /// Why the change would leave a cluster that stands still, if it would.
    pub(crate) fn loses_quorum(&self) -> Option<String> {
        let Self { voters, healthy } = *self;
        if voters == 0 {
            return Some("that would leave no voter at all".into());
        }
        let quorum = self.quorum();
        (healthy < quorum).then(|| {
            format!(
                "that would leave {voters} voters, of which {healthy} answer, and a quorum of {voters} needs {quorum}"
            )
        })
    }
}

impl Inner {
    /// The voters that the newest half of the membership names.
    pub(crate) fn voters(&self, membership: &StoredMembership) -> BTreeSet<NodeId> {
        membership.membership().get_joint_config().last().cloned().unwrap_or_default()
    }

    /// Whether a member answers: it reported lately, or took a heartbeat of this node, as the leader.
    pub(crate) fn is_well(&self, member: NodeId) -> bool {
        if member == self.node || self.members.get(member).is_some_and(|known| known.reachable) {
            return true;
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let acknowledged = metrics.heartbeat.as_ref().and_then(|heartbeats| heartbeats.get(&member).copied().flatten());
        acknowledged.is_some_and(|acknowledged| acknowledged.elapsed() < HEARTBEAT_FRESH)
    }

    pub(crate) fn arithmetic(&self, voters: &BTreeSet<NodeId>) -> Arithmetic {
        Arithmetic { voters: voters.len(), healthy: voters.iter().filter(|voter| self.is_well(**voter)).count() }
    }

    /// Refuses a change that would leave a cluster that stands still.
    pub(crate) fn assert_quorum(&self, voters_after: &BTreeSet<NodeId>, force: bool) -> Result<(), Status> {
        match self.arithmetic(voters_after).loses_quorum() {
            Some(arithmetic) if !force || voters_after.is_empty() => Err(Status::failed_precondition(format!(
                "{arithmetic}; bring a member back first{}",
                if voters_after.is_empty() { "" } else { ", or insist with --force" }
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a vote to a learner that could not use it yet.
    pub(crate) fn assert_caught_up(&self, node: NodeId, member: &Member) -> Result<(), Status> {
        // What it has taken into its log counts, by the leader's own knowledge; a report is always a moment old.
        match self.unacknowledged(node).filter(|_| self.is_well(node)) {
            Some(behind) if behind <= CAUGHT_UP_ENTRIES => Ok(()),
            Some(behind) => Err(Status::failed_precondition(format!(
                "{} is {behind} entries behind and must catch up first (to within {CAUGHT_UP_ENTRIES})",
                member.name
            ))),
            None => Err(Status::failed_precondition(format!(
                "{} does not answer, so it would be a voter that does not vote",
                member.name
            ))),
        }
    }

    /// How many entries of this leader's log a member has not acknowledged yet; `None` if that is not known.
    pub(crate) fn unacknowledged(&self, node: NodeId) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.as_ref()?.get(&node)?.as_ref()?.index;
        Some(metrics.last_log_index.unwrap_or(0).saturating_sub(matched))
    }

    /// How many committed entries a member that answers has not applied; `None` for one that does not answer.
    pub(crate) fn entries_behind(&self, node: NodeId) -> Option<u64> {
        let known = self.members.get(node)?;
        let applied = known.report.as_ref().filter(|_| known.reachable)?.applied;
        let committed: Option<LogId> = self.raft.metrics().borrow_watched().cluster_committed;
        Some(committed.map_or(0, |committed| committed.index).saturating_sub(applied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_lose_quorum_says_the_arithmetic() {
        assert_eq!(Arithmetic { voters: 3, healthy: 2 }.loses_quorum(), None);
        assert_eq!(Arithmetic { voters: 1, healthy: 1 }.loses_quorum(), None);
        let two = Arithmetic { voters: 2, healthy: 1 }.loses_quorum().unwrap();
        assert_eq!(two, "that would leave 2 voters, of which 1 answer, and a quorum of 2 needs 2");
        assert!(Arithmetic { voters: 0, healthy: 0 }.loses_quorum().unwrap().contains("no voter"));
    }
}
