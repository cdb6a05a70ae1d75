use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use openraft::Instant as _;
use sessile_store::{NodeId, SessionState, off_the_runtime};
use tonic::{Status, Streaming};

use super::appends::Appends;
use super::conversation::Answers;
use super::convert::{appended_to_wire, ballot_to_wire, transfer_from_wire, vote_from_wire, voted_to_wire};
use super::envelope::Door;
use super::snapshot::{Receiving, Sending, head, parts, receive};
use crate::disk::Disk;
use crate::raft::Raft;
use crate::timing::Timing;
use crate::wire::refusal::Reason;
use crate::wire::{
    AppendRequest, AppendResponse, FetchSnapshotRequest, InstallSnapshotResponse, LeaderTransfer,
    LeaderTransferResponse, SnapshotPart, SnapshotPositionRequest, SnapshotPositionResponse, VoteRequest, VoteResponse,
};

/// Raft's messages of other members, and states in transit, at the receiver. Whoever hands them in has looked at their
/// envelopes.
pub(crate) struct RaftReceiver {
    pub(crate) door: Arc<Door>,
    pub(crate) raft: Raft,
    pub(crate) timing: Timing,
    pub(crate) state: SessionState,
    pub(crate) disk: Arc<Disk>,
    pub(crate) sending: Sending,
    pub(crate) receiving: Arc<Receiving>,
    /// How many bytes of entries from the leader may wait for the log.
    pub(crate) max_waiting: usize,
}

/// Raft has ended, because the node stops or has a fault. To the other side it is as if it were gone.
fn ended(_: impl std::fmt::Display) -> Status {
    Status::unavailable("this node is stopping")
}

impl RaftReceiver {
    pub(crate) fn append(&self, from: NodeId, incoming: Streaming<AppendRequest>) -> Answers<AppendResponse> {
        let appends = Appends::new(self.max_waiting);
        let answers = appends.clone().answered(self.raft.stream_append(appends.of(from, incoming)));
        answers.map(|answer| answer.map(|result| appended_to_wire(&result)).map_err(ended)).boxed()
    }

    pub(crate) async fn vote(&self, wanted: VoteRequest) -> Result<VoteResponse, Status> {
        let vote = vote_from_wire(&wanted)?;
        let last = vote.last_log_id;
        if !wanted.pre_vote {
            return Ok(voted_to_wire(&self.raft.vote(vote).await.map_err(ended)?));
        }
        let mut answer = self.raft.pre_vote(vote.clone()).await.map_err(ended)?;
        if !answer.vote_granted && answer.last_log_id > last {
            // Whoever asks lacks entries that this member has, and cannot lead. If the leader is gone for this member too, it
            // need not wait for its own turn; if not, Raft does nothing.
            self.raft.trigger().elect(true).await.map_err(ended)?;
        } else if !answer.vote_granted
            && let Some(left) = self.lease_left().await?
            && left <= self.timing.heard_apart()
        {
            // This member heard of the leader a moment later than the one that asks, which would have to ask again.
            tokio::time::sleep(left).await;
            answer = self.raft.pre_vote(vote).await.map_err(ended)?;
        }
        Ok(voted_to_wire(&answer))
    }

    /// How long this member still helps nobody to take the place of the leader that it heard of last; `None` if it heard of
    /// none.
    async fn lease_left(&self) -> Result<Option<Duration>, Status> {
        let heard = self.raft.with_raft_state(|state| state.vote_last_modified()).await.map_err(ended)?;
        Ok(heard.map(|heard| self.timing.lease().saturating_sub(heard.elapsed())))
    }

    pub(crate) async fn transfer_leader(&self, transfer: &LeaderTransfer) -> Result<LeaderTransferResponse, Status> {
        let transfer = transfer_from_wire(transfer)?;
        let accepted = self.raft.handle_transfer_leader(transfer).await.map_err(ended)?;
        let refused = accepted.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(LeaderTransferResponse { refused })
    }

    pub(crate) async fn install_snapshot(
        &self,
        from: NodeId,
        mut parts: Streaming<SnapshotPart>,
    ) -> Result<InstallSnapshotResponse, Status> {
        let head = head(&mut parts).await?;
        let vote = head.vote.ok_or_else(|| Status::invalid_argument("the snapshot has no vote"))?;
        let busy = || Status::unavailable("another snapshot is being received");
        let mut turn = self.receiving.begin(head.id).await.ok_or_else(busy)?;
        let (state, disk, gives_way) = (self.state.clone(), self.disk.clone(), turn.gives_way.clone());
        let progress = turn.progress();
        let has = move |bytes| progress.has(bytes);
        let has_room = move || !disk.is_nearly_full();
        let received =
            receive(parts, &head, &mut turn.part, &gives_way, has, has_room, move || state.receive()).await?;
        tracing::info!(%from, index = head.meta.last_log_id.map(|last| last.index), "the state of another member was received");
        let snapshot = openraft::Snapshot { meta: head.meta, snapshot: received };
        let answer = self.raft.install_full_snapshot(vote, snapshot).await.map_err(ended)?;
        Ok(InstallSnapshotResponse { ballot: Some(ballot_to_wire(&answer.vote)) })
    }

    pub(crate) async fn snapshot_position(
        &self,
        request: SnapshotPositionRequest,
    ) -> Result<SnapshotPositionResponse, Status> {
        let SnapshotPositionRequest { id, live_bytes } = request;
        let next = self.receiving.position(id).await;
        // What came already has its room.
        if next == 0 && !self.disk.has_room_for(live_bytes) {
            let report = self.disk.report();
            return Err(Status::resource_exhausted(format!(
                "it has no room for the state: {} bytes are free, {} must be, and the sessions alone take {live_bytes}",
                report.free_bytes, report.limit_bytes
            )));
        }
        Ok(SnapshotPositionResponse { next })
    }

    pub(crate) async fn fetch_snapshot(
        &self,
        from: NodeId,
        request: FetchSnapshotRequest,
    ) -> Result<Answers<SnapshotPart>, Status> {
        let FetchSnapshotRequest { reach, id, next } = request;
        let applied = self.state.summary().applied;
        if applied.is_none_or(|applied| applied.index < reach) {
            let text = format!("node {} has not applied entry {reach} itself yet", self.door.node());
            return Err(self.door.refuse(Reason::NotReady, &text));
        }
        let state = self.state.clone();
        let snapshot = off_the_runtime(move || state.snapshot_to_send(reach)).await.map_err(ended)?;
        let snapshot = snapshot.map_err(|error| Status::internal(error.to_string()))?;
        let next = if snapshot.snapshot.id() == id { next } else { 0 };
        let disk = self.disk.clone();
        let has_room = move || !disk.is_nearly_full();
        Ok(parts(from, None, snapshot, &self.sending, next, has_room).await.boxed())
    }
}
