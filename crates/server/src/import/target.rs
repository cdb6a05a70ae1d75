//! The store that is copied to: one connection that writes one value after the other, and waits where it is told to.

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::time::{Instant, sleep, sleep_until};

use super::fate::{Again, Lifetime, Stop, Verdict, Written, is_ours, judge};
use super::source::Lives;
use crate::session_client::{Answer, Ask, Connection, Endpoint};

/// After an answer that does not say when to come again: an election takes a second.
const COME_AGAIN: Duration = Duration::from_millis(250);
/// No answer has a node wait for longer, whatever it says.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// An error's body has 500 bytes.
const ERROR_BYTES: usize = 8 * 1024;

/// A session on its way.
pub(super) struct Item {
    /// Its key in the source.
    pub(super) source_key: Bytes,
    /// Its key in the target, percent-encoded.
    pub(super) key: String,
    pub(super) value: Bytes,
    pub(super) lives: Lives,
}

/// So many writes a second, of all connections together.
pub(super) struct Pace {
    between: Duration,
    next: Cell<Instant>,
}

impl Pace {
    pub(super) fn of(rate: Option<u32>) -> Self {
        let between = rate.map_or(Duration::ZERO, |rate| Duration::from_secs(1) / rate);
        Self { between, next: Cell::new(Instant::now()) }
    }

    /// Waits for the turn of one more. What was not used is not made up for: a target that was down is not flooded.
    pub(super) async fn turn(&self) {
        if self.between.is_zero() {
            return;
        }
        let due = self.next.get().max(Instant::now());
        self.next.set(due + self.between);
        sleep_until(due).await;
    }
}

pub(super) struct Target {
    endpoints: Vec<Endpoint>,
    /// Which of them is asked now.
    at: usize,
    connection: Connection,
    patience: Duration,
}

impl Target {
    /// The `nth` connection of several: they begin with different endpoints.
    pub(super) fn new(endpoints: &[Endpoint], nth: usize, token: Option<HeaderValue>, patience: Duration) -> Self {
        let at = nth % endpoints.len();
        let connection = Connection::to(endpoints[at].clone(), token);
        Self { endpoints: endpoints.to_vec(), at, connection, patience }
    }

    pub(super) async fn open(&mut self) -> std::io::Result<()> {
        self.connection.open().await
    }

    /// Stores a session if there is none of its key.
    pub(super) async fn put(&mut self, item: &Item) -> Result<Written, Stop> {
        let begin = Instant::now();
        let mut unsure = false;
        loop {
            let ttl = Lifetime::left(item.lives, Instant::now());
            if ttl == Lifetime::Over {
                return Ok(Written::Expired);
            }
            let ask = Ask::Set { value: item.value.clone(), ttl: ttl.seconds(), only_if_absent: true };
            let verdict = match self.connection.ask(&item.key, ask, ERROR_BYTES).await {
                Ok(answer) => judge(&answer, ttl),
                Err(none) => Verdict::Again(Again::after(none)),
            };
            match verdict {
                Verdict::Done(Written::There) if unsure => return Ok(self.ours_or_there(item).await),
                Verdict::Done(written) => return Ok(written),
                Verdict::Stop(stop) => return Err(stop),
                Verdict::Again(again) => {
                    unsure |= again.may_have_happened;
                    self.wait(begin, again).await?;
                }
            }
        }
    }

    /// After an attempt whose outcome is not known.
    async fn ours_or_there(&mut self, item: &Item) -> Written {
        // A byte more, so that a longer value is another one.
        let keep = item.value.len() + 1;
        let answer = self.connection.ask(&item.key, Ask::Get, keep).await;
        let tag = answer.ok().and_then(|answer| is_ours(&answer, &item.value));
        tag.map_or(Written::There, |tag| Written::New { tag, shortened: false })
    }

    /// Removes what was stored under that entity tag, and nothing that is newer. Says whether it was there.
    pub(super) async fn take_back(&mut self, key: &str, tag: &HeaderValue) -> Result<bool, Stop> {
        let begin = Instant::now();
        loop {
            let answered = self.connection.ask(key, Ask::Delete(Some(tag.clone())), ERROR_BYTES).await;
            let again = match answered.map(|answer| (answer.status, judge_delete(&answer))) {
                Ok((status, Verdict::Done(_))) => return Ok(status != StatusCode::PRECONDITION_FAILED),
                Ok((_, Verdict::Stop(stop))) => return Err(stop),
                Ok((_, Verdict::Again(again))) => again,
                Err(none) => Again::after(none),
            };
            self.wait(begin, again).await?;
        }
    }

    /// Waits before one more attempt, which goes to the next endpoint; not for longer than the patience, all in all.
    async fn wait(&mut self, begin: Instant, again: Again) -> Result<(), Stop> {
        let wait = again.wait.unwrap_or(COME_AGAIN).min(LONGEST_WAIT);
        if begin.elapsed() + wait > self.patience {
            return Err(Stop::GaveUp { waited: self.patience, why: again.why });
        }
        sleep(wait).await;
        self.at = (self.at + 1) % self.endpoints.len();
        self.connection.go_to(self.endpoints[self.at].clone());
        Ok(())
    }
}

/// What an answer to a delete means; it has no entity tag to look for.
fn judge_delete(answer: &Answer) -> Verdict {
    match answer.status {
        StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Verdict::Done(Written::There),
        _ => judge(answer, Lifetime::Default),
    }
}
