use std::time::Duration;

use openraft::ReadPolicy;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::ClusterError;
use crate::node::Raft;

/// The most reads that wait for a round to begin. Each is a few words; whoever finds no room is told to come later.
const MAX_WAITING: usize = 16_384;
/// How long one round may take before those that wait in it are told to try again. Below the request's deadline, so
/// that a leader which fell silent costs a retry and not an error.
const ROUND_TIMEOUT: Duration = Duration::from_millis(500);

/// Confirms reads by ReadIndex, many at a time: a read joins a round that begins after it arrived, never one under way,
/// because that one's index may be older than a write that the reader knows of.
#[derive(Clone)]
pub(crate) struct ReadRounds {
    waiting: mpsc::Sender<oneshot::Sender<Result<(), ClusterError>>>,
}

impl ReadRounds {
    /// The handle, and the task that runs the rounds until it is cancelled.
    pub(crate) fn new(raft: Raft, stop: CancellationToken) -> (Self, impl Future<Output = ()>) {
        let (waiting, queue) = mpsc::channel(MAX_WAITING);
        (Self { waiting }, run(raft, queue, stop))
    }

    /// Returns when the applied state holds everything that was acknowledged before the call.
    pub(crate) async fn join(&self, deadline: Instant) -> Result<(), ClusterError> {
        let (sender, confirmed) = oneshot::channel();
        match self.waiting.try_send(sender) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(ClusterError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(ClusterError::Stopping),
        }
        match tokio::time::timeout_at(deadline, confirmed).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ClusterError::Stopping),
            Err(_) => Err(ClusterError::NoQuorum),
        }
    }
}

async fn run(
    raft: Raft,
    mut queue: mpsc::Receiver<oneshot::Sender<Result<(), ClusterError>>>,
    stop: CancellationToken,
) {
    let mut round = Vec::new();
    loop {
        let joined = tokio::select! {
            joined = queue.recv_many(&mut round, MAX_WAITING) => joined,
            () = stop.cancelled() => 0,
        };
        if joined == 0 {
            return;
        }
        let result = confirm(&raft).await;
        for waiting in round.drain(..) {
            // Whoever gave up does not want it.
            let _ = waiting.send(result);
        }
    }
}

async fn confirm(raft: &Raft) -> Result<(), ClusterError> {
    match timeout(ROUND_TIMEOUT, raft.ensure_linearizable(ReadPolicy::ReadIndex)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(openraft::errors::RaftError::Fatal(_))) => Err(ClusterError::Stopping),
        Ok(Err(openraft::errors::RaftError::APIError(_))) | Err(_) => Err(ClusterError::NoQuorum),
    }
}
