use std::sync::Arc;
use std::time::Duration;

use sessile_core::{Command, Outcome, Refusal, Register};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::tried::Tried;
use super::writer::Writes;

/// How long between two tries to register the proposer.
const REGISTER_AGAIN: Duration = Duration::from_millis(50);

/// Registers this node as a proposer, through the log, as soon as there is a leader, and again should it be told that
/// its incarnation is not the one in force.
pub(crate) async fn run(writes: Arc<Writes>, stop: CancellationToken) {
    let (group, proposer) = (&writes.group, &writes.proposer);
    let mut nonce = rand::random();
    let mut previous = group.state.incarnation(proposer.id()).unwrap_or(0);
    while !stop.is_cancelled() && !group.fault.is_set() {
        let command = Command::Register(Register { proposer: proposer.id(), previous, nonce });
        let deadline = Instant::now() + group.timing.registration();
        let written = tokio::select! {
            written = writes.submit(command.encode(), deadline) => written,
            () = stop.cancelled() => return,
        };
        match written {
            Tried::Done(Outcome::Registered { incarnation }) => {
                info!(node = %group.node, cluster = %group.cluster, incarnation, "ready to serve");
                proposer.registered(incarnation);
                tokio::select! {
                    () = proposer.unregistered() => {}
                    () = stop.cancelled() => return,
                }
                (nonce, previous) = (rand::random(), incarnation);
            }
            // What this node knew of itself was older than the log.
            Tried::Done(Outcome::Refused(Refusal::UnknownIncarnation { current })) => previous = current,
            // The member that said so tells this node as well whether it may come back.
            Tried::Done(Outcome::Refused(Refusal::Removed)) => return,
            other => {
                if let Tried::Done(refused) = other {
                    warn!(?refused, "this node cannot register, and takes no writes until it can");
                }
                tokio::select! {
                    () = tokio::time::sleep(REGISTER_AGAIN) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }
}
