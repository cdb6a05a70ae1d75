use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sessile_store::{Durations, NodeId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::confirmation::Confirmer;
use super::standing::Standing;
use crate::error::ClusterError;

/// The most reads that wait for a round to begin. Each is a few words; whoever finds no room is told to come later.
const MAX_WAITING: usize = 16_384;
/// The most rounds that are confirmed and wait to be applied.
const MAX_UNAPPLIED: usize = 256;

/// Confirms reads by ReadIndex, many at a time: a read joins a round that begins after it arrived, never one under way,
/// because that one's index may be older than a write that the reader knows of. A leader that is a quorum by itself needs
/// none.
#[derive(Clone)]
pub(crate) struct ReadRounds {
    standing: Standing,
    waiting: mpsc::Sender<Waiting>,
    proven: Proven,
    took: Durations,
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

/// A round that is confirmed and waits to be applied.
struct Confirmed {
    index: u64,
    began: Instant,
    waiting: Vec<oneshot::Sender<Result<(), ClusterError>>>,
}

impl ReadRounds {
    /// The handle, and the task that runs the rounds until it is cancelled.
    pub(crate) fn new(
        standing: Standing,
        confirmer: Confirmer,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (waiting, queue) = mpsc::channel(MAX_WAITING);
        let (confirmed, unapplied) = mpsc::channel(MAX_UNAPPLIED);
        let proven = Proven::default();
        let applying = apply(standing.clone(), proven.clone(), unapplied);
        let took = Durations::default();
        let rounds =
            Rounds { standing: standing.clone(), confirmer, proven: proven.clone(), took: took.clone(), confirmed };
        let running = async move {
            let rounds = async { tokio::join!(rounds.run(queue), applying) };
            stop.run_until_cancelled(rounds).await;
        };
        (Self { standing, waiting, proven, took }, running)
    }

    /// Returns when the applied state holds everything that was acknowledged before the call.
    pub(crate) async fn join(&self, deadline: Instant) -> Result<(), ClusterError> {
        let now = Instant::now();
        // A timer looks later: it would let a round through that ends at once.
        if now >= deadline {
            return Err(ClusterError::NoQuorum);
        }
        if self.standing.is_current_alone() {
            self.proven.note(now);
            return Ok(());
        }
        self.wait(deadline, Waiting::Applied).await
    }

    /// The log index that a read at that member must have applied, which follows this node in that term; nothing if this
    /// node does not lead.
    pub(crate) async fn index(&self, member: NodeId, term: u64, deadline: Instant) -> Option<u64> {
        if let Some(leading) = self.standing.leading_with(member, term) {
            return Some(leading.index);
        }
        // To ask on would go round in circles.
        self.standing.leading()?;
        self.wait(deadline, Waiting::Index).await.ok()
    }

    /// How long ago the state was proved to be current: it is at most this old. `None` if it never was.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.proven.0.lock().map(|began| began.elapsed())
    }

    /// How long the confirmation of rounds took, of those that were confirmed.
    pub(crate) fn took(&self) -> &Durations {
        &self.took
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

struct Rounds {
    standing: Standing,
    confirmer: Confirmer,
    proven: Proven,
    took: Durations,
    confirmed: mpsc::Sender<Confirmed>,
}

impl Rounds {
    async fn run(mut self, mut queue: mpsc::Receiver<Waiting>) {
        let mut round = Vec::new();
        while queue.recv_many(&mut round, MAX_WAITING).await > 0 {
            let began = Instant::now();
            let result = self.confirmer.confirm().await;
            if result.is_ok() {
                self.took.note(began.elapsed());
            }
            let mut readers = Vec::with_capacity(round.len());
            for waiting in round.drain(..) {
                // Whoever gave up does not want it.
                match (waiting, result) {
                    (Waiting::Index(waiting), index) => drop(waiting.send(index)),
                    (Waiting::Applied(waiting), Ok(_)) => readers.push(waiting),
                    (Waiting::Applied(waiting), Err(error)) => drop(waiting.send(Err(error))),
                }
            }
            let Ok(index) = result else { continue };
            if self.standing.has_reached(index) {
                self.proven.answer(began, readers);
            } else if !readers.is_empty()
                && self.confirmed.send(Confirmed { index, began, waiting: readers }).await.is_err()
            {
                return;
            }
        }
    }
}

/// Lets readers go on in the order of their rounds, each when the state has applied what its round found. The next round
/// need not wait for that.
async fn apply(mut standing: Standing, proven: Proven, mut unapplied: mpsc::Receiver<Confirmed>) {
    while let Some(Confirmed { index, began, waiting }) = unapplied.recv().await {
        standing.reaches(index).await;
        proven.answer(began, waiting);
    }
}

impl Proven {
    fn note(&self, began: Instant) {
        let mut proven = self.0.lock();
        *proven = (*proven).max(Some(began));
    }

    fn answer(&self, began: Instant, readers: Vec<oneshot::Sender<Result<(), ClusterError>>>) {
        self.note(began);
        for reader in readers {
            // Whoever gave up does not want it.
            let _ = reader.send(Ok(()));
        }
    }
}
