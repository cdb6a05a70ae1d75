use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver;
use sessile_core::planted::{Defect, is_planted};
use sessile_core::{
    Action, Command, Condition, LogTime, NamespaceId, Outcome, Put, Refusal, SessionCommand, SessionKey,
};
use sessile_store::{ClusterId, LogId, LogStore, NodeId, Notes, Progress, SessionState, StoredMembership, TypeConfig};
use tokio::sync::{Mutex, OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{error, info};

use crate::admin::StatusResponse;
use crate::clock::LeaderClock;
use crate::commit_times::CommitTimes;
use crate::disk::{Disk, Refuses};
use crate::forward::Forwarder;
use crate::local::Local;
use crate::members::Members;
use crate::node::Raft;
use crate::proposer::{Proposer, Ticket};
use crate::read_rounds::ReadRounds;
use crate::standing::Standing;
use crate::transport::{Receiving, Sending};
use crate::wire::{MemberReport, StateChecksum};
use crate::write_rounds::WriteRounds;
use crate::{ClusterError, MemberReach, Status};

/// The largest command, in bytes: a value of 4 MiB, its key and what stands around them. A log entry holds twice that.
const MAX_COMMAND_BYTES: usize = 4 * 1024 * 1024 + 64 * 1024;
/// How long a request that found no leader waits before it looks again, unless a leader turns up first.
const LEADER_POLL: Duration = Duration::from_millis(20);

pub use sessile_store::Found;

/// Who leads and who is a member, as Raft on this node knows it.
pub(crate) type ServerMetrics =
    openraft::type_config::alias::WatchReceiverOf<TypeConfig, openraft::metrics::RaftServerMetrics<TypeConfig>>;

/// Sessions, replicated. Cheap to clone; every request may go through any clone, on any member.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) inner: Arc<Inner>,
}

/// A member.
pub(crate) struct Inner {
    pub(crate) local: Arc<Local>,
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) raft: Raft,
    pub(crate) server: ServerMetrics,
    pub(crate) state: SessionState,
    pub(crate) log: LogStore,
    pub(crate) clock: LeaderClock,
    pub(crate) proposer: Proposer,
    pub(crate) standing: Standing,
    pub(crate) rounds: ReadRounds,
    pub(crate) writes: WriteRounds,
    pub(crate) forwarder: Forwarder,
    pub(crate) members: Members,
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    pub(crate) disk: Arc<Disk>,
    pub(crate) commit_times: CommitTimes,
    /// How often another leader became known since the start.
    pub(crate) leader_changes: AtomicU64,
    /// What is refused for want of room; looked at now and then.
    pub(crate) disks_refuse: parking_lot::RwLock<Refuses>,
    pub(crate) notes: Notes,
    /// The last index of the log when this node started.
    pub(crate) started_with_last: u64,
    /// When this node started, by its own clock.
    pub(crate) started_at: LogTime,
    /// Held while this node, as the leader, changes the membership: one change at a time.
    pub(crate) changing: Mutex<()>,
    /// What the autopilot waits for an operator to look at.
    pub(crate) concerns: parking_lot::Mutex<BTreeSet<String>>,
    /// Members at whose address a node of another cluster answers.
    pub(crate) strangers: parking_lot::Mutex<BTreeMap<NodeId, String>>,
    /// Why this node must stop; set once.
    pub(crate) fault: watch::Sender<Option<String>>,
}

/// What became of one try to put a command into the log.
#[derive(Debug)]
pub(crate) enum Tried {
    Done(Outcome),
    /// It reached no log.
    NotSent,
    /// It reached a log, and another leader may have put another entry in its place.
    Discarded,
    /// It was sent, and no answer came.
    Unknown,
    /// It reached no log, because this node's Raft has ended.
    Ended,
    /// It reached no log, because the commands that wait took all the room until the deadline.
    NoRoom,
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
        let found = self.look_up(namespace, key, deadline).await?;
        if is_planted(Defect::ExpiryByWallClock) {
            return Ok(found.filter(|found| found.record.header.expires_at > self.inner.clock.wall()));
        }
        Ok(found)
    }

    /// The live record of a key as this node knows it, and how old that knowledge is at most. A node that was never
    /// current since it started knows nothing.
    pub async fn read_local(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<(Option<Found>, Duration), ClusterError> {
        // Asked before the record is read: the record may be newer than that, never older.
        let age = self.inner.rounds.age().ok_or(ClusterError::NoQuorum)?;
        let found = self.look_up(namespace, key, deadline).await?;
        Ok((found, age))
    }

    /// The live record of a key, from memory or from the disk. A disk that does not answer by the deadline is one that is
    /// asked for more than it can give.
    async fn look_up(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<Option<Found>, ClusterError> {
        let state = &self.inner.state;
        let found = match state.read_in_memory(namespace, key) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let read = timeout_at(deadline, state.read_from_disk(namespace, key)).await;
                read.map_err(|_| ClusterError::Overloaded)?
            }
            Err(error) => Err(error),
        };
        found.map_err(|error| self.inner.stop_for(&error))
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
        let needed = if matches!(action, Action::Put(_)) { Refuses::Puts } else { Refuses::Deletes };
        if *inner.disks_refuse.read() >= needed {
            return Err(ClusterError::StorageFull);
        }
        let mut ticket = inner.proposer.begin(deadline).await?;
        // Whether an earlier try may have had an effect that nobody told of.
        let mut in_doubt = false;
        loop {
            // The number makes it the same command; what it no longer waits for may have grown.
            let command = encode(&ticket, namespace, key.clone(), action.clone());
            if command.len() > MAX_COMMAND_BYTES {
                return Err(ClusterError::TooLarge);
            }
            match inner.submit(command, deadline).await {
                // Nothing was changed or remembered, so it is still new. The lowest one always finds room.
                Tried::Done(Outcome::Refused(Refusal::WindowFull)) => {
                    let overloaded = if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::Overloaded };
                    ticket.becomes_lowest(deadline).await.map_err(|_| overloaded)?;
                }
                Tried::Done(Outcome::Refused(Refusal::UnknownIncarnation { .. } | Refusal::Forgotten)) => {
                    inner.proposer.is_unknown(ticket.incarnation);
                    return Err(if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::NoQuorum });
                }
                Tried::Done(Outcome::Refused(Refusal::Removed)) => {
                    inner.stop_because_removed();
                    return Err(if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::Stopping });
                }
                Tried::Done(outcome) => return Ok(outcome),
                Tried::NotSent => inner.await_leader(deadline, in_doubt).await?,
                Tried::NoRoom => {
                    return Err(if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::Overloaded });
                }
                Tried::Ended => {
                    return Err(if in_doubt { ClusterError::OutcomeUnknown } else { ClusterError::Stopping });
                }
                Tried::Discarded | Tried::Unknown => {
                    in_doubt = true;
                    inner.await_leader(deadline, in_doubt).await?;
                    if forgets_itself(&action) {
                        ticket = inner.proposer.begin(deadline).await?;
                    }
                }
            }
        }
    }

    /// What this node knows of its cluster, as operators see it.
    pub async fn cluster_status(&self) -> StatusResponse {
        crate::admin::status(&self.inner.local).await
    }

    /// Whether this node could serve a linearizable read and take a write now. One that is about to stop is not ready,
    /// though it does what comes all the same.
    pub async fn ready(&self, deadline: Instant) -> Result<(), ClusterError> {
        self.inner.stays()?;
        if !self.inner.proposer.is_registered() {
            return Err(ClusterError::NoQuorum);
        }
        self.inner.rounds.join(deadline).await?;
        // It may have been told to stop meanwhile.
        self.inner.stays()
    }

    /// What this node can tell of itself.
    pub fn status(&self) -> Status {
        let inner = &*self.inner;
        let applied = inner.state.summary().applied;
        let disk = inner.disk.report();
        let metrics = inner.raft.metrics().borrow_watched().clone();
        Status {
            node: inner.node,
            cluster: inner.cluster,
            is_leader: inner.leads(),
            has_leader: inner.leader().is_some(),
            leader_changes: inner.leader_changes.load(Ordering::Relaxed),
            leads_in: metrics.state.is_leader().then_some(metrics.current_term),
            term: metrics.current_term,
            applied: applied.map(|log_id| log_id.index),
            committed: metrics.cluster_committed.map(|log_id| log_id.index),
            clock: inner.state.clock(),
            rules: inner.state.rules(),
            log_bytes: inner.log.bytes(),
            state_bytes: disk.state_bytes,
            disk_free_bytes: disk.free_bytes,
            disk_limit_bytes: disk.limit_bytes,
            disk_nearly_full: disk.shortage.is_some(),
            disk_low: disk.is_low,
            disk_time_left: disk.time_left,
            receiving_bytes: inner.receiving.bytes(),
            counts: inner.state.counts(),
            refusals: inner.local.door.counts(),
            members: inner.member_reach(),
            voters: inner.membership().membership().voter_ids().collect(),
            is_joint: inner.membership().membership().get_joint_config().len() > 1,
            removed: inner.state.removed(),
            checksums: inner.state.checksums(),
            alerts: inner.alerts(),
        }
    }

    /// What this node does one step at a time and on its disk, with the words for it: where one does not come back, the node
    /// cannot tell so itself.
    pub fn work(&self) -> Vec<(&'static str, Progress)> {
        let (state, log) = (self.inner.state.progress(), self.inner.log.progress());
        let reads = self.inner.state.reads().map(|read| ("reading a session from the state", read.clone()));
        let one = [("applying what is committed to the state", state.clone()), ("writing the Raft log", log.clone())];
        one.into_iter().chain(reads).collect()
    }

    /// The last entry that is applied, and a digest of everything replicated but the records. For tests: it looks at all
    /// of it.
    pub fn digest_of_rows(&self) -> (Option<u64>, u64) {
        let (applied, digest) = self.inner.state.digest_of_rows();
        (applied.map(|log_id| log_id.index), digest)
    }

    /// Which entries its log holds. For tests: it looks at all of them.
    pub fn log_ids(&self) -> Vec<LogId> {
        self.inner.log.log_ids()
    }

    async fn confirm(&self, deadline: Instant) -> Result<(), ClusterError> {
        if is_planted(Defect::ReadWithoutReadIndex) {
            return Ok(());
        }
        loop {
            match self.inner.rounds.join(deadline).await {
                Err(ClusterError::NoQuorum) => self.inner.await_leader(deadline, false).await?,
                confirmed => return confirmed,
            }
        }
    }
}

/// Whether a planted defect makes another command of it when it is tried again.
fn forgets_itself(action: &Action) -> bool {
    let unconditional = matches!(action, Action::Put(Put { condition: Condition::None, .. }));
    is_planted(if unconditional { Defect::PutForgetsItself } else { Defect::ConditionalForgetsItself })
}

impl Inner {
    /// Whether this node is not about to stop, by order or by a fault.
    fn stays(&self) -> Result<(), ClusterError> {
        if self.local.is_leaving() || self.fault.borrow().is_some() { Err(ClusterError::Stopping) } else { Ok(()) }
    }

    /// Who leads, by what is known here.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.server.borrow_watched().current_leader
    }

    pub(crate) fn leads(&self) -> bool {
        self.leader() == Some(self.node)
    }

    /// Waits until this node leads. For ever, if its Raft ends before.
    pub(crate) async fn when_leading(&self) {
        let mut server = self.server.clone();
        while server.borrow_and_update().current_leader != Some(self.node) {
            if server.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The membership that Raft goes by now, committed or not.
    pub(crate) fn membership(&self) -> Arc<StoredMembership> {
        self.server.borrow_watched().membership_config.clone()
    }

    /// Where a member is reached; nothing for one that has no address or is none.
    pub(crate) fn address_of(&self, node: NodeId) -> Option<String> {
        self.membership().membership().get_node(&node).map(|member| member.address.clone())
    }

    /// A member's name for people.
    pub(crate) fn name_of(&self, node: NodeId) -> String {
        let name = self.membership().membership().get_node(&node).map(|member| member.name.clone());
        name.unwrap_or_else(|| node.to_string())
    }

    /// Has the leader put a command into the log, and waits for what it did.
    pub(crate) async fn submit(&self, command: Bytes, deadline: Instant) -> Tried {
        if Instant::now() >= deadline {
            return Tried::NotSent;
        }
        match self.leader() {
            Some(leader) if leader == self.node => {
                let Ok(room) = timeout_at(deadline, self.writes.room(command.len())).await else {
                    return Tried::NoRoom;
                };
                timeout_at(deadline, self.propose(command, room)).await.unwrap_or(Tried::Unknown)
            }
            Some(leader) => self.forwarder.submit(leader, command, deadline).await,
            None => Tried::NotSent,
        }
    }

    /// Puts a command into the log of this node, if it leads, and waits for what it did. It keeps its room until the round
    /// that it is in has ended, whoever waits for it.
    pub(crate) async fn propose(&self, command: Bytes, room: OwnedSemaphorePermit) -> Tried {
        match self.stamp().filter(|_| self.leads()) {
            Some(stamp) => self.writes.join(stamp, command, room).await,
            None => Tried::NotSent,
        }
    }

    /// The time of the next entry that this node, as the leader, puts into the log; `None` while time has not begun.
    pub(crate) fn stamp(&self) -> Option<LogTime> {
        let reached = self.state.clock();
        if let Some(stamp) = self.clock.fresh_stamp(reached) {
            return Some(stamp);
        }
        let membership = self.membership();
        let voters: BTreeSet<NodeId> = membership.membership().voter_ids().collect();
        let others = self.members.fresh_walls(|member| voters.contains(&member));
        self.clock.stamp(reached, others, voters.len())
    }

    /// Looks what must be refused, because a voter has no room: by this node's own disk if it has a vote, by the
    /// leader's word, and without that by what the voters reported lately. A learner's disk is its own business: nobody
    /// waits for it.
    pub(crate) fn look_at_disks(&self) {
        let membership = self.membership();
        let voters: BTreeSet<NodeId> = membership.membership().voter_ids().collect();
        let own = if voters.contains(&self.node) { self.disk.refuses() } else { Refuses::Nothing };
        let others = self.members.disks_refuse(self.leader(), |member| voters.contains(&member));
        *self.disks_refuse.write() = own.max(others);
    }

    /// How this member is, for the others.
    pub(crate) fn report(&self) -> MemberReport {
        let (term, last, committed) = {
            // Given back at once: Raft waits for it.
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let committed = metrics.cluster_committed.map_or(0, |log_id| log_id.index);
            (metrics.current_term, metrics.last_log_index.unwrap_or(0), committed)
        };
        let summary = self.state.summary();
        let disk = self.disk.report();
        let checksum = |(index, checksum)| StateChecksum { index, checksum };
        MemberReport {
            name: self.local.config.name.clone(),
            version: self.local.config.version.clone(),
            term,
            last,
            committed,
            applied: summary.applied.map_or(0, |log_id| log_id.index),
            wall_ms: self.clock.wall().as_millis(),
            disk_free_bytes: disk.free_bytes,
            disk_nearly_full: disk.shortage.is_some(),
            disk_limit_bytes: disk.limit_bytes,
            disk_low: disk.is_low,
            disk_seconds_left: disk.time_left.map(|left| left.as_secs()),
            disk_exhausted: disk.is_exhausted,
            refuses_writes: self.leads().then(|| *self.disks_refuse.read() >= Refuses::Puts),
            refuses_deletes: self.leads().then(|| *self.disks_refuse.read() >= Refuses::Deletes),
            receiving_bytes: self.receiving.bytes(),
            rules_supported: sessile_core::RulesVersion::SUPPORTED.number(),
            checksums: self.state.checksums().into_iter().map(checksum).collect(),
            checksum: summary.checksum,
            sessions: self.state.sessions(),
            start_id: self.local.start_id,
            started_with_last: self.started_with_last,
        }
    }

    /// What an operator should look at, as sentences.
    pub(crate) fn alerts(&self) -> Vec<String> {
        let mut alerts = self.members.alerts(|node| self.name_of(node), self.state.clock());
        if self.clock.is_held() && self.leads() {
            alerts.push(format!(
                "time stands still at {}: the members' clocks want a jump of more than an hour that no majority agrees on; \
                 set their clocks right",
                self.state.clock()
            ));
        }
        alerts.extend(self.strangers.lock().values().cloned());
        alerts.extend(self.concerns.lock().iter().cloned());
        alerts.extend(self.disk.report().alert(&self.local.config.name));
        alerts
    }

    /// Who the other members are, and whether they answer.
    pub(crate) fn member_reach(&self) -> Vec<MemberReach> {
        let membership = self.membership();
        let others = membership.membership().nodes().filter(|(node, _)| **node != self.node);
        let reach = |(node, member): (&NodeId, &sessile_store::Member)| MemberReach {
            node: *node,
            name: member.name.clone(),
            reachable: self.is_well(*node),
            lag: self.entries_behind(*node),
        };
        others.map(reach).collect()
    }

    /// Takes another member's report, and looks whether the states still agree.
    pub(crate) fn heard_of(&self, member: NodeId, report: MemberReport) {
        let committed = self.raft.metrics().borrow_watched().cluster_committed.map_or(0, |log_id| log_id.index);
        if self.members.heard(member, report, committed, self.clock.wall()) {
            info!(node = %member, "{} answers", self.name_of(member));
        }
        self.look_at_disks();
        if let crate::members::Verdict::ThisNodeDiffers(index) = self.members.compare(&self.state.checksums()) {
            if let Err(error) = self.notes.condemned() {
                error!("that the state is damaged cannot be noted for the next start: {error}");
            }
            self.stop_for(&format!(
                "its state differs at entry {index} from that of two other members, which agree: it is damaged here; \
                 start it again, and it sets this one aside and gets theirs"
            ));
        }
    }

    /// Waits until there may be a leader again.
    pub(crate) async fn await_leader(&self, deadline: Instant, in_doubt: bool) -> Result<(), ClusterError> {
        let look_again = (Instant::now() + LEADER_POLL).min(deadline);
        let mut server = self.server.clone();
        // Seen, so that only what comes from here on wakes this request.
        drop(server.borrow_and_update());
        let changed = timeout(look_again.saturating_duration_since(Instant::now()), server.changed()).await;
        // Of a Raft that has ended nothing comes any more, and it says so at once, every time.
        let stopping = self.fault.borrow().is_some() || matches!(changed, Ok(Err(_)));
        let gave_up = match (in_doubt, stopping) {
            (true, _) => ClusterError::OutcomeUnknown,
            (false, true) => ClusterError::Stopping,
            (false, false) => ClusterError::NoQuorum,
        };
        if stopping || Instant::now() >= deadline { Err(gave_up) } else { Ok(()) }
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

    /// The cluster has removed this node, for good.
    pub(crate) fn stop_because_removed(&self) {
        if let Err(error) = self.notes.removed() {
            error!("that this node was removed cannot be noted for its next start: {error}");
        }
        self.stop_for(&format!(
            "node {} was removed from cluster {}, which never accepts its id again; to come back as a new node, start \
             it with --discard-data-and-rejoin",
            self.node, self.cluster
        ));
    }
}

/// Returns when, by what is known here, another node leads or none does, or this one's Raft has ended.
pub(crate) async fn another_leads(mut server: ServerMetrics, leader: NodeId) {
    while server.borrow_watched().current_leader == Some(leader) && server.changed().await.is_ok() {}
}

fn encode(ticket: &Ticket<'_>, namespace: NamespaceId, key: SessionKey, action: Action) -> Bytes {
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
