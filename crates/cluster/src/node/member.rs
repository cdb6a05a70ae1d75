use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sessile_store::{Member, NodeId, Retention, Store, off_the_runtime};
use tokio::time::Instant;
use tracing::warn;

use super::cluster::{Cluster, Parts};
use super::namespaces;
use super::peer_service::PeerMember;
use super::starting::Starting;
use super::watches;
use crate::admin::{Backups, ManagedMember, OwnNamespaces};
use crate::admission::begin;
use crate::config::{NodeConfig, PeersConfig};
use crate::disk::Disk;
use crate::error::StartError;
use crate::fault::Fault;
use crate::group::{Group, LeaderClock, campaign, heartbeats};
use crate::health::{ClusterHealth, Members, Readiness, exchange_reports, watch_clocks, watch_disk};
use crate::membership::{Autopilot, ChangeHistory, MembershipChanges, OwnKey, Waits, announce, assert_only_one};
use crate::reads::Reads;
use crate::transport::{Elections, Network, RaftReceiver, Receiving, Sending, Told};
use crate::upkeep::{Keep, Maintenance, TokenUses, check_state};
use crate::writes::{WriteRoom, Writes, register};

/// A task that runs for as long as the member does, and its name for people.
type Task = (&'static str, BoxFuture<'static, ()>);

/// Starts Raft over a member's store, and everything that belongs to a member.
pub(super) async fn start_member(
    starting: &Starting,
    store: &Store,
    first: Option<BTreeMap<NodeId, Member>>,
    unchecked: bool,
) -> Result<Cluster, StartError> {
    let Starting { newcomer, fault, tasks, stop, .. } = starting;
    newcomer.this.door().enter(store.cluster());
    newcomer.this.door().keep_out(store.state().removed());
    newcomer.this.door().members_are(store.state().applied().1.membership().nodes());
    let (this, (_, known)) = (&newcomer.this, store.state().applied());
    let seeds = newcomer.config.peers.as_ref().map_or(&[][..], |peers| &peers.seeds);
    assert_only_one(this, known.membership().nodes(), seeds).await?;
    let (parts, mut own) = build(starting, store).await?;
    let Parts { group, health, disk, .. } = &*parts;
    if unchecked {
        own.push(("the check of the state", check_state(group.clone(), stop.clone()).boxed()));
    }
    let (looked_at, state, log) = (disk.clone(), group.state.clone(), group.log.clone());
    let measure = move || looked_at.measure(&state, &log, Instant::now());
    if let Ok(Err(error)) = off_the_runtime(measure).await {
        warn!(%error, "the free space of the data directory cannot be asked");
    }
    health.look_at_disks();
    watches::follow_membership(group, &health.members, newcomer.this.directory());
    group.raft.run();
    starting.becomes(&parts);
    if let Err(error) = begin(newcomer, store, &group.raft, first, (tasks, stop)).await {
        // Nobody is to stay behind who campaigns.
        let _ = group.raft.shutdown().await;
        return Err(error);
    }
    for (name, task) in own {
        tasks.spawn(supervise(fault.clone(), name, task));
    }
    tasks.close();
    Ok(Cluster { parts })
}

/// Makes the parts of a member, from the lowest floor up, and what is to run of them.
async fn build(starting: &Starting, store: &Store) -> Result<(Arc<Parts>, Vec<Task>), StartError> {
    let Starting { newcomer, fault, tasks, stop, .. } = starting;
    let (this, config) = (&newcomer.this, &newcomer.config);
    let (door, directory) = (this.door(), this.directory());
    let (sending, receiving, told) = (Sending::default(), Arc::new(Receiving::default()), Told::default());
    let disk = Arc::new(Disk::new(config.data_dir.clone(), config.disk_reserve_bytes));
    let network = Network {
        door: door.clone(),
        directory: directory.clone(),
        sending: sending.clone(),
        told: told.clone(),
        disk: disk.clone(),
        elections: Elections::default(),
    };
    let members = Arc::new(Members::new());
    let clock = LeaderClock::new(config.wall_clock.clone());
    let group = Arc::new(Group::open(store, network, clock, members.clone(), fault.clone()).await?);
    let receiver = RaftReceiver {
        door: door.clone(),
        raft: group.raft.clone(),
        timing: group.timing,
        state: group.state.clone(),
        disk: disk.clone(),
        sending: sending.clone(),
        receiving: receiving.clone(),
        max_waiting: config.queues.replicated,
    };
    let (reads, run_reads) = Reads::new(group.clone(), door.clone(), directory.clone(), told, stop.clone());
    let room = WriteRoom { proposals: config.queues.proposals, forwarded: config.queues.forwarded };
    let (writes, run_writes) = Writes::new(
        group.clone(),
        door.clone(),
        directory.clone(),
        room,
        config.tracer.clone(),
        (tasks.clone(), stop.clone()),
    );
    let (reads, writes) = (Arc::new(reads), Arc::new(writes));
    let health = ClusterHealth::new(group.clone(), this.clone(), members, disk.clone(), receiving.clone());
    let health = Arc::new(health);
    let autopilot_is_on = config.peers.as_ref().is_some_and(|peers| peers.autopilot);
    let history = Arc::new(ChangeHistory::new(group.clone(), writes.clone()));
    let own_key = OwnKey::new(starting.key_file.clone(), directory.tls().clone());
    let (of_group, of_this) = (group.clone(), this.clone());
    let changes =
        MembershipChanges::new(of_group, of_this, health.clone(), reads.clone(), history, own_key, autopilot_is_on);
    let managed = ManagedMember {
        group: group.clone(),
        health: health.clone(),
        reads: reads.clone(),
        readiness: Arc::new(Readiness::new(fault.clone(), reads.clone(), writes.clone())),
        changes: Arc::new(changes),
        writes: writes.clone(),
        own_namespaces: OwnNamespaces::new(config.namespaces.clone(), config.peers.is_none()),
        disk: disk.clone(),
        backups: Backups::default(),
    };
    let peers = PeerMember { receiver, reads: reads.clone(), writes: writes.clone(), health: health.clone() };
    let token_uses = TokenUses::new(group.clone(), writes.clone());
    let parts = Parts {
        group,
        reads,
        writes,
        health,
        readiness: managed.readiness.clone(),
        this: this.clone(),
        disk,
        receiving,
        status: starting.status(),
        managed: Arc::new(managed),
        peers: Arc::new(peers),
        token_uses: Arc::new(token_uses),
    };
    let mut own: Vec<Task> =
        vec![("the confirmation of reads", run_reads.boxed()), ("the rounds of writes", run_writes.boxed())];
    own.extend(what_goes_on(starting, &parts, sending));
    Ok((Arc::new(parts), own))
}

/// What goes on in a member besides requests.
fn what_goes_on(starting: &Starting, parts: &Parts, sending: Sending) -> Vec<Task> {
    let (newcomer, stop) = (&starting.newcomer, &starting.stop);
    let (config, directory) = (&newcomer.config, newcomer.this.directory().clone());
    let Parts { group, reads, writes, health, disk, managed, .. } = parts;
    let maintenance = Maintenance::new(group.clone(), reads.clone(), disk.clone(), sending.clone(), keep(config));
    let watch_membership = watches::membership(group.clone(), health.members.clone(), directory, stop.clone());
    let mut own: Vec<Task> = vec![
        ("the watch over Raft", watches::raft(group.clone(), stop.clone()).boxed()),
        ("the watch over the membership", watch_membership.boxed()),
        ("the heartbeats", heartbeats(group.clone(), stop.clone()).boxed()),
        ("the first campaign", campaign(group.clone(), stop.clone()).boxed()),
        ("the registration", register(writes.clone(), stop.clone()).boxed()),
        ("the watch over the disk", watch_disk(health.clone(), sending, stop.clone()).boxed()),
        ("the watch over the clocks", watch_clocks(health.clone(), stop.clone()).boxed()),
        ("the upkeep", maintenance.run(stop.clone()).boxed()),
        ("the first namespaces", namespaces::run(managed.clone(), stop.clone()).boxed()),
        ("the word of tokens' uses", parts.token_uses.clone().run(stop.clone()).boxed()),
    ];
    if let Some(PeersConfig { autopilot, stabilise, dead_after, seeds, .. }) = &config.peers {
        let changes = &managed.changes;
        let waits = Waits { stabilise: *stabilise, dead_after: *dead_after };
        let autopilot = Autopilot::new(changes.clone(), writes.clone(), autopilot.then_some(waits));
        own.push(("the exchange of reports", exchange_reports(health.clone(), seeds.clone(), stop.clone()).boxed()));
        own.push(("the word to the leader", announce(changes.clone(), seeds.clone(), stop.clone()).boxed()));
        own.push(("the autopilot", autopilot.run(stop.clone()).boxed()));
    }
    own
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
