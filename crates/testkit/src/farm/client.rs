//! One client of the second namespace.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};

use super::{FarmCounts, Shared, THINK, keys, target_of};
use crate::requests::{Concluded, Mix, Request, TRIES, Unanswered};
use crate::{Answer, Client, History, Outcome};

/// How long a client waits for an answer: beyond every deadline of the server.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits before it asks again, at most.
const BETWEEN_TRIES: Duration = Duration::from_millis(500);
/// How many bytes the largest value has.
const VALUE_BYTES: usize = 900;
/// Of a hundred requests, so many show no token, and so many one that does not allow them.
const WITHOUT_A_TOKEN: u32 = 3;
const WITH_ANOTHER: u32 = 3;

pub(super) struct FarmClient {
    number: usize,
    shared: Arc<Shared>,
    mix: Mix,
    /// Which node it asks, and the connection to there.
    node: usize,
    connection: Option<Client>,
    pub(super) history: History,
    pub(super) counts: FarmCounts,
}

impl FarmClient {
    pub(super) fn new(number: usize, shared: Arc<Shared>) -> Self {
        Self::at(number, number % shared.nodes.len(), shared)
    }

    pub(super) fn at(number: usize, node: usize, shared: Arc<Shared>) -> Self {
        let rng = SmallRng::seed_from_u64(shared.seed.wrapping_mul(41).wrapping_add(number as u64));
        Self {
            number,
            mix: Mix::new(number, rng, VALUE_BYTES, None),
            node,
            connection: None,
            history: History::begun_at(shared.begin),
            counts: FarmCounts::default(),
            shared,
        }
    }

    pub(super) fn run(mut self) -> Self {
        let shared = self.shared.clone();
        while !shared.stop.load(Ordering::SeqCst) {
            // The pace of the load. Nothing is waited for.
            std::thread::sleep(THINK.mul_f64(self.mix.rng.random()));
            if shared.rest.load(Ordering::SeqCst) {
                continue;
            }
            if self.mix.rng.random_bool(0.1) {
                self.goes_elsewhere();
            }
            let Some(key) = keys().choose(&mut self.mix.rng) else { return self };
            match self.mix.rng.random_range(0..100) {
                dice if dice < WITHOUT_A_TOKEN => self.is_refused(&key, &Request::read(), None, 401),
                dice if dice < WITHOUT_A_TOKEN + WITH_ANOTHER => {
                    let (value, body) = self.mix.next_value();
                    let reads_only = shared.reads_only.clone();
                    self.is_refused(&key, &Request::store(value, body), Some(&reads_only), 403);
                }
                _ => {
                    let request = self.mix.choose(&key, true);
                    if self.act(&key, &request) != Outcome::Ok {
                        self.goes_elsewhere();
                    }
                }
            }
        }
        self
    }

    fn goes_elsewhere(&mut self) {
        self.node = self.mix.rng.random_range(0..self.shared.nodes.len());
        self.connection = None;
    }

    /// Asks with a token that does not allow it: whoever answers says so.
    fn is_refused(&mut self, key: &str, request: &Request, token: Option<&str>, expected: u16) {
        let token = token.map(str::to_owned);
        if let Ok(answer) = self.ask(key, request, token.as_deref())
            && answer.status != 503
            && answer.status != expected
        {
            let (method, status) = (request.method, answer.status);
            self.shared
                .is_wrong(format!("{method} of {key} was to be answered with {expected}, and was with {status}"));
        }
    }

    /// One request to its end, asked again if it has a name, with all that is written down about it.
    pub(super) fn act(&mut self, key: &str, request: &Request) -> Outcome {
        let (start, token) = (Instant::now(), self.shared.token.clone());
        let mut in_doubt = false;
        let mut answered = self.ask(key, request, Some(&token));
        for _ in 1..TRIES {
            let Some(may_have_been_done) = request.asks_again(&answered) else { break };
            in_doubt |= may_have_been_done;
            self.counts.asked_again += 1;
            std::thread::sleep(BETWEEN_TRIES.mul_f64(self.mix.rng.random()));
            self.goes_elsewhere();
            answered = self.ask(key, request, Some(&token));
        }
        let (action, outcome) = match request.concludes(&answered, in_doubt) {
            Concluded::Nothing => {
                self.counts.without_room += usize::from(answered.is_ok_and(|answer| answer.status == 507));
                return Outcome::Ok;
            }
            Concluded::Came(action, outcome) => (action, outcome),
            Concluded::Wrong(status) => {
                self.shared.is_wrong(format!("{} of {key} was answered with {status}", request.method));
                (request.action, Outcome::Ambiguous)
            }
        };
        self.counts.unanswered += usize::from(outcome != Outcome::Ok);
        let was_renewed = request.method == "PATCH" && answered.as_ref().is_ok_and(|answer| answer.status == 204);
        self.counts.renewed += usize::from(was_renewed);
        self.mix.learns(key, (action, outcome), answered.as_ref().ok());
        self.history.record(self.number, key, action, start, outcome);
        outcome
    }

    /// Sends it once, on a connection that is open as far as can be known. Whoever listens nowhere has seen nothing of it.
    fn ask(&mut self, key: &str, request: &Request, token: Option<&str>) -> Result<Answer, Unanswered> {
        for _ in 0..self.shared.nodes.len() {
            let kept = self.connection.take().filter(|connection| !connection.has_been_closed());
            let connected = match kept {
                Some(connection) => Ok(connection),
                None => Client::connect_patiently(self.shared.nodes[self.node], PATIENCE),
            };
            let mut connection = match connected {
                Ok(connection) => connection,
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    self.node = (self.node + 1) % self.shared.nodes.len();
                    continue;
                }
                Err(_) => return Err(Unanswered::NotSent),
            };
            let answer = connection.request(request.method, &target_of(key), &request.head(token), &request.body);
            let answer = answer.map_err(|_| Unanswered::Lost)?;
            let stays = answer.header("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
            self.connection = stays.then_some(connection);
            return Ok(answer);
        }
        Err(Unanswered::NotSent)
    }
}
