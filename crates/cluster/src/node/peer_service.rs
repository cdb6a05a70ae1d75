use std::sync::Arc;

use futures_util::StreamExt;
use sessile_store::NodeId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::admission::Lobby;
use crate::health::ClusterHealth;
use crate::late::Late;
use crate::reads::Reads;
use crate::transport::{Answers, Door, FromQueue, RaftReceiver, one_by_one};
use crate::wire::peer_server::Peer;
use crate::wire::refusal::Reason;
use crate::wire::{
    AppendRequest, AppendResponse, ConfirmRequest, ConfirmResponse, FetchSnapshotRequest, InstallSnapshotResponse,
    LeaderTransfer, LeaderTransferResponse, MemberReport, ProposalResults, Proposals, ReadIndexRequest,
    ReadIndexResponse, SnapshotPart, SnapshotPositionRequest, SnapshotPositionResponse, VoteRequest, VoteResponse,
};
use crate::writes::{Writes, propose_all};

/// How many messages of results wait for the network.
const RESULTS_AHEAD: usize = 64;

/// What members say to each other, at the receiver: looks at the envelope, and hands on what is in it.
pub(super) struct PeerService {
    door: Arc<Door>,
    lobby: Arc<Lobby>,
    member: Late<PeerMember>,
    /// How many bytes of one other member's commands may have no result yet.
    max_proposed: usize,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What of a member other members talk to.
pub(super) struct PeerMember {
    pub(super) receiver: RaftReceiver,
    pub(super) reads: Arc<Reads>,
    pub(super) writes: Arc<Writes>,
    pub(super) health: Arc<ClusterHealth>,
}

impl PeerService {
    pub(super) fn new(
        door: Arc<Door>,
        lobby: Arc<Lobby>,
        member: Late<PeerMember>,
        max_proposed: usize,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> Self {
        Self { door, lobby, member, max_proposed, tasks, stop }
    }

    /// Answers that end when this node stops: whoever asks would hear from this life of the node for ever, and never ask the
    /// next one, which leads under the same id.
    fn until_it_stops<T: Send + 'static>(&self, answers: Answers<T>) -> Answers<T> {
        answers.take_until(self.stop.clone().cancelled_owned()).boxed()
    }

    /// Lets the message of a member in that asks for what only members may have.
    fn enter<T>(&self, request: &Request<T>) -> Result<(NodeId, Arc<PeerMember>), Status> {
        let from = self.door.admit(request)?;
        Ok((from, self.member()?))
    }

    /// Lets the message in of a member, or of a node that may be one since: it leads, or wants to.
    fn enter_unheard_of<T>(&self, request: &Request<T>) -> Result<(NodeId, Arc<PeerMember>), Status> {
        let door = &self.door;
        if door.cluster().is_none()
            && let Some(cluster) = door.meant_for_here(request)
        {
            // That cluster takes this node for a member; whether that is so, the lobby knows.
            self.lobby.called_by(cluster);
        }
        let from = door.admit_unheard_of(request)?;
        Ok((from, self.member()?))
    }

    fn member(&self) -> Result<Arc<PeerMember>, Status> {
        let door = &self.door;
        let starting = || door.refuse(Reason::NotReady, &format!("node {} is still starting", door.node()));
        self.member.get().ok_or_else(starting)
    }
}

#[tonic::async_trait]
impl Peer for PeerService {
    type AppendStream = Answers<AppendResponse>;
    type FetchSnapshotStream = Answers<SnapshotPart>;
    type ProposeStream = Answers<ProposalResults>;
    type ReadIndexStream = Answers<ReadIndexResponse>;
    type ConfirmStream = Answers<ConfirmResponse>;

    async fn append(&self, request: Request<Streaming<AppendRequest>>) -> Result<Response<Self::AppendStream>, Status> {
        let (from, member) = self.enter_unheard_of(&request)?;
        Ok(self.door.answer(from, member.receiver.append(from, request.into_inner())))
    }

    async fn vote(&self, request: Request<VoteRequest>) -> Result<Response<VoteResponse>, Status> {
        let (from, member) = self.enter_unheard_of(&request)?;
        let answer = member.receiver.vote(request.into_inner()).await?;
        if answer.granted {
            member.writes.may_lead(from);
        }
        Ok(self.door.answer(from, answer))
    }

    async fn transfer_leader(
        &self,
        request: Request<LeaderTransfer>,
    ) -> Result<Response<LeaderTransferResponse>, Status> {
        let (from, member) = self.enter_unheard_of(&request)?;
        Ok(self.door.answer(from, member.receiver.transfer_leader(&request.into_inner()).await?))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<SnapshotPart>>,
    ) -> Result<Response<InstallSnapshotResponse>, Status> {
        let (from, member) = self.enter_unheard_of(&request)?;
        Ok(self.door.answer(from, member.receiver.install_snapshot(from, request.into_inner()).await?))
    }

    async fn snapshot_position(
        &self,
        request: Request<SnapshotPositionRequest>,
    ) -> Result<Response<SnapshotPositionResponse>, Status> {
        let (from, member) = self.enter_unheard_of(&request)?;
        Ok(self.door.answer(from, member.receiver.snapshot_position(request.into_inner()).await?))
    }

    async fn fetch_snapshot(
        &self,
        request: Request<FetchSnapshotRequest>,
    ) -> Result<Response<Self::FetchSnapshotStream>, Status> {
        let (from, member) = self.enter(&request)?;
        Ok(self.door.answer(from, member.receiver.fetch_snapshot(from, request.into_inner()).await?))
    }

    async fn propose(&self, request: Request<Streaming<Proposals>>) -> Result<Response<Self::ProposeStream>, Status> {
        let (from, member) = self.enter(&request)?;
        let (results, outgoing) = mpsc::channel(RESULTS_AHEAD);
        let proposing = propose_all(member.writes.clone(), self.max_proposed, request.into_inner(), results);
        let stop = self.stop.clone();
        self.tasks.spawn(async move { stop.run_until_cancelled(proposing).await });
        Ok(self.door.answer(from, FromQueue(outgoing).map(Ok).boxed()))
    }

    async fn read_index(
        &self,
        request: Request<Streaming<ReadIndexRequest>>,
    ) -> Result<Response<Self::ReadIndexStream>, Status> {
        let (from, member) = self.enter(&request)?;
        let answer = move |ReadIndexRequest { follows: term }| {
            let reads = member.reads.clone();
            async move {
                let index = reads.index(from, term).await;
                ReadIndexResponse { index, refuses_writes: !reads.leader_takes_writes() }
            }
        };
        Ok(self.door.answer(from, self.until_it_stops(one_by_one(request.into_inner(), answer))))
    }

    async fn confirm(
        &self,
        request: Request<Streaming<ConfirmRequest>>,
    ) -> Result<Response<Self::ConfirmStream>, Status> {
        let (from, member) = self.enter_unheard_of(&request)?;
        let answer = move |ConfirmRequest {}| {
            std::future::ready(ConfirmResponse { follows: member.reads.follows(from).unwrap_or(0) })
        };
        Ok(self.door.answer(from, self.until_it_stops(one_by_one(request.into_inner(), answer))))
    }

    async fn report(&self, request: Request<MemberReport>) -> Result<Response<MemberReport>, Status> {
        let (from, member) = self.enter_unheard_of(&request)?;
        member.health.heard_of(from, request.into_inner());
        Ok(self.door.answer(from, member.health.report()))
    }
}
