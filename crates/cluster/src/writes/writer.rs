use std::sync::Arc;

use bytes::Bytes;
use sessile_core::{Command, NamespaceId, Outcome, ProposerId, Refusal, SessionCommand, SessionKey, SessionRequest};
use sessile_store::{DurationCounts, Durations, NodeId};
use sessile_trace::{Kind, Span, TraceContext, Tracer, begin};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::forward::Forwarder;
use super::proposer::{Proposer, Ticket};
use super::rounds::WriteRounds;
use super::tried::Tried;
use crate::error::ClusterError;
use crate::group::Group;
use crate::transport::{Directory, Door};

/// The largest command, in bytes: a value of 4 MiB, its key and what stands around them. A log entry holds twice that.
const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024 + 64 * 1024;

/// The writes of one group.
pub(crate) struct Writes {
    pub(super) group: Arc<Group>,
    pub(super) proposer: Arc<Proposer>,
    pub(super) rounds: WriteRounds,
    forwarder: Forwarder,
    forwards: Durations,
    tracer: Option<Tracer>,
}

/// How much this node's writes wait for.
#[derive(Debug, Clone)]
pub(crate) struct WriteFigures {
    /// Commands of this node without an outcome yet.
    pub(crate) outstanding: u64,
    /// Bytes of commands that wait for a round of the log or are in one, and how many may.
    pub(crate) proposals: (u64, u64),
    /// Bytes of commands that the leader has not answered, and how many may be.
    pub(crate) forwarded: (u64, u64),
    /// How long commands took that the leader answered.
    pub(crate) forwards: DurationCounts,
}

/// How many bytes of commands may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WriteRoom {
    /// For a round of the log, or in one.
    pub(crate) proposals: usize,
    /// For the leader's answer.
    pub(crate) forwarded: usize,
}

impl Writes {
    /// The handle, and the task that runs the rounds until it is cancelled.
    pub(crate) fn new(
        group: Arc<Group>,
        door: Arc<Door>,
        directory: Directory,
        room: WriteRoom,
        tracer: Option<Tracer>,
        (tasks, stop): (TaskTracker, CancellationToken),
    ) -> (Self, impl Future<Output = ()>) {
        let (rounds, running) = WriteRounds::new(group.clone(), room.proposals, stop.clone());
        let forwarder = Forwarder::new(door, directory, group.server.clone(), room.forwarded, tasks, stop);
        let proposer = Arc::new(Proposer::new(ProposerId::new(group.node.bits())));
        let ending = proposer.clone();
        group.fault.ends(move || ending.end());
        (Self { group, proposer, rounds, forwarder, forwards: Durations::default(), tracer }, running)
    }

    /// That member asks for votes, and may lead soon.
    pub(crate) fn may_lead(&self, member: NodeId) {
        self.forwarder.prepare(member);
    }

    /// Whether this node's commands are numbered under an incarnation that the state knows.
    pub(crate) fn is_registered(&self) -> bool {
        self.proposer.is_registered()
    }

    /// How much waits now, and how long it took.
    pub(crate) fn figures(&self) -> WriteFigures {
        WriteFigures {
            outstanding: u64::try_from(self.proposer.outstanding()).unwrap_or(u64::MAX),
            proposals: self.rounds.bytes(),
            forwarded: self.forwarder.bytes(),
            forwards: self.forwards.counts(),
        }
    }

    /// Does something with a key's record. Acknowledged means fsynced on a majority and applied.
    pub(crate) async fn write(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        request: SessionRequest,
        deadline: Instant,
    ) -> Result<Outcome, ClusterError> {
        let ticket = self.proposer.begin(deadline).await?;
        // Whether an earlier try may have had an effect that nobody told of.
        let mut in_doubt = false;
        loop {
            // The number makes it the same command; what it no longer waits for may have grown.
            let command = encode(&ticket, namespace, key.clone(), request.clone());
            if command.len() > MAX_COMMAND_BYTES {
                return Err(ClusterError::TooLarge);
            }
            match self.submit(command, deadline).await {
                // Nothing was changed or remembered, so it is still new. The lowest one always finds room.
                Tried::Done(Outcome::Refused(Refusal::WindowFull)) => {
                    let overloaded = if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::Overloaded };
                    ticket.becomes_lowest(deadline).await.map_err(|_| overloaded)?;
                }
                Tried::Done(Outcome::Refused(Refusal::UnknownIncarnation { .. } | Refusal::Forgotten)) => {
                    self.proposer.is_unknown(ticket.incarnation);
                    return Err(if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::NoQuorum });
                }
                Tried::Done(Outcome::Refused(Refusal::Removed)) => {
                    return Err(if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::Stopping });
                }
                Tried::Done(outcome) => return Ok(outcome),
                Tried::NotSent => self.group.await_leader(deadline, in_doubt).await?,
                Tried::NoRoom => {
                    return Err(if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::Overloaded });
                }
                Tried::Ended => {
                    return Err(if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::Stopping });
                }
                Tried::Discarded | Tried::Unknown => {
                    in_doubt = true;
                    self.group.await_leader(deadline, in_doubt).await?;
                }
            }
        }
    }

    /// Puts a command into the log once that says something about the cluster, and no session. It passes also while time
    /// stands still, because no clocks agree: what mends that must not wait for it. While it has reached no log, it waits for
    /// the next leader until the deadline. `None` if it is not known that it came about.
    pub(crate) async fn command(&self, command: Command, deadline: Instant) -> Option<Outcome> {
        let command = command.encode();
        loop {
            match self.command_once(command.clone(), deadline).await {
                Tried::Done(outcome) => return Some(outcome),
                Tried::NotSent => self.group.await_leader(deadline, false).await.ok()?,
                _ => return None,
            }
        }
    }

    async fn command_once(&self, command: Bytes, deadline: Instant) -> Tried {
        if !self.group.leads() {
            return self.submit(command, deadline).await;
        }
        let Ok(room) = timeout_at(deadline, self.rounds.room(command.len())).await else { return Tried::NoRoom };
        let stamp = self.group.stamp().unwrap_or_else(|| self.group.state.clock());
        self.rounds.join(stamp, command, room, deadline).await
    }

    /// The same of one that may come about twice: tried again, also through an election, until the deadline.
    pub(crate) async fn command_until(&self, command: Command, deadline: Instant) -> Option<Outcome> {
        loop {
            if let Some(outcome) = self.command(command.clone(), deadline).await {
                return Some(outcome);
            }
            self.group.await_leader(deadline, true).await.ok()?;
        }
    }

    /// Has the leader put a command into the log, and waits for what it did.
    pub(super) async fn submit(&self, command: Bytes, deadline: Instant) -> Tried {
        if Instant::now() >= deadline {
            return Tried::NotSent;
        }
        match self.group.leader() {
            Some(leader) if leader == self.group.node => {
                let _traced = begin("round of the log", Kind::Internal);
                let Ok(room) = timeout_at(deadline, self.rounds.room(command.len())).await else {
                    return Tried::NoRoom;
                };
                self.propose(command, room, deadline).await
            }
            Some(leader) => {
                let begun = Instant::now();
                let mut traced = begin("forward to the leader", Kind::Client);
                let trace = traced.as_ref().map(Span::context);
                let tried = self.forwarder.submit(leader, command, trace, deadline).await;
                match &tried {
                    Tried::Done(_) => self.forwards.note(begun.elapsed()),
                    _ => traced.iter_mut().for_each(Span::fails),
                }
                tried
            }
            None => Tried::NotSent,
        }
    }

    /// A span for a command of another member, if its request is traced and this node traces.
    pub(super) fn traced(&self, trace: &[u8]) -> Option<Span> {
        let of = TraceContext::from_bytes(trace)?;
        Some(self.tracer.as_ref()?.go_on("round of the log", of))
    }

    /// Puts a command into the log of this node, if it leads, and waits until that has come to something.
    pub(crate) async fn propose_here(&self, command: Bytes) {
        let deadline = Instant::now() + self.group.timing.registration();
        let room = self.rounds.room(command.len()).await;
        self.propose(command, room, deadline).await;
    }

    /// Puts a command into the log of this node, if it leads, and waits for what it did, until its deadline. It keeps its room
    /// until the round that it is in has ended, whoever waits for it.
    pub(super) async fn propose(&self, command: Bytes, room: OwnedSemaphorePermit, deadline: Instant) -> Tried {
        // Whoever does not lead may be behind, and what it would stamp is no news of the clock.
        match self.group.leads().then(|| self.group.stamp()).flatten() {
            Some(stamp) => self.rounds.join(stamp, command, room, deadline).await,
            None => Tried::NotSent,
        }
    }
}

fn encode(ticket: &Ticket<'_>, namespace: NamespaceId, key: SessionKey, request: SessionRequest) -> Bytes {
    let command = SessionCommand {
        proposer: ticket.id,
        incarnation: ticket.incarnation,
        sequence: ticket.sequence,
        lowest_outstanding: ticket.lowest_outstanding(),
        namespace,
        key,
        request,
    };
    Command::Session(command).encode()
}
