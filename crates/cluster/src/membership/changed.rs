//! What came of a change of the membership, or why it was not made.

use openraft::errors::ClientWriteError;
use sessile_store::{NodeId, StoredMembership, TypeConfig};
use tonic::Status;

/// A change that was made, or need not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    pub(crate) changed: bool,
    /// What was done, or is so already, as a sentence.
    pub(crate) what: String,
    /// The log index of the membership in force now.
    pub(crate) membership: u64,
}

/// What came of asking a leader for a change that may be its own end.
pub(crate) enum Asked {
    Answered(Changed),
    /// It may be made, and this leader is who goes by it. It has handed over first, because a change that its own maker
    /// does not see the end of is hard to tell about: the successor makes it.
    HandedOver(NodeId),
}

pub(super) fn changed(membership: u64, what: String) -> Changed {
    Changed { changed: true, what, membership }
}

pub(super) fn unchanged(on: &StoredMembership, what: String) -> Changed {
    Changed { changed: false, what, membership: index_of(on) }
}

pub(super) fn index_of(membership: &StoredMembership) -> u64 {
    membership.log_id().map_or(0, |log_id| log_id.index)
}

pub(super) fn refused(error: &ClientWriteError<TypeConfig>) -> Status {
    match error {
        ClientWriteError::ForwardToLeader(_) => Status::unavailable("this node does not lead any more; try again"),
        ClientWriteError::LogEntryDiscarded(_) => {
            Status::unavailable("another node leads now, and the change may or may not have come about; look again")
        }
        ClientWriteError::PreconditionFailed(_) => {
            Status::aborted("the membership has changed meanwhile; look again with `sessile status`")
        }
        ClientWriteError::ChangeMembershipError(error) => {
            Status::aborted(format!("the change cannot be made now: {error}"))
        }
    }
}
