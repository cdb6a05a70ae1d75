use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use openraft::ReadPolicy;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::RaftError;
use parking_lot::Mutex;
use sessile_store::NodeId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::ClusterError;
use crate::cluster::{ServerMetrics, another_leads};
use crate::node::Raft;
use crate::transport::{Conversation, Directory, Door, Link};
use crate::wire::{ReadIndexRequest, ReadIndexResponse};

/// The most reads that wait for a round to begin. Each is a few words; whoever finds no room is told to come later.
const MAX_WAITING: usize = 16_384;
/// The most rounds that are confirmed and wait to be applied.
const MAX_UNAPPLIED: usize = 256;
/// How long one round may take before those that wait in it are told to try again. Below the request's deadline, so
/// that a leader which fell silent costs a retry and not an error.
const ROUND_TIMEOUT: Duration = Duration::from_millis(500);

/// Confirms reads by ReadIndex, many at a time: a read joins a round that begins after it arrived, never one under way,
/// because that one's index may be older than a write that the reader knows of. The leader asks a quorum whether it
/// still leads; another member asks the leader for the index.
#[derive(Clone)]
pub(crate) struct ReadRounds {
    waiting: mpsc::Sender<Waiting>,
    proven: Proven,
}

/// When the newest round began that is confirmed and applied: as of then the state was current.
#[derive(Clone, Default)]
struct Proven(Arc<Mutex<Option<Instant>>>);

enum Waiting {
    /// For the state to have applied what the round found.
    Applied(oneshot::Sender<Result<(), ClusterError>>),
    /// For what the round found, on behalf of another member.
    Index(oneshot::Sender<Result<u64, ClusterError>>),
}

/// Who is asked, and how.
pub(crate) struct Confirmer {
    pub(crate) raft: Raft,
    pub(crate) node: NodeId,
    pub(crate) door: Arc<Door>,
    pub(crate) directory: Directory,
    pub(crate) server: ServerMetrics,
    /// The stream of questions to the leader that was asked last.
    pub(crate) asking: Option<(NodeId, Conversation<ReadIndexRequest, ReadIndexResponse>)>,
}

/// A round that is confirmed and waits to be applied.
struct Confirmed {
    index: u64,
    began: Instant,
    waiting: Vec<oneshot::Sender<Result<(), ClusterError>>>,
}

impl ReadRounds {
    /// The handle, and the task that runs the rounds until it is cancelled.
    pub(crate) fn new(confirmer: Confirmer, stop: CancellationToken) -> (Self, impl Future<Output = ()>) {
        let (waiting, queue) = mpsc::channel(MAX_WAITING);
        let (confirmed, unapplied) = mpsc::channel(MAX_UNAPPLIED);
        let proven = Proven::default();
        let applying = apply(confirmer.raft.clone(), proven.clone(), unapplied);
        let running = async move {
            let rounds = async { tokio::join!(run(confirmer, queue, confirmed), applying) };
            stop.run_until_cancelled(rounds).await;
        };
        (Self { waiting, proven }, running)
    }

    /// Returns when the applied state holds everything that was acknowledged before the call.
    pub(crate) async fn join(&self, deadline: Instant) -> Result<(), ClusterError> {
        self.wait(deadline, Waiting::Applied).await
    }

    /// The log index that a read must have applied, if this node leads.
    pub(crate) async fn index(&self, deadline: Instant) -> Result<u64, ClusterError> {
        self.wait(deadline, Waiting::Index).await
    }

    /// How long ago the state was proved to be current: it is at most this old. `None` if it never was.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.proven.0.lock().map(|began| began.elapsed())
    }

    async fn wait<T>(
        &self,
        deadline: Instant,
        waiting: impl FnOnce(oneshot::Sender<Result<T, ClusterError>>) -> Waiting,
    ) -> Result<T, ClusterError> {
        let (sender, confirmed) = oneshot::channel();
        match self.waiting.try_send(waiting(sender)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(ClusterError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(ClusterError::Stopping),
        }
        match timeout_at(deadline, confirmed).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ClusterError::Stopping),
            Err(_) => Err(ClusterError::NoQuorum),
        }
    }
}

async fn run(mut confirmer: Confirmer, mut queue: mpsc::Receiver<Waiting>, confirmed: mpsc::Sender<Confirmed>) {
    let mut round = Vec::new();
    while queue.recv_many(&mut round, MAX_WAITING).await > 0 {
        if !confirmer.leads() {
            // Another member takes this one for the leader. To ask on would go round in circles.
            round.retain_mut(|waiting| !waiting.is_turned_away());
        }
        let began = Instant::now();
        let result = confirmer.confirm().await;
        let mut readers = Vec::with_capacity(round.len());
        for waiting in round.drain(..) {
            // Whoever gave up does not want it.
            match (waiting, result) {
                (Waiting::Index(waiting), index) => drop(waiting.send(index)),
                (Waiting::Applied(waiting), Ok(_)) => readers.push(waiting),
                (Waiting::Applied(waiting), Err(error)) => drop(waiting.send(Err(error))),
            }
        }
        if let Ok(index) = result
            && !readers.is_empty()
            && confirmed.send(Confirmed { index, began, waiting: readers }).await.is_err()
        {
            return;
        }
    }
}

/// Lets readers go on in the order of their rounds, each when the state has applied what its round found. The next round
/// need not wait for that.
async fn apply(raft: Raft, proven: Proven, mut unapplied: mpsc::Receiver<Confirmed>) {
    let mut applied = raft.watch_apply_progress();
    while let Some(Confirmed { index, began, waiting }) = unapplied.recv().await {
        let reached = applied.wait_until(|applied| applied.is_some_and(|applied| applied.index >= index)).await;
        let result = reached.map(drop).map_err(|_| ClusterError::Stopping);
        if result.is_ok() {
            *proven.0.lock() = Some(began);
        }
        for waiting in waiting {
            let _ = waiting.send(result);
        }
    }
}

impl Confirmer {
    fn leads(&self) -> bool {
        self.server.borrow_watched().current_leader == Some(self.node)
    }

    /// An index that everything acknowledged before this call is at or below.
    async fn confirm(&mut self) -> Result<u64, ClusterError> {
        let leader = self.server.borrow_watched().current_leader;
        match leader {
            Some(leader) if leader == self.node => self.confirm_by_quorum().await,
            Some(leader) => self.ask(leader).await,
            None => Err(ClusterError::NoQuorum),
        }
    }

    async fn confirm_by_quorum(&self) -> Result<u64, ClusterError> {
        match timeout(ROUND_TIMEOUT, self.raft.get_read_linearizer(ReadPolicy::ReadIndex)).await {
            Ok(Ok(linearizer)) => Ok(linearizer.read_log_id().index()),
            Ok(Err(RaftError::Fatal(_))) => Err(ClusterError::Stopping),
            Ok(Err(RaftError::APIError(_))) | Err(_) => Err(ClusterError::NoQuorum),
        }
    }

    async fn ask(&mut self, leader: NodeId) -> Result<u64, ClusterError> {
        let asking = self.asking.take().filter(|(asked, _)| *asked == leader).map(|(_, conversation)| conversation);
        let question = async {
            let conversation = match asking {
                Some(conversation) => conversation,
                None => Conversation::begin(|questions| self.open(leader, questions)).await?,
            };
            conversation.ask(ReadIndexRequest {}).await
        };
        let answer = tokio::select! {
            answer = timeout(ROUND_TIMEOUT, question) => answer.map_err(|_| ClusterError::NoQuorum)?,
            // A frozen leader answers nobody; its successor does.
            () = another_leads(self.server.clone(), leader) => return Err(ClusterError::NoQuorum),
        };
        let (answer, conversation) = answer.map_err(|_| ClusterError::NoQuorum)?;
        self.asking = Some((leader, conversation));
        answer.index.ok_or(ClusterError::NoQuorum)
    }

    /// A stream of questions to the leader.
    async fn open(
        &self,
        leader: NodeId,
        questions: impl Stream<Item = ReadIndexRequest> + Send + 'static,
    ) -> Result<Streaming<ReadIndexResponse>, Status> {
        let mut peer = Link::new(leader, self.directory.clone(), String::new()).peer()?;
        let answers = peer.read_index(self.door.request(Some(leader), questions, None)).await;
        self.door.receive(leader, answers)
    }
}

impl Waiting {
    fn is_turned_away(&mut self) -> bool {
        let Self::Index(waiting) = self else { return false };
        let (unused, _) = oneshot::channel();
        let _ = std::mem::replace(waiting, unused).send(Err(ClusterError::NoQuorum));
        true
    }
}
