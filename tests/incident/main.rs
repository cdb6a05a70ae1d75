//! The outage that this project comes from, and what else is routine: under the load of a session store a node is taken
//! away with its disk, all nodes are restarted one after the other, and leaders are killed. No client may notice more
//! than a wait.
//!
//! It prints what happened when, and what clients felt of it:
//!
//! ```text
//! cargo test -p sessile --test incident -- --nocapture
//! ```
//!
//! `SESSILE_INCIDENT_ROUNDS` says how often all of it happens (1), `SESSILE_SEED` repeats the choices of the clients, and
//! `SESSILE_PROGRAM` is a binary to take instead of the one that was built with the test.
//!
//! And what is asked for less often: a new node takes a large state while requests go on (`joining`).
//!
//! What counts as a failed request stands at `sessile_testkit::Load`.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]
#![allow(clippy::print_stderr, reason = "a test tells its seed and its figures")]

mod joining;
#[path = "../story.rs"]
mod story;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sessile_testkit::{Fleet, Role};

use story::{CLIENTS, NODES, Telling, member_id, seed};

const LEADERS_KILLED: usize = 5;
/// How these phases are called in the report.
const LEADER_KILLED: &str = "leader killed";

/// One of them runs at a time: the clients of each shall feel what its own nodes do.
static STORY: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    STORY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A binary that somebody brought to be measured, if there is one.
fn given_program() -> Option<OsString> {
    std::env::var_os("SESSILE_PROGRAM")
}

fn program() -> PathBuf {
    given_program().unwrap_or_else(|| env!("CARGO_BIN_EXE_sessile").into()).into()
}

#[test]
fn the_incident() {
    let _alone = alone();
    let rounds = std::env::var("SESSILE_INCIDENT_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    let seed = seed();
    eprintln!("the incident: SESSILE_INCIDENT_ROUNDS={rounds} SESSILE_SEED={seed}");
    let mut story = Story::begin(seed);
    for round in 1..=rounds {
        story.round = if rounds > 1 { format!("{round}: ") } else { String::new() };
        story.reimage("n1", "n1 is reimaged", How::Stop);
        let leader = story.leader();
        story.reimage(&leader, "the leader is reimaged", How::Stop);
        let leader = story.leader();
        story.reimage(&leader, "the leader is killed and reimaged", How::Kill);
        story.rolling_restart();
        (1..=LEADERS_KILLED).for_each(|nth| story.kill_the_leader(nth));
    }
    story.end();
}

/// How a node goes away.
#[derive(Clone, Copy, PartialEq)]
enum How {
    /// SIGTERM.
    Stop,
    /// `kill -9`.
    Kill,
}

struct Story {
    fleet: Fleet,
    telling: Telling,
    round: String,
}

impl Story {
    /// Three nodes that made a cluster by themselves, and clients on all of them.
    fn begin(seed: u64) -> Self {
        let mut fleet = Fleet::of(program(), NODES.len());
        fleet.start_all();
        let formed = fleet.wait_until_formed();
        let telling = Telling::begin(&fleet, &NODES, story::load(seed));
        let mut story = Self { fleet, telling, round: String::new() };
        story.phase("all is well");
        story.telling.happened(format!("three nodes serve, {} leads", formed.leader.unwrap()));
        story.telling.go_on();
        story
    }

    /// A node goes away, comes back with an empty disk, and is a voter again, without a command.
    fn reimage(&mut self, name: &str, what: &str, how: How) {
        self.phase(what);
        let before = member_id(&mut self.fleet, name);
        self.goes_away(name, how);
        self.fleet.reimage(name);
        self.telling.happened(format!("{name} has an empty disk, and starts"));
        self.fleet.start(name);
        self.is_a_voter_again(name);
        let after = member_id(&mut self.fleet, name);
        assert_ne!(before, after, "an empty disk is a new node");
        self.telling.happened(format!("{name} is a voter again, as {} instead of {}", &after[..8], &before[..8]));
        self.telling.go_on();
    }

    /// SIGTERM to each, and the next when the one before is back.
    fn rolling_restart(&mut self) {
        self.phase("rolling restart");
        for name in NODES {
            let before = member_id(&mut self.fleet, name);
            self.goes_away(name, How::Stop);
            self.fleet.start(name);
            self.is_a_voter_again(name);
            assert_eq!(member_id(&mut self.fleet, name), before, "the disk is the node");
            self.telling.happened(format!("{name} is back"));
        }
        self.telling.go_on();
    }

    fn kill_the_leader(&mut self, nth: usize) {
        let leader = self.leader();
        self.phase(&format!("{LEADER_KILLED}, {nth}"));
        self.goes_away(&leader, How::Kill);
        let next = self.fleet.wait_for_leader();
        assert_ne!(next, leader, "who is dead does not lead");
        self.telling.happened(format!("{next} leads, as two of three know"));
        self.telling.go_on();
        self.fleet.start(&leader);
        self.is_a_voter_again(&leader);
        self.telling.happened(format!("{leader} is back"));
    }

    fn goes_away(&mut self, name: &str, how: How) {
        let role = match self.fleet.status(name).and_then(|status| status.member(name).map(|member| member.role)) {
            Some(Role::Leader) => "the leader",
            Some(Role::Follower) => "a follower",
            Some(Role::Learner) | None => "no voter",
        };
        match how {
            How::Stop => {
                self.telling.happened(format!("{name}, {role}, is told to stop (SIGTERM)"));
                self.fleet.stop(name);
                self.telling.happened(format!("{name} has stopped"));
            }
            How::Kill => {
                self.telling.load.is_killed(name);
                self.telling.happened(format!("{name}, {role}, is killed (kill -9)"));
                self.fleet.kill(name);
            }
        }
    }

    /// All three agree that all three vote; its clients come home.
    fn is_a_voter_again(&mut self, name: &str) {
        let formed = self.fleet.wait_until_formed();
        assert_eq!(formed.voters(), NODES, "three voters, and nobody is left over");
        assert_eq!(formed.members.len(), NODES.len(), "the dead id is no member");
        self.telling.load.is_back(name);
    }

    fn leader(&mut self) -> String {
        self.fleet.wait_for_leader()
    }

    fn phase(&mut self, what: &str) {
        self.telling.phase(&format!("{}{what}", self.round));
    }

    /// What the clients saw, against what was promised.
    fn end(self) {
        let (mut seen, report) = self.telling.end();
        let found = NODES.map(|name| seen.read_everything(CLIENTS, self.fleet.http(name)));
        let checked = seen.history.check();
        eprintln!("\n{}", report);
        let killed = report.distribution(|phase| phase.name.contains(LEADER_KILLED));
        eprintln!("While leaders were killed:\n{killed}");
        eprintln!("Every key read at each node in the end: {found:?} of {} there", seen.keys());
        eprintln!("{} operations in the history", seen.history.operations().len());
        if let Err(violation) = checked {
            panic!("a write was lost, or a read was stale: {violation}");
        }
        eprintln!("Linearizable: no write was lost, no read was stale");
        assert_eq!(report.failed(), 0, "no request fails while a majority lives");
        assert!(report.phases().iter().all(|phase| phase.answered > 0), "every phase says something");
    }
}
