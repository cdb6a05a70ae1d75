//! Three nodes as real processes on a bad day: one thing after another happens to them while clients go on, and at the end
//! everything that was acknowledged must be there.
//!
//! A round is one cluster from its beginning to its end. Its faults and what its clients ask for come from the round's
//! seed; the moments come from the machine, so a seed repeats a round in kind, not to the microsecond.

mod fault;
mod nemesis;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};

pub use fault::Fault;

use crate::story::Story;
use crate::{
    Ballast, Farm, FarmCounts, Fleet, Load, LoadOptions, Network, Outcome, Proxy, SmallDisk, Verdict, WrongClock,
};

const NODES: usize = 3;
const CLIENTS: usize = 12;
/// Few, so that many operations meet on each.
const KEYS: usize = 48;
const THINK: Duration = Duration::from_millis(4);
/// How many faults a round has.
pub const FAULTS: RangeInclusive<usize> = 8..=16;
/// Between two faults: from less than an election takes to more than a start.
const PAUSE_MS: RangeInclusive<u64> = 20..=1_500;
/// What a node says that stops because its disk is full, in the words of the system.
const DISK_IS_FULL: &str = "No space left on device";

/// What to run.
#[derive(Debug, Clone)]
pub struct ChaosOptions {
    /// The binary.
    pub program: PathBuf,
    /// `storage.engine`.
    pub engine: &'static str,
    /// Whether the nodes have a network of their own, which can be cut. It needs root.
    pub cuts: bool,
    /// How many faults a round has.
    pub faults: RangeInclusive<usize>,
    /// The first round's seed; each round after it has the next one.
    pub seed: u64,
}

/// What a round came to.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// What was done to the nodes, in order.
    pub faults: Vec<Fault>,
    /// Operations of clients, the reads at the end included.
    pub operations: usize,
    /// Of these, how many were refused or got no answer.
    pub unanswered: usize,
    /// The longest that a client waited.
    pub longest_wait: Duration,
    /// How many nodes stopped themselves because their disk was full.
    pub stopped_for_room: usize,
    /// What happened in the second namespace.
    pub farm: FarmCounts,
    /// Why no disk could be filled up, if it was to be.
    pub no_small_disk: Option<String>,
}

/// Runs one round. What went wrong comes back as a text, with the story of the round.
pub fn round(options: &ChaosOptions) -> Result<Round, String> {
    Story::of(|story| Chaos::begin(options, story).run())
}

/// Whose disk can be filled up.
struct Small {
    of: String,
    ballast: Ballast,
    is_full: bool,
    /// Whether it has been full since its node started: then that may end by itself.
    was_full: bool,
}

struct Chaos<'story> {
    rng: SmallRng,
    // Before the network that its nodes run on, and what stands between them.
    fleet: Fleet,
    /// In half of all rounds, by the name of whom each stands before.
    proxies: BTreeMap<String, Proxy>,
    /// Whether one of them does not let everything pass.
    weather: bool,
    network: Option<Network>,
    /// Who does not reach whom.
    cuts: BTreeSet<(String, String)>,
    /// In some rounds, one node on a disk that can be filled up.
    small: Option<Small>,
    load: Load,
    /// The second namespace.
    farm: Farm,
    clocks: Vec<(String, WrongClock)>,
    /// Who is not running, and who is frozen.
    down: BTreeSet<String>,
    frozen: BTreeSet<String>,
    faults: RangeInclusive<usize>,
    round: Round,
    story: &'story mut Story,
}

impl<'story> Chaos<'story> {
    fn begin(options: &ChaosOptions, story: &'story mut Story) -> Self {
        let network = options.cuts.then(|| {
            Network::of(&["n1", "n2", "n3"]).unwrap_or_else(|error| panic!("no network, which needs root: {error}"))
        });
        let mut fleet = match &network {
            Some(network) => Fleet::on(network, &options.program, NODES),
            None => Fleet::of(&options.program, NODES),
        };
        let mut clocks = Vec::new();
        for name in fleet.names() {
            let clock = WrongClock::build().unwrap_or_else(|error| panic!("a clock cannot be built: {error}"));
            let settings = fleet.settings(&name);
            settings.engine = options.engine;
            settings.log_keep_minutes = Some(0);
            settings.environment = clock.environment();
            clocks.push((name, clock));
        }
        let mut rng = SmallRng::seed_from_u64(options.seed);
        let proxies = if rng.random() { proxies(&mut fleet, network.as_ref(), options.seed) } else { BTreeMap::new() };
        let mut round = Round::default();
        // It needs root too.
        let small = if options.cuts && rng.random_bool(0.4) { small(&mut fleet, &mut rng, &mut round) } else { None };
        fleet.start_all();
        fleet.wait_until_formed();
        let nodes: Vec<_> = fleet.names().into_iter().map(|name| (name.clone(), fleet.http(&name))).collect();
        let load = LoadOptions { clients: CLIENTS, keys: KEYS, think: THINK, seed: options.seed };
        let farm = Farm::start(&fleet, "n1", options.seed);
        Self {
            rng,
            fleet,
            proxies,
            weather: false,
            small,
            network,
            cuts: BTreeSet::new(),
            load: Load::start(&nodes, load),
            farm,
            clocks,
            down: BTreeSet::new(),
            frozen: BTreeSet::new(),
            faults: options.faults.clone(),
            round,
            story,
        }
    }

    fn run(mut self) -> Round {
        for _ in 0..self.rng.random_range(self.faults.clone()) {
            self.lets_time_pass();
            self.nobody_ended_by_itself();
            if self.rng.random_bool(0.4) && self.mends_one() {
                continue;
            }
            let fault = self.draws();
            if self.happens(fault) {
                self.round.faults.push(fault);
            }
        }
        self.ends()
    }

    /// The pace of what happens. Nothing is waited for.
    fn lets_time_pass(&mut self) {
        std::thread::sleep(Duration::from_millis(self.rng.random_range(PAUSE_MS)));
    }

    fn tells(&mut self, what: &str) {
        self.story.tells(what);
    }

    fn up(&self) -> Vec<String> {
        let running = self.fleet.running().into_iter();
        running.filter(|name| !self.frozen.contains(name) && !self.down.contains(name)).collect()
    }

    fn may_end_by_itself(&self, name: &str) -> bool {
        self.small.as_ref().is_some_and(|small| small.was_full && small.of == name)
    }

    /// A node that stops by itself has found a fault of its own, and there is none that it should find here but a full
    /// disk, which it names.
    fn nobody_ended_by_itself(&mut self) {
        for name in self.up() {
            if !self.fleet.process(&name).has_ended() {
                continue;
            }
            self.fleet.ends(&name);
            let words = self.fleet.words(&name);
            let last = words.lines().last().unwrap_or_default();
            let explained = self.may_end_by_itself(&name) && last.contains(DISK_IS_FULL);
            assert!(explained, "{name} ended by itself:\n{words}");
            self.tells(&format!("{name} has stopped itself: {last}"));
            self.round.stopped_for_room += 1;
            self.down.insert(name);
        }
    }

    /// Heals everything, and looks at what is left.
    fn ends(mut self) -> Round {
        if !self.cuts.is_empty() {
            self.reconnects();
        }
        if self.weather {
            self.clears_up();
        }
        self.frees();
        // What it could not write it may find out in a moment.
        if let Some(Small { of, was_full: true, .. }) = &self.small {
            let of = of.clone();
            self.nobody_ended_by_itself();
            if self.up().contains(&of) {
                self.kills(&of);
            }
        }
        while self.mends_one() {}
        for (name, clock) in &self.clocks {
            clock.is_wrong_by(0).unwrap_or_else(|error| panic!("the clock of {name}: {error}"));
        }
        self.tells("everything is mended");
        self.fleet.wait_until_formed();
        self.nobody_ended_by_itself();
        self.load.rests(true);
        self.farm.rests(true);
        let mut read = Vec::new();
        for name in self.fleet.names() {
            let address = self.fleet.http(&name);
            let load = &self.load;
            read.push(self.fleet.wait_until(&format!("every session can be read at {name}"), |_| {
                load.read_everything(CLIENTS, address).ok()
            }));
        }
        let mut seen = self.load.stop();
        read.into_iter().for_each(|read| seen.history.merge(read));
        let of_farm = self.farm.stop();
        let operations = seen.history.operations();
        self.round.operations = operations.len();
        self.round.unanswered = operations.iter().filter(|operation| operation.outcome != Outcome::Ok).count();
        let answered = seen.samples.iter().filter(|sample| sample.verdict == Verdict::Answered);
        self.round.longest_wait = answered.map(|sample| sample.took).max().unwrap_or_default();
        seen.history.assert_linearizable();
        of_farm.history.assert_linearizable();
        self.round.operations += of_farm.history.operations().len();
        self.round.unanswered += of_farm.counts.unanswered;
        self.round.farm = of_farm.counts;
        self.fleet.wait_until_states_agree();
        self.round
    }
}

/// A disk that can be filled up under one of the nodes.
fn small(fleet: &mut Fleet, rng: &mut SmallRng, round: &mut Round) -> Option<Small> {
    let of = fleet.names().into_iter().choose(rng)?;
    match SmallDisk::mount(&fleet.disk(&of)) {
        Ok(disk) => {
            let ballast = disk.ballast();
            fleet.keep(disk);
            Some(Small { of, ballast, is_full: false, was_full: false })
        }
        Err(error) => {
            round.no_small_disk = Some(error.to_string());
            None
        }
    }
}

/// One before each node, which all others reach it through.
fn proxies(fleet: &mut Fleet, network: Option<&Network>, seed: u64) -> BTreeMap<String, Proxy> {
    let start = |name: &String| {
        let (host, to) = (network.map(|network| network.host(name)), fleet.grpc(name));
        let proxy = Proxy::start(host, SocketAddr::new(to.ip(), 0), to, seed);
        (name.clone(), proxy.unwrap_or_else(|error| panic!("no proxy before {name}: {error}")))
    };
    let proxies: BTreeMap<String, Proxy> = fleet.names().iter().map(start).collect();
    let seeds: Vec<String> = proxies.values().map(|proxy| proxy.address().to_string()).collect();
    for (name, proxy) in &proxies {
        let settings = fleet.settings(name);
        settings.seeds = seeds.clone();
        settings.advertise = Some(proxy.address().to_string());
    }
    proxies
}
