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

use request::converse;

use super::marks::Mark;
use super::namespaces::{NAMESPACES, RENEWED, TOKEN};
use super::node::HTTP;
use super::world::{World, lock};
use crate::requests::{Concluded, Mix, Request, TRIES, Unanswered, says};
use crate::{Action, Answer, Operation, Outcome, Value};

/// How long a client waits for an answer beyond the server's deadline.
const PATIENCE: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_millis(500);
/// How many clients a crowd has.
const CROWD: usize = 30;
/// The numbers of clients that ask those that are left begin here: beyond every crowd's.
const FIRST_OF_THE_LAST: usize = 100_000;
/// And those that read everything at the end here.
const FIRST_READER: usize = 90_000;
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
    /// How many have, and the operator who truncates.
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
    mix: Mix,
    /// The place of the node that it asks.
    node: usize,
    connections: BTreeMap<usize, TcpStream>,
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
    let (value, body) = client.mix.next_value();
    client.act(&key, Request::store(value, body)).await == Outcome::Ok
        && client.act(&key, Request::read()).await == Outcome::Ok
}

/// Asks one node for many writes at once, of as many clients.
pub(super) async fn crowd(common: Arc<Clients>, place: usize, nth: usize) {
    let mut crowd = JoinSet::new();
    for number in 0..CROWD {
        let mut client = Client::new(common.clone(), common.clients + 1 + nth * CROWD + number);
        client.node = place;
        let (value, body) = client.mix.next_value();
        let write = Request::store(value, body);
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
        let rng = SmallRng::seed_from_u64(common.seed.wrapping_mul(31).wrapping_add(number as u64));
        Self {
            mix: Mix::new(number, rng, common.value_bytes, Some(LIFETIMES)),
            number,
            node: number % common.world.places(),
            connections: BTreeMap::new(),
            common,
        }
    }

    async fn run(mut self) {
        while !self.common.stop.load(Ordering::Relaxed) {
            let pause = self.common.think.mul_f64(self.mix.rng.random());
            tokio::time::sleep(pause).await;
            if self.mix.rng.random_bool(0.1) {
                self.goes_elsewhere();
            }
            let keys: Vec<String> = keys(self.common.keys).collect();
            // Half of them on one key, where they meet.
            let key = if self.mix.rng.random_bool(0.5) { keys.first() } else { keys.choose(&mut self.mix.rng) };
            let Some(key) = key.cloned() else { return };
            if key.starts_with(RENEWED) && self.mix.rng.random_bool(0.1) {
                self.asks_without_a_token(&key).await;
            }
            let request = self.mix.choose(&key, key.starts_with(RENEWED));
            if self.act(&key, request).await != Outcome::Ok {
                self.goes_elsewhere();
            }
        }
        self.common.stopped.fetch_add(1, Ordering::Relaxed);
    }

    fn goes_elsewhere(&mut self) {
        self.node = self.mix.rng.random_range(0..self.common.world.places());
    }

    async fn act(&mut self, key: &str, request: Request) -> Outcome {
        let (world, start) = (self.common.world.clone(), now());
        let (answered, in_doubt) = self.ask_until_told(key, &request).await;
        let end = now();
        let (action, outcome) = match request.concludes(&answered, in_doubt) {
            Concluded::Nothing => return Outcome::Ok,
            Concluded::Came(action, outcome) => (action, outcome),
            Concluded::Wrong(status) => {
                world.is_wrong(format!("{} of {key} was answered with {status}", request.method));
                (request.action, Outcome::Ambiguous)
            }
        };
        if let Ok(answer) = &answered {
            self.marks(&request, answer);
        }
        if let Some((value, tag)) = self.mix.learns(key, (action, outcome), answered.as_ref().ok()) {
            world.shows(key, value, &tag);
        }
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
        let marks = [
            ("outcome_unknown", Mark::OutcomeUnknown),
            ("no_quorum", Mark::NotProposed),
            ("overloaded", Mark::QueueFull),
        ];
        let reached = marks.into_iter().filter(|(what, _)| says(answer, what));
        reached.for_each(|(_, mark)| self.common.world.marks.reach(mark));
    }

    /// Asks again, elsewhere, what has a name and was not answered, or with nobody's knowing what came of it. Says whether
    /// an earlier try may have had an effect that the last answer does not tell.
    async fn ask_until_told(&mut self, key: &str, request: &Request) -> (Result<Answer, Unanswered>, bool) {
        let mut in_doubt = false;
        let mut answered = self.ask(key, request).await;
        for _ in 1..TRIES {
            let Some(may_have_been_done) = request.asks_again(&answered) else { break };
            in_doubt |= may_have_been_done;
            let pause = BETWEEN_TRIES.mul_f64(self.mix.rng.random());
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
        if answer.header("connection") != Some("close") {
            self.connections.insert(at, connection);
        }
        Ok(answer)
    }
}
