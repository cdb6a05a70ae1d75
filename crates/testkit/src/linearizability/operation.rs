use std::fmt;
use std::time::Duration;

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

/// One operation of one client on one key. Times are counted from the beginning of its [`History`](crate::History).
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
