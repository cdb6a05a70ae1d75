use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::ClientWriteError;
use openraft::impls::ProgressResponder;
use sessile_core::{Action, Command, NamespaceId, Outcome, Refusal, SessionCommand, SessionKey};
use sessile_store::{ClusterId, LogStore, NodeId, Proposal, SessionState, TypeConfig};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tracing::error;

use crate::clock::LeaderClock;
use crate::disk::Disk;
use crate::node::Raft;
use crate::proposer::{Proposer, Ticket};
use crate::read_rounds::ReadRounds;
use crate::{ClusterError, Status};

/// The largest command, in bytes: a value of 4 MiB, its key and what stands around them. A log entry holds twice that.
const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024 + 64 * 1024;
/// How long a request that found no leader waits before it looks again, unless a leader turns up first.
const LEADER_POLL: Duration = Duration::from_millis(20);

pub use sessile_store::Found;

/// Sessions, replicated. Cheap to clone; every request may go through any clone.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) raft: Raft,
    pub(crate) state: SessionState,
    pub(crate) log: LogStore,
    pub(crate) clock: LeaderClock,
    pub(crate) proposer: Proposer,
    pub(crate) rounds: ReadRounds,
    pub(crate) disk: Disk,
    /// Why this node must stop; set once.
    pub(crate) fault: watch::Sender<Option<String>>,
}

/// What became of one try to put a command into the log.
enum Tried {
    Done(Outcome),
    /// There is no leader here now, and it reached no log.
    NotSent,
    /// It reached a log, and another leader may have put another entry in its place.
    Discarded,
}

impl Cluster {
    /// The live record of a key: at least as new as everything acknowledged before the call.
    pub async fn read(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<Option<Found>, ClusterError> {
        self.confirm(deadline).await?;
        self.inner.state.read(namespace, key).map_err(|error| self.inner.stop_for(&error))
    }

    /// Does something with a key's record. Acknowledged means fsynced on a majority and applied.
    pub async fn write(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        action: Action,
        deadline: Instant,
    ) -> Result<Outcome, ClusterError> {
        let inner = &*self.inner;
        if matches!(action, Action::Put(_)) && inner.disk.is_nearly_full() {
            return Err(ClusterError::StorageFull);
        }
        let ticket = inner.proposer.begin(deadline).await?;
        // Whether an earlier try may have had an effect that nobody told of.
        let mut in_doubt = false;
        loop {
            // The number makes it the same command; what it no longer waits for may have grown.
            let command = encode(&ticket, namespace, key.clone(), action.clone());
            if command.len() > MAX_COMMAND_BYTES {
                return Err(ClusterError::TooLarge);
            }
            match inner.propose(command, deadline, in_doubt).await? {
                // Nothing was changed or remembered, so it is still new. The lowest one always finds room.
                Tried::Done(Outcome::Refused(Refusal::WindowFull)) => {
                    let overloaded = if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::Overloaded };
                    ticket.becomes_lowest(deadline).await.map_err(|_| overloaded)?;
                }
                Tried::Done(Outcome::Refused(Refusal::UnknownIncarnation { .. } | Refusal::Forgotten)) => {
                    inner.proposer.is_unknown(ticket.incarnation);
                    return Err(if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::NoQuorum });
                }
                Tried::Done(outcome) => return Ok(outcome),
                Tried::NotSent => inner.await_leader(deadline, in_doubt).await?,
                Tried::Discarded => {
                    in_doubt = true;
                    inner.await_leader(deadline, in_doubt).await?;
                }
            }
        }
    }

    /// Whether this node could serve a linearizable read and take a write now.
    pub async fn ready(&self, deadline: Instant) -> Result<(), ClusterError> {
        if !self.inner.proposer.is_registered() {
            return Err(ClusterError::NoQuorum);
        }
        self.inner.rounds.join(deadline).await
    }

    /// What this node can tell of itself.
    pub fn status(&self) -> Status {
        let inner = &*self.inner;
        let (applied, _) = inner.state.applied();
        let metrics = inner.raft.metrics().borrow_watched().clone();
        Status {
            node: inner.node,
            cluster: inner.cluster,
            is_leader: inner.raft.is_leader(),
            term: metrics.current_term,
            applied: applied.map(|log_id| log_id.index),
            clock: inner.state.clock(),
            rules: inner.state.rules(),
            log_bytes: inner.log.bytes(),
            state_bytes: inner.state.disk_bytes(),
            disk_free_bytes: inner.disk.free(),
            disk_nearly_full: inner.disk.is_nearly_full(),
            counts: inner.state.counts(),
        }
    }

    async fn confirm(&self, deadline: Instant) -> Result<(), ClusterError> {
        loop {
            match self.inner.rounds.join(deadline).await {
                Err(ClusterError::NoQuorum) => self.inner.await_leader(deadline, false).await?,
                confirmed => return confirmed,
            }
        }
    }
}

impl Inner {
    /// Puts a command into the log and waits for what it did.
    async fn propose(&self, command: bytes::Bytes, deadline: Instant, in_doubt: bool) -> Result<Tried, ClusterError> {
        let nothing_new = |error| if in_doubt { ClusterError::OutcomeUnknown } else { error };
        if Instant::now() >= deadline {
            return Err(nothing_new(ClusterError::NoQuorum));
        }
        let proposal = Proposal { stamp: self.clock.stamp(self.state.clock()), command };
        let (responder, outcome) = ProgressResponder::<TypeConfig, _>::complete_only();
        let queued = timeout_at(deadline, self.raft.client_write_ff(proposal, Some(responder))).await;
        match queued {
            Err(_) => return Err(nothing_new(ClusterError::NoQuorum)),
            Ok(Err(_)) => return Err(nothing_new(ClusterError::Stopping)),
            Ok(Ok(())) => {}
        }
        match timeout_at(deadline, outcome).await {
            Ok(Ok(Ok(response))) => response.data.map(Tried::Done).ok_or(ClusterError::OutcomeUnknown),
            // Said before anything is appended only.
            Ok(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => Ok(Tried::NotSent),
            Ok(Ok(Err(ClientWriteError::LogEntryDiscarded(_)))) => Ok(Tried::Discarded),
            // Neither is asked for here.
            Ok(Ok(Err(ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_)))) => {
                Err(nothing_new(ClusterError::NoQuorum))
            }
            Ok(Err(_)) | Err(_) => Err(ClusterError::OutcomeUnknown),
        }
    }

    /// Waits until there may be a leader again.
    async fn await_leader(&self, deadline: Instant, in_doubt: bool) -> Result<(), ClusterError> {
        let look_again = (Instant::now() + LEADER_POLL).min(deadline);
        tokio::time::sleep_until(look_again).await;
        let gave_up = match (in_doubt, self.fault.borrow().is_some()) {
            (true, _) => ClusterError::OutcomeUnknown,
            (false, true) => ClusterError::Stopping,
            (false, false) => ClusterError::NoQuorum,
        };
        if self.fault.borrow().is_some() || Instant::now() >= deadline { Err(gave_up) } else { Ok(()) }
    }

    /// A local fault: this node stops rather than guess.
    pub(crate) fn stop_for(&self, fault: &dyn std::fmt::Display) -> ClusterError {
        self.fault.send_if_modified(|known| {
            let first = known.is_none();
            if first {
                error!("this node stops: {fault}");
                *known = Some(fault.to_string());
                self.proposer.end();
            }
            first
        });
        ClusterError::Stopping
    }
}

fn encode(ticket: &Ticket<'_>, namespace: NamespaceId, key: SessionKey, action: Action) -> bytes::Bytes {
    let command = SessionCommand {
        proposer: ticket.id,
        incarnation: ticket.incarnation,
        sequence: ticket.sequence,
        lowest_outstanding: ticket.lowest_outstanding(),
        namespace,
        key,
        action,
    };
    Command::Session(command).encode()
}
