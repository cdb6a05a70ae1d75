//! One client: what it asks for, of whom, and what it writes down of the answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::values::{judge, read_value, target_of, value_bytes};
use super::{Sample, Shared, Verdict};
use crate::{Action, Answer, Client, History, Outcome, Value};

/// How long a client waits for an answer: beyond every deadline of the server, so that it is the server who gives up.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// Of a hundred requests of the session mix. The rest reads.
const POSTS: u32 = 25;
const DELETES: u32 = 1;
/// Of a thousand reads, so many ask for what nobody stored.
const MISSES: u32 = 35;
/// A client's number stands above the serial of its writes.
const SERIAL_BITS: u32 = 40;

pub(super) struct LoadClient {
    number: usize,
    shared: Arc<Shared>,
    rng: SmallRng,
    serial: u64,
    /// Where it is, and the connection to there.
    node: usize,
    connection: Option<Client>,
    /// How often its home had come back when it left.
    home_was_back: u64,
    history: History,
    samples: Vec<Sample>,
}

/// A request that got no answer.
enum Unanswered {
    /// Nobody took the connection.
    NobodyListens,
    /// The connection broke, or nothing came for too long.
    Broken(io::Error),
}

impl LoadClient {
    pub(super) fn new(number: usize, shared: Arc<Shared>) -> Self {
        Self {
            number,
            rng: SmallRng::seed_from_u64(shared.options.seed.wrapping_add(number as u64)),
            serial: 0,
            node: number % shared.targets.len(),
            connection: None,
            home_was_back: 0,
            history: History::begun_at(shared.begin),
            samples: Vec::new(),
            shared,
        }
    }

    pub(super) fn run(mut self) -> (History, Vec<Sample>) {
        let shared = self.shared.clone();
        for key in shared.keys.iter().skip(self.number).step_by(shared.options.clients) {
            let value = self.next_value();
            self.act(key, Action::Put(value));
        }
        shared.filled.fetch_add(1, Ordering::SeqCst);
        while !shared.stop.load(Ordering::SeqCst) {
            std::thread::sleep(self.think_time());
            if shared.rest.load(Ordering::SeqCst) {
                continue;
            }
            let (key, action) = self.choose();
            self.act(&key, action);
        }
        (self.history, self.samples)
    }

    /// How long a user thinks before the next request: the pace of the load, and no wait for anything. Exponential, so
    /// that clients do not march in step.
    fn think_time(&mut self) -> Duration {
        let unit: f64 = self.rng.random();
        self.shared.options.think.mul_f64(-(1.0 - unit).ln()).min(self.shared.options.think * 5)
    }

    fn choose(&mut self) -> (String, Action) {
        // Squared: few keys get many requests.
        let skewed = self.rng.random::<f64>().powi(2);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of keys")]
        let nth = (skewed * self.shared.keys.len() as f64) as usize;
        let key = self.shared.keys[nth.min(self.shared.keys.len() - 1)].clone();
        match self.rng.random_range(0..100) {
            dice if dice < POSTS => (key, Action::Put(self.next_value())),
            dice if dice < POSTS + DELETES => (key, Action::Delete),
            _ if self.rng.random_range(0..1000) < MISSES => {
                (format!("enwiki:MWSession:{:032x}", self.rng.random_range(0..1000)), Action::Get(None))
            }
            _ => (key, Action::Get(None)),
        }
    }

    fn next_value(&mut self) -> Value {
        self.serial += 1;
        (self.number as u64 + 1) << SERIAL_BITS | self.serial
    }

    /// One request, from its first connection to its end, with all that is written down about it.
    fn act(&mut self, key: &str, action: Action) {
        let start = Instant::now();
        let (method, body) = match action {
            Action::Put(value) => ("POST", value_bytes(value, key)),
            Action::Delete => ("DELETE", Vec::new()),
            Action::Get(_) => ("GET", Vec::new()),
            other => unreachable!("the session mix has no {other:?}"),
        };
        self.go_home_if_it_is_back();
        let mut moved = 0;
        let answered = loop {
            match self.request(method, key, &body) {
                Err(Unanswered::NobodyListens) if moved < self.shared.targets.len() => {
                    moved += 1;
                    self.node = (self.node + 1) % self.shared.targets.len();
                }
                other => break other,
            }
        };
        let target = &self.shared.targets[self.node];
        let (action, outcome, verdict) = match answered {
            Ok(answer) => {
                let (outcome, failure) = judge(method, &answer);
                let action = if method == "GET" { Action::Get(read_value(&answer, key)) } else { action };
                (action, outcome, failure.map_or(Verdict::Answered, Verdict::Failed))
            }
            Err(Unanswered::NobodyListens) => {
                (action, Outcome::Failed, Verdict::Failed("every node refuses connections".into()))
            }
            Err(Unanswered::Broken(_)) if target.killed.load(Ordering::SeqCst) => {
                (action, Outcome::Ambiguous, Verdict::CutOff)
            }
            Err(Unanswered::Broken(error)) => {
                let failure = format!("{method}: the connection to {} broke: {error}", target.name);
                (action, Outcome::Ambiguous, Verdict::Failed(failure))
            }
        };
        self.history.record(self.number, key, action, start, outcome);
        let took = start.elapsed();
        let start = start.duration_since(self.shared.begin);
        self.samples.push(Sample { start, took, node: self.node, moved, verdict });
    }

    /// Sends it once, on a connection that is open as far as can be known.
    fn request(&mut self, method: &str, key: &str, body: &[u8]) -> Result<Answer, Unanswered> {
        let kept = self.connection.take().filter(|connection| !connection.has_been_closed());
        let mut connection = match kept {
            Some(connection) => connection,
            None => match Client::connect_patiently(self.shared.targets[self.node].address(), CLIENT_PATIENCE) {
                Ok(connection) => connection,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    return Err(Unanswered::NobodyListens);
                }
                Err(error) => return Err(Unanswered::Broken(error)),
            },
        };
        let answer = connection.request(method, &target_of(key), "", body).map_err(Unanswered::Broken)?;
        let stays = answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        self.connection = stays.then_some(connection);
        Ok(answer)
    }

    fn go_home_if_it_is_back(&mut self) {
        let home = self.number % self.shared.targets.len();
        let back = self.shared.targets[home].back.load(Ordering::SeqCst);
        if back != self.home_was_back {
            self.home_was_back = back;
            if self.node != home {
                self.node = home;
                self.connection = None;
            }
        }
    }
}

/// Gives how many keys were there, or why one was not answered.
pub(super) fn read_all(
    history: &mut History,
    keys: &[String],
    client: usize,
    address: SocketAddr,
) -> Result<usize, String> {
    let mut connection = Client::connect(address).map_err(|error| format!("{address}: {error}"))?;
    let mut found = 0;
    for key in keys {
        let start = Instant::now();
        let answer = connection.request("GET", &target_of(key), "", b"");
        let answer = answer.map_err(|error| format!("a read at {address} broke: {error}"))?;
        let (outcome, failure) = judge("GET", &answer);
        if let Some(failure) = failure {
            return Err(format!("a read at {address}: {failure}"));
        }
        let value = read_value(&answer, key);
        found += usize::from(value.is_some());
        history.record(client, key, Action::Get(value), start, outcome);
    }
    Ok(found)
}
