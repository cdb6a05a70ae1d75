//! A second namespace, with everything that a namespace can have, and clients that try all of the session API there: they renew,
//! write on conditions, take, ask again by name, and now and then show no token or one that allows too little. Operators
//! truncate it, or one group of it. It has room for fewer keys than there are.

mod client;

use std::cell::Cell;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use client::FarmClient;

use crate::requests::Request;
use crate::{Action, Fleet, History, Outcome, eventually};

/// What it is called, and the path that its keys are under.
const NAME: &str = "second";
const BASE_URI: &str = "/second/v1";
/// How many clients there are.
const CLIENTS: usize = 6;
/// How many keys they share, in so many groups; and how many of these there is room for.
const KEYS: usize = 24;
const GROUPS: usize = 3;
const MAX_KEYS: &str = "20";
/// Between two requests of one client, at most.
const THINK: Duration = Duration::from_millis(60);
/// How long a command may take that an operator gives on a bad day.
const COMMAND: &str = "3s";
/// The numbers of whoever is no client: operators, and those who read everything at the end.
const OPERATOR: usize = 100_000;
const READER: usize = 200_000;

/// It, with its clients.
pub struct Farm {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<FarmClient>>,
    truncated: History,
    counts: FarmCounts,
}

/// What its clients did and saw.
#[derive(Debug)]
pub struct FarmSeen {
    /// For the check.
    pub history: History,
    /// How often what happened.
    pub counts: FarmCounts,
}

/// How often what happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct FarmCounts {
    /// A request was refused or got no answer that should be answered.
    pub unanswered: usize,
    /// A write was refused because the namespace has no room for more keys.
    pub without_room: usize,
    /// A session was renewed.
    pub renewed: usize,
    /// A request was asked again by its name.
    pub asked_again: usize,
    /// The namespace or a group of it was truncated, as far as operators were told.
    pub truncates: usize,
}

impl FarmCounts {
    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: Self) {
        let Self { unanswered, without_room, renewed, asked_again, truncates } = other;
        self.unanswered += unanswered;
        self.without_room += without_room;
        self.renewed += renewed;
        self.asked_again += asked_again;
        self.truncates += truncates;
    }
}

impl fmt::Display for FarmCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { unanswered, without_room, renewed, asked_again, truncates } = self;
        write!(
            f,
            "in the second namespace {renewed} renewals, {asked_again} requests asked again, {without_room} without room, \
             {truncates} truncates, {unanswered} without an answer"
        )
    }
}

struct Shared {
    /// Where sessions are served, of each node.
    nodes: Vec<SocketAddr>,
    /// What clients show, and what allows to read only.
    token: String,
    reads_only: String,
    begin: Instant,
    seed: u64,
    rest: AtomicBool,
    stop: AtomicBool,
    /// What somebody was told that nobody should be told.
    wrong: Mutex<Vec<String>>,
}

impl Shared {
    fn is_wrong(&self, what: String) {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }
}

fn keys() -> impl Iterator<Item = String> {
    (0..KEYS).map(|nth| format!("wiki{}:session-{nth}", nth % GROUPS))
}

fn target_of(key: &str) -> String {
    format!("{BASE_URI}/{}", key.replace(':', "%3A"))
}

impl Farm {
    /// How many groups its keys are in.
    pub const GROUPS: usize = GROUPS;

    /// Makes the namespace by commands at a node, and starts clients at all nodes. Panics if that never comes about.
    pub fn start(fleet: &Fleet, at: &str, seed: u64) -> Self {
        let create = ["namespace", "create", NAME, "--base-uri", BASE_URI, "--max-keys", MAX_KEYS, "--renew", "half"];
        // Those of the configuration may be just being made, and leadership may just move.
        eventually("the second namespace is made", || {
            let said = fleet.run(&create, at);
            (said.code == Some(0) || said.stderr.contains("exists")).then_some(())
        });
        let tries = Cell::new(0);
        let token = |name: &str, right| {
            eventually(format!("the second namespace has a token for {name}"), || {
                // One that was made may be made without an answer.
                tries.set(tries.get() + 1);
                let name = format!("{name}-{}", tries.get());
                let said = fleet.run(&["namespace", "token", "add", NAME, &name, "--right", right], at);
                (said.code == Some(0)).then(|| said.stdout.trim().to_owned())
            })
        };
        let begin = Instant::now();
        let shared = Arc::new(Shared {
            nodes: fleet.names().iter().map(|name| fleet.http(name)).collect(),
            token: token("clients", "both"),
            reads_only: token("monitor", "read"),
            begin,
            seed,
            rest: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            wrong: Mutex::default(),
        });
        let client = |number| {
            let client = FarmClient::new(number, shared.clone());
            std::thread::spawn(move || client.run())
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { clients, truncated: History::begun_at(begin), counts: FarmCounts::default(), shared }
    }

    /// An operator ends all its sessions, or those of one group, by a command at a node. Gives the exit code. To whoever reads
    /// and writes a key, somebody has deleted it.
    pub fn truncates(&mut self, fleet: &Fleet, at: &str, group: Option<usize>) -> Option<i32> {
        let group = group.map(|nth| format!("wiki{nth}"));
        let mut words = vec!["namespace", "truncate", NAME, "--yes", "--timeout", COMMAND];
        words.extend(group.iter().flat_map(|group| ["--group", group]));
        let start = Instant::now();
        let said = fleet.run(&words, at);
        // There may be no session of that group.
        if said.stderr.contains("nothing was changed") {
            return said.code;
        }
        let outcome = if said.code == Some(0) { Outcome::Ok } else { Outcome::Ambiguous };
        self.counts.truncates += usize::from(outcome == Outcome::Ok);
        let begins = group.map_or_else(String::new, |group| format!("{group}:"));
        for key in keys().filter(|key| key.starts_with(&begins)) {
            self.truncated.record(OPERATOR + self.truncated.operations().len(), &key, Action::Delete, start, outcome);
        }
        said.code
    }

    /// Whether clients make no new requests, until it is said otherwise.
    pub fn rests(&self, rests: bool) {
        self.shared.rest.store(rests, Ordering::SeqCst);
    }

    /// Lets every client finish its request, and reads every key at every node. Panics if one of these is never answered, or
    /// if somebody was told what nobody should be told.
    pub fn stop(mut self) -> FarmSeen {
        self.shared.stop.store(true, Ordering::SeqCst);
        let (mut history, mut counts) = (self.truncated.clone(), self.counts);
        for client in self.clients.drain(..) {
            let client = client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            counts.add(client.counts);
            history.merge(client.history);
        }
        for (nth, node) in self.shared.nodes.iter().enumerate() {
            let mut reader = FarmClient::at(READER + nth, nth, self.shared.clone());
            for key in keys() {
                eventually(format!("{key} is read at {node}"), || {
                    (reader.act(&key, &Request::read()) == Outcome::Ok).then_some(())
                });
            }
            history.merge(reader.history);
        }
        let wrong = self.shared.wrong.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        FarmSeen { history, counts }
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        // A test that has failed: they end by themselves.
        self.shared.stop.store(true, Ordering::SeqCst);
    }
}
