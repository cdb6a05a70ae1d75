use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt, StreamExt};
use openraft::base::BoxStream;
use sessile_store::{NodeId, off_the_runtime};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use super::appends::Appends;
use super::conversation::FromQueue;
use super::convert::{appended_to_wire, ballot_to_wire, transfer_from_wire, vote_from_wire, voted_to_wire};
use super::snapshot::{head, parts, receive};
use crate::cluster::{Inner, Tried};
use crate::local::Local;
use crate::wire::peer_server::Peer;
use crate::wire::proposal_result::Failure;
use crate::wire::refusal::Reason;
use crate::wire::{
    AppendRequest, AppendResponse, ConfirmRequest, ConfirmResponse, FetchSnapshotRequest, InstallSnapshotResponse,
    LeaderTransfer, LeaderTransferResponse, MemberReport, ProposalResult, ProposalResults, Proposals, ReadIndexRequest,
    ReadIndexResponse, SnapshotPart, SnapshotPositionRequest, SnapshotPositionResponse, VoteRequest, VoteResponse,
};

/// How many commands of one other member may be on their way into the log. Its own window is smaller.
const MAX_PROPOSED: usize = 8_192;
/// How many messages of results wait for the network.
const RESULTS_AHEAD: usize = 64;
/// How long a read index may take before whoever asked is told to ask again.
const READ_INDEX_TIMEOUT: Duration = Duration::from_millis(500);

/// What members say to each other, at the receiver.
pub(crate) struct PeerService {
    local: Arc<Local>,
}

impl PeerService {
    pub(crate) fn new(local: Arc<Local>) -> Self {
        Self { local }
    }

    /// Lets the message of a member in.
    fn enter<T>(&self, request: &Request<T>) -> Result<(NodeId, Arc<Inner>), Status> {
        let door = &self.local.door;
        if door.cluster().is_none()
            && let Some(cluster) = door.meant_for_here(request)
        {
            // That cluster takes this node for a member; whether that is so, the lobby knows.
            self.local.lobby.called_by(cluster);
        }
        let from = door.admit(request)?;
        let starting = || door.refuse(Reason::NotReady, &format!("node {} is still starting", door.node()));
        Ok((from, self.local.member().ok_or_else(starting)?))
    }
}

/// Raft has ended, because the node stops or has a fault. To the other side it is as if it were gone.
fn ended(_: impl std::fmt::Display) -> Status {
    Status::unavailable("this node is stopping")
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl Peer for PeerService {
    type AppendStream = Answers<AppendResponse>;
    type FetchSnapshotStream = Answers<SnapshotPart>;
    type ProposeStream = Answers<ProposalResults>;
    type ReadIndexStream = Answers<ReadIndexResponse>;
    type ConfirmStream = Answers<ConfirmResponse>;

    async fn append(&self, request: Request<Streaming<AppendRequest>>) -> Result<Response<Self::AppendStream>, Status> {
        let (from, inner) = self.enter(&request)?;
        let appends = Appends::new(self.local.config.queues.replicated);
        let answers = appends.clone().answered(inner.raft.stream_append(appends.of(from, request.into_inner())));
        let answers = answers.map(|answer| answer.map(|result| appended_to_wire(&result)).map_err(ended));
        Ok(self.local.door.answer(from, answers.boxed()))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let (from, inner) = self.enter(&request)?;
        let wanted = request.into_inner();
        let vote = vote_from_wire(&wanted)?;
        let answer = if wanted.pre_vote { inner.raft.pre_vote(vote).await } else { inner.raft.vote(vote).await };
        Ok(self.local.door.answer(from, voted_to_wire(&answer.map_err(ended)?)))
    }

    async fn transfer_leader(
        &self,
        request: Request<LeaderTransfer>,
    ) -> Result<Response<LeaderTransferResponse>, Status> {
        let (from, inner) = self.enter(&request)?;
        let transfer = transfer_from_wire(&request.into_inner())?;
        let accepted = inner.raft.handle_transfer_leader(transfer).await.map_err(ended)?;
        let refused = accepted.err().map(|error| error.to_string()).unwrap_or_default();
        Ok(self.local.door.answer(from, LeaderTransferResponse { refused }))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotPart>>,
    ) -> Result<Response<InstallSnapshotResponse>, Status> {
        let (from, inner) = self.enter(&request)?;
        let mut parts = request.into_inner();
        let head = head(&mut parts).await?;
        let vote = head.vote.ok_or_else(|| Status::invalid_argument("the snapshot has no vote"))?;
        let busy = || Status::unavailable("another snapshot is being received");
        let mut turn = inner.receiving.begin(head.id).await.ok_or_else(busy)?;
        let (state, room, gives_way) = (inner.state.clone(), inner.clone(), turn.gives_way.clone());
        let progress = turn.progress();
        let has = move |bytes| progress.has(bytes);
        let has_room = move || !room.disk.is_nearly_full();
        let received =
            receive(parts, &head, &mut turn.part, &gives_way, has, has_room, move || state.receive()).await?;
        tracing::info!(%from, index = head.meta.last_log_id.map(|last| last.index), "the state of another member was received");
        let snapshot = openraft::Snapshot { meta: head.meta, snapshot: received };
        let answer = inner.raft.install_full_snapshot(vote, snapshot).await.map_err(ended)?;
        let answer = InstallSnapshotResponse { ballot: Some(ballot_to_wire(&answer.vote)) };
        Ok(self.local.door.answer(from, answer))
    }

    async fn snapshot_position(
        &self,
        request: Request<SnapshotPositionRequest>,
    ) -> Result<Response<SnapshotPositionResponse>, Status> {
        let (from, inner) = self.enter(&request)?;
        let SnapshotPositionRequest { id, live_bytes } = request.into_inner();
        let next = inner.receiving.position(id).await;
        // What came already has its room.
        if next == 0 && !inner.disk.has_room_for(live_bytes) {
            let report = inner.disk.report();
            return Err(Status::resource_exhausted(format!(
                "it has no room for the state: {} bytes are free, {} must be, and the sessions alone take {live_bytes}",
                report.free_bytes, report.limit_bytes
            )));
        }
        Ok(self.local.door.answer(from, SnapshotPositionResponse { next }))
    }

    async fn fetch_snapshot(
        &self,
        request: Request<FetchSnapshotRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        let (from, inner) = self.enter(&request)?;
        let FetchSnapshotRequest { reach, id, next } = request.into_inner();
        let applied = inner.state.summary().applied;
        if applied.is_none_or(|applied| applied.index < reach) {
            let text = format!("node {} has not applied entry {reach} itself yet", self.local.node());
            return Err(self.local.door.refuse(Reason::NotReady, &text));
        }
        let state = inner.state.clone();
        let snapshot = off_the_runtime(move || state.snapshot_to_send(reach)).await.map_err(ended)?;
        let snapshot = snapshot.map_err(|error| Status::internal(error.to_string()))?;
        let next = if snapshot.snapshot.id() == id { next } else { 0 };
        let room = inner.clone();
        let has_room = move || !room.disk.is_nearly_full();
        let parts = parts(from, None, snapshot, &inner.sending, next, has_room).await;
        Ok(self.local.door.answer(from, parts.boxed()))
    }

    async fn propose(&self, request: Request<Streaming<Proposals>>) -> Result<Response<Self::ProposeStream>, Status> {
        let (from, inner) = self.enter(&request)?;
        let (results, outgoing) = mpsc::channel(RESULTS_AHEAD);
        let proposing = propose_all(inner.clone(), request.into_inner(), results);
        let stop = self.local.stop.clone();
        self.local.tasks.spawn(async move { stop.run_until_cancelled(proposing).await });
        Ok(self.local.door.answer(from, FromQueue(outgoing).map(Ok).boxed()))
    }

    async fn read_index(
        &self,
        request: Request<Streaming<ReadIndexRequest>>,
    ) -> Result<Response<Self::ReadIndexStream>, Status> {
        let (from, inner) = self.enter(&request)?;
        let answer = move |ReadIndexRequest { follows: term }| {
            let inner = inner.clone();
            async move {
                let index = inner.rounds.index(from, term, Instant::now() + READ_INDEX_TIMEOUT).await;
                ReadIndexResponse { index }
            }
        };
        Ok(self.local.door.answer(from, one_by_one(request.into_inner(), answer)))
    }

    async fn confirm(
        &self,
        request: Request<Streaming<ConfirmRequest>>,
    ) -> Result<Response<Self::ConfirmStream>, Status> {
        let (from, inner) = self.enter(&request)?;
        let answer = move |ConfirmRequest {}| {
            std::future::ready(ConfirmResponse { follows: inner.standing.follows(from).unwrap_or(0) })
        };
        Ok(self.local.door.answer(from, one_by_one(request.into_inner(), answer)))
    }

    async fn report(&self, request: Request<MemberReport>) -> Result<Response<MemberReport>, Status> {
        let (from, inner) = self.enter(&request)?;
        inner.heard_of(from, request.into_inner());
        Ok(self.local.door.answer(from, inner.report()))
    }
}

/// An answer to each question, in their order, for as long as there are questions.
fn one_by_one<Q: Send + 'static, A: Send + 'static, F: Future<Output = A> + Send + 'static>(
    questions: Streaming<Q>,
    answer: impl FnMut(Q) -> F + Send + 'static,
) -> Answers<A> {
    stream::unfold((questions, answer), |(mut questions, mut answer)| async move {
        let question = questions.message().await.ok()??;
        Some((Ok(answer(question).await), (questions, answer)))
    })
    .boxed()
}

/// Puts the commands of another member into the log, all that have come at a time, and sends back what each did.
async fn propose_all(inner: Arc<Inner>, mut incoming: Streaming<Proposals>, results: mpsc::Sender<ProposalResults>) {
    let mut proposed = FuturesUnordered::new();
    // Of those, and how many it may be before another message is read: the other side sends no more than one ahead.
    let (mut bytes, max_bytes) = (0, inner.local.config.queues.forwarded);
    loop {
        tokio::select! {
            message = incoming.message(), if proposed.len() < MAX_PROPOSED && bytes < max_bytes => {
                // When the other side goes, what it proposed goes on without it.
                let Ok(Some(message)) = message else { return };
                for command in message.commands {
                    let inner = inner.clone();
                    let size = command.command.len();
                    bytes += size;
                    proposed.push(async move {
                        let room = inner.writes.room(size).await;
                        (size, result(command.id, inner.propose(command.command, room).await))
                    });
                }
            }
            Some(first) = proposed.next(), if !proposed.is_empty() => {
                let mut done = vec![first];
                while let Some(Some(next)) = proposed.next().now_or_never() {
                    done.push(next);
                }
                bytes -= done.iter().map(|(size, _)| size).sum::<usize>();
                let done = done.into_iter().map(|(_, result)| result).collect();
                if results.send(ProposalResults { results: done }).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn result(id: u64, tried: Tried) -> ProposalResult {
    let (failure, outcome) = match tried {
        Tried::Done(outcome) => (Failure::None, outcome.encode()),
        Tried::NotSent | Tried::NoRoom | Tried::Ended => (Failure::NotLeader, Bytes::new()),
        Tried::Discarded => (Failure::Discarded, Bytes::new()),
        Tried::Unknown => (Failure::Unknown, Bytes::new()),
    };
    ProposalResult { id, failure: failure.into(), outcome }
}
