//! Requests that try all of the session API, in the mix in which simulated clients and those of real processes make them, and
//! what a client knows after their answers.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand::Rng;
use rand::rngs::SmallRng;

use crate::{Action, Answer, Outcome, Value};

/// A client's number stands above the serial of its writes.
const SERIAL_BITS: u32 = 24;
/// A value that is nobody's.
const FOREIGN: Value = Value::MAX;
/// How often a request with a name is asked that may have had an effect or not.
pub(crate) const TRIES: usize = 8;

/// One request and what it means.
pub(crate) struct Request {
    pub(crate) method: &'static str,
    /// Whole lines, each with its CRLF.
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
    pub(crate) action: Action,
    pub(crate) lasts: Option<Duration>,
    /// What it is called by, so that it can be asked again.
    pub(crate) name: Option<String>,
}

/// A request that got no answer.
pub(crate) enum Unanswered {
    /// Nobody has seen it.
    NotSent,
    /// Nobody knows what came of it.
    Lost,
}

/// What came of a request.
pub(crate) enum Concluded {
    /// The namespace answered, and not the key: it was not there yet, or has as many keys as it may have.
    Nothing,
    /// This, as far as its client knows.
    Came(Action, Outcome),
    /// It was answered with this status, and nobody should be.
    Wrong(u16),
}

impl Request {
    pub(crate) fn of(method: &'static str, action: Action) -> Self {
        Self { method, headers: String::new(), body: Vec::new(), action, lasts: None, name: None }
    }

    /// Reads what is there.
    pub(crate) fn read() -> Self {
        Self::of("GET", Action::Get(None))
    }

    /// Stores a value, whatever is there.
    pub(crate) fn store(value: Value, body: Vec<u8>) -> Self {
        Self { body, ..Self::of("POST", Action::Put(value)) }
    }

    /// All its headers but `Host` and `Content-Length`, with that bearer token if there is one.
    pub(crate) fn head(&self, token: Option<&str>) -> String {
        let name = self.name.as_ref().map_or_else(String::new, |name| format!("Idempotency-Key: {name}\r\n"));
        let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        format!("{token}{}{name}", self.headers)
    }

    /// Whether it is asked again after that answer; and if so, whether this try may have had an effect.
    pub(crate) fn asks_again(&self, answered: &Result<Answer, Unanswered>) -> Option<bool> {
        self.name.as_ref()?;
        match answered {
            Ok(answer) if answer.status != 503 => None,
            // Whoever asks again while a member is of before waits for as long as it is.
            Ok(answer) if says(answer, "upgrade_unfinished") => None,
            Ok(answer) => Some(says(answer, "outcome_unknown")),
            Err(Unanswered::NotSent) => Some(false),
            Err(Unanswered::Lost) => Some(true),
        }
    }

    /// What came of it by its last answer; `in_doubt` if an earlier try may have had an effect that this one does not tell.
    pub(crate) fn concludes(&self, answered: &Result<Answer, Unanswered>, in_doubt: bool) -> Concluded {
        let (action, outcome) = match answered {
            Ok(answer) if self.is_answered_by_the_namespace(answer) => {
                if !in_doubt {
                    return Concluded::Nothing;
                }
                (self.action, Outcome::Failed)
            }
            Ok(answer) => match self.judge(answer) {
                Some(judged) => judged,
                None => return Concluded::Wrong(answer.status),
            },
            Err(Unanswered::NotSent) => (self.action, Outcome::Failed),
            Err(Unanswered::Lost) => (self.action, Outcome::Ambiguous),
        };
        let is_unknown = outcome == Outcome::Failed && in_doubt;
        Concluded::Came(action, if is_unknown { Outcome::Ambiguous } else { outcome })
    }

    fn is_answered_by_the_namespace(&self, answer: &Answer) -> bool {
        answer.status == 507 || (answer.status == 404 && !matches!(self.action, Action::Get(_)))
    }

    /// What a client knows after this answer; `None` if there should be no such answer.
    fn judge(&self, answer: &Answer) -> Option<(Action, Outcome)> {
        if answer.status == 503 || answer.status == 507 {
            let unknown = says(answer, "outcome_unknown");
            return Some((self.action, if unknown { Outcome::Ambiguous } else { Outcome::Failed }));
        }
        let action = match (self.action, answer.status) {
            (Action::Get(_), 200) => Action::Get(Some(value_of(answer))),
            (Action::Get(_), 404) => Action::Get(None),
            (Action::Take(_), 200) => Action::Take(Some(value_of(answer))),
            (Action::Take(_), 204) => Action::Take(None),
            // A renewal shows what is there as a read does.
            (Action::DeleteIf { expected, .. }, 204) if self.method == "PATCH" => Action::Get(Some(expected)),
            (Action::Put(_), 201) | (Action::Delete, 204) => self.action,
            (Action::PutIf { .. }, 201) | (Action::DeleteIf { .. }, 204) => self.action,
            (Action::PutIf { expected, value, .. }, 412) => Action::PutIf { expected, value, done: false },
            (Action::DeleteIf { expected, .. }, 412) => Action::DeleteIf { expected, done: false },
            _ => return None,
        };
        Some((action, Outcome::Ok))
    }
}

/// Whether its body has that word.
pub(crate) fn says(answer: &Answer, word: &str) -> bool {
    String::from_utf8_lossy(&answer.body).contains(word)
}

fn value_of(answer: &Answer) -> Value {
    let number = answer.body.get(..16).and_then(|number| std::str::from_utf8(number).ok());
    number.and_then(|number| Value::from_str_radix(number, 16).ok()).unwrap_or(FOREIGN)
}

/// One client's: it draws what is asked, and remembers what it was shown.
pub(crate) struct Mix {
    number: usize,
    pub(crate) rng: SmallRng,
    serial: u64,
    /// The last that is known of a key: its value and its entity tag.
    known: BTreeMap<String, (Value, String)>,
    /// How many bytes the largest value has.
    value_bytes: usize,
    /// Lifetimes that are asked for, in seconds; none, if there are none.
    lifetimes: Option<RangeInclusive<u64>>,
}

impl Mix {
    pub(crate) fn new(
        number: usize,
        rng: SmallRng,
        value_bytes: usize,
        lifetimes: Option<RangeInclusive<u64>>,
    ) -> Self {
        Self { number, rng, serial: 0, known: BTreeMap::new(), value_bytes, lifetimes }
    }

    /// The next request to a key. What `may_be_renewed` is in a namespace where nobody minds a lifetime that becomes longer.
    pub(crate) fn choose(&mut self, key: &str, may_be_renewed: bool) -> Request {
        let known = self.known.get(key).cloned();
        let if_match = |tag: String| format!("If-Match: {tag}\r\n");
        match (self.rng.random_range(0..100), known) {
            (0..45, _) => Request::read(),
            (45..50, _) => Request::of("DELETE", Action::Delete),
            (50..55, _) => {
                let take = Request::of("DELETE", Action::Take(None));
                Request { headers: "Prefer: return=representation\r\n".into(), name: self.name(), ..take }
            }
            (55..60, Some((expected, tag))) => {
                let delete = Request::of("DELETE", Action::DeleteIf { expected, done: true });
                Request { headers: if_match(tag), ..delete }
            }
            (60..67, _) => {
                let (value, body) = self.next_value();
                let put = Request::of("PUT", Action::PutIf { expected: None, value, done: true });
                Request { headers: "If-None-Match: *\r\n".into(), body, name: self.name(), ..put }
            }
            (67..70, Some((expected, tag))) if may_be_renewed => {
                let renew = Request::of("PATCH", Action::DeleteIf { expected, done: false });
                Request { headers: if_match(tag), ..renew }
            }
            (67..77, Some((expected, tag))) => {
                let (value, body) = self.next_value();
                let put = Request::of("PUT", Action::PutIf { expected: Some(expected), value, done: true });
                Request { headers: if_match(tag), body, name: self.name(), ..put }
            }
            (dice, _) => {
                let (value, body) = self.next_value();
                let lifetimes = self.lifetimes.clone().filter(|_| dice >= 90);
                let lasts = lifetimes.map(|lifetimes| self.rng.random_range(lifetimes));
                let headers = lasts.map_or_else(String::new, |seconds| format!("TTL: {seconds}\r\n"));
                Request { headers, lasts: lasts.map(Duration::from_secs), ..Request::store(value, body) }
            }
        }
    }

    /// Half of what may be asked again is.
    fn name(&mut self) -> Option<String> {
        self.serial += 1;
        self.rng.random_bool(0.5).then(|| format!("{}-{}", self.number, self.serial))
    }

    /// A value, and its bytes: its number, and then some.
    pub(crate) fn next_value(&mut self) -> (Value, Vec<u8>) {
        self.serial += 1;
        let value = (self.number as u64 + 1) << SERIAL_BITS | self.serial;
        let mut body = format!("{value:016x}").into_bytes();
        body.resize(self.rng.random_range(16..=self.value_bytes), b'.');
        (value, body)
    }

    /// Remembers what an answer showed of a key; that is given, too.
    pub(crate) fn learns(
        &mut self,
        key: &str,
        (action, outcome): (Action, Outcome),
        answer: Option<&Answer>,
    ) -> Option<(Value, String)> {
        let value = match (outcome, action) {
            (Outcome::Ok, Action::Get(Some(value)) | Action::Put(value) | Action::PutIf { value, done: true, .. }) => {
                value
            }
            _ => return None,
        };
        let shown = (value, answer?.header("etag")?.to_owned());
        self.known.insert(key.into(), shown.clone());
        Some(shown)
    }
}
