//! Clients of the session API, over the simulated network.

mod request;
mod truncations;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::timeout;
use turmoil::net::TcpStream;

use request::{Answer, Request, Unanswered, converse, header, is_of_the_namespace, judge};

use super::marks::Mark;
use super::namespaces::{NAMESPACES, RENEWED, TOKEN};
use super::node::HTTP;
use super::world::{World, lock};
use crate::{Action, Operation, Outcome, Value};

/// How long a client waits for an answer beyond the server's deadline.
const PATIENCE: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_millis(500);
/// A client's number stands above the serial of its writes.
const SERIAL_BITS: u32 = 24;
/// How many clients a crowd has.
const CROWD: usize = 30;
/// The numbers of clients that ask those that are left begin here: beyond every crowd's.
const FIRST_OF_THE_LAST: usize = 100_000;
/// And those that read everything at the end here.
const FIRST_READER: usize = 90_000;
/// How often a request with a name is asked again that may have had an effect or not.
const TRIES: usize = 8;
/// How long a client waits before that, at most.
const BETWEEN_TRIES: Duration = Duration::from_secs(2);
/// Lifetimes that are asked for, in seconds.
const LIFETIMES: std::ops::RangeInclusive<u64> = 4..=12;

/// What all clients of a simulation have in common.
pub(super) struct Clients {
    pub(super) world: Arc<World>,
    pub(super) seed: u64,
    pub(super) clients: usize,
    pub(super) keys: usize,
    /// Between two requests of one client, at most.
    pub(super) think: Duration,
    /// How long the server has for one request.
    pub(super) patience: Duration,
    /// How many bytes the largest value has.
    pub(super) value_bytes: usize,
    /// Set when they are to stop.
    pub(super) stop: AtomicBool,
    /// How many have.
    pub(super) stopped: AtomicUsize,
    /// How often it was tried whether those that are left serve.
    pub(super) tries: AtomicUsize,
    /// Values with a lifetime, and when it begins and ends.
    pub(super) lifetimes: Mutex<Vec<Lifetime>>,
    /// Set when it was acknowledged that the second namespace wants a token.
    pub(super) has_token: AtomicBool,
    /// Keys that crowds wrote.
    pub(super) crowds: Mutex<Vec<String>>,
}

/// What a client was told of how long a value lives.
#[derive(Debug, Clone)]
pub(super) struct Lifetime {
    pub(super) key: String,
    pub(super) value: Value,
    /// When it was asked for, and when the answer was there.
    pub(super) asked: Duration,
    pub(super) answered: Duration,
    pub(super) lasts: Duration,
}

struct Client {
    common: Arc<Clients>,
    number: usize,
    rng: SmallRng,
    serial: u64,
    /// The place of the node that it asks.
    node: usize,
    connections: BTreeMap<usize, TcpStream>,
    /// The last that is known of a key: its value and its entity tag.
    known: BTreeMap<String, (Value, String)>,
}

pub(super) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// Clients that ask for this and that until they are told to stop.
pub(super) async fn run(common: Arc<Clients>) {
    let mut clients: JoinSet<()> =
        (0..common.clients).map(|number| Client::new(common.clone(), number).run()).collect();
    clients.spawn(truncations::run(common.clone()));
    while let Some(ended) = clients.join_next().await {
        ended.unwrap_or_else(|error| common.world.is_wrong(format!("a client panicked: {error}")));
    }
}

/// Reads every key at these places, as one more client at each. Says whether every read was answered.
pub(super) async fn read_everything(common: Arc<Clients>, places: &[usize]) -> bool {
    let mut readers: JoinSet<bool> = places.iter().map(|place| read_all_at(common.clone(), *place)).collect();
    let mut all = true;
    while let Some(read) = readers.join_next().await {
        all &= read.unwrap_or(false);
    }
    all
}

async fn read_all_at(common: Arc<Clients>, place: usize) -> bool {
    let mut client = Client::new(common.clone(), FIRST_READER + place);
    client.node = place;
    let mut all = true;
    let crowds = lock(&common.crowds).clone();
    for key in keys(common.keys).chain(crowds) {
        all &= client.act(&key, Request::read()).await == Outcome::Ok;
    }
    all
}

/// Writes something at one node, and reads it there. Says whether both were answered.
pub(super) async fn is_served(common: Arc<Clients>, place: usize, nth: usize) -> bool {
    let tries = common.tries.fetch_add(1, Ordering::Relaxed);
    let mut client = Client::new(common.clone(), FIRST_OF_THE_LAST + tries);
    client.node = place;
    let key = format!("0/left:session-{nth}-{place}-{tries}");
    let (value, body) = client.next_value();
    let write =
        Request { method: "POST", headers: String::new(), body, action: Action::Put(value), lasts: None, name: None };
    client.act(&key, write).await == Outcome::Ok && client.act(&key, Request::read()).await == Outcome::Ok
}

/// Asks one node for many writes at once, of as many clients.
pub(super) async fn crowd(common: Arc<Clients>, place: usize, nth: usize) {
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let mut client = Client::new(common.clone(), common.clients + 1 + nth * CROWD + number);
        client.node = place;
        let (value, body) = client.next_value();
        let write = Request {
            method: "POST",
            headers: String::new(),
            body,
            action: Action::Put(value),
            lasts: None,
            name: None,
        };
        let key = format!("{}/crowd:session-{nth}-{number}", number % NAMESPACES.len());
        lock(&common.crowds).push(key.clone());
        crowd.spawn(async move { client.act(&key, write).await });
    }
    crowd.join_all().await;
}

fn keys(keys: usize) -> impl Iterator<Item = String> {
    (0..keys).map(|nth| format!("{}/wiki{}:session-{nth}", nth % NAMESPACES.len(), nth % 3))
}

impl Client {
    fn new(common: Arc<Clients>, number: usize) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(common.seed.wrapping_mul(31).wrapping_add(number as u64)),
            number,
            serial: 0,
            node: number % common.world.places(),
            connections: BTreeMap::new(),
            known: BTreeMap::new(),
            common,
        }
    }

    async fn run(mut self) {
        while !self.common.stop.load(Ordering::Relaxed) {
            let pause = self.common.think.mul_f64(self.rng.random());
            tokio::time::sleep(pause).await;
            if self.rng.random_bool(0.1) {
                self.goes_elsewhere();
            }
            let keys: Vec<String> = keys(self.common.keys).collect();
            // Half of them on one key, where they meet.
            let key = if self.rng.random_bool(0.5) { keys.first() } else { keys.choose(&mut self.rng) };
            let Some(key) = key.cloned() else { return };
            if key.starts_with(RENEWED) && self.rng.random_bool(0.1) {
                self.asks_without_a_token(&key).await;
            }
            let request = self.choose(&key);
            if self.act(&key, request).await != Outcome::Ok {
                self.goes_elsewhere();
            }
        }
        self.common.stopped.fetch_add(1, Ordering::Relaxed);
    }

    fn goes_elsewhere(&mut self) {
        self.node = self.rng.random_range(0..self.common.world.places());
    }

    fn choose(&mut self, key: &str) -> Request {
        let known = self.known.get(key).cloned();
        let nothing = |method, action| Request {
            method,
            headers: String::new(),
            body: Vec::new(),
            action,
            lasts: None,
            name: None,
        };
        match self.rng.random_range(0..100) {
            0..45 => nothing("GET", Action::Get(None)),
            45..50 => nothing("DELETE", Action::Delete),
            50..55 => {
                let take = nothing("DELETE", Action::Take(None));
                Request { headers: "Prefer: return=representation\r\n".into(), name: self.name(), ..take }
            }
            55..60 if known.is_some() => {
                let (expected, tag) = known.unwrap_or_default();
                Request {
                    headers: format!("If-Match: {tag}\r\n"),
                    ..nothing("DELETE", Action::DeleteIf { expected, done: true })
                }
            }
            60..67 => {
                let (value, body) = self.next_value();
                let action = Action::PutIf { expected: None, value, done: true };
                let name = self.name();
                Request { headers: "If-None-Match: *\r\n".into(), body, name, ..nothing("PUT", action) }
            }
            // Only there nobody minds a lifetime that becomes longer.
            67..70 if known.is_some() && key.starts_with(RENEWED) => {
                let (expected, tag) = known.unwrap_or_default();
                let headers = format!("If-Match: {tag}\r\n");
                Request { headers, ..nothing("PATCH", Action::DeleteIf { expected, done: false }) }
            }
            67..77 if known.is_some() => {
                let (expected, tag) = known.unwrap_or_default();
                let (value, body) = self.next_value();
                let action = Action::PutIf { expected: Some(expected), value, done: true };
                let name = self.name();
                Request { headers: format!("If-Match: {tag}\r\n"), body, name, ..nothing("PUT", action) }
            }
            dice => {
                let (value, body) = self.next_value();
                let lasts = (dice >= 90).then(|| self.rng.random_range(LIFETIMES));
                let headers = lasts.map_or_else(String::new, |seconds| format!("TTL: {seconds}\r\n"));
                let lasts = lasts.map(Duration::from_secs);
                Request { headers, body, lasts, ..nothing("POST", Action::Put(value)) }
            }
        }
    }

    /// Half of what may be asked again is.
    fn name(&mut self) -> Option<String> {
        self.serial += 1;
        self.rng.random_bool(0.5).then(|| format!("{}-{}", self.number, self.serial))
    }

    /// Its number, and then some bytes.
    fn next_value(&mut self) -> (Value, Vec<u8>) {
        self.serial += 1;
        let value = (self.number as u64 + 1) << SERIAL_BITS | self.serial;
        let mut body = format!("{value:016x}").into_bytes();
        body.resize(self.rng.random_range(16..=self.common.value_bytes), b'.');
        (value, body)
    }

    async fn act(&mut self, key: &str, request: Request) -> Outcome {
        let (world, start) = (self.common.world.clone(), now());
        let (answered, in_doubt) = self.ask_until_told(key, &request).await;
        let end = now();
        if !in_doubt && answered.as_ref().is_ok_and(|answer| is_of_the_namespace(&request, answer)) {
            return Outcome::Ok;
        }
        let (action, outcome) = match &answered {
            Ok(answer) => match judge(&request, answer) {
                Some(judged) => judged,
                None => {
                    world.is_wrong(format!("{} of {key} was answered with {}", request.method, answer.status));
                    (request.action, Outcome::Ambiguous)
                }
            },
            Err(Unanswered::NotSent) => (request.action, Outcome::Failed),
            Err(Unanswered::Lost) => (request.action, Outcome::Ambiguous),
        };
        let outcome = if outcome == Outcome::Failed && in_doubt { Outcome::Ambiguous } else { outcome };
        if let Ok(answer) = &answered {
            self.marks(&request, answer);
        }
        self.learn(key, action, outcome, answered.as_ref().ok());
        if let (Some(lasts), Action::Put(value)) = (request.lasts, action)
            && outcome != Outcome::Failed
        {
            let lifetime = Lifetime { key: key.into(), value, asked: start, answered: end, lasts };
            lock(&self.common.lifetimes).push(lifetime);
        }
        let operation = Operation { client: self.number, key: key.into(), action, start, end, outcome };
        world.traces(&format!("{} at {}: {operation}", key, world.at(self.node)));
        world.record(operation);
        outcome
    }

    /// What a write came to that was not answered as it should be.
    fn marks(&self, request: &Request, answer: &Answer) {
        if answer.status != 503 || request.method == "GET" {
            return;
        }
        let said = String::from_utf8_lossy(&answer.body);
        let marks = [
            ("outcome_unknown", Mark::OutcomeUnknown),
            ("no_quorum", Mark::NotProposed),
            ("overloaded", Mark::QueueFull),
        ];
        let reached = marks.into_iter().filter(|(what, _)| said.contains(what));
        reached.for_each(|(_, mark)| self.common.world.marks.reach(mark));
    }

    fn learn(&mut self, key: &str, action: Action, outcome: Outcome, answer: Option<&Answer>) {
        let tag = answer.and_then(|answer| header(&answer.head, "etag")).map(str::to_owned);
        let value = match (outcome, action) {
            (Outcome::Ok, Action::Get(Some(value)) | Action::Put(value) | Action::PutIf { value, done: true, .. }) => {
                value
            }
            _ => return,
        };
        if let Some(tag) = tag {
            self.common.world.shows(key, value, &tag);
            self.known.insert(key.into(), (value, tag));
        }
    }

    /// Asks again, elsewhere, what has a name and was not answered, or with nobody's knowing what came of it. Says whether
    /// an earlier try may have had an effect that the last answer does not tell.
    async fn ask_until_told(&mut self, key: &str, request: &Request) -> (Result<Answer, Unanswered>, bool) {
        let mut in_doubt = false;
        let mut answered = self.ask(key, request).await;
        for _ in 1..if request.name.is_some() { TRIES } else { 1 } {
            match &answered {
                Ok(answer) if answer.status != 503 => break,
                Ok(answer) => in_doubt |= String::from_utf8_lossy(&answer.body).contains("outcome_unknown"),
                Err(Unanswered::NotSent) => {}
                Err(Unanswered::Lost) => in_doubt = true,
            }
            let pause = BETWEEN_TRIES.mul_f64(self.rng.random());
            tokio::time::sleep(pause).await;
            self.goes_elsewhere();
            answered = self.ask(key, request).await;
        }
        (answered, in_doubt)
    }

    async fn ask(&mut self, key: &str, request: &Request) -> Result<Answer, Unanswered> {
        self.ask_with(Some(TOKEN), key, request).await
    }

    /// As a stranger, who has no token: in the second namespace nothing is found from when it has one.
    async fn asks_without_a_token(&mut self, key: &str) {
        if !self.common.has_token.load(Ordering::Relaxed) {
            return;
        }
        if let Ok(answer) = self.ask_with(None, key, &Request::read()).await
            && !matches!(answer.status, 401 | 503)
        {
            let sentence = format!("a read of {key} without a token was answered with {}", answer.status);
            self.common.world.is_wrong(sentence);
        }
    }

    async fn ask_with(&mut self, token: Option<&str>, key: &str, request: &Request) -> Result<Answer, Unanswered> {
        let (namespace, key) = key.split_once('/').unwrap_or_default();
        let path = format!("{}{key}", NAMESPACES[namespace.parse().unwrap_or(0)].1);
        let at = self.node;
        let mut connection = match self.connections.remove(&at) {
            Some(connection) => connection,
            None => {
                let connecting = TcpStream::connect((self.common.world.at(self.node), HTTP));
                let Ok(Ok(connection)) = timeout(CONNECT, connecting).await else { return Err(Unanswered::NotSent) };
                connection
            }
        };
        let answer = timeout(self.common.patience + PATIENCE, converse(&mut connection, &path, token, request)).await;
        let Ok(Ok(answer)) = answer else { return Err(Unanswered::Lost) };
        if header(&answer.head, "connection") != Some("close") {
            self.connections.insert(at, connection);
        }
        Ok(answer)
    }
}
