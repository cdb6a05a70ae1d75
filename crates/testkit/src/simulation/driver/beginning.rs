//! How a simulation begins: its hosts, its network, and what goes wrong from the first moment on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::super::clients::Clients;
use super::super::disk::Disk;
use super::super::invariants::{EqualStates, LogMatching, OneCluster, OneLeaderATerm, PromotedWhenReady};
use super::super::marks::Marks;
use super::super::net::Doubles;
use super::super::plan::Plan;
use super::super::rare_states::RareStates;
use super::super::world::{Host, World};
use super::super::{Defect, Fault, SimulationOptions, engine, interpose, node};
use super::strangers::TWIN;
use super::{Driver, TICK};

/// How long a message of or to a client takes.
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));
/// How many machines there are for newcomers.
const SPARES: usize = 3;
/// What may go wrong before there is a cluster.
const FIRST_FAULTS: [Fault; 6] =
    [Fault::Cut, Fault::OneWayCut, Fault::Bridge, Fault::Kill, Fault::PowerCut, Fault::SlowLink];

impl Driver {
    pub(super) fn begin(
        (seed, versions): (u64, SmallRng),
        plan: Plan,
        options: &SimulationOptions,
        (steps, marks): (Arc<AtomicU64>, Marks),
    ) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let scratch = tempfile::Builder::new().prefix("sessile-simulation-").tempdir_in(memory());
        let scratch = scratch.unwrap_or_else(|error| panic!("no place for the disks: {error}"));
        let names: Vec<String> = (1..=plan.nodes).map(|nth| format!("n{nth}")).collect();
        let host = |name: &String| {
            let log_lags = options.planted == Some(Defect::AckBeforeFsync);
            let disk =
                Disk::new(scratch.path().join(name), log_lags).unwrap_or_else(|error| panic!("no disk: {error}"));
            Host::new(name.clone(), disk)
        };
        let spares: Vec<String> = (1..=SPARES).rev().map(|nth| format!("n{}", plan.nodes + nth)).collect();
        let twin = [TWIN.to_owned()];
        let machines = names.iter().chain(&spares).chain(&twin);
        let world = Arc::new(World::new(machines.map(host), names.clone(), marks.clone()));
        let disks = world.clone();
        interpose::sync_by(Box::new(move |file| disks.sync(file).map_err(drop)));
        // The others have the one in memory, which leaves out one lapsed record and keeps another at any moment.
        if seed.is_multiple_of(2) {
            let engines = world.clone();
            engine::choose_by(Box::new(move |dir| engines.stepping(seed, dir)));
        }
        let sim = turmoil::Builder::new()
            .rng_seed(rng.random())
            .tick_duration(TICK)
            .min_message_latency(LATENCY.0)
            .max_message_latency(LATENCY.1)
            .simulation_duration(Duration::from_secs(3_600))
            .tcp_capacity(4_096)
            .build();
        let clients = Arc::new(Clients {
            world: world.clone(),
            seed: rng.random(),
            clients: plan.clients,
            keys: plan.keys,
            think: plan.think,
            patience: plan.constants.request,
            value_bytes: plan.constants.value_bytes,
            stop: AtomicBool::new(false),
            stopped: AtomicUsize::new(0),
            tries: AtomicUsize::new(0),
            lifetimes: Mutex::default(),
            has_token: false.into(),
            crowds: Mutex::default(),
        });
        let mut driver = Self {
            sim,
            rng,
            world,
            clients,
            spares,
            guests: Vec::new(),
            only: options.only.clone(),
            planted: options.planted,
            silent: Arc::default(),
            registered: BTreeSet::new(),
            down: BTreeSet::new(),
            to_wipe: BTreeSet::new(),
            cuts: BTreeSet::new(),
            held: None,
            slow: None,
            image: None,
            rolled_back: None,
            heeds_at_once: false,
            clocks_are_wrong: false,
            clocks_right_at: Duration::ZERO,
            kill_in_change: false,
            in_turn: Vec::new(),
            one_leader: OneLeaderATerm::default(),
            one_cluster: OneCluster::of(plan.nodes),
            promoted: PromotedWhenReady::after(plan.constants.stabilise),
            equal_states: EqualStates::default(),
            log_matching: LogMatching::default(),
            rare: RareStates::new(marks),
            faults: BTreeMap::new(),
            drawn: 0,
            story: Vec::new(),
            operations: Vec::new(),
            steps,
            versions,
            all_are_newest: false,
            scratch,
            names,
            plan,
        };
        for (place, newest) in &driver.plan.upgrade.older {
            driver.world.host(&driver.names[*place]).has_a_program_of(*newest);
        }
        for name in driver.names.clone() {
            driver.register(&name);
        }
        driver
    }

    /// Puts a machine into the network, where its program starts.
    pub(super) fn register(&mut self, name: &str) {
        let host = self.world.host(name).clone();
        // What all nodes read is one member's clock, or each its own.
        let one = self.planted == Some(Defect::FollowersClockStamped);
        let clock = if one { self.world.host(&self.names[0]).clone() } else { host.clone() };
        let setting = node::Setting {
            host,
            clock,
            world: self.world.clone(),
            constants: self.plan.constants.clone(),
            doubles: Arc::new(Doubles::new(self.plan.doubled, self.rng.random())),
            silent: self.silent.clone(),
            planted: self.planted,
        };
        self.sim.host(name, move || {
            let setting = setting.clone();
            async move {
                node::run(setting).await;
                // A program that has ended leaves its machine running.
                std::future::pending().await
            }
        });
        self.registered.insert(name.to_owned());
        for other in self.others(name).into_iter().filter(|other| self.registered.contains(other)) {
            self.is_as_far_as_ever(name, &other);
        }
    }

    /// Now and then not all see each other from the start, or one comes late.
    pub(super) fn begins_badly(&mut self) -> Result<(), String> {
        let faults: Vec<Fault> = FIRST_FAULTS.into_iter().filter(|fault| self.plan.has(*fault)).collect();
        if faults.is_empty() || self.rng.random_bool(0.6) {
            return Ok(());
        }
        let first = Duration::from_millis(self.rng.random_range(0..1_500));
        self.lasts(first)?;
        let fault = faults.choose(&mut self.rng).copied().unwrap_or(Fault::Bridge);
        if self.happens(fault)? {
            *self.faults.entry(fault).or_default() += 1;
        }
        let bad = Duration::from_millis(self.rng.random_range(100..6_000));
        self.lasts(bad)?;
        self.mend()
    }
}

/// A file system in memory, if there is one: nothing here needs a disk.
fn memory() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
