//! What the newest entries of a log say, where no Raft runs over it.

use openraft::EntryPayload;
use sessile_core::LogTime;

use crate::codec::{decode_entry, seal, unseal};
use crate::data_dir::DataDir;
use crate::log::RaftLog;
use crate::types::log_id_at;
use crate::{Member, Membership, NodeId, Proposal, StoreError};

/// How many entries are read at a time.
const SEARCH_ENTRIES: u64 = 1_024;

/// The term of the vote that a log keeps; 0 without one.
pub(crate) fn voted_term(dir: &DataDir, log: &RaftLog) -> Result<u64, StoreError> {
    let Some(bytes) = log.vote() else { return Ok(0) };
    let vote = unseal::<(u64, NodeId, bool)>(&bytes);
    let unreadable = |error| dir.disagreement(format!("the vote in the Raft log cannot be read: {error}"));
    vote.map(|(term, ..)| term).map_err(unreadable)
}

/// Votes for itself in a term, durably.
pub(crate) fn vote_for_itself(log: &RaftLog, term: u64, node: NodeId) -> Result<(), StoreError> {
    Ok(log.durably(|done| log.save_vote(&seal(&(term, node, false)), done))?)
}

/// The members by the newest membership entry that a log still has.
pub(crate) fn newest_membership(log: &RaftLog) -> Option<Membership> {
    find(log, |payload| match payload {
        EntryPayload::Membership(membership) => Some(membership),
        EntryPayload::Blank | EntryPayload::Normal(_) => None,
    })
}

/// The time of the newest entry that has one.
pub(crate) fn newest_stamp(log: &RaftLog) -> Option<LogTime> {
    find(log, |payload| match payload {
        EntryPayload::Normal(proposal) => Some(proposal.stamp),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    })
}

/// What the newest entry says of which anything is wanted. What cannot be read is passed over.
fn find<T>(log: &RaftLog, wanted: impl Fn(EntryPayload<Proposal, NodeId, Member>) -> Option<T>) -> Option<T> {
    let (first, last) = (log.first_index()?, log.last()?);
    let mut end = last.index + 1;
    while end > first {
        let start = end.saturating_sub(SEARCH_ENTRIES).max(first);
        let records = log.read(start..end, usize::MAX).unwrap_or_default();
        for record in records.into_iter().rev() {
            let entry = decode_entry(log_id_at(record.position), record.payload).ok();
            if let Some(found) = entry.and_then(|entry| wanted(entry.payload)) {
                return Some(found);
            }
        }
        end = start;
    }
    None
}
