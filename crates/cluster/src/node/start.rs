use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sessile_store::{Member, NodeId, Opened, Opening, Retention, StatelessStore, Store, off_the_runtime};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::cluster::{Cluster, Parts};
use super::listener::{self, Services};
use super::peer_service::{PeerMember, PeerService};
use super::watches;
use crate::admin::{AdminService, ManagedMember, StatusSource};
use crate::admission::{AdmissionService, Entered, Lobby, Newcomer, begin, enter, recover};
use crate::config::{NodeConfig, PeersConfig};
use crate::disk::Disk;
use crate::error::StartError;
use crate::fault::Fault;
use crate::group::{Group, LeaderClock, voters};
use crate::health::{ClusterHealth, Members, Readiness, exchange_reports, watch_disk};
use crate::late::Late;
use crate::membership::{Autopilot, MembershipChanges, announce, hand_over};
use crate::reads::Reads;
use crate::transport::{
    AmongPeers, Directory, Door, Incoming, Network, RaftReceiver, Receiving, Sending, ThisNode, Told,
};
use crate::upkeep::{Keep, Maintenance, check_state};
use crate::writes::{WriteRoom, Writes, register};

/// A running member. Whoever holds it stops it.
pub struct Node {
    store: Store,
    cluster: Cluster,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Whatever becomes of this value, nothing goes on without it.
    _stops: DropGuard,
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
        let starting = Starting::new(node, lobby, config);
        let stops = starting.stop.clone().drop_guard();
        if let Some(incoming) = incoming {
            starting.tasks.spawn(starting.services().serve(incoming));
        }
        let (store, first, unchecked) = match known {
            Known::All(store, unchecked) => (store, None, unchecked),
            Known::Log(store) => (recover(&starting.newcomer, store).await?, None, false),
            Known::Nothing => {
                let Entered { store, first } = enter(&starting.newcomer).await?;
                (store, first, false)
            }
        };
        let cluster = Box::pin(start_member(&starting, &store, first, unchecked)).await?;
        let Starting { tasks, stop, .. } = starting;
        Ok(Self { store, cluster, tasks, stop, _stops: stops })
    }

    /// The handle through which requests go.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns when this node must stop because of a fault of its own, and says which.
    pub async fn faulted(&self) -> String {
        self.cluster.parts.group.fault.told().await
    }

    /// Tells balancers to look elsewhere, and gives leadership to another voter, if this node leads and there is one that
    /// answers. Returns when it no longer leads, or nobody can take over, or the time is up.
    pub async fn hand_over(&self, within: Duration) {
        let Parts { group, health, readiness, .. } = &*self.cluster.parts;
        readiness.leaves();
        if !group.leads() || voters(&group.membership()).len() < 2 {
            return;
        }
        match hand_over(group, health, None, within).await {
            Ok(successor) => info!(leader = group.name_of(successor), "leadership was handed over"),
            Err(status) => warn!("leadership was not handed over: {}", status.message()),
        }
    }

    /// Ends cleanly: what is acknowledged is durable, and the next start need not check the state. Requests must have
    /// ended before.
    pub async fn stop(self) -> Result<(), StartError> {
        self.stop.cancel();
        self.tasks.wait().await;
        self.cluster.parts.group.raft.shutdown().await.map_err(|error| StartError::Raft(error.to_string()))?;
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

/// A node from its first moment on, before it is a member.
struct Starting {
    newcomer: Newcomer,
    fault: Fault,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// What answers others once this node is a member.
    peers: Late<PeerMember>,
    managed: Late<ManagedMember>,
    changes: Late<MembershipChanges>,
    readiness: Late<Readiness>,
}

impl Starting {
    fn new(node: NodeId, lobby: Lobby, config: NodeConfig) -> Self {
        let among_peers = config.peers.as_ref().map(|peers| AmongPeers {
            address: peers.advertise.clone(),
            join_token: peers.join_token.clone(),
            expect: peers.expect,
        });
        let (door, directory) = (Arc::new(Door::new(node)), Directory::new(config.reach.clone()));
        let this = ThisNode::new(door, directory, config.name.clone(), config.version.clone(), among_peers);
        Self {
            newcomer: Newcomer { this: Arc::new(this), lobby: Arc::new(lobby), config: Arc::new(config) },
            fault: Fault::new(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            peers: Late::new(),
            managed: Late::new(),
            changes: Late::new(),
            readiness: Late::new(),
        }
    }

    fn status(&self) -> StatusSource {
        let Newcomer { this, lobby, .. } = &self.newcomer;
        StatusSource::new(this.clone(), lobby.clone(), self.managed.clone())
    }

    /// What answers other nodes and operators, from now on.
    fn services(&self) -> Services {
        let Newcomer { this, lobby, config } = &self.newcomer;
        let listens_for = config.peers.as_ref().map(|peers| peers.listen_for).unwrap_or_default();
        let (tasks, stop) = (self.tasks.clone(), self.stop.clone());
        Services {
            peer: PeerService::new(
                this.door().clone(),
                lobby.clone(),
                self.peers.clone(),
                config.queues.forwarded,
                (tasks, stop.clone()),
            ),
            admission: AdmissionService::new(this.clone(), lobby.clone(), listens_for, self.changes.clone()),
            admin: AdminService::new(self.status(), stop.clone()),
            readiness: self.readiness.clone(),
            fault: self.fault.clone(),
            bounds: listener::Bounds { connections: config.max_connections, waiting_entries: config.queues.replicated },
            stop,
        }
    }
}

/// Starts Raft over a member's store, and everything that belongs to a member.
async fn start_member(
    starting: &Starting,
    store: &Store,
    first: Option<BTreeMap<NodeId, Member>>,
    unchecked: bool,
) -> Result<Cluster, StartError> {
    let Starting { newcomer, fault, tasks, stop, .. } = starting;
    let Newcomer { this, config, .. } = newcomer;
    let (door, directory) = (this.door(), this.directory());
    door.enter(store.cluster());
    door.keep_out(store.state().removed());
    let (sending, receiving, told) = (Sending::default(), Arc::new(Receiving::default()), Told::default());
    let disk = Arc::new(Disk::new(config.data_dir.clone(), config.disk_reserve_bytes));
    let network = Network {
        door: door.clone(),
        directory: directory.clone(),
        sending: sending.clone(),
        told: told.clone(),
        disk: disk.clone(),
    };
    let members = Arc::new(Members::new());
    let clock = LeaderClock::new(config.wall_clock.clone());
    let group = Arc::new(Group::open(store, network, clock, members.clone(), fault.clone()).await?);

    let (reads, run_reads) = Reads::new(group.clone(), door.clone(), directory.clone(), told, stop.clone());
    let room = WriteRoom { proposals: config.queues.proposals, forwarded: config.queues.forwarded };
    let (writes, run_writes) =
        Writes::new(group.clone(), door.clone(), directory.clone(), room, tasks.clone(), stop.clone());
    let (reads, writes) = (Arc::new(reads), Arc::new(writes));
    let health = ClusterHealth::new(group.clone(), this.clone(), members.clone(), disk.clone(), receiving.clone());
    let health = Arc::new(health);
    let readiness = Arc::new(Readiness::new(fault.clone(), reads.clone(), writes.clone()));
    let autopilot_is_on = config.peers.as_ref().is_some_and(|peers| peers.autopilot);
    let changes = MembershipChanges::new(group.clone(), this.clone(), health.clone(), reads.clone(), autopilot_is_on);
    let changes = Arc::new(changes);
    let (looked_at, state, log) = (disk.clone(), group.state.clone(), group.log.clone());
    let measure = move || looked_at.measure(&state, &log, Instant::now());
    if let Ok(Err(error)) = off_the_runtime(measure).await {
        warn!(%error, "the free space of the data directory cannot be asked");
    }
    health.look_at_disks();
    watches::follow_membership(&group, &members, directory);
    group.raft.run();
    let receiver = RaftReceiver {
        door: door.clone(),
        raft: group.raft.clone(),
        state: group.state.clone(),
        disk: disk.clone(),
        sending: sending.clone(),
        receiving: receiving.clone(),
        max_waiting: config.queues.replicated,
    };
    let parts = Arc::new(Parts {
        peers: Arc::new(PeerMember { receiver, reads: reads.clone(), writes: writes.clone(), health: health.clone() }),
        managed: Arc::new(ManagedMember {
            group: group.clone(),
            health: health.clone(),
            reads: reads.clone(),
            readiness: readiness.clone(),
            changes: changes.clone(),
        }),
        status: starting.status(),
        group: group.clone(),
        reads: reads.clone(),
        writes: writes.clone(),
        health: health.clone(),
        readiness,
        this: this.clone(),
        disk: disk.clone(),
        receiving,
    });
    starting.readiness.set(&parts.readiness);
    starting.changes.set(&changes);
    starting.managed.set(&parts.managed);
    starting.peers.set(&parts.peers);
    if let Err(error) = begin(newcomer, store, &group.raft, first, (tasks, stop)).await {
        // Nobody is to stay behind who campaigns.
        let _ = group.raft.shutdown().await;
        return Err(error);
    }
    let own = |name, task| tasks.spawn(supervise(fault.clone(), name, task));
    own("the confirmation of reads", run_reads.boxed());
    own("the rounds of writes", run_writes.boxed());
    own("the watch over Raft", watches::raft(group.clone(), stop.clone()).boxed());
    let watch_membership = watches::membership(group.clone(), members, directory.clone(), stop.clone());
    own("the watch over the membership", watch_membership.boxed());
    own("the registration", register(writes.clone(), stop.clone()).boxed());
    own("the watch over the disk", watch_disk(health.clone(), sending.clone(), stop.clone()).boxed());
    let maintenance = Maintenance::new(group.clone(), reads, disk, sending, keep(config));
    own("the upkeep", maintenance.run(stop.clone()).boxed());
    if unchecked {
        own("the check of the state", check_state(group.clone(), stop.clone()).boxed());
    }
    if let Some(PeersConfig { autopilot, stabilise, .. }) = &config.peers {
        own("the exchange of reports", exchange_reports(health, stop.clone()).boxed());
        own("the word to the leader", announce(changes.clone(), stop.clone()).boxed());
        let autopilot = Autopilot::new(changes, writes, autopilot.then_some(*stabilise));
        own("the autopilot", autopilot.run(stop.clone()).boxed());
    }
    tasks.close();
    Ok(Cluster { parts })
}

fn keep(config: &NodeConfig) -> Keep {
    let log = Retention { entries: config.keep_entries, age: config.keep_log_for, bytes: config.keep_log_bytes };
    Keep { persist_after: config.persist_after, reap_pause: config.reap_pause, log }
}

/// A task that panics is a defect, and the node does not go on without it.
async fn supervise(fault: Fault, name: &'static str, task: BoxFuture<'static, ()>) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        fault.stop_for(&format!("{name} panicked; this is a defect"));
    }
}
