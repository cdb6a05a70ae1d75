//! The course of one simulation: begins a cluster, lets faults happen to it, mends everything, and looks at what is left.

mod beginning;
mod looking;
mod losses;
mod machines;
mod mending;
mod nemesis;
mod strangers;
mod upgrades;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;
use turmoil::Sim;

use super::clients::{self, Clients};
use super::disk::Tree;
use super::invariants::{
    EqualStates, LogMatching, OneCluster, OneLeaderATerm, PromotedWhenReady, calm, expiries, linearizable, outlived,
    recounted,
};
use super::marks::{Mark, Marks};
use super::plan::Plan;
use super::rare_states::RareStates;
use super::world::{Host, World, lock};
use super::{Defect, Failure, Fault, Ran, SimulationOptions};
use crate::Outcome;

/// How fine virtual time is for messages between hosts.
pub(super) const TICK: Duration = Duration::from_millis(10);
/// How long faults happen, from when the cluster is made.
const BAD_DAY: Duration = Duration::from_secs(45);
/// Between two faults, at least.
const PAUSE: Duration = Duration::from_millis(50);
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
/// And how many round trips one read takes at the most, with those of its client.
const READ_ROUND_TRIPS: u32 = 4;
/// How often the nodes are looked at.
const LOOK_EVERY: u64 = 10;
/// How long what a clock showed is believed: reports of it are exchanged once a second. Were another clock wrong before, two of
/// three would be, as far as a leader knows.
const CLOCKS_FORGOTTEN: Duration = Duration::from_secs(5);

pub(super) fn run(
    seed: (u64, SmallRng),
    plan: Plan,
    options: &SimulationOptions,
    counted: (Arc<AtomicU64>, Marks),
    story: &mut Vec<String>,
) -> Result<Ran, Box<Failure>> {
    let mut driver = Driver::begin(seed, plan, options, counted);
    let ended = driver.drive();
    let trace = driver.world.trace();
    story.append(&mut driver.story);
    let (operations, lasted) = (std::mem::take(&mut driver.operations), driver.sim.elapsed());
    match ended {
        Ok(()) => Ok(Ran {
            faults: std::mem::take(&mut driver.faults),
            unanswered: operations.iter().filter(|operation| operation.outcome != Outcome::Ok).count(),
            operations: operations.len(),
            lasted,
            compared: driver.equal_states.compared,
            steps: driver.world.engine_steps(),
            marks: driver.world.marks.reached(),
            trace,
        }),
        Err(what) => Err(Box::new(Failure { what, story: story.clone(), drawn: driver.drawn, trace })),
    }
}

/// Who neither hears nor says anything for a while.
struct Held {
    name: String,
    until: Duration,
    /// For how long its process stands still, if it does.
    stands_still: Option<Duration>,
}

struct Driver {
    plan: Plan,
    // Before the disks, whose files its hosts have open.
    sim: Sim<'static>,
    rng: SmallRng,
    world: Arc<World>,
    clients: Arc<Clients>,
    /// Who is at which place.
    names: Vec<String>,
    /// Machines that no place has had yet.
    spares: Vec<String>,
    /// Hosts that run no node.
    guests: Vec<String>,
    only: Option<BTreeSet<usize>>,
    planted: Option<Defect>,
    /// Who is heard by nobody, if it is one.
    silent: Arc<Mutex<Option<String>>>,
    /// Machines that are in the network.
    registered: BTreeSet<String>,
    /// Hosts that do not run.
    down: BTreeSet<String>,
    /// Of these, the ones whose disk is to be emptied before they start.
    to_wipe: BTreeSet<String>,
    cuts: BTreeSet<(String, String)>,
    held: Option<Held>,
    slow: Option<(String, String)>,
    /// A disk's image of before, and whose.
    image: Option<(String, Tree)>,
    /// Who must have caught up to where before anything else happens.
    rolled_back: Option<(String, u64)>,
    /// Whether an operator does what the alert about it says, without waiting for that.
    heeds_at_once: bool,
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
    rare: RareStates,
    faults: BTreeMap<Fault, usize>,
    drawn: usize,
    story: Vec<String>,
    operations: Vec<crate::Operation>,
    /// Draws who is upgraded when, and nothing else.
    versions: SmallRng,
    /// Whether whoever starts has the newest program.
    all_are_newest: bool,
    /// How many there were; somebody watches whether there are more.
    steps: Arc<AtomicU64>,
    scratch: tempfile::TempDir,
}

impl Driver {
    fn drive(&mut self) -> Result<(), String> {
        self.begins_badly()?;
        self.until("the cluster is made", MADE_WITHIN, Self::is_whole)?;
        let term = self.term();
        let clients = self.clients.clone();
        self.guests.push("clients".into());
        self.sim.client("clients", async move {
            clients::run(clients).await;
            Ok(())
        });
        let evening = self.sim.elapsed() + BAD_DAY;
        while self.sim.elapsed() < evening {
            let pause = self.rng.random_range(PAUSE..=self.plan.pause);
            self.lasts(pause)?;
            if !self.plan.is_calm() {
                self.next()?;
            }
        }
        self.mend()?;
        self.until_whole("all are voters again", Self::is_whole)?;
        self.ends_the_upgrade()?;
        let mended = self.sim.elapsed();
        self.lasts(CALM)?;
        self.until_whole("all are voters", Self::is_whole)?;
        let left = self.lose_some_for_good()?;
        self.clients.stop.store(true, Ordering::Relaxed);
        // And the operator who truncates.
        let all = self.clients.clients + 1;
        self.until("the clients have stopped", READ_WITHIN, |driver| {
            let stopped = driver.clients.stopped.load(Ordering::Relaxed);
            if stopped == all { Ok(()) } else { Err(format!("{stopped} of {all} have")) }
        })?;
        let read = Arc::new(AtomicUsize::new(0));
        let (common, places, done) = (self.clients.clone(), self.places_of(&left), read.clone());
        self.guests.push("reader".into());
        self.sim.client("reader", async move {
            let all = clients::read_everything(common, &places).await;
            done.store(if all { 1 } else { 2 }, Ordering::Relaxed);
            Ok(())
        });
        // One after the other at each node, and at a far one each takes a few round trips.
        let reads = u32::try_from(lock(&self.clients.crowds).len()).unwrap_or(u32::MAX);
        let within = READ_WITHIN + READ_ROUND_TRIPS * self.plan.distance.max_rtt() * reads;
        self.until("every key is read at every node", within, |_| match read.load(Ordering::Relaxed) {
            0 => Err("it is not".into()),
            1 => Ok(()),
            _ => Ok(()),
        })?;
        if read.load(Ordering::Relaxed) == 2 {
            return Err("all was well, and a read was not answered".into());
        }
        self.operations = self.world.operations();
        if self.plan.is_calm() {
            calm(term, self.term(), &self.operations)?;
        }
        let lifetimes = lock(&self.clients.lifetimes).clone();
        let history = self.operations.iter().cloned().chain(expiries(&lifetimes)).collect();
        linearizable(history)?;
        outlived(&self.operations, &lifetimes, mended, self.plan.distance.max_rtt())?;
        for name in left {
            self.crash(&name, |disk, _| disk.cached())?;
            recounted(self.world.host(&name))?;
        }
        Ok(())
    }

    fn tell(&mut self, what: &str) {
        let line = format!("{:>10.3}  {what}", self.sim.elapsed().as_secs_f64());
        self.world.traces(&format!("* {line}"));
        self.story.push(line);
    }

    /// One step of virtual time.
    fn step(&mut self) -> Result<(), String> {
        *lock(&self.silent) = self.silent();
        self.sim.step().map_err(|error| format!("the simulation broke: {error}"))?;
        let steps = self.steps.fetch_add(1, Ordering::Relaxed) + 1;
        if self.held.as_ref().is_some_and(|held| self.sim.elapsed() >= held.until) {
            self.release();
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
                self.world.marks.reach(Mark::KilledInChange);
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
            self.replace_older_image(&name)?;
        }
        self.until(what, WHOLE_WITHIN, holds)
    }

    /// Does what the alert says.
    fn replace_older_image(&mut self, name: &str) -> Result<(), String> {
        self.world.marks.reach(Mark::OlderImage);
        self.tell(&format!("an operator heeds an alert: {name} shows an older image of its disk"));
        self.wipe(name)
    }
}
