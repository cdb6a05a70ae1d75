use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xxhash_rust::xxh3::Xxh3;

use crate::{Action, Condition, Delete, IdempotencyKey, LogTime, NamespaceId, Outcome, Put, Renew, SessionKey, Ttl};

/// How long an answer is remembered for a client that asks again: longer than any client, proxy or job queue that is
/// waited for repeats a request.
pub const ANSWERS_KEPT: Duration = Duration::from_secs(600);
/// The most answers that are remembered at a time: a hundred new ones a second. They are kept in memory.
pub const MAX_ANSWERS: usize = 65_536;
/// The most bytes of answers, with the values that they hand out and the idempotency keys.
pub const MAX_ANSWER_BYTES: usize = 32 << 20;

/// What a request was told whose client may ask again.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// A hash of the request.
    pub request: u128,
    /// What the clock showed then.
    pub at: LogTime,
    /// What came of it.
    pub outcome: Outcome,
}

/// What is remembered about an idempotency key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    /// Nothing, and there is room for an answer.
    Nothing,
    /// The same request was told that.
    Same(Outcome),
    /// Another request.
    Another,
    /// Nothing, and there is no room for an answer.
    NoRoom,
}

type Name = (NamespaceId, IdempotencyKey);

/// The answers of the last [`ANSWERS_KEPT`].
///
/// Invariants, checked by the properties in tests/:
/// - each is in the queue once, under its time;
/// - `bytes` is the sum of their weights;
/// - none is older than [`ANSWERS_KEPT`] by the clock that `pass` was told last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Answers {
    by_name: BTreeMap<Name, Answer>,
    oldest_first: BTreeSet<(LogTime, NamespaceId, IdempotencyKey)>,
    bytes: usize,
}

impl Answers {
    pub(crate) fn get(&self, namespace: NamespaceId, key: &IdempotencyKey) -> Option<&Answer> {
        // The tuple's key would have to be owned; a clone shares the bytes.
        self.by_name.get(&(namespace, key.clone()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (NamespaceId, &IdempotencyKey, &Answer)> {
        self.by_name.iter().map(|((namespace, key), answer)| (*namespace, key, answer))
    }

    /// What is remembered of a request, which may hand out a value of so many bytes.
    pub(crate) fn recall(
        &self,
        namespace: NamespaceId,
        key: &IdempotencyKey,
        request: u128,
        value_bytes: usize,
    ) -> Remembered {
        match self.get(namespace, key) {
            Some(answer) if answer.request == request => Remembered::Same(answer.outcome.clone()),
            Some(_) => Remembered::Another,
            None => {
                let weight = weight(key, &Outcome::Ticked) + value_bytes;
                let fits = self.by_name.len() < MAX_ANSWERS && self.bytes + weight <= MAX_ANSWER_BYTES;
                if fits { Remembered::Nothing } else { Remembered::NoRoom }
            }
        }
    }

    pub(crate) fn insert(&mut self, namespace: NamespaceId, key: IdempotencyKey, answer: Answer) {
        self.remove(namespace, &key);
        self.bytes += weight(&key, &answer.outcome);
        self.oldest_first.insert((answer.at, namespace, key.clone()));
        self.by_name.insert((namespace, key), answer);
    }

    fn remove(&mut self, namespace: NamespaceId, key: &IdempotencyKey) -> Option<Answer> {
        let name = (namespace, key.clone());
        let answer = self.by_name.remove(&name)?;
        self.bytes -= weight(key, &answer.outcome);
        self.oldest_first.remove(&(answer.at, name.0, name.1));
        Some(answer)
    }

    /// The next answer that is forgotten by that time.
    pub(crate) fn pass(&mut self, clock: LogTime) -> Option<(NamespaceId, IdempotencyKey, Answer)> {
        let (at, namespace, key) = self.oldest_first.first()?;
        if at.after(ANSWERS_KEPT) > clock {
            return None;
        }
        let (namespace, key) = (*namespace, key.clone());
        let answer = self.remove(namespace, &key)?;
        Some((namespace, key, answer))
    }
}

/// What an answer counts. Part of the rules.
fn weight(key: &IdempotencyKey, outcome: &Outcome) -> usize {
    key.as_bytes().len() + outcome.weight()
}

/// Whether an outcome is remembered: what a client would get again if it asked anew is not, nor what passes.
pub(crate) fn is_lasting(outcome: &Outcome) -> bool {
    use crate::Refusal::ConditionFailed;
    matches!(
        outcome,
        Outcome::Written { .. } | Outcome::Deleted { .. } | Outcome::Renewed { .. } | Outcome::Refused(ConditionFailed)
    )
}

/// Tells one request from another: a hash over the key and all that it asks for, in its own words: the lifetime that it
/// `asked` for, and not the one that was granted. It finds mistakes, not malice: who can
/// find two requests of one hash can only be told the answer to his own.
pub(crate) fn fingerprint(key: &SessionKey, action: &Action, asked: Option<Ttl>) -> u128 {
    let mut hasher = Xxh3::new();
    let asked = asked.and_then(Ttl::as_secs).unwrap_or(0);
    let (tag, numbers, condition, value): (u64, [u64; 2], &Condition, &[u8]) = match action {
        Action::Put(Put { value, ttl: _, condition }) => (1, [asked, 0], condition, value),
        Action::Delete(Delete { condition, take }) => (2, [u64::from(*take), 0], condition, &[]),
        Action::Renew(Renew { ttl: _, condition, if_due }) => (3, [asked, u64::from(*if_due)], condition, &[]),
    };
    let (kind, versions) = match condition {
        Condition::None => (0, None),
        Condition::Absent => (1, None),
        Condition::Present => (2, None),
        Condition::Matches(versions) => (3, Some(versions)),
        Condition::Differs(versions) => (4, Some(versions)),
    };
    let versions = versions.into_iter().flatten().map(|version| version.log_index());
    let count = versions.clone().count() as u64;
    let sizes = [count, value.len() as u64];
    let all = [tag].into_iter().chain(numbers).chain([kind]).chain(sizes).chain(versions);
    all.for_each(|number| hasher.update(&number.to_le_bytes()));
    hasher.update(value);
    hasher.update(key.as_bytes());
    hasher.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Refusal, Taken, Version};

    fn key(name: &str) -> IdempotencyKey {
        IdempotencyKey::new(name.to_owned()).unwrap()
    }

    fn at(seconds: u64) -> LogTime {
        LogTime::from_millis(1_700_000_000_000 + seconds * 1_000)
    }

    fn answer(seconds: u64, value_bytes: usize) -> Answer {
        let taken = Taken {
            value: vec![7; value_bytes].into(),
            version: Version::new(1),
            expires_at: LogTime::NEVER,
            clock: at(seconds),
        };
        Answer { request: 5, at: at(seconds), outcome: Outcome::Deleted { existed: true, taken: Some(taken) } }
    }

    #[test]
    fn an_answer_is_kept_for_ten_minutes_and_forgotten_with_all_it_counts() {
        let (mut answers, sessions) = (Answers::default(), NamespaceId::SESSIONS);
        answers.insert(sessions, key("a"), answer(0, 10));
        answers.insert(NamespaceId::new(2), key("a"), answer(1, 10));
        assert_eq!(answers.recall(sessions, &key("a"), 6, 0), Remembered::Another);
        assert!(matches!(answers.recall(sessions, &key("a"), 5, 0), Remembered::Same(_)));
        assert_eq!(answers.recall(sessions, &key("b"), 5, 0), Remembered::Nothing);
        assert_eq!(answers.pass(at(599)), None);
        assert_eq!(answers.pass(at(600)).map(|(namespace, ..)| namespace), Some(sessions));
        assert_eq!(answers.pass(at(600)), None);
        assert_eq!(answers.pass(at(601)).map(|(namespace, ..)| namespace), Some(NamespaceId::new(2)));
        assert_eq!(answers, Answers::default());
    }

    #[test]
    fn there_are_never_more_answers_or_bytes_than_memory_has_room_for() {
        let (mut answers, sessions) = (Answers::default(), NamespaceId::SESSIONS);
        for number in 0..32 {
            let key = key(&number.to_string());
            assert_eq!(answers.recall(sessions, &key, 5, 1_000_000), Remembered::Nothing, "{number}");
            answers.insert(sessions, key, answer(0, 1_000_000));
        }
        assert_eq!(answers.recall(sessions, &key("large"), 5, 1_600_000), Remembered::NoRoom);
        assert_eq!(answers.recall(sessions, &key("small"), 5, 1_000), Remembered::Nothing);

        let mut answers = Answers::default();
        for number in 0..MAX_ANSWERS {
            answers.insert(sessions, key(&number.to_string()), answer(0, 0));
        }
        assert_eq!(answers.recall(sessions, &key("one-more"), 5, 0), Remembered::NoRoom);
        assert!(matches!(answers.recall(sessions, &key("7"), 5, 0), Remembered::Same(_)), "what is there is told");
    }

    #[test]
    fn what_a_client_should_try_again_is_not_remembered() {
        assert!(is_lasting(&Outcome::Written { version: Version::new(1) }));
        assert!(is_lasting(&Outcome::Refused(Refusal::ConditionFailed)));
        assert!(!is_lasting(&Outcome::Refused(Refusal::Limit(crate::Limit::Keys))));
        assert!(!is_lasting(&Outcome::Refused(Refusal::WindowFull)));
    }

    #[test]
    fn what_is_granted_may_be_another_lifetime_when_the_same_is_asked_again() {
        let key = SessionKey::new("x").unwrap();
        let granted = |seconds| {
            let put = Put { value: "v".into(), ttl: Ttl::from_secs(seconds).unwrap(), condition: Condition::None };
            fingerprint(&key, &Action::Put(put), None)
        };
        assert_eq!(granted(60), granted(86_400));
    }

    #[test]
    fn requests_that_differ_in_anything_have_different_fingerprints() {
        let ttl = |seconds| Ttl::from_secs(seconds).unwrap();
        let put = |value: &'static str, asked: Option<u64>, condition| {
            (Action::Put(Put { value: value.into(), ttl: ttl(1), condition }), asked.map(ttl))
        };
        let renew = |if_due, asked| (Action::Renew(Renew { ttl: ttl(1), condition: Condition::None, if_due }), asked);
        let delete = |take| (Action::Delete(Delete { condition: Condition::None, take }), None);
        let versions = |numbers: &[u64]| numbers.iter().copied().map(Version::new).collect::<Vec<_>>();
        let actions = [
            put("a", Some(1), Condition::None),
            put("b", Some(1), Condition::None),
            put("a", Some(2), Condition::None),
            put("a", None, Condition::None),
            put("a", Some(1), Condition::Absent),
            put("a", Some(1), Condition::Present),
            put("a", Some(1), Condition::Matches(versions(&[1]))),
            put("a", Some(1), Condition::Matches(versions(&[2]))),
            put("a", Some(1), Condition::Differs(versions(&[1]))),
            delete(true),
            delete(false),
            renew(true, None),
            renew(false, None),
            renew(false, Some(ttl(2))),
        ];
        let keys = ["x", "y"].map(|key| SessionKey::new(key).unwrap());
        let all = keys.iter().flat_map(|key| {
            let actions = actions.iter();
            actions.map(move |(action, asked)| fingerprint(key, action, *asked))
        });
        assert_eq!(all.collect::<BTreeSet<_>>().len(), keys.len() * actions.len());
    }
}
