use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use openraft::ChangeMembers;
use openraft::errors::RaftError;
use openraft::raft::Precondition;
use sessile_store::{Member, NodeId, StoredMembership, TypeConfig};
use tokio::sync::MutexGuard;
use tokio::time::timeout;
use tonic::Status;

use super::changed::{Changed, changed, refused};
use super::decide;
use super::history::{Author, ChangeHistory};
use super::quorum::assert_quorum;
use crate::group::{DONE, Group, takes_place, voters};
use crate::transport::ThisNode;

/// How long a change may take: two entries, each on a majority of both sets.
pub(super) const CHANGE_TIMEOUT: Duration = Duration::from_secs(8);

/// A change that may be made: this node leads, and nobody else on it changes the membership until this is dropped.
pub(super) struct Change<'changes> {
    pub(super) group: &'changes Group,
    pub(super) this: &'changes ThisNode,
    pub(super) history: &'changes ChangeHistory,
    /// The membership that it is decided on, and made on or not at all.
    pub(super) on: StoredMembership,
    pub(super) _one_at_a_time: MutexGuard<'changes, ()>,
}

impl Change<'_> {
    pub(super) async fn make_replacement(
        self,
        members: ChangeMembers<NodeId, Member>,
        old: NodeId,
        (new, new_member): (NodeId, &Member),
        author: Option<Author>,
    ) -> Result<Changed, Status> {
        let old_name = self.group.name_of(old);
        let what = takes_place((&new_member.name, new), (&old_name, old));
        let membership = self.make(members, author, &what).await?;
        Ok(changed(membership, what))
    }

    /// Refuses one that could not be committed now: nothing else would be either, until it can. Whoever votes after it is
    /// asked, because what is known of members is a few seconds old. That the voters before it answer, its beginning has
    /// proved.
    async fn assert_can_be_made(&self, change: &ChangeMembers<NodeId, Member>) -> Result<(), Status> {
        let before = voters(&self.on);
        let after = decide::voters_after(&before, change);
        if after == before {
            return Ok(());
        }
        let asked = after.iter().map(async |voter| match self.on.membership().get_node(voter) {
            Some(member) if still_answers(self.group, self.this, *voter, member).await => Some(*voter),
            _ => None,
        });
        let answer: BTreeSet<NodeId> = join_all(asked).await.into_iter().flatten().collect();
        assert_quorum(&after, |voter| answer.contains(&voter))
    }

    /// Makes it, if the membership is still that one. `what` says what is so then. With an author it stands in the history from
    /// before its beginning; what cannot be made does not, because whoever wants it again and again would fill the history
    /// with it. Members that lose their vote leave. Says the index of the membership in force then.
    pub(super) async fn make(
        self,
        change: ChangeMembers<NodeId, Member>,
        author: Option<Author>,
        what: &str,
    ) -> Result<u64, Status> {
        self.assert_can_be_made(&change).await?;
        let made = self.carry_out(change);
        match author {
            Some(author) => self.history.record(&author, what, made, |_| DONE.to_owned()).await,
            None => made.await,
        }
    }

    async fn carry_out(&self, change: ChangeMembers<NodeId, Member>) -> Result<u64, Status> {
        let precondition: Precondition<TypeConfig> =
            Precondition::LastMembershipLogId { last_membership_log_id: *self.on.log_id() };
        let changing = self.group.raft.change_membership_if(change, false, [precondition]);
        let result = timeout(CHANGE_TIMEOUT, changing).await;
        let result = result.map_err(|_| {
            let seconds = CHANGE_TIMEOUT.as_secs();
            Status::deadline_exceeded(format!(
                "no quorum confirmed the change within {seconds} s; it may still come about: look with `sessile status`"
            ))
        })?;
        match result {
            Ok(response) => Ok(response.log_id.index),
            Err(RaftError::APIError(error)) => Err(refused(&error)),
            Err(RaftError::Fatal(_)) => Err(Status::unavailable("this node is stopping")),
        }
    }
}

/// Whether a member's address answers with that member's id.
pub(super) async fn still_answers(group: &Group, this: &ThisNode, node: NodeId, member: &Member) -> bool {
    node == group.node || this.is_reached_at(node, &member.address).await
}
