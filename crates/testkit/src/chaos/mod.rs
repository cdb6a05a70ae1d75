//! Three nodes as real processes on a bad day: one thing after another happens to them while clients go on, and at the end
//! everything that was acknowledged must be there.
//!
//! A round is one cluster from its beginning to its end. Its faults and what its clients ask for come from the round's
//! seed; the moments come from the machine, so a seed repeats a round in kind, not to the microsecond.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, SeedableRng};

use crate::story::Story;
use crate::{Ballast, Fleet, Load, LoadOptions, Network, Outcome, Proxy, SmallDisk, Verdict, Weather, WrongClock};

const NODES: usize = 3;
const CLIENTS: usize = 12;
/// Few, so that many operations meet on each.
const KEYS: usize = 48;
const THINK: Duration = Duration::from_millis(4);
/// How many faults a round has.
pub const FAULTS: RangeInclusive<usize> = 8..=16;
/// Between two faults: from less than an election takes to more than a start.
const PAUSE_MS: RangeInclusive<u64> = 20..=1_500;
/// What a slow way adds to each piece in each direction, from less than a heartbeat to about an election; what fits
/// through it; and of a thousand pieces, how many are lost and how many break their connection on a lossy one.
const DELAY_MS: RangeInclusive<u64> = 2..=150;
const BYTES_PER_SECOND: RangeInclusive<u32> = 50_000..=2_000_000;
const LOST: RangeInclusive<u32> = 1..=60;
const BROKEN: RangeInclusive<u32> = 0..=20;
/// What a node says that stops because its disk is full, in the words of the system.
const DISK_IS_FULL: &str = "No space left on device";
/// How wrong a clock may be, in seconds: a year either way.
const CLOCK_SHIFT: i64 = 31_557_600;

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
    /// Why no disk could be filled up, if it was to be.
    pub no_small_disk: Option<String>,
}

/// What may happen to a node. What it needs to be undone is done by a later one, or at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// `kill -9`.
    Kill,
    /// SIGTERM, and its clean end.
    Stop,
    /// SIGSTOP, for longer than an election takes or shorter.
    Freeze,
    /// Its disk is emptied while it is still a voter, and it starts again.
    Reimage,
    /// The same, and the leader is killed while it comes back.
    ReimageThenKillLeader,
    /// Its wall clock goes wrong, by up to a year.
    WrongClock,
    /// Nothing passes between it and the other nodes.
    Cut,
    /// What it sends to one other node is lost, and what comes from there arrives.
    OneWayCut,
    /// It sees both others, which do not see each other.
    Bridge,
    /// The way to it, or every way, is slow.
    SlowNetwork,
    /// On the way to it, or on every way, pieces are lost and sent again, and connections break.
    LossyNetwork,
    /// Its disk is full, until it is freed.
    DiskFull,
    /// An operator moves leadership.
    TransferLeader,
    /// An operator makes the state durable, and the log behind it goes.
    Snapshot,
}

impl Fault {
    const ALL: [Self; 14] = [
        Self::Kill,
        Self::Stop,
        Self::Freeze,
        Self::Reimage,
        Self::ReimageThenKillLeader,
        Self::WrongClock,
        Self::Cut,
        Self::OneWayCut,
        Self::Bridge,
        Self::SlowNetwork,
        Self::LossyNetwork,
        Self::DiskFull,
        Self::TransferLeader,
        Self::Snapshot,
    ];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Freeze => "freeze",
            Self::Reimage => "reimage",
            Self::ReimageThenKillLeader => "reimage, then the leader killed",
            Self::WrongClock => "wrong clock",
            Self::Cut => "cut off",
            Self::OneWayCut => "cut off one way",
            Self::Bridge => "bridge between two that are cut off",
            Self::SlowNetwork => "slow network",
            Self::LossyNetwork => "lossy network",
            Self::DiskFull => "disk full",
            Self::TransferLeader => "leadership moved",
            Self::Snapshot => "state made durable",
        })
    }
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
        Self {
            rng,
            fleet,
            proxies,
            weather: false,
            small,
            network,
            cuts: BTreeSet::new(),
            load: Load::start(&nodes, load),
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
            self.pause();
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

    fn draws(&mut self) -> Fault {
        // Where there is weather at all, there is more of it.
        let weather = !self.proxies.is_empty() && self.rng.random_bool(0.2);
        if self.small.is_some() && self.rng.random_bool(0.15) {
            return Fault::DiskFull;
        }
        let among: &[Fault] = if weather { &[Fault::SlowNetwork, Fault::LossyNetwork] } else { &Fault::ALL };
        *among.choose(&mut self.rng).unwrap_or(&Fault::Kill)
    }

    fn pause(&mut self) {
        std::thread::sleep(Duration::from_millis(self.rng.random_range(PAUSE_MS)));
    }

    fn tells(&mut self, what: &str) {
        self.story.tells(what);
    }

    /// Does it, if it can be done now. Says whether it was done.
    fn happens(&mut self, fault: Fault) -> bool {
        let up = self.up();
        let Some(name) = up.iter().choose(&mut self.rng).cloned() else { return false };
        match fault {
            Fault::Kill => self.kills(&name),
            // It may be about to end by itself, which is no clean stop.
            Fault::Stop if self.may_end_by_itself(&name) => return false,
            Fault::Stop => {
                self.tells(&format!("{name} is told to stop"));
                self.fleet.stop(&name);
                self.down.insert(name);
            }
            Fault::Freeze => {
                self.tells(&format!("{name} is frozen"));
                self.load.is_killed(&name);
                self.fleet.freeze(&name);
                self.frozen.insert(name);
            }
            Fault::Reimage | Fault::ReimageThenKillLeader => {
                // More than one voter without its disk is beyond what a majority can promise.
                let Some(status) = self.whole() else { return false };
                self.kills(&name);
                self.tells(&format!("{name} is reimaged"));
                self.fleet.reimage(&name);
                self.starts(&name);
                if fault == Fault::ReimageThenKillLeader
                    && let Some(leader) = status.leader.filter(|leader| *leader != name)
                {
                    self.pause();
                    self.kills(&leader);
                    self.pause();
                    self.starts(&leader);
                }
                // Before it is a voter again, nobody else may lose a disk; other things may happen to it.
            }
            Fault::WrongClock => {
                let seconds = self.rng.random_range(-CLOCK_SHIFT..=CLOCK_SHIFT);
                // One bad clock moves nothing; two are a majority, and whatever they agree on is the time.
                for (of, clock) in &self.clocks {
                    let shift = if *of == name { seconds } else { 0 };
                    clock.is_wrong_by(shift).unwrap_or_else(|error| panic!("the clock of {of}: {error}"));
                }
                self.tells(&format!("the clock of {name} is wrong by {seconds} s, and all others are right"));
            }
            Fault::Cut | Fault::OneWayCut | Fault::Bridge => {
                if self.network.is_none() || !self.cuts.is_empty() {
                    return false;
                }
                let others: Vec<String> = self.fleet.names().into_iter().filter(|other| *other != name).collect();
                let [one, other] = &others[..] else { return false };
                let pairs = match fault {
                    Fault::Cut => vec![(&name, one), (one, &name), (&name, other), (other, &name)],
                    Fault::OneWayCut => vec![(&name, one)],
                    _ => vec![(one, other), (other, one)],
                };
                for (from, to) in pairs {
                    self.cuts(from, to);
                }
            }
            Fault::SlowNetwork | Fault::LossyNetwork => {
                if self.proxies.is_empty() {
                    return false;
                }
                let weather = self.bad_weather(fault);
                let ways = if self.rng.random() { self.fleet.names() } else { vec![name] };
                self.tells(&format!("the way to {} is {weather:?}", ways.join(", ")));
                ways.iter().filter_map(|name| self.proxies.get(name)).for_each(|proxy| proxy.has(weather));
                self.weather = true;
            }
            Fault::DiskFull => {
                let Some(small) = self.small.as_mut().filter(|small| !small.is_full) else { return false };
                let filled = small.ballast.fills();
                filled.unwrap_or_else(|error| panic!("the disk of {} cannot be filled up: {error}", small.of));
                (small.is_full, small.was_full) = (true, true);
                let full = format!("the disk of {} is full", small.of);
                self.tells(&full);
            }
            Fault::TransferLeader => {
                let said = self.fleet.run(&["cluster", "transfer-leader", "--timeout", "3s"], &name);
                self.tells(&format!("leadership is to move, asked at {name}: {:?}", said.code));
            }
            Fault::Snapshot => {
                let said = self.fleet.run(&["cluster", "snapshot", "--timeout", "3s"], &name);
                self.tells(&format!("the state of {name} is to be durable: {:?}", said.code));
            }
        }
        true
    }

    /// All voters run, agree, and are ready.
    fn whole(&mut self) -> Option<crate::Status> {
        let full = self.small.as_ref().is_some_and(|small| small.is_full);
        let all_run = self.down.is_empty() && self.frozen.is_empty() && self.cuts.is_empty() && !full;
        all_run.then(|| self.fleet.agreed()).flatten().filter(|status| status.voters().len() == NODES)
    }

    fn up(&self) -> Vec<String> {
        let running = self.fleet.running().into_iter();
        running.filter(|name| !self.frozen.contains(name) && !self.down.contains(name)).collect()
    }

    fn kills(&mut self, name: &str) {
        self.tells(&format!("{name} is killed"));
        self.load.is_killed(name);
        self.fleet.kill(name);
        self.frozen.remove(name);
        self.down.insert(name.to_owned());
    }

    fn starts(&mut self, name: &str) {
        self.frees();
        if let Some(small) = self.small.as_mut().filter(|small| small.of == name) {
            small.was_full = false;
        }
        self.tells(&format!("{name} starts"));
        self.fleet.start(name);
        self.down.remove(name);
    }

    fn cuts(&mut self, from: &str, to: &str) {
        self.tells(&format!("{to} hears nothing of {from}"));
        if let Some(network) = &self.network {
            network.cut(from, to).unwrap_or_else(|error| panic!("{error}"));
        }
        self.cuts.insert((from.to_owned(), to.to_owned()));
    }

    /// Everybody reaches everybody.
    fn reconnects(&mut self) {
        self.tells("the network is whole");
        for (from, to) in std::mem::take(&mut self.cuts) {
            if let Some(network) = &self.network {
                network.mend(&from, &to).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    fn bad_weather(&mut self, fault: Fault) -> Weather {
        if fault == Fault::SlowNetwork {
            let delay = Duration::from_millis(self.rng.random_range(DELAY_MS));
            Weather::Slow { delay, bytes_per_second: self.rng.random_range(BYTES_PER_SECOND) }
        } else {
            Weather::Lossy { lost: self.rng.random_range(LOST), broken: self.rng.random_range(BROKEN) }
        }
    }

    fn clears_up(&mut self) {
        self.tells("the weather is fine");
        self.proxies.values().for_each(|proxy| proxy.has(Weather::Fine));
        self.weather = false;
    }

    /// There is room on every disk.
    fn frees(&mut self) {
        if let Some(small) = self.small.as_mut().filter(|small| small.is_full) {
            small.ballast.goes().unwrap_or_else(|error| panic!("the disk of {} cannot be freed: {error}", small.of));
            small.is_full = false;
            let freed = format!("there is room on the disk of {}", small.of);
            self.tells(&freed);
        }
    }

    fn may_end_by_itself(&self, name: &str) -> bool {
        self.small.as_ref().is_some_and(|small| small.was_full && small.of == name)
    }

    fn thaws(&mut self, name: &str) {
        self.tells(&format!("{name} is thawed"));
        self.fleet.thaw(name);
        self.frozen.remove(name);
    }

    /// Starts or thaws one that is down, mends the network, or clears the weather. Says whether there was anything to mend.
    fn mends_one(&mut self) -> bool {
        if !self.cuts.is_empty() && self.rng.random_bool(0.5) {
            self.reconnects();
            return true;
        }
        if self.weather && self.rng.random_bool(0.3) {
            self.clears_up();
            return true;
        }
        let broken: Vec<String> = self.down.iter().chain(&self.frozen).cloned().collect();
        let Some(name) = broken.choose(&mut self.rng) else { return false };
        if self.frozen.contains(name) {
            self.thaws(name);
        } else {
            self.starts(name);
        }
        self.load.is_back(name);
        true
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
        let operations = seen.history.operations();
        self.round.operations = operations.len();
        self.round.unanswered = operations.iter().filter(|operation| operation.outcome != Outcome::Ok).count();
        let answered = seen.samples.iter().filter(|sample| sample.verdict == Verdict::Answered);
        self.round.longest_wait = answered.map(|sample| sample.took).max().unwrap_or_default();
        seen.history.assert_linearizable();
        states_agree(&mut self.fleet);
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

/// Waits until all nodes show one checksum at one place of the log; at none may they differ.
pub(crate) fn states_agree(fleet: &mut Fleet) {
    let mut shown: BTreeMap<u64, BTreeMap<String, String>> = BTreeMap::new();
    fleet.wait_until("all show one checksum at one entry", |fleet| {
        let names = fleet.names();
        for name in &names {
            let status = fleet.status(name)?;
            let member = status.member(name)?;
            if member.checksum_index > 0 {
                shown.entry(member.checksum_index).or_default().insert(name.clone(), member.checksum.clone());
            }
        }
        for (index, of) in &shown {
            let checksums: BTreeSet<&String> = of.values().collect();
            assert_eq!(checksums.len(), 1, "states differ at entry {index}: {of:?}");
        }
        shown.values().any(|of| of.len() == names.len()).then_some(())
    });
}
