//! What a simulation's hosts and its driver share. One thread uses it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sessile_cluster::Cluster;
use sessile_core::{LogTime, RulesVersion};
use sessile_store::engine::{Step, Stepping};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::invariants::Once;
pub(super) use super::lock::lock;
use super::marks::Marks;
use super::net::PEER_PORT;
use super::{disk::Disk, engine};
use crate::{Operation, Value};

/// When the simulation begins, by a clock that is right: 2030-01-01, in milliseconds.
const BEGIN: i64 = 1_893_456_000_000;

/// Everything outside the nodes.
pub(super) struct World {
    nodes: BTreeMap<String, Arc<Host>>,
    /// Who is at which place.
    members: Mutex<Vec<String>>,
    pub(super) marks: Marks,
    /// How many operators have asked for something and have no answer yet.
    pub(super) operators: AtomicUsize,
    /// How many engines were opened in steps.
    engines: AtomicU64,
    inner: Mutex<Inner>,
}

/// A machine that runs a node.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) disk: Mutex<Disk>,
    /// By how much its clock is wrong, in milliseconds.
    pub(super) clock_error: AtomicI64,
    /// How long a write to its disk takes, in milliseconds.
    pub(super) disk_delay: AtomicU64,
    /// Tells the program that runs to stop.
    stop: Mutex<CancellationToken>,
    /// Where it listens for others.
    pub(super) port: AtomicU16,
    /// Whose disk it has a copy of, if it has one: what is configured there is that one's.
    pub(super) copy_of: Mutex<Option<String>>,
    /// How often its disk was emptied.
    pub(super) emptied: AtomicU64,
    /// By how much its program's time is to jump, and who waits to be told.
    jump: Mutex<Option<Duration>>,
    jumps: Notify,
    /// How often the program was started.
    pub(super) starts: AtomicU64,
    /// The newest rules that its program can follow.
    pub(super) follows: Mutex<RulesVersion>,
    /// Whether it lost its power when its program last ended.
    pub(super) lost_power: AtomicBool,
    /// Whether the state of its program was taken from it.
    pub(super) state_was_taken: AtomicBool,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    cluster: Option<Cluster>,
    ended: Option<String>,
}

#[derive(Default)]
struct Inner {
    operations: Vec<Operation>,
    trace: Vec<String>,
    once: Once,
    steps: BTreeMap<Step, usize>,
    /// What a client was told that nobody should be told.
    wrong_answers: Vec<String>,
}

impl World {
    pub(super) fn new(hosts: impl IntoIterator<Item = Host>, members: Vec<String>, marks: Marks) -> Self {
        let nodes = hosts.into_iter().map(|host| (host.name.clone(), Arc::new(host))).collect();
        Self {
            nodes,
            members: Mutex::new(members),
            marks,
            operators: AtomicUsize::new(0),
            engines: AtomicU64::new(0),
            inner: Mutex::default(),
        }
    }

    /// How many places there are.
    pub(super) fn places(&self) -> usize {
        lock(&self.members).len()
    }

    /// Who is at a place now.
    pub(super) fn at(&self, place: usize) -> String {
        lock(&self.members)[place].clone()
    }

    /// Another one is at a place from now on.
    pub(super) fn is_at(&self, place: usize, name: &str) {
        lock(&self.members)[place] = name.to_owned();
    }

    /// Where they listen for each other, as a configuration of today names them.
    pub(super) fn seeds(&self) -> Vec<String> {
        lock(&self.members).iter().map(|name| self.host(name).address()).collect()
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.nodes.values()
    }

    pub(super) fn host(&self, name: &str) -> &Arc<Host> {
        &self.nodes[name]
    }

    /// An fsync of whichever disk the file is on.
    pub(super) fn sync(&self, file: std::os::fd::RawFd) -> io::Result<()> {
        let path = std::fs::read_link(format!("/proc/self/fd/{file}"))?;
        for host in self.nodes.values() {
            let mut disk = lock(&host.disk);
            if path.starts_with(disk.root()) {
                return disk.sync(file);
            }
            // What stands above a disk is not on it, and never lost.
            if disk.root().parent() == Some(&path) {
                return Ok(());
            }
        }
        Err(io::Error::other(format!("{} is on nobody's disk", path.display())))
    }

    /// How the engine in a directory of one of its disks is opened in steps.
    pub(super) fn stepping(self: &Arc<Self>, seed: u64, dir: &Path) -> Option<Stepping> {
        let host = self.nodes.values().find(|host| dir.starts_with(host.disk().root()))?.clone();
        let nth = self.engines.fetch_add(1, Ordering::Relaxed);
        // Whoever is told outlives no world.
        let world = Arc::downgrade(self);
        let told = move |step| {
            if let Some(world) = world.upgrade() {
                world.steps(&host, step);
            }
        };
        Some(Stepping { kind: engine::KIND, seed: seed.wrapping_add(nth << 32), told: Arc::new(told) })
    }

    fn steps(&self, host: &Host, step: Step) {
        self.traces(&format!("the engine of {}: {step:?}", host.name));
        // After a kill everything lies there that was written.
        if step != Step::FoundUnlisted || host.lost_power.load(Ordering::Relaxed) {
            *lock(&self.inner).steps.entry(step).or_default() += 1;
        }
    }

    /// What the engines have done, of what they do in steps.
    pub(super) fn engine_steps(&self) -> BTreeMap<Step, usize> {
        lock(&self.inner).steps.clone()
    }

    /// Something that clients or nodes did or saw, for the comparison of two runs.
    pub(super) fn traces(&self, what: &str) {
        let at = turmoil::sim_elapsed().unwrap_or_default();
        lock(&self.inner).trace.push(format!("{:>10.3}  {what}", at.as_secs_f64()));
    }

    pub(super) fn record(&self, operation: Operation) {
        lock(&self.inner).operations.push(operation);
    }

    /// A client was shown a value of a key under an entity tag.
    pub(super) fn shows(&self, key: &str, value: Value, tag: &str) {
        lock(&self.inner).once.shows(key, value, tag);
    }

    /// What has had an effect twice.
    pub(super) fn twice(&self) -> Option<String> {
        lock(&self.inner).once.twice()
    }

    pub(super) fn is_wrong(&self, what: String) {
        lock(&self.inner).wrong_answers.push(what);
    }

    pub(super) fn operations(&self) -> Vec<Operation> {
        std::mem::take(&mut lock(&self.inner).operations)
    }

    pub(super) fn trace(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.inner).trace)
    }

    pub(super) fn wrong_answers(&self) -> Vec<String> {
        lock(&self.inner).wrong_answers.clone()
    }
}

impl Host {
    pub(super) fn new(name: String, disk: Disk) -> Self {
        Self {
            name,
            disk: Mutex::new(disk),
            clock_error: AtomicI64::new(0),
            disk_delay: AtomicU64::new(1),
            stop: Mutex::default(),
            port: AtomicU16::new(PEER_PORT),
            copy_of: Mutex::default(),
            emptied: AtomicU64::new(0),
            jump: Mutex::default(),
            jumps: Notify::new(),
            starts: AtomicU64::new(0),
            follows: Mutex::new(RulesVersion::SUPPORTED),
            lost_power: AtomicBool::new(false),
            state_was_taken: AtomicBool::new(false),
            running: Mutex::default(),
        }
    }

    pub(super) fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }

    /// The newest rules that its program can follow.
    pub(super) fn follows(&self) -> RulesVersion {
        *lock(&self.follows)
    }

    /// Its program is another one from its next start on.
    pub(super) fn has_a_program_of(&self, newest: RulesVersion) {
        *lock(&self.follows) = newest;
    }

    /// Where it is reached by others.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.name, self.port.load(Ordering::Relaxed))
    }

    /// It comes back elsewhere when it is started the next time.
    pub(super) fn moves(&self) {
        self.port.fetch_add(1, Ordering::Relaxed);
    }

    /// Its program stood still for so long: it finds its time there.
    pub(super) fn stood_still(&self, time: Duration) {
        *lock(&self.jump) = Some(time);
        self.jumps.notify_one();
    }

    /// The next time that its program has stood still.
    pub(super) async fn next_jump(&self) -> Duration {
        loop {
            if let Some(jump) = lock(&self.jump).take() {
                return jump;
            }
            self.jumps.notified().await;
        }
    }

    /// What its clock shows.
    pub(super) fn wall_clock(&self) -> LogTime {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default();
        let now = BEGIN + i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX);
        let shown = now.saturating_add(self.clock_error.load(Ordering::Relaxed));
        LogTime::from_millis(u64::try_from(shown).unwrap_or(0))
    }

    pub(super) fn disk_delay(&self) -> Duration {
        Duration::from_millis(self.disk_delay.load(Ordering::Relaxed))
    }

    /// The member that runs here now.
    pub(super) fn cluster(&self) -> Option<Cluster> {
        lock(&self.running).cluster.clone()
    }

    /// Why the program ended by itself, if it did.
    pub(super) fn ended(&self) -> Option<String> {
        lock(&self.running).ended.clone()
    }

    pub(super) fn begins(&self) {
        *lock(&self.running) = Running::default();
        *lock(&self.jump) = None;
        *lock(&self.stop) = CancellationToken::new();
        self.starts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_told_to_stop(&self) {
        lock(&self.stop).cancel();
    }

    /// Cancelled when the program that runs now is told to stop.
    pub(super) fn stop(&self) -> CancellationToken {
        lock(&self.stop).clone()
    }

    pub(super) fn serves(&self, cluster: Cluster) {
        lock(&self.running).cluster = Some(cluster);
    }

    pub(super) fn ends(&self, why: String) {
        *lock(&self.running) = Running { cluster: None, ended: Some(why) };
    }

    /// Nothing of it runs any more.
    pub(super) fn is_gone(&self) {
        *lock(&self.running) = Running::default();
    }
}
