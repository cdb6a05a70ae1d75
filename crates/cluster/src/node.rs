use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::{Config, SnapshotPolicy};
use sessile_core::ProposerId;
use sessile_core::planted::{Defect, is_planted};
use sessile_store::engine::EngineError;
use sessile_store::{
    Member, NodeId, Opened, Opening, StateMachine, StatelessStore, Store, StoreError, TypeConfig, off_the_runtime,
};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::DropGuard;
use tracing::{info, warn};

use crate::admission::{Entered, Lobby, begin, enter};
use crate::clock::LeaderClock;
use crate::cluster::{Cluster, Inner};
use crate::commit_times::CommitTimes;
use crate::confirmation::Confirmer;
use crate::disk::Disk;
use crate::forward::Forwarder;
use crate::local::Local;
use crate::maintenance::Maintenance;
use crate::members::Members;
use crate::proposer::Proposer;
use crate::read_rounds::ReadRounds;
use crate::recovery::recover;
use crate::standing::{Standing, Told};
use crate::transport::{Incoming, Network, Receiving, Sending};
use crate::write_rounds::WriteRounds;
use crate::{NodeConfig, StartError, autopilot, disk, grpc, registration, reports, state_check, watches};

pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// How often a leader is heard of, at least.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// A leader that is silent for as long as this may be campaigned against.
const ELECTION_TIMEOUT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(400));
/// How many commands wait for Raft to take them up. A batch takes all there are.
const MAX_QUEUED: u64 = 1_024;

/// A running member. Whoever holds it stops it.
pub struct Node {
    store: Store,
    cluster: Cluster,
    local: Arc<Local>,
    /// Whatever becomes of this value, nothing goes on without it.
    _stop: DropGuard,
}

impl Node {
    /// Starts a node, and returns once it is a member with Raft running; there need not be a leader yet, requests wait for
    /// one. A pristine node first finds or makes its cluster, and one that lost its state first fetches another one's:
    /// that may take for ever, and ends when this future is dropped. Meanwhile what comes in is answered:  probes and operators.
    pub async fn start(opening: Opening, config: NodeConfig, incoming: Option<Incoming>) -> Result<Self, StartError> {
        let (node, lobby, known) = match opening {
            Opening::Pristine(store) => (store.node(), Lobby::pristine(store), Known::Nothing),
            Opening::Member(store, opened) => {
                (store.node(), Lobby::default(), Known::All(store, opened == Opened::Unchecked))
            }
            Opening::Stateless(store) => (store.node(), Lobby::default(), Known::Log(store)),
        };
        let local = Arc::new(Local::new(node, config, lobby));
        let stop = local.stop.clone().drop_guard();
        if let Some(incoming) = incoming {
            local.tasks.spawn(grpc::serve(local.clone(), incoming));
        }
        let (store, first, unchecked) = match known {
            Known::All(store, unchecked) => (store, None, unchecked),
            Known::Log(store) => (recover(&local, store).await?, None, false),
            Known::Nothing => {
                let Entered { store, first } = enter(&local).await?;
                (store, first, false)
            }
        };
        let cluster = Box::pin(start_member(&local, &store, first, unchecked)).await?;
        Ok(Self { store, cluster, local, _stop: stop })
    }

    /// The handle through which requests go.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns when this node must stop because of a fault of its own, and says which.
    pub async fn faulted(&self) -> String {
        let mut fault = self.cluster.inner.fault.subscribe();
        match fault.wait_for(Option::is_some).await {
            Ok(fault) => fault.clone().unwrap_or_default(),
            // The sender lives in `self.cluster`.
            Err(_) => std::future::pending().await,
        }
    }

    /// Tells balancers to look elsewhere, and gives leadership to another voter, if this node leads and there is one that
    /// answers. Returns when it no longer leads, or nobody can take over, or the time is up.
    pub async fn hand_over(&self, within: Duration) {
        self.local.leaves();
        let inner = &self.cluster.inner;
        if !inner.leads() || inner.voters(&inner.membership()).len() < 2 {
            return;
        }
        match inner.hand_over(None, within).await {
            Ok(successor) => info!(leader = inner.name_of(successor), "leadership was handed over"),
            Err(status) => warn!("leadership was not handed over: {}", status.message()),
        }
    }

    /// Ends cleanly: what is acknowledged is durable, and the next start need not check the state. Requests must have
    /// ended before.
    pub async fn stop(self) -> Result<(), StartError> {
        self.local.stop.cancel();
        self.local.tasks.wait().await;
        self.cluster.inner.raft.shutdown().await.map_err(|error| StartError::Raft(error.to_string()))?;
        let closed = off_the_runtime(move || self.store.close()).await;
        Ok(closed.map_err(|_| StartError::Raft("the storage engine gave up while it was closed".into()))??)
    }
}

/// What a node's disk holds when it starts.
enum Known {
    Nothing,
    Log(StatelessStore),
    /// With a state whose counts are yet to be checked, or not.
    All(Store, bool),
}

/// Starts Raft over a member's store, and everything that belongs to a member.
async fn start_member(
    local: &Arc<Local>,
    store: &Store,
    first: Option<BTreeMap<NodeId, Member>>,
    unchecked: bool,
) -> Result<Cluster, StartError> {
    local.door.enter(store.cluster());
    local.door.keep_out(store.state().removed());
    let raft_config = Arc::new(raft_config().map_err(|error| StartError::Raft(error.to_string()))?);
    let log = store.log_store();
    let sending = Sending::default();
    let told = Told::default();
    let disk = Arc::new(Disk::new(local.config.data_dir.clone(), local.config.disk_reserve_bytes));
    let network = Network {
        door: local.door.clone(),
        directory: local.directory.clone(),
        sending: sending.clone(),
        told: told.clone(),
        disk: disk.clone(),
    };
    let raft = Raft::build(store.node(), raft_config, network, log.clone(), store.state_machine()).await;
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

    let stop = local.stop.clone();
    let standing = Standing::new(store.node(), raft.server_metrics(), log.clone(), told, store.state(), stop.clone());
    let confirmer = Confirmer::new(standing.clone(), raft.clone(), local.door.clone(), local.directory.clone());
    let (rounds, run_rounds) = ReadRounds::new(standing.clone(), confirmer, stop.clone());
    let queues = local.config.queues;
    let (writes, run_writes) =
        WriteRounds::new(raft.clone(), store.node(), raft.server_metrics(), queues.proposals, stop.clone());
    let forwarder = Forwarder::new(
        local.door.clone(),
        local.directory.clone(),
        raft.server_metrics(),
        queues.forwarded,
        local.tasks.clone(),
        stop.clone(),
    );
    let inner = Arc::new(Inner {
        local: local.clone(),
        node: store.node(),
        cluster: store.cluster(),
        raft: raft.clone(),
        server: raft.server_metrics(),
        state: store.state().clone(),
        notes: store.notes(),
        started_with_last: log.last().map_or(0, |last| last.index),
        log,
        clock: LeaderClock::new(local.config.wall_clock.clone()),
        proposer: Proposer::new(ProposerId::new(store.node().bits())),
        standing,
        rounds,
        writes,
        forwarder,
        members: Members::new(),
        sending,
        receiving: Receiving::default(),
        disk,
        commit_times: CommitTimes::default(),
        leader_changes: AtomicU64::new(0),
        disks_refuse: parking_lot::RwLock::default(),
        started_at: local.config.wall_clock.now(),
        changing: Mutex::default(),
        concerns: parking_lot::Mutex::default(),
        strangers: parking_lot::Mutex::default(),
        fault: watch::Sender::new(None),
    });
    let looking = inner.clone();
    let measured = off_the_runtime(move || looking.disk.measure(&looking.state, &looking.log, Instant::now())).await;
    if let Ok(Err(error)) = measured {
        warn!(%error, "the free space of the data directory cannot be asked");
    }
    inner.look_at_disks();
    watches::follow_membership(&inner);
    raft.run();
    local.becomes(&inner);
    if let Err(error) = begin(local, store, &raft, first).await {
        // Nobody is to stay behind who campaigns.
        let _ = raft.shutdown().await;
        return Err(error);
    }
    let own = |name, task| local.tasks.spawn(supervise(inner.clone(), name, task));
    own("the confirmation of reads", run_rounds.boxed());
    own("the rounds of writes", run_writes.boxed());
    own("the watch over Raft", watches::raft(inner.clone(), stop.clone()).boxed());
    own("the watch over the membership", watches::membership(inner.clone(), stop.clone()).boxed());
    own("the registration", registration::run(inner.clone(), stop.clone()).boxed());
    own("the watch over the disk", disk::run(inner.clone(), stop.clone()).boxed());
    own("the upkeep", Maintenance::new(inner.clone(), local.config.persist_after).run(stop.clone()).boxed());
    if unchecked {
        own("the check of the state", state_check::run(inner.clone(), stop.clone()).boxed());
    }
    if local.config.peers.is_some() {
        own("the exchange of reports", reports::run(inner.clone(), stop.clone()).boxed());
        own("the autopilot", autopilot::run(inner.clone(), stop.clone()).boxed());
    }
    local.tasks.close();
    Ok(Cluster { inner })
}

fn raft_config() -> Result<Config, openraft::ConfigError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        // Maintenance says what may go.
        max_in_snapshot_log_to_keep: u64::MAX,
        cluster_name: "sessile".into(),
        heartbeat_interval: millis(HEARTBEAT),
        election_timeout_min: millis(ELECTION_TIMEOUT.0),
        election_timeout_max: millis(ELECTION_TIMEOUT.1),
        // A snapshot's place must never be ahead of what is durable, so maintenance asks for them.
        snapshot_policy: SnapshotPolicy::Never,
        purge_batch_size: 1,
        // Requests beyond these wait outside, where they still count against the bounds of the HTTP side.
        api_channel_size: Some(MAX_QUEUED),
        enable_pre_vote: Some(true),
        // A restarted leader wins a new term before it serves.
        enable_leader_restore: Some(is_planted(Defect::LeaderResumesItsTerm)),
        ..Config::default()
    };
    config.validate()
}

/// A task that panics is a defect, and the node does not go on without it.
async fn supervise(inner: Arc<Inner>, name: &'static str, task: BoxFuture<'static, ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        inner.stop_for(&format!("{name} panicked; this is a defect"));
    }
}
