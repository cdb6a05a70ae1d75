use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use sessile_core::Outcome;
use sessile_store::NodeId;
use sessile_trace::TraceContext;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};

use super::claim::{Claim, Unanswered, wait_for_answer};
use super::tried::Tried;
use crate::batches::Batches;
use crate::byte_room::ByteRoom;
use crate::group::another_leads;
use crate::raft::ServerMetrics;
use crate::timing::Timing;
use crate::transport::{Directory, Door, FromQueue, peer, refusal_of};
use crate::wire::proposal_result::Failure;
use crate::wire::{ProposalResults, Proposals, ProposedCommand};

/// How many commands wait to be sent, and within how many bytes says the configuration. Whoever finds no room waits outside.
const MAX_QUEUED: usize = 1_024;
/// How many bytes one message takes, beyond its first command: small ones need not wait long behind large ones.
const MESSAGE_BYTES: usize = 1024 * 1024;
/// How many messages wait for the network.
const MESSAGES_AHEAD: usize = 4;

/// Takes commands to the leader: all of this node's on one stream, as many in a message as are waiting.
pub(crate) struct Forwarder {
    door: Arc<Door>,
    directory: Directory,
    server: ServerMetrics,
    tasks: TaskTracker,
    stop: CancellationToken,
    stream: Mutex<Option<(NodeId, mpsc::Sender<Queued>)>>,
    /// The connection to a member that may lead soon, on its way or there.
    prepared: Mutex<Option<Prepared>>,
    /// For what is queued, and what was sent and has no result yet.
    room: ByteRoom,
}

struct Queued {
    command: Bytes,
    trace: Option<TraceContext>,
    deadline: Instant,
    claim: Claim,
    answer: Answer,
}

/// Where what became of a command goes, and the room that it takes until that is known.
struct Answer {
    tried: oneshot::Sender<Tried>,
    _room: OwnedSemaphorePermit,
}

/// A connection that was begun when its member campaigned.
struct Prepared {
    to: NodeId,
    since: Instant,
    connecting: JoinHandle<Option<Channel>>,
}

/// What was sent and has no result yet.
type Sent = Mutex<HashMap<u64, Answer>>;

impl Forwarder {
    pub(crate) fn new(
        door: Arc<Door>,
        directory: Directory,
        server: ServerMetrics,
        max_bytes: usize,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let room = ByteRoom::new(max_bytes);
        Self { door, directory, server, tasks, stop, stream: Mutex::default(), prepared: Mutex::default(), room }
    }

    /// Has the leader propose a command, and waits for what it did, until the deadline or another leader.
    pub(crate) async fn submit(
        &self,
        leader: NodeId,
        command: Bytes,
        trace: Option<TraceContext>,
        deadline: Instant,
    ) -> Tried {
        let Ok(room) = timeout_at(deadline, self.room.take(command.len())).await else { return Tried::NoRoom };
        let (tried, receiver) = oneshot::channel();
        let claim = Claim::default();
        let queued = Queued { command, trace, deadline, claim: claim.clone(), answer: Answer { tried, _room: room } };
        let queue = self.stream_to(leader);
        match timeout_at(deadline, queue.send(queued)).await {
            // Waiting for room, or on a stream that has just ended.
            Err(_) | Ok(Err(_)) => return Tried::NotSent,
            Ok(Ok(())) => {}
        }
        match wait_for_answer(receiver, &queue, &claim, deadline).await {
            Ok(tried) => tried,
            // What was sent is always answered, so what was dropped was not sent.
            Err(Unanswered::Dropped | Unanswered::QueueEnded | Unanswered::Waiting) => Tried::NotSent,
            Err(Unanswered::Taken) => Tried::Unknown,
        }
    }

    /// How many bytes of commands are queued or have no result yet, and how many may.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        self.room.taken()
    }

    /// Connects to a member that asks for votes: if it wins, the first commands for it need not wait for a connection.
    pub(crate) fn prepare(&self, candidate: NodeId) {
        let mut prepared = self.prepared.lock();
        if prepared.as_ref().is_some_and(|prepared| prepared.is_for(candidate, self.directory.timing())) {
            return;
        }
        let (directory, stop) = (self.directory.clone(), self.stop.clone());
        let connecting = async move { stop.run_until_cancelled(connect(&directory, candidate)).await.flatten() };
        let connecting = self.tasks.spawn(connecting);
        *prepared = Some(Prepared { to: candidate, since: Instant::now(), connecting });
    }

    fn stream_to(&self, leader: NodeId) -> mpsc::Sender<Queued> {
        let mut stream = self.stream.lock();
        if let Some((to, queue)) = &*stream
            && *to == leader
            && !queue.is_closed()
        {
            return queue.clone();
        }
        let (queue, queued) = mpsc::channel(MAX_QUEUED);
        let timing = self.directory.timing();
        let prepared = self.prepared.lock().take().filter(|prepared| prepared.is_for(leader, timing));
        let way = Way {
            leader,
            prepared,
            door: self.door.clone(),
            directory: self.directory.clone(),
            server: self.server.clone(),
            stop: self.stop.clone(),
        };
        self.tasks.spawn(way.run(queued));
        *stream = Some((leader, queue.clone()));
        queue
    }
}

impl Prepared {
    /// Whether it leads to that member and was begun in the election that is going on.
    fn is_for(&self, member: NodeId, timing: Timing) -> bool {
        self.to == member && self.since.elapsed() < timing.request()
    }
}

/// The way to one leader.
struct Way {
    leader: NodeId,
    prepared: Option<Prepared>,
    door: Arc<Door>,
    directory: Directory,
    server: ServerMetrics,
    stop: CancellationToken,
}

impl Way {
    /// One stream, until it breaks or another one leads.
    async fn run(mut self, queue: mpsc::Receiver<Queued>) {
        let mut queue = Batches::new(queue, MESSAGE_BYTES, |queued: &Queued| queued.command.len());
        let (messages, outgoing) = mpsc::channel::<Proposals>(MESSAGES_AHEAD);
        let leads = another_leads(self.server.clone(), self.leader);
        let mut ends = std::pin::pin!(async {
            tokio::select! { () = leads => {}, () = self.stop.cancelled() => {} }
        });
        let channel = tokio::select! {
            channel = connect_to(&self.directory, self.leader, self.prepared.take()) => channel,
            () = &mut ends => None,
        };
        // Nothing was sent to a leader that is gone.
        let Some(channel) = channel else { return };
        let sent = Sent::default();
        let refused = {
            let mut conversing = std::pin::pin!(self.converse(channel, outgoing, &sent));
            tokio::select! {
                refused = &mut conversing => refused,
                () = &mut ends => false,
                // Whoever forwards is gone; or the stream was not accepted, or broke, and which of both is heard next. What
                // is queued meanwhile must not wait for that when another node leads.
                goes_on = send(&mut queue, &messages, &sent, self.directory.timing().max_rtt()) => {
                    if goes_on {
                        false
                    } else {
                        tokio::select! {
                            refused = &mut conversing => refused,
                            () = &mut ends => false,
                        }
                    }
                }
            }
        };
        // What is still in the queue was not sent, and its senders see it dropped.
        drop(queue);
        for (_, answer) in sent.into_inner() {
            let _ = answer.tried.send(if refused { Tried::NotSent } else { Tried::Unknown });
        }
    }

    /// Opens the stream, and hands out the results. The commands do not wait until it is accepted, which would cost a round
    /// trip more. Says whether it was refused, with none of them taken.
    async fn converse(&self, channel: Channel, outgoing: mpsc::Receiver<Proposals>, sent: &Sent) -> bool {
        let mut peer = peer(channel);
        let opening = peer.propose(self.door.request(Some(self.leader), FromQueue(outgoing), None));
        let opened: Result<Response<_>, Status> = match timeout(self.directory.timing().call(), opening).await {
            Ok(opened) => opened,
            Err(_) => return false,
        };
        match self.door.receive(self.leader, opened) {
            Ok(results) => {
                receive(results, sent).await;
                false
            }
            Err(status) => refusal_of(&status).is_some(),
        }
    }
}

/// A connection to the leader: the one that was begun when it campaigned, if that came about.
async fn connect_to(directory: &Directory, leader: NodeId, prepared: Option<Prepared>) -> Option<Channel> {
    if let Some(prepared) = prepared
        && let Ok(Some(channel)) = prepared.connecting.await
    {
        return Some(channel);
    }
    connect(directory, leader).await
}

async fn connect(directory: &Directory, leader: NodeId) -> Option<Channel> {
    let address = directory.address(leader)?;
    directory.connect_now(leader, &address).await.ok()
}

/// Sends what is queued, until there is no queue or no stream any more. Says whether there is a stream. With each command goes
/// how long it may wait there, so that the answer that it did not get into the log is back by its deadline.
async fn send(
    queue: &mut Batches<Queued>,
    messages: &mpsc::Sender<Proposals>,
    sent: &Sent,
    round_trip: Duration,
) -> bool {
    static IDS: AtomicU64 = AtomicU64::new(1);
    loop {
        // First the place in the stream, then the commands: as many as wait by then.
        let Ok(place) = messages.reserve().await else { return false };
        let Some(batch) = queue.next().await else { return true };
        let now = Instant::now();
        let mut sent = sent.lock();
        let send = |Queued { command, trace, deadline, claim, answer }: Queued| {
            // Whoever gave up was told that it was not sent.
            if !claim.get() {
                return None;
            }
            let id = IDS.fetch_add(1, Ordering::Relaxed);
            sent.insert(id, answer);
            let wait = deadline.saturating_duration_since(now).saturating_sub(round_trip).as_millis();
            let wait_ms = u32::try_from(wait).unwrap_or(u32::MAX).max(1);
            let trace = trace.map(|trace| Bytes::copy_from_slice(&trace.to_bytes())).unwrap_or_default();
            Some(ProposedCommand { id, command, wait_ms, trace })
        };
        place.send(Proposals { commands: batch.into_iter().filter_map(send).collect() });
    }
}

async fn receive(mut results: Streaming<ProposalResults>, sent: &Sent) {
    while let Ok(Some(message)) = results.message().await {
        let mut sent = sent.lock();
        for result in message.results {
            let Some(answer) = sent.remove(&result.id) else { continue };
            let tried = match result.failure() {
                // One that cannot be read is of a newer program: it was done, and nobody here knows what.
                Failure::None => Outcome::decode(result.outcome).map_or(Tried::Unknown, Tried::Done),
                Failure::NotLeader => Tried::NotSent,
                Failure::Overloaded => Tried::NoRoom,
                Failure::Discarded => Tried::Discarded,
                Failure::Unknown => Tried::Unknown,
            };
            // Whoever gave up does not want it.
            let _ = answer.tried.send(tried);
        }
    }
}
