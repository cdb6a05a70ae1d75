use std::collections::BTreeSet;
use std::time::Duration;

use sessile_store::engine::EngineFigures;
use sessile_store::{DurationCounts, Member, NodeId};

use super::cluster::{Cluster, Parts};
use crate::disk::Refuses;
use crate::writes::WriteFigures;

/// What a node measures of itself and its cluster, beside its [`Status`](super::Status): for scrapes.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Whether it was found to be ready within the last five seconds.
    pub ready: bool,
    /// How long ago a quorum last confirmed that its state is current; `None` if none did since it started.
    pub quorum_contact: Option<Duration>,
    /// The log index of the membership that it goes by; `None` while there is none.
    pub membership_index: Option<u64>,
    /// How long it has gone by that membership; since its start at the longest.
    pub membership_age: Duration,
    /// How many members vote, this one among them if it does.
    pub voters: u64,
    /// How many of them answer.
    pub voters_answering: u64,
    /// How many more voters may be lost before writes stop; below 0 they have. While the membership changes, by the half
    /// that can lose fewer.
    pub spare_voters: i64,
    /// How many members take the log and do not vote.
    pub learners: u64,
    /// The other members.
    pub members: Vec<MemberFigures>,
    /// Whether writes are refused for want of disk, here or at a voter.
    pub refuses_writes: bool,
    /// Whether deletes are refused as well.
    pub refuses_deletes: bool,
    /// Writes of this node's clients without an outcome yet.
    pub writes_waiting: u64,
    /// Commands on their way, by queue.
    pub queues: [QueueFigures; 2],
    /// The tables of the session state; `None` of an engine that has none.
    pub engine: Option<EngineFigures>,
    /// How long it took to make batches of the log durable.
    pub log_syncs: DurationCounts,
    /// How long it took to apply batches of entries to the state.
    pub applies: DurationCounts,
    /// How long it took to confirm rounds of reads.
    pub read_rounds: DurationCounts,
    /// How long writes took that were forwarded to the leader, until its answer.
    pub forwarded_writes: DurationCounts,
}

/// Another member, as this one knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberFigures {
    /// Which node it is.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub reachable: bool,
    /// How long ago it was heard of; `None` if it never was.
    pub heard_of: Option<Duration>,
    /// Committed entries that it has not applied; `None` for one that does not answer.
    pub lag_entries: Option<u64>,
    /// How long it has been behind, at the least; `None` for one that does not answer.
    pub lag: Option<Duration>,
    /// Whether its state differs from this node's.
    pub state_differs: bool,
    /// Whether its disk shows an older image than what it had acknowledged.
    pub rolled_back: bool,
}

/// A queue of commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueFigures {
    /// What it is for, as a metric's label.
    pub queue: &'static str,
    /// Bytes in it.
    pub bytes: u64,
    /// The most bytes that it takes.
    pub max_bytes: u64,
}

impl QueueFigures {
    /// The names of the queues.
    pub const NAMES: [&'static str; 2] = ["proposals", "forwarded"];
}

impl Cluster {
    /// What there is to measure now. Neither the disk nor anybody else is asked.
    pub fn figures(&self) -> Figures {
        let Parts { group, reads, writes, health, readiness, .. } = &*self.parts;
        let membership = group.membership();
        let membership_index = membership.log_id().map(|log_id| log_id.index);
        let membership = membership.membership();
        let voters: BTreeSet<NodeId> = membership.voter_ids().collect();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let answering = |voters: &BTreeSet<NodeId>| voters.iter().filter(|voter| health.is_well(**voter)).count();
        let spare = membership.get_joint_config().iter().map(|voters| spare(voters.len(), answering(voters))).min();
        let WriteFigures { outstanding, proposals, forwarded, forwards } = writes.figures();
        let queue = |(queue, (bytes, max_bytes))| QueueFigures { queue, bytes, max_bytes };
        let [to_log, to_leader] = QueueFigures::NAMES;
        let refuses = health.refuses();
        Figures {
            ready: readiness.was_ready_lately(),
            quorum_contact: reads.proven_ago(),
            membership_index,
            membership_age: group.membership_age(),
            voters: count(voters.len()),
            voters_answering: count(answering(&voters)),
            spare_voters: spare.unwrap_or_default(),
            learners: count(membership.nodes().filter(|(node, _)| !voters.contains(node)).count()),
            members: membership.nodes().filter(|(node, _)| **node != group.node).map(|one| self.member(one)).collect(),
            refuses_writes: refuses >= Refuses::Puts,
            refuses_deletes: refuses >= Refuses::Deletes,
            writes_waiting: outstanding,
            queues: [(to_log, proposals), (to_leader, forwarded)].map(queue),
            engine: group.state.engine_figures(),
            log_syncs: group.log.syncs().counts(),
            applies: group.state.applies().counts(),
            read_rounds: reads.rounds_took().counts(),
            forwarded_writes: forwards,
        }
    }

    fn member(&self, (node, member): (&NodeId, &Member)) -> MemberFigures {
        let health = &self.parts.health;
        let known = health.members.get(*node);
        let applied = known.as_ref().filter(|known| known.reachable).and_then(|known| known.report.as_ref());
        MemberFigures {
            node: *node,
            name: member.name.clone(),
            reachable: health.is_well(*node),
            heard_of: known.as_ref().and_then(|known| known.last_contact()),
            lag_entries: health.entries_behind(*node),
            lag: applied.map(|report| health.behind(report.applied)),
            state_differs: known.as_ref().is_some_and(|known| known.differs_at.is_some()),
            rolled_back: known.as_ref().is_some_and(|known| known.rolled_back.is_some()),
        }
    }
}

/// How many more of so many voters may be lost while so many answer; below 0 there is no quorum.
fn spare(voters: usize, answering: usize) -> i64 {
    let signed = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    signed(answering) - signed(voters / 2 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_can_spare_what_answers_beyond_a_majority() {
        for (voters, answering, spares) in
            [(1, 1, 0), (2, 2, 0), (3, 3, 1), (3, 2, 0), (3, 1, -1), (5, 5, 2), (4, 4, 1)]
        {
            assert_eq!(spare(voters, answering), spares, "{answering} of {voters}");
        }
    }
}
