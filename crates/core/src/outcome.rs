use std::fmt;

use bytes::Bytes;

use crate::{Limit, LogTime, NamespaceChanged, NamespaceRefusal, RulesVersion, Version};

/// What one outcome counts besides a value that it hands out.
const OUTCOME_BYTES: usize = 64;

/// What a command did. A refusal is an outcome like any other: deterministic, and the same on every replica.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Outcome {
    /// The value is stored.
    Written {
        /// Which write it is.
        version: Version,
    },
    /// The key has no live record now.
    Deleted {
        /// Whether it had one before.
        existed: bool,
        /// What it had, if the command asked for it.
        taken: Option<Taken>,
    },
    /// The proposer may propose under this incarnation.
    Registered {
        /// The log index of the registration.
        incarnation: u64,
    },
    /// The clock went on.
    Ticked,
    /// The rules in force from the next entry on.
    Rules {
        /// Their version.
        version: RulesVersion,
    },
    /// Nothing changed.
    Refused(Refusal),
    /// It stands in the history of changes.
    Noted {
        /// The log index of the change's beginning.
        entry: u64,
    },
    /// The namespaces are others now.
    Namespace(NamespaceChanged),
    /// The key's live record lives on.
    Renewed {
        /// Which write it is; `None` if there is no such record.
        version: Option<Version>,
    },
}

impl Outcome {
    /// What remembering it counts, in bytes. Part of the rules: whether a window is full decides what a command does,
    /// so this must not depend on how a program lays its types out.
    pub fn weight(&self) -> usize {
        let taken = match self {
            Self::Deleted { taken: Some(taken), .. } => taken.value.len(),
            _ => 0,
        };
        OUTCOME_BYTES + taken
    }

    /// The same, holding on to nothing but itself: a value that it hands out may be part of much larger bytes.
    pub(crate) fn unshared(&self) -> Self {
        match self {
            Self::Deleted { existed, taken: Some(taken) } => {
                let value = Bytes::copy_from_slice(&taken.value);
                Self::Deleted { existed: *existed, taken: Some(Taken { value, ..taken.clone() }) }
            }
            other => other.clone(),
        }
    }
}

/// A record that a delete handed out, for the last time.
#[derive(Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Taken {
    /// The value; secret.
    #[serde(with = "shared_bytes")]
    pub value: Bytes,
    /// Which write it was.
    pub version: Version,
    /// When it would have expired.
    pub expires_at: LogTime,
    /// What the clock showed when it was taken.
    pub clock: LogTime,
}

impl fmt::Debug for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Taken({} bytes, {:?})", self.value.len(), self.version)
    }
}

/// Why a command had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum Refusal {
    /// Its condition did not hold of the key's live record.
    #[error("the condition does not hold")]
    ConditionFailed,
    /// Its proposer is not registered under this incarnation (any more).
    #[error("the proposer is not registered under this incarnation; the one in force is {current}")]
    UnknownIncarnation {
        /// The incarnation in force; 0 for none.
        current: u64,
    },
    /// Its number is below the lowest that its proposer still waited for.
    #[error("the command's number is below the lowest outstanding one")]
    Forgotten,
    /// Its proposer has as many outcomes remembered as one may have.
    #[error("the proposer's window of outstanding commands is full")]
    WindowFull,
    /// There are as many proposers as there may be.
    #[error("there are too many proposers")]
    TooManyProposers,
    /// It breaks a rule of its own form.
    #[error("the command is malformed")]
    Malformed,
    /// The rules it wants are older than those in force, or a member cannot follow them.
    #[error("not every member can follow these rules")]
    RulesUnsupported,
    /// Its proposer's node was removed from the cluster, and an id is never taken back.
    #[error("the node was removed from the cluster; it can only come back with an empty disk, under a new id")]
    Removed,
    /// The namespaces do not allow it.
    #[error(transparent)]
    Namespace(NamespaceRefusal),
    /// It would break a limit of its namespace.
    #[error(transparent)]
    Limit(Limit),
    /// Its idempotency key was used for another request.
    #[error("the idempotency key was used for another request in the last ten minutes")]
    IdempotencyKeyReused,
    /// It has an idempotency key, and there is no room to remember its answer.
    #[error("as many answers to requests with idempotency keys are remembered as may be")]
    AnswersFull,
}

mod shared_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Vec::<u8>::deserialize(deserializer).map(Bytes::from)
    }
}
