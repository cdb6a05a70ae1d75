//! The program on disks whose power goes at every bad moment: what was acknowledged must be there when it is back, and the
//! nodes must come up by themselves.
//!
//! A round is one cluster, of one node or of three, from its beginning through several cuts to its end. What is cut, when
//! and what is left comes from the round's seed, the moment as a count of changes to the disk. How these meet with what
//! clients ask for comes from the machine, so a seed repeats a round in kind.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{Rng, SeedableRng};

use crate::story::Story;
use crate::{Client, Fleet, History, Honesty, Load, LoadOptions, Outcome, PowerDisk, Process, Signal, eventually};

const CLIENTS: usize = 8;
/// Few, so that many operations meet on each.
const KEYS: usize = 48;
const THINK: Duration = Duration::from_millis(4);
/// How many moments for a cut a round has, after the nodes have become a cluster.
pub const MOMENTS: RangeInclusive<usize> = 6..=10;
/// How long clients write before the next one.
const CALM_MS: RangeInclusive<u64> = 20..=600;
/// If the disk is not changed so often as was drawn, the power goes after this time.
const LONGEST: Duration = Duration::from_secs(2);
/// How often a node that is alone is asked to be a cluster.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// Before a member takes a state, the log must be gone that could make it: as in the program, so much of it is in one file,
/// and so many entries stay in any case.
const FILL: [Filler; 2] = [Filler { values: 640, bytes: 32 << 10 }, Filler { values: 5_500, bytes: 1 }];
const FILLERS: usize = 32;

/// What to run.
#[derive(Debug, Clone)]
pub struct PowerCutOptions {
    /// The binary.
    pub program: PathBuf,
    /// `storage.engine`.
    pub engine: &'static str,
    /// What the nodes lose.
    pub loss: Loss,
    /// How many nodes; one or three, by the seed, if it is not said.
    pub nodes: Option<usize>,
    /// How many moments for a cut after the nodes have become a cluster; some bring two.
    pub moments: RangeInclusive<usize>,
    /// The round's seed.
    pub seed: u64,
    /// Whether their disks do what they say.
    pub honesty: Honesty,
}

/// What the end of a node takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// The machine loses power: what was not synced may be gone.
    Power,
    /// The process is killed, and the kernel keeps what it was told.
    Process,
}

/// When the power goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Nodes on empty disks become a cluster.
    Forming,
    /// Clients read and write.
    Load,
    /// A node starts after the cut before this one.
    Start,
    /// A node is told to make its state durable.
    Snapshot,
    /// A node is told to stop.
    Stop,
    /// A member on an empty disk takes the state from another one.
    Reimage,
}

/// A cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cut {
    /// When.
    pub moment: Moment,
    /// How many nodes at once.
    pub nodes: usize,
    /// Of how many.
    pub of: usize,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = match self.moment {
            Moment::Forming => "while nodes become a cluster",
            Moment::Load => "while clients write",
            Moment::Start => "while it starts",
            Moment::Snapshot => "while a state is made durable",
            Moment::Stop => "while it stops",
            Moment::Reimage => "while a reimaged member comes back",
        };
        write!(f, "{} of {}, {moment}", self.nodes, self.of)
    }
}

/// What a round came to.
#[derive(Debug, Clone, Default)]
pub struct Survived {
    /// Every cut, in order.
    pub cuts: Vec<Cut>,
    /// Operations of clients, reads of everything included.
    pub operations: usize,
    /// Of these, how many were refused or got no answer.
    pub unanswered: usize,
    /// How many states nodes set aside, because they were damaged, and made anew.
    pub set_aside: usize,
}

/// Runs one round. What went wrong comes back as a text, with the story of the round.
pub fn round(options: &PowerCutOptions) -> Result<Survived, String> {
    if let (Loss::Power, "sled") = (options.loss, options.engine) {
        return Err(SLED.to_owned());
    }
    Story::of(|story| Round::begin(options, story).run())
}

/// Why there are no power cuts on sled.
pub const SLED: &str = "sled promises to survive `kill -9` and no power cut: its flush is no barrier, so what it says is \
                        durable may be torn. --kills tries what it promises";

/// Values that are written to make the log long.
struct Filler {
    values: usize,
    bytes: usize,
}

/// The nodes and their disks. Dropped, the nodes go first.
struct House {
    disks: BTreeMap<String, PowerDisk>,
    fleet: Fleet,
}

impl Drop for House {
    fn drop(&mut self) {
        for name in self.fleet.running() {
            self.fleet.signal(&name, Signal::KILL);
        }
        self.disks.values().for_each(PowerDisk::turn_off);
        self.fleet.kill_all();
    }
}

/// What an operator says to a node that is alone.
/// How many states lie beside the one in use.
fn set_aside(data_dir: &Path) -> usize {
    let entries = fs::read_dir(data_dir).unwrap_or_else(|error| panic!("{}: {error}", data_dir.display()));
    let names = entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    names.filter(|name| name.starts_with("state") && name != "state").count()
}

struct Round<'story> {
    rng: SmallRng,
    house: House,
    loss: Loss,
    moments: RangeInclusive<usize>,
    load: Option<Load>,
    load_options: LoadOptions,
    /// What was read after each cut.
    read: Vec<History>,
    done: Survived,
    story: &'story mut Story,
}

impl<'story> Round<'story> {
    fn begin(options: &PowerCutOptions, story: &'story mut Story) -> Self {
        let mut rng = SmallRng::seed_from_u64(options.seed);
        let nodes = if rng.random() { 3 } else { 1 };
        let nodes = options.nodes.unwrap_or(nodes);
        let mut fleet = if nodes > 1 {
            Fleet::of(&options.program, nodes)
        } else {
            let mut alone = Fleet::empty(&options.program);
            alone.add("n1");
            alone
        };
        let mut disks = BTreeMap::new();
        for name in fleet.names() {
            let disk = PowerDisk::mount(&fleet.disk(&name), options.honesty);
            let disk = disk.unwrap_or_else(|error| panic!("no disk, which needs root and /dev/fuse: {error}"));
            let settings = fleet.settings(&name);
            settings.engine = options.engine;
            // Such a disk holds no socket.
            settings.operator_token = Some("a-token-of-the-power-cuts".to_owned());
            // Members that were away need a state, not an hour of log.
            settings.log_keep_minutes = Some(0);
            disks.insert(name, disk);
        }
        Self {
            rng,
            house: House { disks, fleet },
            loss: options.loss,
            moments: options.moments.clone(),
            load: None,
            load_options: LoadOptions { clients: CLIENTS, keys: KEYS, think: THINK, seed: options.seed },
            read: Vec::new(),
            done: Survived::default(),
            story,
        }
    }

    fn run(mut self) -> Survived {
        self.becomes_a_cluster();
        let nodes: Vec<_> = self.names().into_iter().map(|name| (name.clone(), self.house.fleet.http(&name))).collect();
        self.load = Some(Load::start(&nodes, self.load_options));
        // What the log still holds can be made again; what it has lost, the state must have, or another member.
        if self.rng.random() {
            self.purges_the_logs();
        }
        for _ in 0..self.rng.random_range(self.moments.clone()) {
            // The pace of what happens: nothing is waited for.
            std::thread::sleep(Duration::from_millis(self.rng.random_range(CALM_MS)));
            let moments = [Moment::Load, Moment::Load, Moment::Snapshot, Moment::Stop, Moment::Reimage];
            match *moments.choose(&mut self.rng).unwrap_or(&Moment::Load) {
                Moment::Reimage if nodes.len() > 1 => self.reimages(),
                Moment::Snapshot => self.cuts_during_a_snapshot(),
                Moment::Stop => self.cuts_during_a_stop(),
                _ => self.cuts_under_load(),
            }
            self.comes_back();
        }
        self.ends()
    }

    fn names(&self) -> Vec<String> {
        self.house.fleet.names()
    }

    fn disk(&self, name: &str) -> &PowerDisk {
        self.house.disks.get(name).unwrap_or_else(|| panic!("there is no disk of {name}"))
    }

    /// One node or all.
    fn victims(&mut self) -> Vec<String> {
        let names = self.names();
        if self.rng.random() { names } else { names.into_iter().choose(&mut self.rng).into_iter().collect() }
    }

    /// So many changes, at most: few of them more often than many.
    fn changes(&mut self, most: u32) -> u64 {
        let scale = self.rng.random::<f64>();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the most")]
        let changes = (f64::from(most) * scale * scale) as u64;
        changes
    }

    /// From empty disks, with a cut or without one.
    fn becomes_a_cluster(&mut self) {
        let cut = self.rng.random_bool(0.7).then(|| (self.victims(), self.changes(400)));
        if let Some((victims, changes)) = &cut {
            self.disk(&victims[0]).cut_after(*changes);
        }
        self.house.fleet.start_all();
        if let Some((victims, changes)) = cut {
            self.asks_for_a_cluster_until_cut();
            self.waits_and_cuts(Moment::Forming, &victims, changes);
            self.house.fleet.start_all();
        }
        self.is_formed();
    }

    /// One that is alone becomes a cluster only when it is asked to.
    fn asks_for_a_cluster_until_cut(&mut self) {
        if self.names().len() > 1 {
            return;
        }
        let begin = Instant::now();
        let mut asked: Option<Process> = None;
        while begin.elapsed() < LONGEST && !self.disk("n1").waits_for_cut(ASK_AGAIN) {
            if asked.as_mut().is_none_or(Process::has_ended) {
                asked = Some(self.house.fleet.ask_to_begin("n1"));
            }
        }
    }

    fn is_formed(&mut self) {
        if self.names().len() == 1 {
            self.house.fleet.wait_until_it_is_a_cluster("n1");
        }
        self.house.fleet.wait_until_formed();
        self.story.tells("all nodes are ready voters");
    }

    /// Writes until the logs have lost their beginning, so that a member without a state must take one.
    fn purges_the_logs(&mut self) {
        let addresses: Vec<_> = self.names().iter().map(|name| self.house.fleet.http(name)).collect();
        for Filler { values, bytes } in FILL {
            std::thread::scope(|scope| {
                for filler in 0..FILLERS {
                    let address = addresses[filler % addresses.len()];
                    scope.spawn(move || {
                        for nth in 0..values / FILLERS {
                            let target = format!("/sessions/v1/filler{filler}x{}", nth % 10);
                            eventually("a cluster without a fault takes what fills its logs", || {
                                let filled =
                                    Client::connect(address).ok()?.request("POST", &target, "", &vec![b'x'; bytes]);
                                filled.is_ok_and(|answer| answer.status == 201).then_some(())
                            });
                        }
                    });
                }
            });
        }
        for name in self.names() {
            let first = self.house.fleet.data_dir(&name).join("log/0000000001.seg");
            self.house.fleet.wait_until(&format!("the log of {name} has lost its beginning"), |fleet| {
                fleet.run(&["cluster", "snapshot", "--timeout", "15s"], &name);
                (!first.exists()).then_some(())
            });
        }
        self.story.tells("the logs have lost their beginning");
    }

    fn cuts_under_load(&mut self) {
        let (victims, changes) = (self.victims(), self.changes(300));
        self.disk(&victims[0]).cut_after(changes);
        self.waits_and_cuts(Moment::Load, &victims, changes);
    }

    fn cuts_during_a_snapshot(&mut self) {
        let (victims, changes) = (self.victims(), self.changes(120));
        self.disk(&victims[0]).cut_after(changes);
        let _asked: Process = self.house.fleet.ask(&["cluster", "snapshot", "--timeout", "15s"], &victims[0]);
        self.waits_and_cuts(Moment::Snapshot, &victims, changes);
    }

    fn cuts_during_a_stop(&mut self) {
        let (victims, changes) = (self.victims(), self.changes(60));
        self.disk(&victims[0]).cut_after(changes);
        for victim in &victims {
            self.house.fleet.signal(victim, Signal::TERM);
        }
        self.waits_and_cuts(Moment::Stop, &victims, changes);
    }

    /// A member loses its disk, and the power goes while it comes back.
    fn reimages(&mut self) {
        let Some(victim) = self.names().into_iter().choose(&mut self.rng) else { return };
        self.kills(&victim);
        self.loses(&victim, true);
        let changes = self.changes(1500);
        self.disk(&victim).cut_after(changes);
        self.house.fleet.start(&victim);
        // All others may go with it: none of them has lost its disk.
        let victims = if self.rng.random_bool(0.3) {
            let mut all = self.names();
            all.sort_by_key(|name| *name != victim);
            all
        } else {
            vec![victim]
        };
        self.waits_and_cuts(Moment::Reimage, &victims, changes);
    }

    /// Waits until the disk of the first one has had its last change, takes the power from all, and gives it back.
    fn waits_and_cuts(&mut self, moment: Moment, victims: &[String], changes: u64) {
        let came = self.disk(&victims[0]).waits_for_cut(LONGEST);
        victims.iter().for_each(|victim| self.disk(victim).cut());
        if let Some(load) = &self.load {
            victims.iter().for_each(|victim| load.is_killed(victim));
        }
        for victim in victims {
            self.house.fleet.signal(victim, Signal::KILL);
        }
        let when = if came { format!("after {changes} changes") } else { format!("after {LONGEST:?}") };
        let cut = Cut { moment, nodes: victims.len(), of: self.names().len() };
        self.story.tells(&format!("{cut}, {when}: {}", victims.join(", ")));
        for victim in victims {
            self.kills(victim);
            self.loses(victim, false);
        }
        self.done.cuts.push(cut);
    }

    fn kills(&mut self, name: &str) {
        if let Some(load) = &self.load {
            load.is_killed(name);
        }
        self.disk(name).turn_off();
        self.house.fleet.kill(name);
    }

    /// What it loses by the cut, or its whole disk.
    fn loses(&mut self, name: &str, everything: bool) {
        if everything {
            self.story.tells(&format!("{name} has a new disk"));
        }
        let Some(disk) = self.house.disks.get_mut(name) else { return };
        let back = match self.loss {
            _ if everything => disk.is_replaced(),
            Loss::Power => disk.loses_power(&mut self.rng),
            Loss::Process => disk.keeps_all(),
        };
        back.unwrap_or_else(|error| panic!("the disk of {name} does not come back: {error}"));
    }

    /// The nodes start again, perhaps with one more cut, and everything is read.
    fn comes_back(&mut self) {
        // Before a client writes over what is to be found, or in the middle of all clients.
        let rests = self.rng.random();
        self.clients_rest(rests);
        let down: Vec<String> =
            self.names().into_iter().filter(|name| !self.house.fleet.running().contains(name)).collect();
        if self.rng.random_bool(0.4) && !down.is_empty() {
            let changes = self.changes(100);
            self.disk(&down[0]).cut_after(changes);
            self.house.fleet.start_all();
            self.waits_and_cuts(Moment::Start, &down, changes);
        }
        self.house.fleet.start_all();
        self.is_formed();
        if let Some(load) = &self.load {
            self.names().iter().for_each(|name| load.is_back(name));
        }
        self.reads_everything();
        self.clients_rest(false);
    }

    fn clients_rest(&self, rest: bool) {
        if let Some(load) = &self.load {
            load.rests(rest);
        }
    }

    /// At every node, each of which serves.
    fn reads_everything(&mut self) {
        let Some(load) = &self.load else { return };
        for name in self.house.fleet.names() {
            let address = self.house.fleet.http(&name);
            let all = self.house.fleet.wait_until(&format!("every session can be read at {name}"), |_| {
                load.read_everything(CLIENTS, address).ok()
            });
            self.read.push(all);
        }
    }

    fn ends(mut self) -> Survived {
        for name in self.names() {
            let ended = self.house.fleet.process(&name).has_ended();
            assert!(!ended, "{name} ended by itself:\n{}", self.house.fleet.words(&name));
        }
        self.clients_rest(true);
        self.reads_everything();
        let Some(load) = self.load.take() else { return self.done };
        let mut seen = load.stop();
        self.read.drain(..).for_each(|read| seen.history.merge(read));
        let operations = seen.history.operations();
        self.done.operations = operations.len();
        self.done.unanswered = operations.iter().filter(|operation| operation.outcome != Outcome::Ok).count();
        self.done.set_aside = self.names().iter().map(|name| set_aside(&self.house.fleet.data_dir(name))).sum();
        seen.history.assert_linearizable();
        self.house.fleet.wait_until_states_agree();
        std::mem::take(&mut self.done)
    }
}
