//! What clients were told, and what must be found after whatever happened.

use std::io;

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use sessile_testkit::{Answer, Client};

use crate::world::BASE;

/// The keys of one writer. Nobody else writes them, so what may be found is the last acknowledged write, or one that was
/// sent after it and got no answer.
pub(crate) struct Ledger {
    keys: Vec<Entry>,
    rng: SmallRng,
    sizes: std::ops::RangeInclusive<usize>,
    serial: u64,
    /// Writes that were acknowledged.
    pub(crate) acknowledged: u64,
}

struct Entry {
    key: String,
    current: Option<Stored>,
    /// Sent since the last acknowledgement, and no answer came: any of them may have happened, or none.
    unanswered: Vec<Option<Stored>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Stored {
    serial: u64,
    bytes: usize,
    /// What the acknowledgement said; of an unanswered write, what was read first.
    etag: Option<String>,
}

/// How one try went.
#[derive(Debug)]
pub(crate) enum Tried {
    Answered,
    /// A status that leaves open whether it was done.
    Refused(Answer),
    /// The connection ended.
    Unanswered(#[expect(dead_code, reason = "shown by Debug")] io::Error),
}

impl Ledger {
    pub(crate) fn new(writer: usize, keys: usize, seed: u64) -> Self {
        let key = |n| Entry { key: format!("wiki{}:w{writer}k{n}", n % 3), current: None, unanswered: Vec::new() };
        let rng = SmallRng::seed_from_u64(seed ^ (writer as u64) << 32);
        Self { keys: (0..keys).map(key).collect(), rng, sizes: 1..=12 << 10, serial: 0, acknowledged: 0 }
    }

    /// The keys that it writes.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.keys.iter().map(|entry| entry.key.clone()).collect()
    }

    /// How long values are from now on, in bytes.
    pub(crate) fn values_of(&mut self, sizes: std::ops::RangeInclusive<usize>) {
        self.sizes = sizes;
    }

    /// Writes, deletes or reads one of the keys. Panics on an answer that cannot be.
    pub(crate) fn act(&mut self, client: &mut Client) -> Tried {
        let at = self.rng.random_range(0..self.keys.len());
        let dice = self.rng.random_range(0..100);
        let target = format!("{BASE}{}", self.keys[at].key);
        if dice < 10 {
            return match client.request("GET", &target, "", b"") {
                Ok(answer) if answer.status == 200 || answer.status == 404 => {
                    self.keys[at].check(&answer);
                    Tried::Answered
                }
                Ok(answer) => Tried::Refused(answer),
                Err(error) => Tried::Unanswered(error),
            };
        }
        let (method, stored) = match dice {
            10..30 => ("DELETE", None),
            30..60 => ("POST", Some(self.next_value())),
            _ => ("PUT", Some(self.next_value())),
        };
        let entry = &mut self.keys[at];
        let body = stored.as_ref().map(|stored| stored.value(&entry.key)).unwrap_or_default();
        match client.request(method, &target, "", &body) {
            Ok(answer) if answer.status == if stored.is_some() { 201 } else { 204 } => {
                let etag = answer.header("etag").map(str::to_owned);
                entry.current = stored.map(|stored| Stored { etag, ..stored });
                // They are all before it in the log, or nowhere.
                entry.unanswered.clear();
                self.acknowledged += 1;
                Tried::Answered
            }
            Ok(answer) => {
                entry.unanswered.push(stored);
                Tried::Refused(answer)
            }
            Err(error) => {
                entry.unanswered.push(stored);
                Tried::Unanswered(error)
            }
        }
    }

    /// Reads every key. What is found is settled from now on.
    pub(crate) fn verify(&mut self, client: &mut Client) {
        for entry in &mut self.keys {
            let answer = client.request("GET", &format!("{BASE}{}", entry.key), "", b"").unwrap();
            entry.check(&answer);
        }
    }

    fn next_value(&mut self) -> Stored {
        self.serial += 1;
        Stored { serial: self.serial, bytes: self.rng.random_range(self.sizes.clone()), etag: None }
    }
}

impl Entry {
    /// An answer to GET shows the last acknowledged write, or an unanswered one after it, and nothing else.
    fn check(&mut self, answer: &Answer) {
        let etag = answer.header("etag").map(str::to_owned);
        let mut unanswered = std::mem::take(&mut self.unanswered).into_iter();
        if let Some(done) = unanswered.find(|stored| shows(answer, &self.key, stored.as_ref())) {
            self.current = done.map(|stored| Stored { etag, ..stored });
            return;
        }
        let (key, current) = (&self.key, self.current.as_ref());
        if !shows(answer, key, current) {
            let expected = current.map(|stored| (stored.serial, stored.bytes));
            let found = (answer.status, answer.body.len(), serial_of(&answer.body));
            panic!("{key}: acknowledged was (serial, bytes) {expected:?}, found (status, bytes, serial) {found:?}");
        }
        assert_eq!(
            etag,
            current.and_then(|stored| stored.etag.clone()),
            "{key} has the version it was acknowledged with"
        );
    }
}

impl Stored {
    /// The serial, and then bytes that nobody else would have made of it: half a value or two mixed are no value.
    fn value(&self, key: &str) -> Vec<u8> {
        let mut value = vec![0; self.bytes.max(SERIAL_BYTES)];
        let salt = key.bytes().fold(self.serial, |salt, byte| salt.wrapping_mul(31).wrapping_add(byte.into()));
        SmallRng::seed_from_u64(salt).fill_bytes(&mut value);
        value[..SERIAL_BYTES].copy_from_slice(&self.serial.to_le_bytes());
        value
    }
}

const SERIAL_BYTES: usize = 8;

fn serial_of(value: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(value.get(..SERIAL_BYTES)?.try_into().ok()?))
}

fn shows(answer: &Answer, key: &str, stored: Option<&Stored>) -> bool {
    match stored {
        None => answer.status == 404,
        Some(stored) => answer.status == 200 && answer.body == stored.value(key),
    }
}
