use std::collections::BTreeSet;
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::{Config, Instant as _, SnapshotPolicy, StepDownPolicy};
use parking_lot::Mutex;
use sessile_core::injected::decisions;
use sessile_core::{Command, LogTime, TimeOrder, TimeRefusal, set_time};
use sessile_store::engine::EngineError;
use sessile_store::{
    ClusterId, LogId, LogStore, NodeId, Notes, Proposal, SessionState, Store, StoreError, StoredMembership,
    off_the_runtime,
};
use tokio::time::{Instant, timeout};
use tonic::Status;
use tracing::{error, info, warn};

use super::clock::{LeaderClock, OtherClocks};
use super::clock_jump::ClockJump;
use super::departures::Replaced;
use crate::error::{ClusterError, StartError};
use crate::fault::Fault;
use crate::raft::{Raft, ServerMetrics};
use crate::timing::Timing;
use crate::transport::{Network, refusal_of};
use crate::wire::refusal::Reason;

/// How many commands wait for Raft to take them up. A batch takes all there are.
const MAX_QUEUED: u64 = 1_024;
/// How long a request that found no leader waits before it looks again, unless a leader turns up first.
const LEADER_POLL: Duration = Duration::from_millis(20);

/// A member of one Raft group.
pub(crate) struct Group {
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
    pub(crate) raft: Raft,
    pub(crate) server: ServerMetrics,
    pub(crate) state: SessionState,
    pub(crate) log: LogStore,
    pub(crate) clock: LeaderClock,
    /// The last index of the log when this member started.
    pub(crate) started_with_last: u64,
    /// What ends this node.
    pub(crate) fault: Fault,
    pub(crate) timing: Timing,
    other_clocks: Arc<dyn OtherClocks>,
    notes: Notes,
    /// How often another leader, or one of a newer term, became known after the first.
    leader_changes: AtomicU64,
    /// The membership that it was last seen to go by, and since when.
    goes_by: Mutex<(Option<LogId>, Instant)>,
}

impl Group {
    /// Raft over a member's store. It does nothing before it is told to run.
    pub(crate) async fn open(
        store: &Store,
        network: Network,
        clock: LeaderClock,
        other_clocks: Arc<dyn OtherClocks>,
        fault: Fault,
    ) -> Result<Self, StartError> {
        let timing = network.directory.timing();
        let config = Arc::new(raft_config(timing).map_err(|error| StartError::Raft(error.to_string()))?);
        let log = store.log_store();
        let raft = Raft::build(store.node(), config, network, log.clone(), store.state_machine()).await;
        let raft = raft.map_err(|error| StartError::Raft(error.to_string()))?;
        // Raft replayed what it knew to be committed: durable now, so that nothing is purged that would be needed again.
        let state = store.state().clone();
        let persisted = off_the_runtime(move || state.persist()).await;
        match persisted.map_err(|_| StartError::Raft("the storage engine gave up while it was made durable".into()))? {
            // Then nothing is purged either: a snapshot is of what is durable.
            Err(StoreError::Engine(EngineError::NoRoom { .. })) => {
                warn!("the state cannot be made durable: there is no room");
            }
            persisted => persisted?,
        }
        clock.starts(store.state().clock(), store.notes().last_ran());
        Ok(Self {
            node: store.node(),
            cluster: store.cluster(),
            server: raft.server_metrics(),
            raft,
            state: store.state().clone(),
            started_with_last: log.last().map_or(0, |last| last.index),
            log,
            clock,
            fault,
            timing,
            other_clocks,
            notes: store.notes(),
            leader_changes: AtomicU64::new(0),
            goes_by: Mutex::new((None, Instant::now())),
        })
    }

    /// Who leads, by what is known here.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.server.borrow_watched().current_leader
    }

    pub(crate) fn leads(&self) -> bool {
        self.leader() == Some(self.node)
    }

    /// Whether this node leads, has a time to stamp writes with, and a quorum has followed it so lately that Raft takes one.
    pub(crate) fn takes_writes(&self) -> bool {
        let leads = self.raft.metrics().borrow_watched().state.is_leader();
        let is_followed = self.is_alone() || self.is_followed_within(self.timing.lease());
        leads && is_followed && self.clock.held().is_none()
    }

    /// Whether no other member votes.
    pub(crate) fn is_alone(&self) -> bool {
        self.membership().membership().voter_ids().all(|voter| voter == self.node)
    }

    /// Whether a quorum is known to have followed this leader within that time. Of one that is alone nothing is known.
    pub(crate) fn is_followed_within(&self, time: Duration) -> bool {
        let acknowledged = self.raft.metrics().borrow_watched().last_quorum_acked;
        acknowledged.is_some_and(|acknowledged| acknowledged.elapsed() < time)
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

    /// Waits until there may be a leader again.
    pub(crate) async fn await_leader(&self, deadline: Instant, in_doubt: bool) -> Result<(), ClusterError> {
        let look_again = (Instant::now() + LEADER_POLL).min(deadline);
        let mut server = self.server.clone();
        // Seen, so that only what comes from here on wakes this request.
        drop(server.borrow_and_update());
        let changed = timeout(look_again.saturating_duration_since(Instant::now()), server.changed()).await;
        // Of a Raft that has ended nothing comes any more, and it says so at once, every time.
        let stopping = self.fault.is_set() || matches!(changed, Ok(Err(_)));
        let gave_up = match (in_doubt, stopping) {
            (true, _) => ClusterError::OutcomeUnknown,
            (false, true) => ClusterError::Stopping,
            (false, false) => ClusterError::NoQuorum,
        };
        if stopping || Instant::now() >= deadline { Err(gave_up) } else { Ok(()) }
    }

    /// Another leader became known, or one of a newer term.
    pub(crate) fn has_another_leader(&self) {
        self.leader_changes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn leader_changes(&self) -> u64 {
        self.leader_changes.load(Ordering::Relaxed)
    }

    /// Looks by which membership Raft goes now, and notes since when.
    pub(crate) fn note_membership(&self) {
        let now = *self.membership().log_id();
        let mut goes_by = self.goes_by.lock();
        if goes_by.0 != now {
            *goes_by = (now, Instant::now());
        }
    }

    /// How long this node has gone by its membership without a change; since its start at the longest.
    pub(crate) fn membership_age(&self) -> Duration {
        self.goes_by.lock().1.elapsed()
    }

    /// The membership that Raft goes by now, committed or not.
    pub(crate) fn membership(&self) -> Arc<StoredMembership> {
        self.server.borrow_watched().membership_config.clone()
    }

    /// The membership that Raft goes by, and whether that is known to be committed: if not, another leader may take it back.
    pub(crate) fn membership_and_whether_committed(&self) -> (Arc<StoredMembership>, bool) {
        let server = self.server.borrow_watched();
        let (effective, committed) = (&server.membership_config, &server.committed_membership_config);
        (effective.clone(), effective.log_id() == committed.log_id())
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

    /// The last entry that is known to be committed.
    pub(crate) fn cluster_committed(&self) -> Option<LogId> {
        self.raft.metrics().borrow_watched().cluster_committed
    }

    /// How many entries of this leader's log a member has not acknowledged yet; `None` if that is not known.
    pub(crate) fn unacknowledged(&self, node: NodeId) -> Option<u64> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let matched = metrics.replication.as_ref()?.get(&node)?.as_ref()?.index;
        Some(metrics.last_log_index.unwrap_or(0).saturating_sub(matched))
    }

    /// The time of the next entry that this node, as the leader, puts into the log; `None` while time has not begun.
    pub(crate) fn stamp(&self) -> Option<LogTime> {
        let reached = self.state.clock();
        if let Some(stamp) = self.clock.fresh_stamp(reached) {
            return Some(stamp);
        }
        let (others, voters) = self.others_walls();
        self.clock.stamp(reached, others, voters)
    }

    /// What the clocks of the other voters show now, as far as that is known, and how many voters there are.
    fn others_walls(&self) -> (Vec<LogTime>, usize) {
        let membership = self.membership();
        let voters: BTreeSet<NodeId> = membership.membership().voter_ids().collect();
        (self.other_clocks.fresh(&voters), voters.len())
    }

    /// What an operator's word makes of the replicated clock: `to` that time, or what the members' clocks show.
    pub(crate) fn set_time(&self, to: Option<LogTime>, forced: bool) -> Result<TimeOrder, TimeRefusal> {
        let (mut walls, voters) = self.others_walls();
        walls.push(self.clock.wall());
        set_time(self.state.clock(), &walls, voters, to, forced)
    }

    /// Moves the replicated clock forward to that time, as an operator asked for. Only for whoever leads.
    ///
    /// # Errors
    /// It did not come to that by the deadline, as far as is known.
    pub(crate) async fn move_clock(&self, to: LogTime, deadline: Instant) -> Result<(), ClusterError> {
        let from = self.state.clock();
        let proposal = Proposal { stamp: to, command: Command::Tick.encode() };
        let written = tokio::time::timeout_at(deadline, self.raft.client_write(proposal)).await;
        match written {
            Ok(Ok(_)) => {
                warn!(%from, %to, "an operator moved the replicated clock forward");
                self.clock.knows_of(ClockJump { from, to, at: Instant::now(), ordered: true });
                Ok(())
            }
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => Err(ClusterError::NoQuorum),
            Ok(Err(_)) | Err(_) => Err(ClusterError::OutcomeUnknown),
        }
    }

    /// Notes that this member runs, for its next start: how long it was down is no jump of a clock.
    pub(crate) async fn note_that_it_runs(&self) {
        let Some(moment) = self.clock.moment(self.state.clock()) else { return };
        let notes = self.notes.clone();
        let noted = off_the_runtime(move || notes.runs(&moment)).await;
        if let Ok(Err(error)) = noted {
            warn!("that this member runs cannot be noted for its next start: {error}");
        }
    }

    /// A local fault: this node stops rather than guess.
    pub(crate) fn stop_for(&self, fault: &dyn Display) -> ClusterError {
        self.fault.stop_for(fault)
    }

    /// Of those that were removed, who was replaced while it was away, and may come back as a new node by itself.
    pub(crate) fn replaced(&self) -> BTreeSet<NodeId> {
        let mut replaced = Replaced::default();
        self.state.each_change(|entry| replaced.read(entry));
        let membership = self.membership();
        replaced.with_a_free_name(membership.membership().nodes().map(|(_, member)| &*member.name))
    }

    /// Another node has this one's place. Its next start is that of a new node, unless that was so a short while ago.
    pub(crate) fn stop_because_replaced(&self) {
        match self.notes.replaced(self.clock.wall()) {
            Ok(true) => drop(self.stop_for(&format!(
                "node {} was replaced in cluster {} while it was away: its next start sets its data aside and joins as a \
                 new node",
                self.node, self.cluster
            ))),
            Ok(false) => {
                warn!("this node was replaced a short while ago already, so it does not come back by itself again");
                self.stop_because_removed();
            }
            Err(error) => {
                error!("that this node was replaced cannot be noted for its next start: {error}");
                self.stop_because_removed();
            }
        }
    }

    /// Stops this node if a member refuses it because it is none any more. With `rejoins` one that was replaced comes back by
    /// itself. Says whether it stops.
    pub(crate) fn stops_if_told_to(&self, refused: &Status, rejoins: bool) -> bool {
        let Some((reason @ (Reason::Removed | Reason::Replaced), text)) = refusal_of(refused) else { return false };
        info!("a member says: {text}");
        if reason == Reason::Replaced && rejoins {
            self.stop_because_replaced();
        } else {
            self.stop_because_removed();
        }
        true
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

    /// This member's state is damaged, for that reason: its next start sets it aside.
    pub(crate) fn stop_because_damaged(&self, why: &dyn Display) {
        if let Err(error) = self.notes.condemned() {
            error!("that the state is damaged cannot be noted for the next start: {error}");
        }
        self.stop_for(why);
    }
}

/// The voters that the newest half of a membership names.
pub(crate) fn voters(membership: &StoredMembership) -> BTreeSet<NodeId> {
    membership.membership().get_joint_config().last().cloned().unwrap_or_default()
}

fn raft_config(timing: Timing) -> Result<Config, openraft::ConfigError> {
    let election_timeout = timing.election_timeout();
    let patience = if decisions().heartbeats_await_answers { timing.heartbeat_answer() } else { timing.heartbeat() };
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        // Maintenance says what may go.
        max_in_snapshot_log_to_keep: u64::MAX,
        cluster_name: "sessile".into(),
        // What openraft sends by itself comes this seldom: `heartbeats` asks for more.
        heartbeat_interval: millis(patience),
        election_timeout_min: millis(*election_timeout.start()),
        election_timeout_max: millis(*election_timeout.end()),
        removed_leader_step_down: StepDownPolicy::After(millis(timing.step_down())),
        // A snapshot's place must never be ahead of what is durable, so maintenance asks for them.
        snapshot_policy: SnapshotPolicy::Never,
        purge_batch_size: 1,
        // Requests beyond these wait outside, where they still count against the bounds of the HTTP side.
        api_channel_size: Some(MAX_QUEUED),
        enable_pre_vote: Some(true),
        // A restarted leader wins a new term before it serves.
        enable_leader_restore: Some(decisions().leader_resumes_its_term),
        ..Config::default()
    };
    config.validate()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use sessile_core::{Action, Condition, NamespaceId, Outcome, Put, SessionKey, Ttl};
    use sessile_store::{DataDir, Member, Opening, StoreOptions};
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::disk::Disk;
    use crate::health::Members;
    use crate::reads::Reads;
    use crate::transport::{Directory, Door, Elections, Sending, Told};
    use crate::wall_clock::WallClock;
    use crate::writes::{WriteRoom, Writes, register};

    /// What a process has once.
    struct Process {
        cluster: ClusterId,
        door: Arc<Door>,
        directory: Directory,
        disk: Arc<Disk>,
        fault: Fault,
        tasks: TaskTracker,
        stop: CancellationToken,
    }

    /// One of its groups.
    struct Running {
        store: Store,
        group: Arc<Group>,
        reads: Reads,
        writes: Arc<Writes>,
    }

    impl Process {
        fn new(root: &Path) -> Self {
            let (door, cluster) = (Door::without_tls(NodeId::from(1)), ClusterId::random());
            door.enter(cluster);
            Self {
                cluster,
                door: Arc::new(door),
                directory: Directory::without_tls(),
                disk: Arc::new(Disk::new(root.into(), 0)),
                fault: Fault::new(),
                tasks: TaskTracker::new(),
                stop: CancellationToken::new(),
            }
        }

        /// Begins a group of this process alone, in a directory of its own.
        async fn begin(&self, dir: &Path) -> Running {
            let opening = Opening::open(DataDir::open(dir).unwrap(), &StoreOptions::default()).unwrap();
            let Opening::Pristine(pristine) = opening else { panic!("{} is not empty", dir.display()) };
            let store = pristine.adopt(self.cluster).unwrap();
            let (door, directory, told) = (self.door.clone(), self.directory.clone(), Told::default());
            let network = Network {
                door: door.clone(),
                directory: directory.clone(),
                sending: Sending::default(),
                told: told.clone(),
                disk: self.disk.clone(),
                elections: Elections::default(),
            };
            let (clock, others) = (LeaderClock::new(WallClock::default()), Arc::new(Members::new()));
            let group = Arc::new(Group::open(&store, network, clock, others, self.fault.clone()).await.unwrap());
            let (reads, run_reads) =
                Reads::new(group.clone(), door.clone(), directory.clone(), told, self.stop.clone());
            let room = WriteRoom { proposals: 1 << 20, forwarded: 1 << 20 };
            let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
            let (writes, run_writes) = Writes::new(group.clone(), door, directory, room, None, (tasks, stop.clone()));
            let writes = Arc::new(writes);
            self.tasks.spawn(run_reads);
            self.tasks.spawn(run_writes);
            self.tasks.spawn(register(writes.clone(), stop));
            group.raft.run();
            group.raft.initialize(BTreeMap::from([(group.node, Member::default())])).await.unwrap();
            Running { store, group, reads, writes }
        }
    }

    impl Running {
        async fn put(&self, key: &SessionKey, value: &'static [u8]) -> Outcome {
            let put = Put { value: value.into(), ttl: Ttl::FOREVER, condition: Condition::None };
            self.writes.write(NamespaceId::SESSIONS, key.clone(), Action::Put(put).into(), soon()).await.unwrap()
        }

        async fn get(&self, key: &SessionKey) -> Option<Vec<u8>> {
            let found = self.reads.read(NamespaceId::SESSIONS, key, soon()).await.unwrap();
            found.map(|found| found.record.value.to_vec())
        }

        async fn end(self) {
            self.group.raft.shutdown().await.unwrap();
            off_the_runtime(move || self.store.close()).await.unwrap().unwrap();
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn a_process_may_hold_two_groups_on_one_disk_and_one_transport() {
        let root = tempfile::tempdir().unwrap();
        let process = Process::new(root.path());
        let one = process.begin(&root.path().join("one")).await;
        let two = process.begin(&root.path().join("two")).await;
        for running in [&one, &two] {
            timeout(Duration::from_secs(60), running.group.when_leading()).await.expect("it is a quorum by itself");
        }

        let (both, only) = (SessionKey::new("both").unwrap(), SessionKey::new("only").unwrap());
        one.put(&both, b"of the first").await;
        two.put(&both, b"of the second").await;
        two.put(&only, b"of the second").await;
        assert_eq!(one.get(&both).await.as_deref(), Some(&b"of the first"[..]));
        assert_eq!(two.get(&both).await.as_deref(), Some(&b"of the second"[..]));
        assert_eq!((one.get(&only).await, two.get(&only).await.is_some()), (None, true));

        process.fault.stop_for(&"a fault of the process");
        for running in [&one, &two] {
            let put = Action::Put(Put { value: b"late"[..].into(), ttl: Ttl::FOREVER, condition: Condition::None });
            let refused = running.writes.write(NamespaceId::SESSIONS, both.clone(), put.into(), soon()).await;
            assert_eq!(refused.err(), Some(ClusterError::Stopping), "a fault ends every group of a process");
        }
        process.stop.cancel();
        process.tasks.close();
        process.tasks.wait().await;
        one.end().await;
        two.end().await;
    }
}
