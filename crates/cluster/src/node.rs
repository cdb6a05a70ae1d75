use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use sessile_core::{Command, Outcome, ProposerId, Refusal, Register};
use sessile_store::{Member, Proposal, StateMachine, Store, TypeConfig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::{NodeConfig, StartError};
use crate::clock::LeaderClock;
use crate::cluster::{Cluster, Inner};
use crate::disk::Disk;
use crate::maintenance::Maintenance;
use crate::network::NoPeers;
use crate::proposer::Proposer;
use crate::read_rounds::ReadRounds;
use crate::wall_clock::wall_clock;

pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// How often a leader is heard of, at least.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// A leader that is silent for as long as this may be campaigned against.
const ELECTION_TIMEOUT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(400));
/// How many entries stay in the log behind what is durable in the state, for members that lag a little.
const KEEP_ENTRIES: u64 = 5_000;
/// How many commands wait for Raft to take them up. A batch takes all there are.
const MAX_QUEUED: u64 = 1_024;
/// How long between two tries to register the proposer.
const REGISTER_AGAIN: Duration = Duration::from_millis(50);

/// A running node. Whoever holds it stops it.
pub struct Node {
    store: Store,
    cluster: Cluster,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Node {
    /// Starts Raft over an open store. It returns before there is a leader; requests wait for one.
    pub async fn start(store: Store, config: NodeConfig) -> Result<Self, StartError> {
        let raft_config = Arc::new(raft_config().map_err(|error| StartError::Raft(error.to_string()))?);
        let log = store.log_store();
        let raft = Raft::build(store.node(), raft_config, NoPeers, log.clone(), store.state_machine()).await;
        let raft = raft.map_err(|error| StartError::Raft(error.to_string()))?;
        // Raft replayed what it knew to be committed: durable now, so that nothing is purged that would be needed again.
        store.state().persist()?;

        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (rounds, run_rounds) = ReadRounds::new(raft.clone(), stop.clone());
        let inner = Arc::new(Inner {
            node: store.node(),
            cluster: store.cluster(),
            raft: raft.clone(),
            state: store.state().clone(),
            log,
            clock: LeaderClock::new(wall_clock),
            proposer: Proposer::new(ProposerId::new(store.node().bits())),
            rounds,
            disk: Disk::new(config.data_dir.clone(), config.disk_reserve_bytes),
            fault: watch::Sender::new(None),
        });
        if let Err(error) = inner.disk.measure() {
            warn!(%error, "the free space of the data directory cannot be asked");
        }
        raft.run();
        become_a_cluster_of_one(&raft, &config).await?;
        let own = |name, task| tasks.spawn(supervise(inner.clone(), name, task));
        own("the confirmation of reads", run_rounds.boxed());
        own("the watch over Raft", watch_raft(inner.clone(), stop.clone()).boxed());
        own("the registration", register(inner.clone(), stop.clone()).boxed());
        own("the upkeep", Maintenance::new(inner.clone(), config.persist_after).run(stop.clone()).boxed());
        tasks.close();
        Ok(Self { store, cluster: Cluster { inner }, tasks, stop })
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

    /// Ends cleanly: what is acknowledged is durable, and the next start need not check the state. Requests must have
    /// ended before.
    pub async fn stop(self) -> Result<(), StartError> {
        self.stop.cancel();
        self.tasks.wait().await;
        self.cluster.inner.raft.shutdown().await.map_err(|error| StartError::Raft(error.to_string()))?;
        let closed = tokio::task::spawn_blocking(move || self.store.close()).await;
        // What a panic said stays unsaid: it may hold what was stored.
        Ok(closed.map_err(|_| StartError::Raft("the storage engine gave up while it was closed".into()))??)
    }
}

fn raft_config() -> Result<Config, openraft::ConfigError> {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let config = Config {
        cluster_name: "sessile".into(),
        heartbeat_interval: millis(HEARTBEAT),
        election_timeout_min: millis(ELECTION_TIMEOUT.0),
        election_timeout_max: millis(ELECTION_TIMEOUT.1),
        // A snapshot's place must never be ahead of what is durable, so maintenance asks for them.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: KEEP_ENTRIES,
        purge_batch_size: 1,
        // Requests beyond these wait outside, where they still count against the bounds of the HTTP side.
        api_channel_size: Some(MAX_QUEUED),
        enable_pre_vote: Some(true),
        // A restarted leader wins a new term before it serves.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    config.validate()
}

/// A new node makes itself the only voter; one that already is campaigns at once instead of waiting for a leader that
/// cannot be.
async fn become_a_cluster_of_one(raft: &Raft, config: &NodeConfig) -> Result<(), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
    let id = *raft.node_id();
    if !raft.is_initialized().await.map_err(|error| failed(&error))? {
        let member = Member { name: config.name.clone(), ..Member::default() };
        return raft.initialize(BTreeMap::from([(id, member)])).await.map_err(|error| failed(&error));
    }
    if raft.voter_ids().any(|voter| voter != id) {
        return Err(StartError::Raft("its log names other members, and this version runs a single node".into()));
    }
    raft.trigger().elect(false).await.map_err(|error| failed(&error))
}

/// Registers this node as a proposer, through the log, as soon as there is a leader, and again should it be told that
/// its incarnation is not the one in force.
async fn register(inner: Arc<Inner>, stop: CancellationToken) {
    let mut nonce = rand::random();
    let mut previous = inner.state.proposer(inner.proposer.id()).map_or(0, |known| known.incarnation());
    while !stop.is_cancelled() && inner.fault.borrow().is_none() {
        let command = Command::Register(Register { proposer: inner.proposer.id(), previous, nonce });
        let stamp = inner.clock.stamp(inner.state.clock());
        let written = tokio::select! {
            written = inner.raft.client_write(Proposal { stamp, command: command.encode() }) => written,
            () = stop.cancelled() => return,
        };
        match written.ok().and_then(|response| response.data) {
            Some(Outcome::Registered { incarnation }) => {
                info!(node = %inner.node, cluster = %inner.cluster, incarnation, "ready to serve");
                inner.proposer.registered(incarnation);
                tokio::select! {
                    () = inner.proposer.unregistered() => {}
                    () = stop.cancelled() => return,
                }
                (nonce, previous) = (rand::random(), incarnation);
            }
            // What this node knew of itself was older than the log.
            Some(Outcome::Refused(Refusal::UnknownIncarnation { current })) => previous = current,
            refused => {
                if let Some(refused) = refused {
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

/// A task that panics is a defect, and the node does not go on without it.
async fn supervise(inner: Arc<Inner>, name: &'static str, task: BoxFuture<'static, ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        inner.stop_for(&format!("{name} panicked; this is a defect"));
    }
}

/// Raft ends itself on a fault of the storage under it; then so does the node.
async fn watch_raft(inner: Arc<Inner>, stop: CancellationToken) {
    let mut metrics = inner.raft.metrics();
    loop {
        if let Err(fatal) = &metrics.borrow_watched().running_state
            && !stop.is_cancelled()
        {
            inner.stop_for(fatal);
            return;
        }
        let changed = tokio::select! {
            changed = metrics.changed() => changed,
            () = stop.cancelled() => return,
        };
        if changed.is_err() {
            inner.stop_for(&"Raft ended without a word; this is a defect");
            return;
        }
    }
}
