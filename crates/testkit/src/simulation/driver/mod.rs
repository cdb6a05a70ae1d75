//! The course of one simulation: begins a cluster, lets faults happen to it, mends everything, and looks at what is left.

mod machines;
mod mending;
mod nemesis;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use turmoil::Sim;

use super::clients::{self, Clients};
use super::disk::{Disk, Tree};
use super::invariants::{
    Always, EqualStates, LogMatching, OneCluster, OneLeaderATerm, PromotedWhenReady, RemovedForGood, Seen, expiries,
    linearizable, outlived, recounted, whole,
};
use super::world::{Host, World, lock};
use super::{Defect, Failure, Fault, Ran, SimulationOptions, engine, interpose, node};
use crate::Outcome;

/// How fine virtual time is for messages between hosts.
const TICK: Duration = Duration::from_millis(10);
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));
/// How long faults happen, from when the cluster is made.
const BAD_DAY: Duration = Duration::from_secs(45);
/// Between two faults, in milliseconds.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 50..=4_000;
/// How long a cluster may take to be made, and to be whole again once everything is mended.
const MADE_WITHIN: Duration = Duration::from_secs(30);
const WHOLE_WITHIN: Duration = Duration::from_secs(90);
/// How long an operator waits for a member to catch up before looking at the alerts, and how many entries behind is far.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(20);
const LAGS: u64 = 20;
/// How long all is well before the last reads: longer than any lifetime and what may be late about it.
const CALM: Duration = Duration::from_secs(16);
/// How long the last reads may take.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// How often the nodes are looked at.
const LOOK_EVERY: u64 = 10;
/// How long what a clock showed is believed: reports of it are exchanged once a second. Were another clock wrong before, two of
/// three would be, as far as a leader knows.
const CLOCKS_FORGOTTEN: Duration = Duration::from_secs(5);

pub(super) fn run(
    seed: u64,
    options: &SimulationOptions,
    steps: Arc<AtomicU64>,
    story: &mut Vec<String>,
) -> Result<Ran, Box<Failure>> {
    let mut driver = Driver::begin(seed, options, steps);
    let ended = driver.drive();
    let trace = driver.world.trace();
    *story = std::mem::take(&mut driver.story);
    let (operations, lasted) = (std::mem::take(&mut driver.operations), driver.sim.elapsed());
    match ended {
        Ok(()) => Ok(Ran {
            faults: std::mem::take(&mut driver.faults),
            unanswered: operations.iter().filter(|operation| operation.outcome != Outcome::Ok).count(),
            operations: operations.len(),
            lasted,
            compared: driver.equal_states.compared,
            steps: driver.world.engine_steps(),
            trace,
        }),
        Err(what) => Err(Box::new(Failure { what, story: story.clone(), drawn: driver.drawn, trace })),
    }
}

struct Driver {
    // Before the disks, whose files its hosts have open.
    sim: Sim<'static>,
    rng: SmallRng,
    world: Arc<World>,
    clients: Arc<Clients>,
    names: Vec<String>,
    /// Hosts that run no node.
    guests: Vec<String>,
    only: Option<BTreeSet<usize>>,
    planted: Option<Defect>,
    /// Who is heard by nobody, if it is one.
    silent: Arc<Mutex<Option<String>>>,
    /// Hosts that do not run.
    down: BTreeSet<String>,
    /// Of these, the ones whose disk is to be emptied before they start.
    to_wipe: BTreeSet<String>,
    cuts: BTreeSet<(String, String)>,
    held: Option<(String, Duration)>,
    slow: Option<(String, String)>,
    /// A disk's image of before, and whose.
    image: Option<(String, Tree)>,
    /// Who must have caught up to where before anything else happens.
    rolled_back: Option<(String, u64)>,
    /// Whether one clock is wrong, or since when all are right.
    clocks_are_wrong: bool,
    clocks_right_at: Duration,
    /// Whether the leader is to be killed as soon as it changes the membership.
    kill_in_change: bool,
    /// Who is still to be wiped, one after the other.
    in_turn: Vec<String>,
    one_leader: OneLeaderATerm,
    one_cluster: OneCluster,
    promoted: PromotedWhenReady,
    equal_states: EqualStates,
    log_matching: LogMatching,
    faults: BTreeMap<Fault, usize>,
    drawn: usize,
    story: Vec<String>,
    operations: Vec<crate::Operation>,
    /// How many there were; somebody watches whether there are more.
    steps: Arc<AtomicU64>,
    scratch: tempfile::TempDir,
}

impl Driver {
    fn begin(seed: u64, options: &SimulationOptions, steps: Arc<AtomicU64>) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let scratch = tempfile::Builder::new().prefix("sessile-simulation-").tempdir_in(memory());
        let scratch = scratch.unwrap_or_else(|error| panic!("no place for the disks: {error}"));
        let count = if rng.random_bool(0.1) { 5 } else { 3 };
        let names: Vec<String> = (1..=count).map(|nth| format!("n{nth}")).collect();
        let host = |name: &String| {
            let log_lags = options.planted == Some(Defect::AckBeforeFsync);
            let disk =
                Disk::new(scratch.path().join(name), log_lags).unwrap_or_else(|error| panic!("no disk: {error}"));
            Host::new(name.clone(), disk)
        };
        let world = Arc::new(World::new(names.iter().map(host)));
        let disks = world.clone();
        interpose::sync_by(Box::new(move |file| disks.sync(file).map_err(drop)));
        // The others have the one in memory, which leaves out one lapsed record and keeps another at any moment.
        if seed.is_multiple_of(2) {
            let engines = world.clone();
            engine::choose_by(Box::new(move |dir| engines.stepping(seed, dir)));
        }
        let mut sim = turmoil::Builder::new()
            .rng_seed(rng.random())
            .tick_duration(TICK)
            .min_message_latency(LATENCY.0)
            .max_message_latency(LATENCY.1)
            .simulation_duration(Duration::from_secs(3_600))
            .tcp_capacity(4_096)
            .build();
        let seeds: Vec<String> = names.iter().map(|name| node::address_of(name)).collect();
        let silent = Arc::new(Mutex::default());
        for name in &names {
            let host = world.host(name).clone();
            // What all nodes read is one member's clock, or each its own.
            let one = options.planted == Some(Defect::FollowersClockStamped);
            let clock = if one { world.host(&names[0]).clone() } else { host.clone() };
            let setting =
                node::Setting { host, clock, seeds: seeds.clone(), silent: silent.clone(), planted: options.planted };
            sim.host(name.as_str(), move || {
                let setting = setting.clone();
                async move {
                    node::run(setting).await;
                    // A program that has ended leaves its machine running.
                    std::future::pending().await
                }
            });
        }
        let clients = Arc::new(Clients {
            world: world.clone(),
            seed: rng.random(),
            clients: rng.random_range(2..=4),
            keys: rng.random_range(1..=10),
            think: Duration::from_millis(rng.random_range(100..=700)),
            stop: AtomicBool::new(false),
            stopped: AtomicUsize::new(0),
            lifetimes: Mutex::default(),
            crowds: Mutex::default(),
        });
        Self {
            sim,
            rng,
            world,
            clients,
            names,
            guests: Vec::new(),
            only: options.only.clone(),
            planted: options.planted,
            silent,
            down: BTreeSet::new(),
            to_wipe: BTreeSet::new(),
            cuts: BTreeSet::new(),
            held: None,
            slow: None,
            image: None,
            rolled_back: None,
            clocks_are_wrong: false,
            clocks_right_at: Duration::ZERO,
            kill_in_change: false,
            in_turn: Vec::new(),
            one_leader: OneLeaderATerm::default(),
            one_cluster: OneCluster::of(count),
            promoted: PromotedWhenReady::default(),
            equal_states: EqualStates::default(),
            log_matching: LogMatching::default(),
            faults: BTreeMap::new(),
            drawn: 0,
            story: Vec::new(),
            operations: Vec::new(),
            steps,
            scratch,
        }
    }

    fn drive(&mut self) -> Result<(), String> {
        self.begins_badly()?;
        self.until("the cluster is made", MADE_WITHIN, Self::is_whole)?;
        let clients = self.clients.clone();
        self.guests.push("clients".into());
        self.sim.client("clients", async move {
            clients::run(clients).await;
            Ok(())
        });
        let evening = self.sim.elapsed() + BAD_DAY;
        while self.sim.elapsed() < evening {
            let pause = Duration::from_millis(self.rng.random_range(PAUSE_MS));
            self.lasts(pause)?;
            self.next()?;
        }
        self.mend()?;
        self.until_whole("all are voters again", Self::is_whole)?;
        let mended = self.sim.elapsed();
        self.lasts(CALM)?;
        self.until_whole("all are voters", Self::is_whole)?;
        self.clients.stop.store(true, Ordering::Relaxed);
        let all = self.clients.clients;
        self.until("the clients have stopped", READ_WITHIN, |driver| {
            let stopped = driver.clients.stopped.load(Ordering::Relaxed);
            if stopped == all { Ok(()) } else { Err(format!("{stopped} of {all} have")) }
        })?;
        let read = Arc::new(AtomicUsize::new(0));
        let (common, done) = (self.clients.clone(), read.clone());
        self.guests.push("reader".into());
        self.sim.client("reader", async move {
            let all = clients::read_everything(common).await;
            done.store(if all { 1 } else { 2 }, Ordering::Relaxed);
            Ok(())
        });
        self.until("every key is read at every node", READ_WITHIN, |_| match read.load(Ordering::Relaxed) {
            0 => Err("it is not".into()),
            1 => Ok(()),
            _ => Ok(()),
        })?;
        if read.load(Ordering::Relaxed) == 2 {
            return Err("all was well, and a read was not answered".into());
        }
        self.operations = self.world.operations();
        let lifetimes = lock(&self.clients.lifetimes).clone();
        let history = self.operations.iter().cloned().chain(expiries(&lifetimes)).collect();
        linearizable(history)?;
        outlived(&self.operations, &lifetimes, mended)?;
        for name in self.names.clone() {
            self.crash(&name, |disk, _| disk.cached())?;
            recounted(self.world.host(&name))?;
        }
        Ok(())
    }

    /// Now and then not all see each other from the start, or one comes late.
    fn begins_badly(&mut self) -> Result<(), String> {
        if self.rng.random_bool(0.6) {
            return Ok(());
        }
        let first = Duration::from_millis(self.rng.random_range(0..1_500));
        self.lasts(first)?;
        let fault = [Fault::Cut, Fault::OneWayCut, Fault::Bridge, Fault::Kill, Fault::PowerCut, Fault::SlowLink]
            .choose(&mut self.rng)
            .copied()
            .unwrap_or(Fault::Bridge);
        if self.happens(fault)? {
            *self.faults.entry(fault).or_default() += 1;
        }
        let bad = Duration::from_millis(self.rng.random_range(100..6_000));
        self.lasts(bad)?;
        self.mend()
    }

    fn tell(&mut self, what: &str) {
        let line = format!("{:>10.3}  {what}", self.sim.elapsed().as_secs_f64());
        self.world.traces(&format!("* {line}"));
        self.story.push(line);
    }

    /// The one that is down or cut off from all others.
    fn silent(&self) -> Option<String> {
        let is_heard = |name: &String| {
            let hears = |other: &String| !self.cuts.contains(&(name.clone(), other.clone()));
            !self.down.contains(name) && self.others(name).iter().any(hears)
        };
        let mut silent = self.names.iter().filter(|name| !is_heard(name));
        silent.next().filter(|_| silent.next().is_none()).cloned()
    }

    /// One step of virtual time.
    fn step(&mut self) -> Result<(), String> {
        *lock(&self.silent) = self.silent();
        self.sim.step().map_err(|error| format!("the simulation broke: {error}"))?;
        let steps = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((name, until)) = self.held.clone()
            && self.sim.elapsed() >= until
        {
            self.release(&name);
        }
        if self.kill_in_change {
            let changes = |host: &&Arc<Host>| {
                host.cluster()
                    .map(|cluster| cluster.status())
                    .is_some_and(|status| status.is_joint && status.leads_in.is_some())
            };
            let changing = self.world.hosts().find(changes).map(|host| host.name.clone());
            if let Some(name) = changing {
                self.kill_in_change = false;
                self.tell(&format!("{name} is killed in the middle of a change of the membership"));
                self.crash(&name, |disk, _| disk.cached())?;
            }
        }
        if steps.is_multiple_of(LOOK_EVERY) {
            self.look()?;
        }
        Ok(())
    }

    fn lasts(&mut self, time: Duration) -> Result<(), String> {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.step()?;
        }
        Ok(())
    }

    fn until(
        &mut self,
        what: &str,
        within: Duration,
        holds: impl Fn(&Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let give_up = self.sim.elapsed() + within;
        loop {
            let Err(why) = holds(self) else { return Ok(()) };
            if self.sim.elapsed() >= give_up {
                return Err(format!("{within:?} were not enough until {what}: {why}\n{}", self.words()));
            }
            for _ in 0..LOOK_EVERY {
                self.step()?;
            }
            self.restart_what_ended()?;
            for name in self.down.clone() {
                self.start(&name)?;
            }
        }
    }

    /// Waits for that as an operator would: a member that shows an older image of its disk, by an alert, and does not catch up
    /// is replaced by an empty one, as the alert says. Raft promises such a member nothing, and openraft may send it what it
    /// cannot use for ever.
    fn until_whole(&mut self, what: &str, holds: fn(&Self) -> Result<(), String>) -> Result<(), String> {
        if self.until(what, CATCHES_UP_WITHIN, holds).is_ok() {
            return Ok(());
        }
        if let Some(name) = self.shows_an_older_image() {
            self.tell(&format!("an operator heeds an alert: {name} shows an older image of its disk"));
            self.wipe(&name)?;
        }
        self.until(what, WHOLE_WITHIN, holds)
    }

    /// Who lags, and is named by an alert for that.
    fn shows_an_older_image(&self) -> Option<String> {
        let alerts = self.running().into_iter().flat_map(|(_, status)| status.alerts);
        let named = alerts.filter(|alert| alert.contains("shows an older image"));
        let names: BTreeSet<String> = named.filter_map(|alert| Some(alert.split_once(' ')?.0.to_owned())).collect();
        let newest = self.names.iter().map(|name| self.applied(name)).max().unwrap_or(0);
        names.into_iter().find(|name| self.names.contains(name) && self.applied(name) + LAGS < newest)
    }

    /// What the nodes say of themselves.
    fn words(&self) -> String {
        let words = self.world.hosts().map(|host| match (host.cluster(), host.ended()) {
            (Some(cluster), _) => format!("{}: {:?}", host.name, cluster.status()),
            (None, Some(ended)) => format!("{}: {ended}", host.name),
            (None, None) => format!("{}: starts", host.name),
        });
        words.collect::<Vec<_>>().join("\n")
    }

    /// What must hold at every moment.
    fn look(&mut self) -> Result<(), String> {
        if let Some(wrong) = self.world.wrong_answers().first() {
            return Err(wrong.clone());
        }
        if let Some(twice) = self.world.twice() {
            return Err(twice);
        }
        let running = self.running();
        let seen = self.seen(&running);
        for Seen { name, status, .. } in &seen {
            self.world.traces(&format!(
                "{name} in term {} with {:?} applied, {:?}",
                status.term, status.applied, status.leads_in
            ));
        }
        let invariants: [&mut dyn Always; 6] = [
            &mut self.one_leader,
            &mut self.one_cluster,
            &mut self.equal_states,
            &mut self.log_matching,
            &mut self.promoted,
            &mut RemovedForGood,
        ];
        invariants.into_iter().try_for_each(|invariant| invariant.look(&seen))
    }

    fn running(&self) -> Vec<(Arc<Host>, sessile_cluster::Status)> {
        self.world.hosts().filter_map(|host| Some((host.clone(), host.cluster()?.status()))).collect()
    }

    fn seen<'a>(&self, running: &'a [(Arc<Host>, sessile_cluster::Status)]) -> Vec<Seen<'a>> {
        let now = self.sim.elapsed();
        let seen = |(host, status): &'a (Arc<Host>, sessile_cluster::Status)| Seen {
            name: &host.name,
            start: host.starts.load(Ordering::Relaxed),
            now,
            status,
            rows: host.cluster().map(|cluster| cluster.digest_of_rows()).unwrap_or_default(),
            log: host.cluster().map(|cluster| cluster.log_ids()).unwrap_or_default(),
        };
        running.iter().map(seen).collect()
    }

    fn is_whole(&self) -> Result<(), String> {
        let running = self.running();
        let seen = self.seen(&running);
        whole(&seen, self.names.len())
    }

    fn leader(&self) -> Option<String> {
        let leads = |host: &&Arc<Host>| host.cluster().is_some_and(|cluster| cluster.status().leads_in.is_some());
        self.world.hosts().find(leads).map(|host| host.name.clone())
    }

    fn applied(&self, name: &str) -> u64 {
        self.world.host(name).cluster().and_then(|cluster| cluster.status().applied).unwrap_or(0)
    }

    fn up(&self) -> Vec<String> {
        self.names.iter().filter(|name| !self.down.contains(*name)).cloned().collect()
    }

    fn all_is_well(&self) -> bool {
        let quiet = self.down.is_empty() && self.cuts.is_empty() && self.held.is_none() && self.slow.is_none();
        quiet && self.is_settled().is_ok()
    }

    /// Whole, and no operator has asked for a change of that: a member that is being removed is missed by whoever loses its
    /// disk meanwhile.
    fn is_settled(&self) -> Result<(), String> {
        match self.world.operators.load(Ordering::Relaxed) {
            0 => self.is_whole(),
            asked => Err(format!("{asked} operators have no answer yet")),
        }
    }
}

/// A file system in memory, if there is one: nothing here needs a disk.
fn memory() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
