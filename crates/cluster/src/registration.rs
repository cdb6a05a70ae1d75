use std::sync::Arc;
use std::time::Duration;

use sessile_core::{Command, Outcome, Refusal, Register};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cluster::{Inner, Tried};

/// How long one try to register the proposer may take.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long between two tries to register the proposer.
const REGISTER_AGAIN: Duration = Duration::from_millis(50);

/// Registers this node as a proposer, through the log, as soon as there is a leader, and again should it be told that
/// its incarnation is not the one in force.
pub(crate) async fn run(inner: Arc<Inner>, stop: CancellationToken) {
    let mut nonce = rand::random();
    let mut previous = inner.state.incarnation(inner.proposer.id()).unwrap_or(0);
    while !stop.is_cancelled() && inner.fault.borrow().is_none() {
        let command = Command::Register(Register { proposer: inner.proposer.id(), previous, nonce });
        let deadline = Instant::now() + REGISTER_TIMEOUT;
        let written = tokio::select! {
            written = inner.submit(command.encode(), deadline) => written,
            () = stop.cancelled() => return,
        };
        match written {
            Tried::Done(Outcome::Registered { incarnation }) => {
                info!(node = %inner.node, cluster = %inner.cluster, incarnation, "ready to serve");
                inner.proposer.registered(incarnation);
                tokio::select! {
                    () = inner.proposer.unregistered() => {}
                    () = stop.cancelled() => return,
                }
                (nonce, previous) = (rand::random(), incarnation);
            }
            // What this node knew of itself was older than the log.
            Tried::Done(Outcome::Refused(Refusal::UnknownIncarnation { current })) => previous = current,
            Tried::Done(Outcome::Refused(Refusal::Removed)) => {
                inner.stop_because_removed();
                return;
            }
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
