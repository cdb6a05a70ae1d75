use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use sessile_core::{Command, Outcome, ProposerId, Refusal, Register};
use sessile_store::{ClusterId, Member, NodeId, Opening, Reservation, StateMachine, StatelessStore, Store, TypeConfig};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tracing::{error, info, warn};

use crate::admin::AdminService;
use crate::admission::{AdmissionService, Entered, Lobby, adopt, enter, finish_bootstrap};
use crate::clock::LeaderClock;
use crate::cluster::{Cluster, Inner, Tried};
use crate::disk::Disk;
use crate::forward::Forwarder;
use crate::local::Local;
use crate::maintenance::Maintenance;
use crate::members::Members;
use crate::proposer::Proposer;
use crate::read_rounds::{Confirmer, ReadRounds};
use crate::recovery::recover;
use crate::transport::{
    CONNECTION_WINDOW, MAX_MESSAGE_BYTES, Network, PING_INTERVAL, PING_TIMEOUT, PeerService, STREAM_WINDOW, Sending,
};
use crate::wall_clock::wall_clock;
use crate::wire::DESCRIPTORS;
use crate::wire::admin_server::AdminServer;
use crate::wire::admission_server::AdmissionServer;
use crate::wire::peer_server::PeerServer;
use crate::{NodeConfig, StartError, autopilot, reports};

pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// How often a leader is heard of, at least.
const HEARTBEAT: Duration = Duration::from_millis(50);
/// A leader that is silent for as long as this may be campaigned against.
const ELECTION_TIMEOUT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(400));
/// How many entries stay in the log behind what is durable in the state, for members that lag a little.
const KEEP_ENTRIES: u64 = 5_000;
/// How many commands wait for Raft to take them up. A batch takes all there are.
const MAX_QUEUED: u64 = 1_024;
/// How long calls that are under way may take to end when the node stops.
const LAST_WORDS: Duration = Duration::from_millis(100);
/// How often it is looked whether Raft still runs.
const RAFT_WATCH: Duration = Duration::from_millis(50);
/// How long one try to register the proposer may take.
const REGISTER_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the health service looks whether this node is ready, and how long it may take to prove it.
const HEALTH_ROUND: Duration = Duration::from_millis(500);
/// How long between two tries to register the proposer.
const REGISTER_AGAIN: Duration = Duration::from_millis(50);

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
    /// that may take for ever, and ends when this future is dropped. Meanwhile `listener` answers probes and operators.
    pub async fn start(
        opening: Opening,
        config: NodeConfig,
        listener: Option<TcpListener>,
    ) -> Result<Self, StartError> {
        let (node, lobby, known) = match opening {
            Opening::Pristine(store) => (store.node(), Lobby::pristine(store), Known::Nothing),
            Opening::Member(store, _) => (store.node(), Lobby::default(), Known::All(store)),
            Opening::Stateless(store) => (store.node(), Lobby::default(), Known::Log(store)),
        };
        let local = Arc::new(Local::new(node, config, lobby));
        let stop = local.stop.clone().drop_guard();
        if let Some(listener) = listener {
            local.tasks.spawn(serve(local.clone(), listener));
        }
        let (store, first) = match known {
            Known::All(store) => (store, None),
            Known::Log(store) => (recover(&local, store).await?, None),
            Known::Nothing => {
                let Entered { store, first } = match &local.config.peers {
                    Some(peers) => enter(&local, peers).await?,
                    None => enter_alone(&local).await?,
                };
                (store, first)
            }
        };
        let cluster = start_member(&local, &store, first).await?;
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

    /// Tells balancers to look elsewhere, and gives leadership to another voter, if this node leads and there is one that answers. Returns when it no longer
    /// leads, or nobody can take over, or the time is up.
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
        let closed = tokio::task::spawn_blocking(move || self.store.close()).await;
        // What a panic said stays unsaid: it may hold what was stored.
        Ok(closed.map_err(|_| StartError::Raft("the storage engine gave up while it was closed".into()))??)
    }
}

/// What a node's disk holds when it starts.
enum Known {
    Nothing,
    Log(StatelessStore),
    All(Store),
}

/// A node without peers makes its cluster by itself.
async fn enter_alone(local: &Arc<Local>) -> Result<Entered, StartError> {
    let own = Reservation { cluster: ClusterId::random(), initiator: local.node() };
    // The mark by which a start that is cut short is known for what it is: the making of a cluster of one.
    let own = local.lobby.reserve(own)?.filter(|reserved| reserved.initiator == local.node());
    let own = own.ok_or_else(|| {
        let what = "its place is reserved for a cluster of several: add the `cluster` block to its configuration again, \
                    or empty its data directory";
        StartError::Raft(what.into())
    })?;
    adopt(local, own.cluster, Some(BTreeMap::from([(local.node(), local.as_member())]))).await
}

/// Starts Raft over a member's store, and everything that belongs to a member.
async fn start_member(
    local: &Arc<Local>,
    store: &Store,
    first: Option<BTreeMap<NodeId, Member>>,
) -> Result<Cluster, StartError> {
    local.door.enter(store.cluster());
    local.door.keep_out(store.state().removed());
    let raft_config = Arc::new(raft_config().map_err(|error| StartError::Raft(error.to_string()))?);
    let log = store.log_store();
    let sending = Sending::default();
    let network = Network { door: local.door.clone(), directory: local.directory.clone(), sending: sending.clone() };
    let raft = Raft::build(store.node(), raft_config, network, log.clone(), store.state_machine()).await;
    let raft = raft.map_err(|error| StartError::Raft(error.to_string()))?;
    // Raft replayed what it knew to be committed: durable now, so that nothing is purged that would be needed again.
    store.state().persist()?;

    let stop = local.stop.clone();
    let confirmer = Confirmer {
        raft: raft.clone(),
        node: store.node(),
        door: local.door.clone(),
        directory: local.directory.clone(),
        server: raft.server_metrics(),
        asking: None,
    };
    let (rounds, run_rounds) = ReadRounds::new(confirmer, stop.clone());
    let forwarder = Forwarder::new(
        local.door.clone(),
        local.directory.clone(),
        raft.server_metrics(),
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
        clock: LeaderClock::new(wall_clock),
        proposer: Proposer::new(ProposerId::new(store.node().bits())),
        rounds,
        forwarder,
        members: Members::new(),
        sending,
        disk: Disk::new(local.config.data_dir.clone(), local.config.disk_reserve_bytes),
        leader_changes: AtomicU64::new(0),
        disks_are_nearly_full: AtomicBool::new(false),
        started_at: wall_clock(),
        changing: Mutex::default(),
        concerns: parking_lot::Mutex::default(),
        strangers: parking_lot::Mutex::default(),
        fault: watch::Sender::new(None),
    });
    if let Err(error) = inner.disk.measure() {
        warn!(%error, "the free space of the data directory cannot be asked");
    }
    inner.look_at_disks();
    follow_membership(&inner);
    raft.run();
    local.becomes(inner.clone());
    if let Err(error) = begin(local, store, &raft, first).await {
        // Nobody is to stay behind who campaigns.
        let _ = raft.shutdown().await;
        return Err(error);
    }
    let own = |name, task| local.tasks.spawn(supervise(inner.clone(), name, task));
    own("the confirmation of reads", run_rounds.boxed());
    own("the watch over Raft", watch_raft(inner.clone(), stop.clone()).boxed());
    own("the watch over the membership", watch_membership(inner.clone(), stop.clone()).boxed());
    own("the registration", register(inner.clone(), stop.clone()).boxed());
    own("the upkeep", Maintenance::new(inner.clone(), local.config.persist_after).run(stop.clone()).boxed());
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

/// Makes the cluster, if that is this node's part. One that is a cluster of one campaigns at once instead of waiting for
/// a leader that cannot be.
async fn begin(
    local: &Arc<Local>,
    store: &Store,
    raft: &Raft,
    first: Option<BTreeMap<NodeId, Member>>,
) -> Result<(), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
    let id = store.node();
    if raft.is_initialized().await.map_err(|error| failed(&error))? {
        store.settle()?;
        let voters: Vec<NodeId> = raft.voter_ids().collect();
        if local.config.peers.is_none() && voters.iter().any(|voter| *voter != id) {
            let what = "its log names other members, but its configuration has no `cluster` block: add it again";
            return Err(StartError::Raft(what.into()));
        }
        if voters == [id] {
            raft.trigger().elect(false).await.map_err(|error| failed(&error))?;
        }
        return Ok(());
    }
    if let Some(first) = first {
        // The reservation stays until a start finds the first entry on the disk: it need not be there yet.
        return raft.initialize(first).await.map_err(|error| failed(&error));
    }
    let reservation = store.reservation()?;
    match (&local.config.peers, reservation) {
        // It was stopped before it had made its cluster of one.
        (None, Some(own)) if own.initiator == id => {
            raft.initialize(BTreeMap::from([(id, local.as_member())])).await.map_err(|error| failed(&error))
        }
        // It was stopped as the one who makes the cluster, before it had.
        (Some(peers), Some(own)) if own.initiator == id => {
            let (local, raft, peers) = (local.clone(), raft.clone(), peers.clone());
            let again = local.clone();
            local.tasks.spawn(async move {
                let finishing = async {
                    while !raft.is_initialized().await.unwrap_or(true) {
                        if let Some(first) = finish_bootstrap(&again, &peers, own).await {
                            // Somebody else may have been first, who asked it to join.
                            let _ = raft.initialize(first).await;
                        }
                        tokio::time::sleep(REGISTER_AGAIN).await;
                    }
                };
                again.stop.run_until_cancelled(finishing).await;
            });
            Ok(())
        }
        (None, _) => {
            let what = "it was joining a cluster: add the `cluster` block to its configuration again";
            Err(StartError::Raft(what.into()))
        }
        // The leader will call.
        (Some(_), _) => Ok(()),
    }
}

/// Answers other nodes and operators, from the first moment until the node stops.
async fn serve(local: Arc<Local>, listener: TcpListener) {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1();
    let Ok(reflection) = reflection else {
        error!("what the gRPC services are cannot be told; this is a defect");
        return;
    };
    let (reporter, health) = tonic_health::server::health_reporter();
    let peer = PeerServer::new(PeerService::new(local.clone()))
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let server = tonic::transport::Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(PING_TIMEOUT))
        .add_service(peer)
        .add_service(AdmissionServer::new(AdmissionService::new(local.clone())))
        .add_service(AdminServer::new(AdminService::new(local.clone())))
        .add_service(reflection)
        .add_service(health)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            local.stop.clone().cancelled_owned(),
        );
    let watching = async {
        loop {
            let ready = match local.member() {
                Some(member) => {
                    let cluster = Cluster { inner: member.clone() };
                    cluster.ready(Instant::now() + HEALTH_ROUND).await.is_ok() && !local.is_leaving()
                }
                None => false,
            };
            let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            // The empty name is the whole server, as the gRPC health protocol has it.
            reporter.set_service_status("", status).await;
            tokio::time::sleep(HEALTH_ROUND).await;
        }
    };
    let serving = async {
        tokio::select! {
            ended = server => ended,
            () = watching => Ok(()),
        }
    };
    // When the node stops, connections end as their streams do, and Raft's streams end with Raft, later than this.
    let stopped = async {
        local.stop.cancelled().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    let ended = tokio::select! {
        ended = serving => ended,
        () = stopped => Ok(()),
    };
    if let Err(error) = ended {
        error!("the gRPC listener ended: {error}");
        if let Some(member) = local.member() {
            member.stop_for(&format!("its gRPC listener ended: {error}"));
        }
    }
}

/// Whoever is a member is found at the address that the membership says.
fn follow_membership(inner: &Inner) {
    let membership = inner.membership();
    let addresses: BTreeMap<NodeId, String> =
        membership.membership().nodes().map(|(node, member)| (*node, member.address.clone())).collect();
    inner.members.retain(|member| addresses.contains_key(&member));
    inner.local.directory.replace(addresses);
}

async fn watch_membership(inner: Arc<Inner>, stop: CancellationToken) {
    let mut server = inner.server.clone();
    let mut leader = None;
    loop {
        let (now, term) = {
            let server = server.borrow_and_update();
            (server.current_leader, server.vote.leader_id.term)
        };
        follow_membership(&inner);
        if now != leader
            && let Some(now) = now
        {
            inner.leader_changes.fetch_add(1, Ordering::Relaxed);
            info!(leader = inner.name_of(now), term, "a new leader is known");
        }
        leader = now;
        if !matches!(stop.run_until_cancelled(server.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

/// Registers this node as a proposer, through the log, as soon as there is a leader, and again should it be told that
/// its incarnation is not the one in force.
async fn register(inner: Arc<Inner>, stop: CancellationToken) {
    let mut nonce = rand::random();
    let mut previous = inner.state.proposer(inner.proposer.id()).map_or(0, |known| known.incarnation());
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

/// A task that panics is a defect, and the node does not go on without it.
async fn supervise(inner: Arc<Inner>, name: &'static str, task: BoxFuture<'static, ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        inner.stop_for(&format!("{name} panicked; this is a defect"));
    }
}

/// Raft ends itself on a fault of the storage under it; then so does the node. Looked at now and then instead of at every
/// change: these metrics change with every entry.
async fn watch_raft(inner: Arc<Inner>, stop: CancellationToken) {
    let metrics = inner.raft.metrics();
    let mut server = inner.server.clone();
    loop {
        if let Err(fatal) = &metrics.borrow_watched().running_state
            && !stop.is_cancelled()
        {
            inner.stop_for(fatal);
            return;
        }
        let ended = tokio::select! {
            changed = server.changed() => changed.is_err(),
            () = tokio::time::sleep(RAFT_WATCH) => false,
            () = stop.cancelled() => return,
        };
        if ended {
            // Its last words are there when it is gone.
            match &metrics.borrow_watched().running_state {
                Err(fatal) => inner.stop_for(fatal),
                Ok(()) => inner.stop_for(&"Raft ended without a word; this is a defect"),
            };
            return;
        }
    }
}
