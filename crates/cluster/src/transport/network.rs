use std::iter;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::select_ok;
use futures_util::stream::{self, StreamExt};
use futures_util::{FutureExt, Stream};
use openraft::base::{BoxFuture, BoxStream};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use sessile_store::{Member, NodeId, Snapshot, TypeConfig, Vote};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use super::convert::{append_to_wire, appended_from_wire, transfer_to_wire, vote_to_wire, voted_from_wire};
use super::elections::Elections;
use super::envelope::Door;
use super::heartbeats::Heartbeats;
use super::links::{Directory, Link};
use super::refusals::refusal_of;
use super::snapshot::{Sending, send};
use super::told::Told;
use crate::disk::Disk;
use crate::raft::FullSnapshot;
use crate::wire::append_response::Result as Appended;
use crate::wire::peer_client::PeerClient;
use crate::wire::{AppendRequest, AppendResponse};

/// How long to wait before a member that cannot be reached is tried again.
const AGAIN: Duration = Duration::from_millis(100);

/// Raft's way to the other members.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) door: Arc<Door>,
    pub(crate) directory: Directory,
    pub(crate) sending: Sending,
    pub(crate) told: Told,
    pub(crate) disk: Arc<Disk>,
    pub(crate) elections: Elections,
}

/// What a connection is for. Each has a TCP connection of its own, so that none waits behind another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Log,
    Heartbeat,
    Snapshot,
}

/// One member, for one purpose.
pub(crate) struct Connection {
    door: Arc<Door>,
    link: Arc<Link>,
    purpose: Purpose,
    sending: Sending,
    told: Told,
    disk: Arc<Disk>,
    directory: Directory,
    elections: Elections,
    heartbeats: Heartbeats<AppendRequest, AppendResponse>,
}

impl Network {
    fn connection(&self, target: NodeId, member: &Member, purpose: Purpose) -> Connection {
        let of_election = match purpose {
            Purpose::Heartbeat => self.elections.take_for_heartbeats(target),
            // For votes openraft makes one like this, too: the log's is taken with the first append.
            Purpose::Log | Purpose::Snapshot => None,
        };
        let link =
            of_election.unwrap_or_else(|| Arc::new(Link::new(target, self.directory.clone(), member.address.clone())));
        let Self { door, directory, sending, told, disk, elections } = self.clone();
        Connection { door, link, purpose, sending, told, disk, directory, elections, heartbeats: Heartbeats::new() }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: NodeId, member: &Member) -> Connection {
        self.connection(target, member, Purpose::Log)
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, member: &Member) -> Connection {
        self.connection(target, member, Purpose::Heartbeat)
    }

    async fn new_snapshot_client(&mut self, target: NodeId, member: &Member) -> Connection {
        self.connection(target, member, Purpose::Snapshot)
    }
}

type Rpc = RPCError<TypeConfig>;

/// A refusal is no failure of the network, but it is as hopeless to ask again at once.
fn failed(status: &Status) -> Rpc {
    let text = refusal_of(status).map_or_else(|| status.message().to_owned(), |(_, text)| text);
    match status.code() {
        Code::Cancelled | Code::Unknown | Code::Internal => RPCError::Network(NetworkError::from_string(text)),
        _ => RPCError::Unreachable(Unreachable::from_string(text)),
    }
}

/// An append on its way out. What it tells is noted before anybody can know it.
fn to_wire(told: &Told, append: &AppendEntriesRequest<TypeConfig>) -> AppendRequest {
    told.tell(append.leader_commit);
    append_to_wire(append)
}

impl Connection {
    fn timed_out(&self, action: openraft::network::RPCTypes) -> Rpc {
        let (id, target, timeout) = (self.door.node(), self.link.node(), self.directory.timing().vote());
        RPCError::Timeout(Timeout { action, id, target, timeout })
    }

    /// One heartbeat on the stream that is kept for them. openraft says when it is given up.
    async fn heartbeat(
        &mut self,
        append: &AppendEntriesRequest<TypeConfig>,
    ) -> Result<StreamAppendResult<TypeConfig>, Rpc> {
        let (door, link) = (&self.door, &self.link);
        let open = |appends| {
            let (door, link) = (door.clone(), link.clone());
            async move { Ok(open(&door, &link, appends).await?.boxed()) }.boxed() as BoxFuture<'static, _>
        };
        // The other side ends a stream with the first answer that is no match.
        let last = |answer: &AppendResponse| !matches!(answer.result, Some(Appended::Matched(_)));
        let answer = self.heartbeats.beat(to_wire(&self.told, append), open, last).await;
        answer.and_then(appended_from_wire).map_err(|status| failed(&status))
    }

    /// Asks on three connections at a time, and takes the first answer: the one that is kept open needs no round trip to come
    /// about, and new ones are not behind what was lost on the way lately. They are what a leader needs next. A vote that is
    /// asked for three times is given once.
    async fn ask_for_vote(&self, vote: &VoteRequest<TypeConfig>, pre: bool) -> Result<VoteResponse<TypeConfig>, Rpc> {
        let (node, patience) = (self.link.node(), self.directory.timing().vote());
        // An election begins with a pre-vote, or with an offer of leadership.
        let is_new = pre || vote.leadership_transfer;
        let new_link = || Arc::new(self.link.another());
        let [heartbeats, log] = self.elections.links(node, is_new, new_link);
        let ask = async |peer: Result<PeerClient<Channel>, Status>| {
            let request = self.door.request(Some(node), vote_to_wire(vote, pre), Some(patience));
            let answer = peer?.vote(request).await;
            self.door.receive(node, answer)
        };
        let peers = [self.directory.kept(node, ""), heartbeats.peer(), log.peer()];
        let asked = peers.map(|peer| ask(peer).boxed());
        let answer = tokio::time::timeout(patience, select_ok(asked)).await;
        let answer = answer.map_err(|_| self.timed_out(openraft::network::RPCTypes::Vote))?;
        let voted = answer.and_then(|(answer, _)| voted_from_wire(&answer)).map_err(|status| failed(&status))?;
        if !pre && voted.vote_granted {
            self.elections.granted(node, vote, voted.last_log_id);
        }
        Ok(voted)
    }
}

/// A stream of appends to the member.
async fn open(
    door: &Door,
    link: &Link,
    appends: impl Stream<Item = AppendRequest> + Send + 'static,
) -> Result<Streaming<AppendResponse>, Status> {
    let mut peer = link.peer()?;
    let request = door.request(Some(link.node()), appends, None);
    door.receive(link.node(), peer.append(request).await)
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = Snapshot;

    async fn append_entries(
        &mut self,
        append: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, Rpc> {
        Ok(match self.heartbeat(&append).await? {
            Ok(_) => AppendEntriesResponse::Success,
            Err(StreamAppendError::Conflict(_)) => AppendEntriesResponse::Conflict,
            Err(StreamAppendError::HigherVote(vote)) => AppendEntriesResponse::HigherVote(vote),
        })
    }

    /// Appends go out as they come, many in flight; the answers come back in their order. Heartbeats go one by one, on a
    /// stream that stays.
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<TypeConfig>, Rpc>>, Rpc>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        if self.purpose == Purpose::Heartbeat {
            return async move {
                let Some(append) = input.next().await else { return Ok(stream::empty().boxed()) };
                let answer = self.heartbeat(&append).await?;
                Ok(stream::once(async move { Ok(answer) }).boxed())
            }
            .boxed();
        }
        let node = self.link.node();
        if let Some(link) = self.elections.take_for_log(node) {
            self.link = link;
        }
        async move {
            let mut first = None;
            if self.elections.knows_log_of(node) {
                let Some(append) = input.next().await else { return Ok(stream::empty().boxed()) };
                if let Some(last) = self.elections.is_there(node, &append) {
                    return Ok(stream::once(async move { Ok(Ok(Some(last))) }).boxed());
                }
                first = Some(append);
            }
            let told = self.told.clone();
            let appends = stream::iter(first).chain(input).map(move |append| to_wire(&told, &append));
            let answers = match open(&self.door, &self.link, appends).await {
                Ok(answers) => answers,
                Err(status) => {
                    // Raft's own pause is in the stream of requests, which a member that cannot be reached never asks for.
                    tokio::time::sleep(AGAIN).await;
                    return Err(failed(&status));
                }
            };
            let answer = |answer: Result<_, Status>| answer.and_then(appended_from_wire).map_err(|s| failed(&s));
            Ok(answers.map(answer).boxed())
        }
        .boxed()
    }

    async fn vote(
        &mut self,
        vote: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Rpc> {
        self.ask_for_vote(&vote, false).await
    }

    async fn pre_vote(
        &mut self,
        vote: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, Rpc> {
        self.ask_for_vote(&vote, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: FullSnapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let peer = self.link.peer().map_err(|status| failed(&status))?;
        let disk = self.disk.clone();
        let has_room = move || !disk.is_nearly_full();
        tokio::select! {
            sent = send(&self.door, self.link.node(), peer, &self.sending, vote, snapshot, has_room) => {
                Ok(sent.map_err(|status| failed(&status))?)
            }
            closed = cancel => Err(StreamingError::Closed(closed)),
        }
    }

    async fn transfer_leader(
        &mut self,
        transfer: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, Rpc> {
        let patience = self.directory.timing().vote();
        let mut peer = self.directory.kept(self.link.node(), "").map_err(|status| failed(&status))?;
        let request = self.door.request(Some(self.link.node()), transfer_to_wire(&transfer), Some(patience));
        let answer = tokio::time::timeout(patience, peer.transfer_leader(request)).await;
        let answer = answer.map_err(|_| self.timed_out(openraft::network::RPCTypes::TransferLeader))?;
        let answer = self.door.receive(self.link.node(), answer).map_err(|status| failed(&status))?;
        if answer.refused.is_empty() {
            return Ok(Ok(()));
        }
        // Why exactly matters to nobody here: the leader stays, and tries again if it still wants to go.
        let last = transfer.last_log_id().copied();
        Ok(Err(TransferLeaderError::LogNotFlushed { expected: last, actual: None }))
    }

    fn backoff(&self) -> Option<Backoff> {
        Some(Backoff::new(iter::repeat(AGAIN)))
    }
}
