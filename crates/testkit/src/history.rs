use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

use crate::linearizability::{self, Violation};

/// What a client wrote or read, as a number: tests make every value so that it can be told from all others of its key.
/// A value that nobody wrote is a number that no write has.
pub type Value = u64;

/// What a client asked for, and what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// It stored this value.
    Put(Value),
    /// It deleted whatever was there.
    Delete,
    /// It read, and found this; `None` for nothing. What it found counts only if the outcome is [`Outcome::Ok`].
    Get(Option<Value>),
    /// It stored this value if the key held what it expected, and was told whether it did.
    PutIf {
        /// What the key was to hold; `None` for nothing.
        expected: Option<Value>,
        /// What was to take its place.
        value: Value,
        /// What it was told. It counts only if the outcome is [`Outcome::Ok`].
        done: bool,
    },
    /// It deleted what it expected, if the key held that, and was told whether it did.
    DeleteIf {
        /// What the key was to hold.
        expected: Value,
        /// What it was told. It counts only if the outcome is [`Outcome::Ok`].
        done: bool,
    },
    /// It took what was there: deleted it, and was told what it was. That counts only if the outcome is [`Outcome::Ok`].
    Take(Option<Value>),
    /// No client's: this value may expire.
    Expire(Value),
}

impl Action {
    /// What it makes of what the key holds; `None` if what it was told cannot be then. What it was told counts only if it was
    /// `answered`; otherwise it does what it would do, and says nothing.
    pub fn makes_of(self, held: Option<Value>, answered: bool) -> Option<Option<Value>> {
        let condition = |holds: bool, done: bool, after: Option<Value>| {
            let as_told = !answered || holds == done;
            as_told.then_some(if holds { after } else { held })
        };
        match self {
            Self::Put(value) => Some(Some(value)),
            Self::Delete => Some(None),
            Self::Get(found) => (!answered || found == held).then_some(held),
            Self::PutIf { expected, value, done } => condition(expected == held, done, Some(value)),
            Self::DeleteIf { expected, done } => condition(Some(expected) == held, done, None),
            Self::Take(taken) => (!answered || taken == held).then_some(None),
            Self::Expire(value) => condition(held == Some(value), true, None).filter(|_| held == Some(value)),
        }
    }

    /// Whether it changes nothing, whatever the key holds, being what it was told.
    pub fn only_looks(self) -> bool {
        matches!(self, Self::Get(_) | Self::PutIf { done: false, .. } | Self::DeleteIf { done: false, .. })
    }

    /// What it has seen of the key, if it was answered: what must have been there for it.
    fn witnesses(self) -> Witness {
        match self {
            Self::Get(found) | Self::Take(found) | Self::PutIf { expected: found, done: true, .. } => {
                Witness::Held(found)
            }
            Self::DeleteIf { expected, done: true } => Witness::Held(Some(expected)),
            Self::PutIf { done: false, .. } | Self::DeleteIf { done: false, .. } => Witness::NotExpected,
            Self::Put(_) | Self::Delete | Self::Expire(_) => Witness::Nothing,
        }
    }
}

/// What an answered operation proves of the key.
enum Witness {
    Nothing,
    /// It held this.
    Held(Option<Value>),
    /// It held something else than was expected: any write may be the reason.
    NotExpected,
}

/// The operations that say something: without what had no effect, reads without an answer, and writes of unknown outcome
/// that nothing depends on.
pub(crate) fn relevant<'a>(operations: &[&'a Operation]) -> Vec<&'a Operation> {
    let mut seen = BTreeSet::new();
    let mut all_count = false;
    for operation in operations.iter().filter(|operation| operation.outcome == Outcome::Ok) {
        match operation.action.witnesses() {
            Witness::Held(value) => drop(seen.insert(value)),
            Witness::NotExpected => all_count = true,
            Witness::Nothing => {}
        }
    }
    // What it leaves behind, and what must have been there for it.
    let chain = |action: Action| match action {
        Action::Put(value) => (Some(value), None),
        Action::PutIf { expected, value, .. } => (Some(value), Some(expected)),
        Action::DeleteIf { expected, .. } | Action::Expire(expected) => (None, Some(Some(expected))),
        Action::Delete | Action::Take(_) | Action::Get(_) => (None, None),
    };
    let unknown: Vec<_> = operations.iter().filter(|operation| operation.outcome == Outcome::Ambiguous).collect();
    loop {
        let before = seen.len();
        for (left, needed) in unknown.iter().map(|operation| chain(operation.action)) {
            if seen.contains(&left) {
                seen.extend(needed);
            }
        }
        if seen.len() == before {
            break;
        }
    }
    let says = |operation: &&Operation| match (operation.outcome, operation.action) {
        (Outcome::Ok, _) => true,
        (Outcome::Failed, _) | (Outcome::Ambiguous, Action::Get(_)) => false,
        (Outcome::Ambiguous, write) => all_count || seen.contains(&chain(write).0),
    };
    operations.iter().copied().filter(says).collect()
}

/// What a client knows of its operation at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered: it took effect once, between its start and its end.
    Ok,
    /// It was answered that it has no effect, now or later.
    Failed,
    /// Nobody knows: it may take effect once, at any time after its start, or never.
    Ambiguous,
}

/// One operation of one client on one key. Times are counted from the beginning of its [`History`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who.
    pub client: usize,
    /// On what.
    pub key: String,
    /// What it asked for and was told.
    pub action: Action,
    /// Before the first byte was sent.
    pub start: Duration,
    /// After the last byte was received, or when it was given up.
    pub end: Duration,
    /// What it knows at the end.
    pub outcome: Outcome,
}

/// What clients did and saw, whose order in real time is known. Keys that no operation wrote begin without a value.
///
/// ```text
///   client 1   ├─ put 7 ─┤        ├──── get → 8 ────┤
///   client 2        ├──── put 8 ────┤
///              ─────────────────────────────────────────▶ time
/// ```
///
/// It is linearizable if every operation can be given one moment between its start and its end at which it happened, all
/// at different moments, so that every read found what the last write before it left ([Herlihy and Wing, 1990]). That is
/// what "a read returns the newest acknowledged write" means, and it covers lost writes, stale reads and ghosts alike.
///
/// [Herlihy and Wing, 1990]: https://doi.org/10.1145/78969.78972
#[derive(Debug, Clone)]
pub struct History {
    begin: Instant,
    operations: Vec<Operation>,
}

impl History {
    /// An empty one that begins now.
    pub fn begin() -> Self {
        Self::begun_at(Instant::now())
    }

    /// An empty one with the beginning of another: what is recorded in both can be put together.
    pub fn begun_at(begin: Instant) -> Self {
        Self { begin, operations: Vec::new() }
    }

    /// When it began.
    pub fn began(&self) -> Instant {
        self.begin
    }

    /// Adds an operation that ends now.
    pub fn record(&mut self, client: usize, key: &str, action: Action, start: Instant, outcome: Outcome) {
        let since = |instant: Instant| instant.saturating_duration_since(self.begin);
        let (start, end) = (since(start), since(Instant::now()));
        self.push(Operation { client, key: key.to_owned(), action, start, end, outcome });
    }

    /// Adds one as it is.
    pub fn push(&mut self, operation: Operation) {
        assert!(operation.start <= operation.end, "an operation ends after its start: {operation:?}");
        self.operations.push(operation);
    }

    /// Adds what was recorded elsewhere. Panics if its times are counted from another beginning.
    pub fn merge(&mut self, other: Self) {
        assert_eq!(self.begin, other.begin, "both count their time from one beginning");
        self.operations.extend(other.operations);
    }

    /// Everything, in the order in which it was added.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// Looks for a key whose operations no order explains. In the common case it takes time in proportion to the number
    /// of operations; what it costs is told at [`linearizability::check_key`].
    pub fn check(&self) -> Result<(), Box<Violation>> {
        let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in &self.operations {
            keys.entry(&operation.key).or_default().push(operation);
        }
        keys.into_values().try_for_each(|operations| linearizability::check_key(&operations))
    }

    /// Panics, with the operation that no order explains and what stood around it, if there is one.
    #[track_caller]
    pub fn assert_linearizable(&self) {
        if let Err(violation) = self.check() {
            panic!("not linearizable: {violation}");
        }
    }
}

impl Operation {
    /// Whether it was answered, and changed nothing.
    pub(crate) fn only_looks(&self) -> bool {
        self.outcome == Outcome::Ok && self.action.only_looks()
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.start.as_secs_f64() * 1e3, self.end.as_secs_f64() * 1e3);
        write!(f, "{start:>12.3} – {end:>12.3} ms  client {:<3} ", self.client)?;
        match self.action {
            Action::Put(value) => write!(f, "put {value:x}")?,
            Action::Delete => f.write_str("delete")?,
            Action::Get(_) if self.outcome != Outcome::Ok => f.write_str("get")?,
            Action::Get(Some(value)) => write!(f, "get → {value:x}")?,
            Action::Get(None) => f.write_str("get → nothing")?,
            Action::PutIf { expected: Some(expected), value, .. } => {
                write!(f, "put {value:x} if it holds {expected:x}")?;
            }
            Action::PutIf { expected: None, value, .. } => write!(f, "put {value:x} if it holds nothing")?,
            Action::DeleteIf { expected, .. } => write!(f, "delete if it holds {expected:x}")?,
            Action::Take(_) if self.outcome != Outcome::Ok => f.write_str("take")?,
            Action::Take(Some(value)) => write!(f, "take → {value:x}")?,
            Action::Take(None) => f.write_str("take → nothing")?,
            Action::Expire(value) => write!(f, "{value:x} may expire")?,
        }
        if let Action::PutIf { done, .. } | Action::DeleteIf { done, .. } = self.action
            && self.outcome == Outcome::Ok
        {
            f.write_str(if done { " → done" } else { " → it does not" })?;
        }
        f.write_str(match self.outcome {
            _ if matches!(self.action, Action::Expire(_)) => "",
            Outcome::Ok => "",
            Outcome::Failed => ", refused",
            Outcome::Ambiguous => ", outcome unknown",
        })
    }
}
