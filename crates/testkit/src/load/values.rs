//! Keys and values, and how an answer is judged.

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};

use super::LoadOptions;
use crate::{Answer, Outcome, Value};

/// Where the sessions are.
const BASE: &str = "/sessions/v1/";
/// One of so many keys is CentralAuth's, with a small value.
const CENTRAL_EVERY: usize = 10;
const CENTRAL_BYTES: std::ops::RangeInclusive<usize> = 200..=300;
/// Of the others; 2 KB in the mean.
const SESSION_BYTES: std::ops::RangeInclusive<usize> = 500..=3500;
/// The first bytes of a value are its number, in hexadecimal.
const NUMBER_BYTES: usize = 16;
/// A value that is none of ours, or not whole: no write has this number.
const FOREIGN: Value = Value::MAX;

pub(super) fn keys(options: LoadOptions) -> Vec<String> {
    let mut rng = SmallRng::seed_from_u64(options.seed);
    let key = |nth: usize| {
        let id: u128 = rng.random();
        match nth {
            nth if nth % CENTRAL_EVERY == CENTRAL_EVERY - 1 => format!("global:centralauth:sessions:{id:032x}"),
            nth if nth % 3 == 0 => format!("dewiki:MWSession:{id:032x}"),
            _ => format!("enwiki:MWSession:{id:032x}"),
        }
    };
    (0..options.keys).map(key).collect()
}

/// As MediaWiki sends it.
pub(super) fn target_of(key: &str) -> String {
    format!("{BASE}{}", key.replace(':', "%3A"))
}

/// Its number, and then bytes that nobody else would have made of it: half a value or two mixed are none of ours.
pub(super) fn value_bytes(value: Value, key: &str) -> Vec<u8> {
    let salt = key.bytes().fold(value, |salt, byte| salt.wrapping_mul(31).wrapping_add(byte.into()));
    let mut rng = SmallRng::seed_from_u64(salt);
    let bytes = if key.starts_with("global:") { CENTRAL_BYTES } else { SESSION_BYTES };
    let mut bytes = vec![0; rng.random_range(bytes)];
    rng.fill_bytes(&mut bytes);
    bytes[..NUMBER_BYTES].copy_from_slice(format!("{value:016x}").as_bytes());
    bytes
}

/// What a read found, byte for byte.
pub(super) fn read_value(answer: &Answer, key: &str) -> Option<Value> {
    if answer.status != 200 {
        return None;
    }
    let number = answer.body.get(..NUMBER_BYTES).and_then(|number| std::str::from_utf8(number).ok());
    let value = number.and_then(|number| Value::from_str_radix(number, 16).ok());
    Some(value.filter(|value| answer.body == value_bytes(*value, key)).unwrap_or(FOREIGN))
}

/// What a client knows after this answer, and why it is a failure if it is one.
pub(super) fn judge(method: &str, answer: &Answer) -> (Outcome, Option<String>) {
    let expected: &[u16] = match method {
        "GET" => &[200, 404],
        "DELETE" => &[204],
        _ => &[201],
    };
    if expected.contains(&answer.status) {
        return (Outcome::Ok, None);
    }
    let problem = answer.text();
    let kind = problem.split("\"type\": \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    let kind = kind.rsplit('/').next().unwrap_or_default();
    // A 503 changed nothing, except where it says that it does not know.
    let outcome = if answer.status == 503 && kind != "outcome_unknown" { Outcome::Failed } else { Outcome::Ambiguous };
    (outcome, Some(format!("{method}: {} {kind}", answer.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_whole_is_nobodys() {
        let whole = Answer { status: 200, headers: Vec::new(), body: value_bytes(77, "k") };
        assert_eq!(read_value(&whole, "k"), Some(77));
        assert_eq!(read_value(&whole, "another"), Some(FOREIGN));
        let half = Answer { body: whole.body[..100].to_vec(), ..whole };
        assert_eq!(read_value(&half, "k"), Some(FOREIGN));
    }
}
