use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use sessile_trace::Span;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tonic::Streaming;

use super::tried::Tried;
use super::writer::Writes;
use crate::wire::proposal_result::Failure;
use crate::wire::{ProposalResult, ProposalResults, Proposals, ProposedCommand};

/// How many commands of one other member may be on their way into the log. Its own window is smaller.
const MAX_PROPOSED: usize = 8_192;

/// How long a command may wait for its place in the log if it does not say so: those of older members.
const UNTOLD_WAIT: Duration = Duration::from_secs(60);

/// Puts the commands of another member into the log, all that have come at a time, and sends back what each did. No more is
/// read while so many bytes of them have no result: the other side sends no more than one message ahead.
pub(crate) async fn propose_all(
    writes: Arc<Writes>,
    max_bytes: usize,
    mut incoming: Streaming<Proposals>,
    results: mpsc::Sender<ProposalResults>,
) {
    let mut proposed = FuturesUnordered::new();
    let mut bytes = 0;
    loop {
        tokio::select! {
            message = incoming.message(), if proposed.len() < MAX_PROPOSED && bytes < max_bytes => {
                // When the other side goes, what it proposed goes on without it.
                let Ok(Some(message)) = message else { return };
                for command in message.commands {
                    let writes = writes.clone();
                    let size = command.command.len();
                    bytes += size;
                    proposed.push(async move { (size, propose(&writes, command).await) });
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

/// Puts one command into the log, unless it has to wait for too long.
async fn propose(writes: &Writes, command: ProposedCommand) -> ProposalResult {
    let ProposedCommand { id, command, wait_ms, trace } = command;
    let mut traced = writes.traced(&trace);
    let wait = if wait_ms > 0 { Duration::from_millis(wait_ms.into()) } else { UNTOLD_WAIT };
    let deadline = Instant::now() + wait;
    let tried = match timeout_at(deadline, writes.rounds.room(command.len())).await {
        Ok(room) => writes.propose(command, room, deadline).await,
        Err(_) => Tried::NoRoom,
    };
    if !matches!(tried, Tried::Done(_)) {
        traced.iter_mut().for_each(Span::fails);
    }
    result(id, tried)
}

fn result(id: u64, tried: Tried) -> ProposalResult {
    let (failure, outcome) = match tried {
        Tried::Done(outcome) => (Failure::None, outcome.encode()),
        Tried::NotSent | Tried::Ended => (Failure::NotLeader, Bytes::new()),
        Tried::NoRoom => (Failure::Overloaded, Bytes::new()),
        Tried::Discarded => (Failure::Discarded, Bytes::new()),
        Tried::Unknown => (Failure::Unknown, Bytes::new()),
    };
    ProposalResult { id, failure: failure.into(), outcome }
}
