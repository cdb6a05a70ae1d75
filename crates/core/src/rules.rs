use std::fmt;

/// Which rules apply to an entry. What decides an outcome belongs to them: `decide`, the steps of the buckets, and the
/// bounds [`MAX_TTL`](crate::MAX_TTL), [`MAX_GROUPS`](crate::MAX_GROUPS), [`MAX_PROPOSERS`](crate::MAX_PROPOSERS),
/// [`MAX_WINDOW_COMMANDS`](crate::MAX_WINDOW_COMMANDS), [`MAX_WINDOW_BYTES`](crate::MAX_WINDOW_BYTES),
/// [`MAX_HISTORY`](crate::MAX_HISTORY), [`MAX_HISTORY_TEXT`](crate::MAX_HISTORY_TEXT),
/// [`MAX_NAMESPACES`](crate::MAX_NAMESPACES), [`MAX_CONDITION_VERSIONS`](crate::MAX_CONDITION_VERSIONS),
/// [`ANSWERS_KEPT`](crate::ANSWERS_KEPT), [`MAX_ANSWERS`](crate::MAX_ANSWERS) and
/// [`MAX_ANSWER_BYTES`](crate::MAX_ANSWER_BYTES): whoever changes one of them makes a new version.
///
///  Raised by a log entry once every member supports it, so that a rolling upgrade never
/// lets two versions decide differently; a replica stops at an entry above its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct RulesVersion(u32);

impl RulesVersion {
    /// The rules that a new cluster starts with.
    pub const FIRST: Self = Self(1);
    /// The first rules with a history of changes ([`HistoryEntry`](crate::HistoryEntry)). Before, what is said about a change
    /// has no effect.
    pub const HISTORY: Self = Self(2);
    /// The newest rules that this program can follow.
    pub const SUPPORTED: Self = Self::RENEWALS;
    /// From these on, every member recognises the others by keys that stand in the membership. Apply does nothing
    /// differently: they keep out of the log what a program of before would drop from it.
    pub const KEYS: Self = Self(3);
    /// The first rules with a table of namespaces ([`NamespaceTable`](crate::NamespaceTable)). Before, there is `sessions`
    /// alone, without limits, and what is said about namespaces has no effect.
    pub const NAMESPACES: Self = Self(4);
    /// The first rules by which a record is renewed ([`Renew`](crate::Renew)), keeps the lifetime by which reads renew it
    /// ([`Renewal`](crate::Renewal)), and by which the answer to a request with an idempotency key is remembered.
    pub const RENEWALS: Self = Self(6);

    /// The rules with that number.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Their number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for RulesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
