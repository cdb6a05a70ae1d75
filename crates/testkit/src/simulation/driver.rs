//! The course of one simulation: begins a cluster, lets faults happen to it, mends everything, and looks at what is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, IteratorRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use turmoil::Sim;

use super::clients::{self, Clients};
use super::disk::{Disk, Tree};
use super::invariants::{
    Always, EqualStates, OneCluster, OneLeaderATerm, PromotedWhenReady, RemovedForGood, Seen, expiries, linearizable,
    outlived, recounted, whole,
};
use super::operator::{self, Wish};
use super::world::{Host, World};
use super::{Failure, Fault, Ran, SimulationOptions, interpose, node};
use crate::Outcome;

/// How fine virtual time is for messages between hosts.
const TICK: Duration = Duration::from_millis(5);
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(8));
/// How long faults happen, from when the cluster is made.
const BAD_DAY: Duration = Duration::from_secs(45);
/// Between two faults, in milliseconds.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 50..=4_000;
/// How long a cluster may take to be made, and to be whole again once everything is mended.
const MADE_WITHIN: Duration = Duration::from_secs(30);
const WHOLE_WITHIN: Duration = Duration::from_secs(90);
/// How long all is well before the last reads: longer than any lifetime and what may be late about it.
const CALM: Duration = Duration::from_secs(16);
/// How long the last reads may take.
const READ_WITHIN: Duration = Duration::from_secs(60);
/// How often the nodes are looked at.
const LOOK_EVERY: u32 = 20;
/// How long what a clock showed is believed: reports of it are exchanged once a second. Were another clock wrong before, two of
/// three would be, as far as a leader knows.
const CLOCKS_FORGOTTEN: Duration = Duration::from_secs(5);
const DAY_MS: i64 = 86_400_000;

pub(super) fn run(seed: u64, options: &SimulationOptions, story: &mut Vec<String>) -> Result<Ran, Box<Failure>> {
    let mut driver = Driver::begin(seed, options);
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
    faults: BTreeMap<Fault, usize>,
    drawn: usize,
    story: Vec<String>,
    operations: Vec<crate::Operation>,
    steps: u32,
    scratch: tempfile::TempDir,
}

impl Driver {
    fn begin(seed: u64, options: &SimulationOptions) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let scratch = tempfile::Builder::new().prefix("sessile-simulation-").tempdir_in(memory());
        let scratch = scratch.unwrap_or_else(|error| panic!("no place for the disks: {error}"));
        let count = if rng.random_bool(0.15) { 5 } else { 3 };
        let names: Vec<String> = (1..=count).map(|nth| format!("n{nth}")).collect();
        let host = |name: &String| {
            let disk = Disk::new(scratch.path().join(name)).unwrap_or_else(|error| panic!("no disk: {error}"));
            Host::new(name.clone(), disk)
        };
        let world = Arc::new(World::new(names.iter().map(host)));
        let disks = world.clone();
        interpose::sync_by(Box::new(move |file| disks.sync(file).map_err(drop)));
        let mut sim = turmoil::Builder::new()
            .rng_seed(rng.random())
            .tick_duration(TICK)
            .min_message_latency(LATENCY.0)
            .max_message_latency(LATENCY.1)
            .simulation_duration(Duration::from_secs(3_600))
            .tcp_capacity(4_096)
            .build();
        let seeds: Vec<String> = names.iter().map(|name| format!("{name}:{}", super::net::PEER_PORT)).collect();
        for name in &names {
            let (host, seeds) = (world.host(name).clone(), seeds.clone());
            sim.host(name.as_str(), move || {
                let (host, seeds) = (host.clone(), seeds.clone());
                async move {
                    node::run(host, seeds, count).await;
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
            think: Duration::from_millis(rng.random_range(50..=600)),
            stop: AtomicBool::new(false),
            stopped: AtomicUsize::new(0),
            lifetimes: std::sync::Mutex::default(),
        });
        Self {
            sim,
            rng,
            world,
            clients,
            names,
            guests: Vec::new(),
            only: options.only.clone(),
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
            faults: BTreeMap::new(),
            drawn: 0,
            story: Vec::new(),
            operations: Vec::new(),
            steps: 0,
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
        self.until("all are voters again", WHOLE_WITHIN, Self::is_whole)?;
        let mended = self.sim.elapsed();
        self.lasts(CALM)?;
        self.until("all are voters", WHOLE_WITHIN, Self::is_whole)?;
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
        let lifetimes = self.clients.lifetimes.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
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

    /// One step of virtual time.
    fn step(&mut self) -> Result<(), String> {
        self.sim.step().map_err(|error| format!("the simulation broke: {error}"))?;
        self.steps += 1;
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
        if self.steps.is_multiple_of(LOOK_EVERY) {
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
        let invariants: [&mut dyn Always; 5] = [
            &mut self.one_leader,
            &mut self.one_cluster,
            &mut self.equal_states,
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
        quiet && self.is_whole().is_ok()
    }

    /// The next thing that happens: something is mended, or a fault.
    fn next(&mut self) -> Result<(), String> {
        self.restart_what_ended()?;
        // Two of three have what the third has lost, as long as they stay.
        if let Some((name, index)) = self.rolled_back.clone() {
            if self.applied(&name) >= index {
                self.rolled_back = None;
            }
            return Ok(());
        }
        if !self.in_turn.is_empty() {
            if self.is_whole().is_ok()
                && let Some(name) = self.in_turn.pop()
            {
                self.wipe(&name)?;
            }
            return Ok(());
        }
        if self.rng.random_bool(0.45) && self.mend_one()? {
            return Ok(());
        }
        let fault = Fault::draw(&mut self.rng);
        self.drawn += 1;
        if self.only.as_ref().is_some_and(|only| !only.contains(&self.drawn)) {
            return Ok(());
        }
        if self.happens(fault)? {
            *self.faults.entry(fault).or_default() += 1;
        }
        Ok(())
    }

    /// Does it, if it can be done now. Says whether it was done.
    fn happens(&mut self, fault: Fault) -> Result<bool, String> {
        let up = self.up();
        let Some(name) = up.choose(&mut self.rng).cloned() else { return Ok(false) };
        match fault {
            Fault::Kill => {
                self.tell(&format!("{name} is killed"));
                self.crash(&name, |disk, _| disk.cached())?;
            }
            Fault::PowerCut => self.cut_power(&name)?,
            Fault::PowerCutOfAll => {
                if self.rng.random_bool(0.5) {
                    self.tell("writes to all disks take long");
                    let delay = self.rng.random_range(20..600);
                    self.world.hosts().for_each(|host| host.disk_delay.store(delay, Ordering::Relaxed));
                    let meanwhile = Duration::from_millis(self.rng.random_range(100..2_000));
                    self.lasts(meanwhile)?;
                    self.world.hosts().for_each(|host| host.disk_delay.store(1, Ordering::Relaxed));
                }
                for name in up {
                    self.cut_power(&name)?;
                }
            }
            Fault::Stop => {
                self.tell(&format!("{name} is told to stop"));
                self.world.host(&name).stop.store(true, Ordering::Relaxed);
            }
            Fault::Wipe if self.all_is_well() => {
                self.wipe(&name)?;
                self.kill_in_change = self.rng.random_bool(0.5);
            }
            Fault::WipeThenKillLeader if self.all_is_well() => {
                let leader = self.leader().filter(|leader| *leader != name);
                self.wipe(&name)?;
                if let Some(leader) = leader {
                    let pause = Duration::from_millis(self.rng.random_range(20..3_000));
                    self.lasts(pause)?;
                    self.tell(&format!("{leader}, which led, is killed"));
                    self.crash(&leader, |disk, _| disk.cached())?;
                }
            }
            Fault::WipeAllInTurn if self.all_is_well() => {
                self.in_turn = self.names.clone();
                self.in_turn.shuffle(&mut self.rng);
                self.tell("all are to be wiped, one after the other");
            }
            // A leader of openraft that notices it panics in a build with debug assertions.
            Fault::Rollback if !cfg!(debug_assertions) => return self.roll_back(&name),
            Fault::DamagedState if self.all_is_well() => {
                if self.rng.random_bool(0.5)
                    && let Some(leader) = self.leader()
                {
                    // What it takes meanwhile nobody else has.
                    let time = Duration::from_millis(self.rng.random_range(300..1_500));
                    self.tell(&format!("{leader}, which leads, is cut off for {time:?}"));
                    for other in self.others(&leader) {
                        self.sim.partition(leader.as_str(), other.as_str());
                    }
                    self.lasts(time)?;
                    for other in self.others(&leader) {
                        self.sim.repair(leader.as_str(), other.as_str());
                    }
                    return self.damage_state(&leader).map(|()| true);
                }
                self.damage_state(&name)?;
            }
            Fault::Hold if self.held.is_none() && self.cuts.is_empty() => {
                let time = Duration::from_millis(self.rng.random_range(50..3_000));
                self.tell(&format!("{name} is held up for {time:?}"));
                for other in self.others(&name) {
                    self.sim.hold(name.as_str(), other.as_str());
                }
                self.held = Some((name, self.sim.elapsed() + time));
            }
            Fault::Cut | Fault::OneWayCut | Fault::Bridge if self.cuts.is_empty() && self.held.is_none() => {
                let mut others = self.others(&name);
                others.shuffle(&mut self.rng);
                let one = others[0].clone();
                let pairs: Vec<(String, String)> = match fault {
                    Fault::Cut => others.iter().flat_map(|other| both(&name, other)).collect(),
                    Fault::OneWayCut => vec![(name, one)],
                    _ => both(&one, &others[1]).to_vec(),
                };
                for (from, to) in pairs {
                    self.tell(&format!("{to} hears nothing of {from}"));
                    self.sim.partition_oneway(from.as_str(), to.as_str());
                    self.cuts.insert((from, to));
                }
            }
            Fault::SlowLink if self.slow.is_none() => {
                let other = self.others(&name).choose(&mut self.rng).cloned().unwrap_or_default();
                let latency = Duration::from_millis(self.rng.random_range(20..400));
                self.tell(&format!("between {name} and {other} messages take up to {latency:?}"));
                self.sim.set_link_max_message_latency(name.as_str(), other.as_str(), latency);
                self.slow = Some((name, other));
            }
            Fault::WrongClock if self.clocks_are_wrong => {
                self.clocks_are_right();
                return Ok(false);
            }
            Fault::WrongClock if self.sim.elapsed() >= self.clocks_right_at + CLOCKS_FORGOTTEN => {
                let error = match self.rng.random_range(0..3) {
                    0 => self.rng.random_range(-60_000..60_000),
                    1 => self.rng.random_range(-3_600_000..7_200_000),
                    _ => self.rng.random_range(-365 * DAY_MS..365 * DAY_MS),
                };
                self.clocks_are_wrong = true;
                self.tell(&format!("the clock of {name} is wrong by {error} ms, and all others are right"));
                self.world.host(&name).clock_error.store(error, Ordering::Relaxed);
            }
            Fault::SlowDisk => {
                let delay = self.rng.random_range(20..700);
                self.tell(&format!("a write to the disk of {name} takes {delay} ms"));
                self.world.host(&name).disk_delay.store(delay, Ordering::Relaxed);
            }
            Fault::FailedSync => {
                let after = self.rng.random_range(0..20);
                self.tell(&format!("the disk of {name} fails after {after} more fsyncs"));
                self.world.host(&name).disk().fails_after = Some(after);
            }
            Fault::TransferLeader => self.operator(&name, Wish::TransferLeader),
            Fault::Snapshot => self.operator(&name, Wish::Snapshot),
            Fault::Remove if self.all_is_well() => {
                let member = self.names.choose(&mut self.rng).cloned().unwrap_or_default();
                self.operator(&name, Wish::Remove(member));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn others(&self, name: &str) -> Vec<String> {
        self.names.iter().filter(|other| *other != name).cloned().collect()
    }

    fn operator(&mut self, node: &str, wish: Wish) {
        self.tell(&format!("an operator asks {node} for {wish:?}"));
        let (world, node, nth) = (self.world.clone(), node.to_owned(), self.drawn);
        self.guests.push(format!("operator{nth}"));
        self.sim.client(format!("operator{nth}"), async move {
            operator::asks(world, node, wish).await;
            Ok(())
        });
    }

    fn cut_power(&mut self, name: &str) -> Result<(), String> {
        self.tell(&format!("{name} loses its power"));
        self.crash(name, Disk::after_power_cut)
    }

    /// Ends a host at once. What its disk holds afterwards is taken before anything of the program can end in order.
    fn crash(
        &mut self,
        name: &str,
        left: impl Fn(&Disk, &mut SmallRng) -> std::io::Result<Tree>,
    ) -> Result<(), String> {
        let host = self.world.host(name).clone();
        let failed = |error: std::io::Error| format!("the disk of {name}: {error}");
        let left = left(&host.disk(), &mut self.rng).map_err(failed)?;
        // In silence: in which order a runtime that is dropped closes its connections depends on numbers that all runtimes of
        // this process share, and a seed is to be one story. Whoever sends to it from here on is told that nobody is there.
        let guests: Vec<String> = self.others(name).into_iter().chain(self.guests.iter().cloned()).collect();
        guests.iter().for_each(|guest| self.sim.partition(name, guest.as_str()));
        host.is_gone();
        self.sim.crash(name);
        guests.iter().for_each(|guest| self.sim.repair(name, guest.as_str()));
        for (from, to) in self.cuts.iter().filter(|(from, to)| from == name || to == name) {
            self.sim.partition_oneway(from.as_str(), to.as_str());
        }
        if let Some((held, _)) = &self.held {
            let others = if held == name { self.others(name) } else { vec![held.clone()] };
            others.iter().for_each(|other| self.sim.hold(name, other.as_str()));
        }
        let mut disk = host.disk();
        disk.fails_after = None;
        disk.becomes(&left).map_err(failed)?;
        drop(disk);
        self.down.insert(name.to_owned());
        Ok(())
    }

    fn start(&mut self, name: &str) -> Result<(), String> {
        if self.to_wipe.remove(name) {
            self.tell(&format!("the disk of {name} is emptied"));
            let empty = Tree::Directory(BTreeMap::new());
            self.world.host(name).disk().becomes(&empty).map_err(|error| error.to_string())?;
        }
        self.tell(&format!("{name} starts"));
        self.sim.bounce(name);
        self.down.remove(name);
        Ok(())
    }

    /// Kills a node, and damages its state while it is down.
    fn damage_state(&mut self, name: &str) -> Result<(), String> {
        if self.down.contains(name) {
            return Ok(());
        }
        self.tell(&format!("{name} is killed, and its state is damaged"));
        self.crash(name, |disk, _| {
            let mut left = disk.cached()?;
            left.empty_files_of("state");
            Ok(left)
        })?;
        self.start(name)
    }

    fn wipe(&mut self, name: &str) -> Result<(), String> {
        self.tell(&format!("{name} is killed, to be wiped"));
        self.crash(name, |disk, _| disk.cached())?;
        self.to_wipe.insert(name.to_owned());
        self.start(name)
    }

    /// Takes an image of a disk, or brings the one back that was taken.
    fn roll_back(&mut self, name: &str) -> Result<bool, String> {
        if !self.all_is_well() {
            return Ok(false);
        }
        let Some((name, image)) = self.image.take() else {
            let image = self.world.host(name).disk().durable().map_err(|error| error.to_string())?;
            self.image = Some((name.to_owned(), image));
            return Ok(false);
        };
        if self.leader().as_ref() == Some(&name) {
            return Ok(false);
        }
        self.tell(&format!("the disk of {name} goes back to an older image"));
        let index = self.names.iter().map(|name| self.applied(name)).max().unwrap_or(0);
        self.crash(&name, |_, _| Ok(image.clone()))?;
        self.start(&name)?;
        self.rolled_back = Some((name, index));
        Ok(true)
    }

    /// A program that has ended by itself or by order is started again by its machine; who was removed is wiped before.
    fn restart_what_ended(&mut self) -> Result<(), String> {
        for name in self.up() {
            let Some(ended) = self.world.host(&name).ended() else { continue };
            // The place of the disks is another one at every run.
            let ended = ended.replace(&*self.scratch.path().to_string_lossy(), "");
            self.tell(&format!("{name} has ended: {ended}"));
            let expected = ["stopped", "fault", "removed", "fsync", "sync", "write", "os error"];
            if !expected.iter().any(|word| ended.contains(word)) {
                return Err(format!("{name} ended, and nothing was done to it that it should: {ended}"));
            }
            self.crash(&name, |disk, _| disk.cached())?;
            // Its image is of a member that is no more.
            if ended.contains("removed") {
                self.image = self.image.take().filter(|(of, _)| *of != name);
                self.to_wipe.insert(name);
            }
        }
        Ok(())
    }

    /// Mends one thing. Says whether there was anything to mend.
    fn mend_one(&mut self) -> Result<bool, String> {
        if !self.cuts.is_empty() && self.rng.random_bool(0.4) {
            self.reconnect();
            return Ok(true);
        }
        if self.slow.is_some() && self.rng.random_bool(0.3) {
            self.hasten();
            return Ok(true);
        }
        let Some(name) = self.down.iter().choose(&mut self.rng).cloned() else { return Ok(false) };
        self.start(&name)?;
        Ok(true)
    }

    fn mend(&mut self) -> Result<(), String> {
        self.tell("everything is mended");
        if let Some((name, _)) = self.held.clone() {
            self.release(&name);
        }
        self.reconnect();
        self.hasten();
        self.clocks_are_right();
        for host in self.world.hosts() {
            host.disk_delay.store(1, Ordering::Relaxed);
            host.disk().fails_after = None;
        }
        self.in_turn.clear();
        self.kill_in_change = false;
        self.restart_what_ended()?;
        for name in self.down.clone() {
            self.start(&name)?;
        }
        Ok(())
    }

    fn release(&mut self, name: &str) {
        self.tell(&format!("{name} goes on"));
        for other in self.others(name) {
            self.sim.release(name, other.as_str());
        }
        self.held = None;
    }

    fn reconnect(&mut self) {
        for (from, to) in std::mem::take(&mut self.cuts) {
            self.tell(&format!("{to} hears {from} again"));
            self.sim.repair_oneway(from.as_str(), to.as_str());
        }
    }

    fn hasten(&mut self) {
        if let Some((one, other)) = self.slow.take() {
            self.tell(&format!("between {one} and {other} messages are as fast as ever"));
            self.sim.set_link_max_message_latency(one.as_str(), other.as_str(), LATENCY.1);
        }
    }

    fn clocks_are_right(&mut self) {
        self.tell("all clocks are right");
        (self.clocks_are_wrong, self.clocks_right_at) = (false, self.sim.elapsed());
        self.world.hosts().for_each(|host| host.clock_error.store(0, Ordering::Relaxed));
    }
}

fn both(one: &str, other: &str) -> [(String, String); 2] {
    [(one.into(), other.into()), (other.into(), one.into())]
}

/// A file system in memory, if there is one: nothing here needs a disk.
fn memory() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
