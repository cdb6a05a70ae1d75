//! Who asks for what, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::args::Bench;
use super::mix::Mix;
use super::tally::{Kind, Tally};
use crate::exit::{Failure, Status};
use crate::output;
use crate::session_client::{Ask, Connection};

/// How often it says how far it is, on standard error.
const SAY_AGAIN: Duration = Duration::from_secs(1);
/// After a connection that was refused, so that a node which is down is not asked a million times.
const CONNECT_AGAIN: Duration = Duration::from_millis(100);

/// What came of it.
pub(super) struct Measured {
    pub(super) tally: Tally,
    pub(super) lasted: Duration,
}

/// When a connection's requests are due. Those of all connections together come evenly.
#[derive(Debug, Clone, Copy)]
struct Schedule {
    begin: Instant,
    connection: u32,
    connections: u32,
    rate: u32,
}

impl Schedule {
    fn due(&self, nth: u64) -> Instant {
        let before = nth * u64::from(self.connections) + u64::from(self.connection);
        let nanos = u128::from(before) * 1_000_000_000 / u128::from(self.rate);
        self.begin + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Waits until a request is due, and says when that was; at the end, how many were due before and not sent.
    async fn turn(&self, nth: u64, end: Instant) -> Result<Instant, u64> {
        let due = self.due(nth);
        if due >= end {
            sleep_until(end).await;
            return Err(0);
        }
        // The one before it took until then. That is not to be asked after the timer, which may be late by itself.
        if Instant::now() >= end {
            return Err(self.due_before(end).saturating_sub(nth));
        }
        sleep_until(due).await;
        Ok(due)
    }

    /// How many of them are due before a moment.
    fn due_before(&self, end: Instant) -> u64 {
        let nanos = end.saturating_duration_since(self.begin).as_nanos();
        let all = u64::try_from((nanos * u128::from(self.rate)).div_ceil(1_000_000_000)).unwrap_or(u64::MAX);
        all.saturating_sub(u64::from(self.connection)).div_ceil(u64::from(self.connections))
    }
}

struct Client {
    connection: Connection,
    rng: SmallRng,
    keys: u64,
    value: Bytes,
    ttl: u64,
    done: Arc<AtomicU64>,
}

/// Fills the store, and then measures.
pub(super) async fn measure(bench: &Bench) -> Result<Measured, Failure> {
    let done = Arc::new(AtomicU64::new(0));
    let mut clients = Vec::new();
    for nth in 0..bench.connections {
        let endpoint = &bench.urls[nth as usize % bench.urls.len()];
        let mut connection = Connection::to(endpoint.clone(), None);
        connection.open().await.map_err(|error| {
            let sentence = format!("nobody answers at {endpoint}: {error}; `sessile dev` starts a node to try");
            Failure::new(Status::Unavailable, sentence)
        })?;
        let mut rng = SmallRng::seed_from_u64(u64::from(nth));
        let mut value = vec![0; bench.value_bytes as usize];
        rng.fill_bytes(&mut value);
        let (value, ttl) = (value.into(), bench.ttl.into());
        clients.push(Client { connection, rng, keys: bench.keys, value, ttl, done: done.clone() });
    }
    if !bench.no_fill {
        clients = in_sight("filled", &done, fill(clients)).await?;
    }
    done.store(0, Ordering::Relaxed);
    in_sight("asked", &done, ask_all(bench, clients)).await
}

/// Says once a second how far it is.
async fn in_sight<T>(what: &str, done: &AtomicU64, work: impl Future<Output = T>) -> T {
    let (mut work, mut before) = (std::pin::pin!(work), 0);
    loop {
        tokio::select! {
            ended = &mut work => return ended,
            () = sleep(SAY_AGAIN) => {
                let now = done.load(Ordering::Relaxed);
                output::to_stderr(&format!("{what} {now}, {} in the last second\n", now.saturating_sub(before)));
                before = now;
            }
        }
    }
}

async fn fill(clients: Vec<Client>) -> Result<Vec<Client>, Failure> {
    let step = clients.len();
    let mut filling = JoinSet::new();
    for (first, mut client) in clients.into_iter().enumerate() {
        filling.spawn(async move {
            for nth in (first as u64..client.keys).step_by(step) {
                let stored = client.connection.ask(&key(nth), client.set(), 0).await.map(|answer| answer.status);
                client.done.fetch_add(1, Ordering::Relaxed);
                match stored {
                    Ok(StatusCode::CREATED) => {}
                    Ok(status) => return Err(refused(&format!("answered a write with {status}"))),
                    Err(none) => return Err(refused(none.why())),
                }
            }
            Ok(client)
        });
    }
    let mut filled = Vec::new();
    while let Some(ended) = filling.join_next().await {
        filled.push(ended.map_err(|error| Failure::new(Status::Failure, error))??);
    }
    Ok(filled)
}

fn refused(what: &str) -> Failure {
    let sentence = format!("the store cannot be filled: it {what}; see `sessile status`");
    Failure::new(Status::Failure, sentence)
}

async fn ask_all(bench: &Bench, clients: Vec<Client>) -> Result<Measured, Failure> {
    let begin = Instant::now();
    let end = begin + bench.duration;
    let mut asking = JoinSet::new();
    for (nth, client) in (0..).zip(clients) {
        let schedule = bench.rate.map(|rate| Schedule { begin, connection: nth, connections: bench.connections, rate });
        asking.spawn(client.asks(bench.mix, bench.misses, schedule, end));
    }
    let mut tally = Tally::new();
    while let Some(ended) = asking.join_next().await {
        tally.add(&ended.map_err(|error| Failure::new(Status::Failure, error))?);
    }
    Ok(Measured { tally, lasted: begin.elapsed() })
}

impl Client {
    fn set(&self) -> Ask {
        Ask::Set { value: self.value.clone(), ttl: Some(self.ttl), only_if_absent: false }
    }

    async fn asks(mut self, mix: Mix, misses: u8, schedule: Option<Schedule>, end: Instant) -> Tally {
        let mut tally = Tally::new();
        for nth in 0.. {
            let turn = match schedule {
                Some(schedule) => schedule.turn(nth, end).await,
                None => Some(Instant::now()).filter(|now| *now < end).ok_or(0),
            };
            match turn {
                // Not when it could be sent at last: who waited for the one before waited for this one too.
                Ok(due) => self.asks_once(mix, misses, due, &mut tally).await,
                Err(unsent) => {
                    tally.unsent = unsent;
                    break;
                }
            }
        }
        tally
    }

    async fn asks_once(&mut self, mix: Mix, misses: u8, due: Instant, tally: &mut Tally) {
        let (kind, nth) = (mix.draw(&mut self.rng), self.rng.random_range(0..self.keys));
        let (key, ask) = match kind {
            Kind::Get if self.rng.random_range(0..100) < misses => (format!("bench:never-{nth}"), Ask::Get),
            Kind::Get => (key(nth), Ask::Get),
            Kind::Set => (key(nth), self.set()),
            Kind::Delete => (key(nth), Ask::Delete(None)),
        };
        let answered = self.connection.ask(&key, ask, 0).await.map(|answer| answer.status);
        self.done.fetch_add(1, Ordering::Relaxed);
        match answered {
            Ok(status) if as_expected(kind, status) => tally.answered(kind, due.elapsed()),
            Ok(status) => tally.failed(format!("{} answered with {}", kind.name(), status.as_u16())),
            Err(none) => {
                tally.failed(none.why().into());
                sleep(CONNECT_AGAIN).await;
            }
        }
    }
}

fn as_expected(kind: Kind, status: StatusCode) -> bool {
    match kind {
        Kind::Get => matches!(status, StatusCode::OK | StatusCode::NOT_FOUND),
        Kind::Set => status == StatusCode::CREATED,
        Kind::Delete => status == StatusCode::NO_CONTENT,
    }
}

/// In a group of its own, so that metrics and quotas tell these sessions apart.
fn key(nth: u64) -> String {
    format!("bench:session-{nth}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_all_connections_are_due_evenly() {
        let begin = Instant::now();
        let schedule = |connection| Schedule { begin, connection, connections: 3, rate: 1_000 };
        let mut due: Vec<Duration> =
            (0..3).flat_map(|connection| (0..2).map(move |nth| schedule(connection).due(nth) - begin)).collect();
        due.sort();
        assert_eq!(due, (0..6).map(Duration::from_millis).collect::<Vec<_>>());
        for millis in [0, 1, 2, 3, 4, 100] {
            let end = begin + Duration::from_millis(millis);
            let all: u64 = (0..3).map(|connection| schedule(connection).due_before(end)).sum();
            assert_eq!(all, millis, "as many as milliseconds");
        }
    }

    /// Timers go by whole milliseconds: a load of which a request is due in the last one has not failed to send it.
    #[tokio::test(start_paused = true)]
    async fn only_what_an_answer_held_up_until_the_end_was_not_sent() {
        let begin = Instant::now();
        let schedule = Schedule { begin, connection: 0, connections: 1, rate: 800 };
        let end = begin + Duration::from_micros(3_900);
        for nth in 0..=3 {
            assert_eq!(schedule.turn(nth, end).await, Ok(schedule.due(nth)), "one every 1.25 ms");
        }
        assert!(Instant::now() >= end, "the timer was late for the last, which was due at 3.75 ms");
        assert_eq!(schedule.turn(4, end).await, Err(0), "it is due after the end");
        assert_eq!(schedule.turn(2, end).await, Err(2), "the one before it was answered too late");
    }
}
