//! Between Raft's types and the messages.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, StreamAppendError, StreamAppendResult, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use openraft::vote::RaftLeaderIdExt;
use sessile_store::{ClusterId, LogId, NodeId, TypeConfig, Vote, decode_entry, encode_entry};
use tonic::Status;

use crate::wire;
use crate::wire::append_response::Result as Appended;

pub(crate) fn id_to_wire(node: NodeId) -> Bytes {
    Bytes::copy_from_slice(&node.to_bytes())
}

pub(crate) fn id_from_wire(bytes: &[u8]) -> Option<NodeId> {
    NodeId::from_bytes(bytes)
}

pub(crate) fn cluster_to_wire(cluster: ClusterId) -> Bytes {
    Bytes::copy_from_slice(&cluster.to_bytes())
}

/// Nothing is there for a node that belongs to no cluster.
pub(crate) fn cluster_from_wire(bytes: &[u8]) -> Option<ClusterId> {
    ClusterId::from_bytes(bytes)
}

fn malformed(what: &str) -> Status {
    Status::invalid_argument(format!("the message has no readable {what}"))
}

pub(super) fn ballot_to_wire(vote: &Vote) -> wire::Ballot {
    wire::Ballot { term: vote.leader_id.term, node: id_to_wire(vote.leader_id.voted_for), committed: vote.committed }
}

pub(super) fn ballot_from_wire(ballot: Option<&wire::Ballot>) -> Result<Vote, Status> {
    let ballot = ballot.ok_or_else(|| malformed("vote"))?;
    let mut vote = Vote::new(ballot.term, id_from_wire(&ballot.node).ok_or_else(|| malformed("vote"))?);
    vote.committed = ballot.committed;
    Ok(vote)
}

pub(super) fn log_id_to_wire(log_id: &LogId) -> wire::LogId {
    wire::LogId { term: **log_id.committed_leader_id(), index: log_id.index }
}

pub(super) fn log_id_from_wire(log_id: &wire::LogId) -> LogId {
    let leader = openraft::vote::leader_id_std::LeaderId::new_committed(log_id.term, NodeId::default());
    LogId::new(leader, log_id.index)
}

pub(super) fn append_to_wire(append: &AppendEntriesRequest<TypeConfig>) -> wire::AppendRequest {
    let entry = |entry: &_| {
        let wire::LogId { term, index } = log_id_to_wire(log_id_of(entry));
        wire::LogEntry { term, index, entry: encode_entry(entry) }
    };
    wire::AppendRequest {
        ballot: Some(ballot_to_wire(&append.vote)),
        previous: append.prev_log_id.as_ref().map(log_id_to_wire),
        entries: append.entries.iter().map(entry).collect(),
        committed: append.leader_commit.as_ref().map(log_id_to_wire),
    }
}

fn log_id_of(entry: &sessile_store::Entry) -> &LogId {
    &entry.log_id
}

pub(super) fn append_from_wire(append: wire::AppendRequest) -> Result<AppendEntriesRequest<TypeConfig>, Status> {
    let entry = |entry: wire::LogEntry| {
        let log_id = log_id_from_wire(&wire::LogId { term: entry.term, index: entry.index });
        // The error never repeats what the entry holds.
        decode_entry(log_id, entry.entry)
            .map_err(|error| Status::invalid_argument(format!("entry {} cannot be read: {error}", entry.index)))
    };
    Ok(AppendEntriesRequest {
        vote: ballot_from_wire(append.ballot.as_ref())?,
        prev_log_id: append.previous.as_ref().map(log_id_from_wire),
        entries: append.entries.into_iter().map(entry).collect::<Result<_, _>>()?,
        leader_commit: append.committed.as_ref().map(log_id_from_wire),
    })
}

pub(super) fn appended_to_wire(result: &StreamAppendResult<TypeConfig>) -> wire::AppendResponse {
    let result = match result {
        Ok(upto) => Appended::Matched(wire::Matched { upto: upto.as_ref().map(log_id_to_wire) }),
        Err(StreamAppendError::Conflict(at)) => Appended::Conflict(log_id_to_wire(at)),
        Err(StreamAppendError::HigherVote(vote)) => Appended::Higher(ballot_to_wire(vote)),
    };
    wire::AppendResponse { result: Some(result) }
}

pub(super) fn appended_from_wire(response: wire::AppendResponse) -> Result<StreamAppendResult<TypeConfig>, Status> {
    Ok(match response.result.ok_or_else(|| malformed("result"))? {
        Appended::Matched(matched) => Ok(matched.upto.as_ref().map(log_id_from_wire)),
        Appended::Conflict(at) => Err(StreamAppendError::Conflict(log_id_from_wire(&at))),
        Appended::Higher(ballot) => Err(StreamAppendError::HigherVote(ballot_from_wire(Some(&ballot))?)),
    })
}

pub(super) fn vote_to_wire(vote: &VoteRequest<TypeConfig>, pre_vote: bool) -> wire::VoteRequest {
    wire::VoteRequest {
        ballot: Some(ballot_to_wire(&vote.vote)),
        last: vote.last_log_id.as_ref().map(log_id_to_wire),
        leadership_transfer: vote.leadership_transfer,
        pre_vote,
    }
}

pub(super) fn vote_from_wire(vote: &wire::VoteRequest) -> Result<VoteRequest<TypeConfig>, Status> {
    let last = vote.last.as_ref().map(log_id_from_wire);
    let mut request = VoteRequest::new(ballot_from_wire(vote.ballot.as_ref())?, last);
    request.leadership_transfer = vote.leadership_transfer;
    Ok(request)
}

pub(super) fn voted_to_wire(response: &VoteResponse<TypeConfig>) -> wire::VoteResponse {
    wire::VoteResponse {
        ballot: Some(ballot_to_wire(&response.vote)),
        last: response.last_log_id.as_ref().map(log_id_to_wire),
        granted: response.vote_granted,
    }
}

pub(super) fn voted_from_wire(response: &wire::VoteResponse) -> Result<VoteResponse<TypeConfig>, Status> {
    let last = response.last.as_ref().map(log_id_from_wire);
    Ok(VoteResponse::new(ballot_from_wire(response.ballot.as_ref())?, last, response.granted))
}

pub(super) fn transfer_to_wire(transfer: &TransferLeaderRequest<TypeConfig>) -> wire::LeaderTransfer {
    wire::LeaderTransfer {
        from: Some(ballot_to_wire(transfer.from_leader())),
        to: id_to_wire(*transfer.to_node_id()),
        last: transfer.last_log_id().map(log_id_to_wire),
    }
}

pub(super) fn transfer_from_wire(transfer: &wire::LeaderTransfer) -> Result<TransferLeaderRequest<TypeConfig>, Status> {
    Ok(TransferLeaderRequest::new(
        ballot_from_wire(transfer.from.as_ref())?,
        id_from_wire(&transfer.to).ok_or_else(|| malformed("receiver"))?,
        transfer.last.as_ref().map(log_id_from_wire),
    ))
}
