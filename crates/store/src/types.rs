use std::fmt;

use bytes::Bytes;
use openraft::vote::{RaftLeaderIdExt, leader_id_std};
use sessile_core::injected::decisions;
use sessile_core::{LogTime, Outcome, RulesVersion};

use crate::log::LogPosition;
use crate::{KeyHash, NodeId};

openraft::declare_raft_types!(
    /// What Raft is about here. Leader ids are the standard ones: one leader a term.
    pub TypeConfig:
        D = Proposal,
        // What the command did; `None` for what Raft itself put into the log.
        R = Option<Outcome>,
        NodeId = NodeId,
        Node = Member,
        Term = u64,
        LeaderId = leader_id_std::LeaderId<u64, NodeId>,
);

/// A place in the log.
pub type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
/// A vote, or the proof of a leader.
pub type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
/// An entry of the log.
pub type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
/// Who is a member.
pub type Membership = openraft::Membership<NodeId, Member>;
/// Who is a member, and by which entry.
pub type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;
/// The place in the log that a snapshot stands for, and who was a member there.
pub type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;

/// The place of an entry: the term of the leader that made it, and its number.
pub fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(leader_id_std::LeaderId::new_committed(term, NodeId::default()), index)
}

/// The term of the leader that made the entry at that place.
pub fn term_of(log_id: &LogId) -> u64 {
    **log_id.committed_leader_id()
}

/// Where openraft says an entry stands.
pub(crate) fn log_id_at(position: LogPosition) -> LogId {
    log_id(position.term, position.index)
}

/// Where the log says an entry stands.
pub(crate) fn position(log_id: &LogId) -> LogPosition {
    LogPosition { term: term_of(log_id), index: log_id.index }
}

/// The newest rules that all of these members can follow; `None` if there is none.
pub fn rules_of_all<'a>(members: impl Iterator<Item = &'a Member>) -> Option<RulesVersion> {
    let supported = members.map(|member| member.rules_supported);
    if decisions().rules_await_all { supported.min() } else { supported.max() }
}

/// What the log knows of a member beside its id.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Member {
    /// A label for people.
    pub name: String,
    /// `host:port` of its gRPC listener; empty in a cluster of one.
    pub address: String,
    /// The newest rules that it can follow.
    pub rules_supported: RulesVersion,
    /// By which of these it is recognised: one, and two while it changes its key. None in an entry of a program that knew
    /// no keys. A row of the state holds them beside the member, so that it stays one that such a program reads.
    #[serde(skip)]
    pub keys: Vec<KeyHash>,
}

impl Default for Member {
    fn default() -> Self {
        Self { name: String::new(), address: String::new(), rules_supported: RulesVersion::SUPPORTED, keys: Vec::new() }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}

/// A command as it stands in the log: the leader's stamp, and the command's bytes as they were first encoded.
/// The bytes hold keys and values; neither `Debug` nor `Display` shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The time at which the leader put it into the log.
    pub stamp: LogTime,
    /// An encoded [`sessile_core::Command`].
    pub command: Bytes,
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "proposal of {} bytes at {}", self.command.len(), self.stamp)
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
