use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ClientWriteError, Fatal};
use openraft::raft::WriteResult;
use sessile_core::LogTime;
use sessile_store::{NodeId, Proposal, TypeConfig};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batches::Batches;
use crate::cluster::{ServerMetrics, Tried};
use crate::node::Raft;

/// How many commands wait for a round. Whoever finds no room waits outside.
const MAX_WAITING: usize = 1_024;
/// How many rounds are under way. With one, all commands that come while it is on its way to the disks and the members are
/// the next. Two made smaller rounds, each of which costs an fsync and two messages for each member whatever its size: a
/// tenth more processor time for every request of the mix, and no less waiting.
const UNDER_WAY: usize = 1;
/// So many commands begin a round at once: about as many as cost together what a round costs whatever is in it
/// (docs/performance.md).
const ENOUGH: usize = 16;
/// Fewer wait until the last round that was shared began so long ago, for others to share that price with. Who writes alone,
/// one command after the other, waits for nobody.
const PACE: Duration = Duration::from_millis(2);

/// Puts commands into the log of this node, if it leads, many at a time: a command joins the next round, which begins when
/// the one before it has been applied, and at once if there are many or none was lately.
#[derive(Clone)]
pub(crate) struct WriteRounds {
    waiting: mpsc::Sender<Waiting>,
}

struct Waiting {
    proposal: Proposal,
    tried: oneshot::Sender<Tried>,
}

impl WriteRounds {
    /// The handle, and the task that runs the rounds until it is cancelled.
    pub(crate) fn new(
        raft: Raft,
        node: NodeId,
        server: ServerMetrics,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (waiting, queue) = mpsc::channel(MAX_WAITING);
        (Self { waiting }, run(raft, node, server, Batches::new(queue, |waiting| waiting.proposal.command.len()), stop))
    }

    /// Puts a command into the log, and waits for what it did.
    pub(crate) async fn join(&self, stamp: LogTime, command: Bytes) -> Tried {
        let (tried, receiver) = oneshot::channel();
        if self.waiting.send(Waiting { proposal: Proposal { stamp, command }, tried }).await.is_err() {
            return Tried::Ended;
        }
        // Dropped with its round, which may be in the log.
        receiver.await.unwrap_or(Tried::Unknown)
    }
}

async fn run(
    raft: Raft,
    node: NodeId,
    mut server: ServerMetrics,
    mut queue: Batches<Waiting>,
    stop: CancellationToken,
) {
    let mut under_way = FuturesUnordered::new();
    let mut at_once_from = Instant::now();
    loop {
        tokio::select! {
            round = queue.next_of(ENOUGH, at_once_from), if under_way.len() < UNDER_WAY => {
                let Some(mut round) = round else { return };
                if round.len() > 1 {
                    at_once_from = Instant::now() + PACE;
                }
                // Whoever gave up must not be in the log later.
                round.retain(|waiting| !waiting.tried.is_closed());
                let (proposals, tried): (Vec<_>, Vec<_>) =
                    round.into_iter().map(|Waiting { proposal, tried }| (proposal, tried)).unzip();
                match raft.client_write_many(proposals).await {
                    Ok(results) => under_way.push(tell(results, tried)),
                    Err(_) => tell_all(tried, || Tried::Ended),
                }
            }
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
            // The rounds of a leader that was deposed may take long to end, and nobody is to wait for them who can go to
            // the new one.
            changed = server.changed() => {
                if changed.is_err() {
                    break;
                }
                if server.borrow_and_update().current_leader != Some(node) {
                    tell_all(queue.drain().map(|waiting| waiting.tried), || Tried::NotSent);
                }
            }
            () = stop.cancelled() => break,
        }
    }
    tell_all(queue.end().map(|waiting| waiting.tried), || Tried::Ended);
}

/// Tells each command of a round what became of it.
async fn tell(
    results: impl Stream<Item = Result<WriteResult<TypeConfig>, Fatal<TypeConfig>>> + Unpin,
    tried: Vec<oneshot::Sender<Tried>>,
) {
    // It ends early when Raft does, and may not be asked again then.
    let mut results = results.fuse();
    for waiting in tried {
        let tried = match results.next().await {
            // A command always has an outcome.
            Some(Ok(Ok(written))) => written.response.map_or(Tried::Unknown, Tried::Done),
            // Said before anything is appended only.
            Some(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => Tried::NotSent,
            Some(Ok(Err(ClientWriteError::LogEntryDiscarded(_)))) => Tried::Discarded,
            // Neither is asked for here.
            Some(Ok(Err(ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_)))) => {
                Tried::NotSent
            }
            Some(Err(_)) | None => Tried::Unknown,
        };
        // Whoever gave up does not want it.
        let _ = waiting.send(tried);
    }
}

fn tell_all(waiting: impl IntoIterator<Item = oneshot::Sender<Tried>>, tried: fn() -> Tried) {
    for waiting in waiting {
        let _ = waiting.send(tried());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn when_raft_ends_in_the_middle_of_a_round_nobody_is_left_waiting() {
        let (tried, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        // As Raft's own: it may not be asked again once it has ended.
        tell(Box::pin(stream::unfold((), async |()| None)), tried).await;
        for receiver in receivers {
            assert!(matches!(receiver.await, Ok(Tried::Unknown)));
        }
    }
}
