//! Whether what a change of the membership would leave is a quorum, and who may be given a vote.

use std::collections::BTreeSet;

use sessile_store::{Member, NodeId};
use tonic::Status;

use crate::health::ClusterHealth;

/// A learner that is no further behind than this has caught up: what a busy leader has on its way at a time. Far below
/// what the log keeps, so that it never needs a snapshot as a voter.
pub(super) const CAUGHT_UP_ENTRIES: u64 = 1_000;

/// The voters that a change would leave, and which of them are known to be well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arithmetic {
    pub(crate) voters: usize,
    pub(crate) healthy: usize,
}

impl Arithmetic {
    pub(super) fn of(voters: &BTreeSet<NodeId>, is_well: impl Fn(NodeId) -> bool) -> Self {
        Self { voters: voters.len(), healthy: voters.iter().filter(|voter| is_well(**voter)).count() }
    }

    pub(crate) fn quorum(&self) -> usize {
        self.voters / 2 + 1
    }

    /// Whether too few of them are well.
    pub(super) fn lacks_quorum(&self) -> bool {
        self.healthy < self.quorum()
    }

    /// Why the change would leave a cluster that stands still, if it would.
    pub(crate) fn loses_quorum(&self) -> Option<String> {
        let Self { voters, healthy } = *self;
        if voters == 0 {
            return Some("that would leave no voter at all".into());
        }
        let quorum = self.quorum();
        self.lacks_quorum().then(|| {
            format!(
                "that would leave {voters} voters, of which {healthy} answer, and a quorum of {voters} needs {quorum}"
            )
        })
    }
}

/// The same of what is known here of these voters.
pub(crate) fn arithmetic(health: &ClusterHealth, voters: &BTreeSet<NodeId>) -> Arithmetic {
    Arithmetic::of(voters, |voter| health.is_well(voter))
}

/// Refuses a change that would leave a cluster that stands still. It could not even be made: a quorum of the voters after
/// it must take it over, and until then nothing else is committed either.
pub(super) fn assert_quorum(voters_after: &BTreeSet<NodeId>, is_well: impl Fn(NodeId) -> bool) -> Result<(), Status> {
    let Some(arithmetic) = Arithmetic::of(voters_after, is_well).loses_quorum() else { return Ok(()) };
    let way_out = if voters_after.is_empty() {
        "to end a cluster, stop its nodes"
    } else {
        "bring back a member that does not answer, or remove that one first"
    };
    Err(Status::failed_precondition(format!("{arithmetic}; it could not be made, with --force neither: {way_out}")))
}

/// Refuses a vote to a learner that could not use it yet. `behind` are the entries that it has not taken into its log, by the
/// leader's own knowledge, because a report is always a moment old; `None` for one that does not answer.
pub(super) fn assert_caught_up(member: &Member, behind: Option<u64>) -> Result<(), Status> {
    match behind {
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
