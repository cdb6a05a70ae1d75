use std::time::Duration;

use sessile_cluster::ClusterError;
use sessile_core::{KeyError, Limit, NamespaceName, NamespaceRefusal, Outcome, Refusal};

/// Why a request to a session has no answer, or a refusal for one. Nothing was changed, except where
/// [`OutcomeUnknown`](Self::OutcomeUnknown) says that it may be. None holds a key or a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionsError {
    /// What was given is no key.
    #[error("{0}; a session's key is 1 to 1,024 bytes of UTF-8")]
    Key(KeyError),
    /// The value is too long.
    #[error("the value has {bytes} bytes; at most {most} are stored", most = crate::Config::MAX_VALUE_BYTES)]
    TooLarge {
        /// How long it is.
        bytes: usize,
    },
    /// There is no such namespace, or it was dropped.
    #[error(
        "there is no namespace {0}; name it in the configuration of a new cluster, or `sessile namespace create` it"
    )]
    NoNamespace(NamespaceName),
    /// The condition does not hold of what is there.
    #[error("the condition does not hold of the session that is there, or that is not")]
    ConditionFailed,
    /// It would break a limit of the namespace.
    #[error("{0}; delete sessions, or raise the limit with `sessile namespace set`")]
    Limit(Limit),
    /// No quorum was reached in time.
    #[error("no quorum was reached within {0:?}; see that a majority of the members runs, and try again")]
    NoQuorum(Duration),
    /// A write was sent, and its outcome did not come back in time: it may or may not have happened.
    #[error("the write was sent, and its outcome is not known after {0:?}; read what is there before you write again")]
    OutcomeUnknown(Duration),
    /// Time waits for an operator or for clocks that agree, so nothing can be written.
    #[error(
        "time waits; set the clocks of the members to within a minute of each other, or decide with `sessile cluster set-time`"
    )]
    TimeWaits,
    /// More writes are outstanding than one node may have.
    #[error("too many writes are outstanding; try again later")]
    Overloaded,
    /// The disk of this node or of a voter is nearly full. Deletes still work.
    #[error("the disk of a member is nearly full; free some of it, or delete sessions, which still works")]
    StorageFull,
    /// Disks fill up, and the namespace gives way to those of a higher priority. Deletes still work.
    #[error("the namespace gives way to others while disks fill up; free some room, or raise its priority")]
    GivesWay,
    /// Not every member is known to run a program that can follow the request.
    #[error("not every member knows such a request yet; upgrade them all, and try again")]
    OlderRules,
    /// The disk is full, and so is what was reserved for deletes.
    #[error("the disk of a member is full; free some of it")]
    StorageExhausted,
    /// The node is stopping or has ended, by order or by a fault.
    #[error("the node is stopping or has ended; `Node::failed` and `Node::shutdown` tell why")]
    Stopping,
    /// A defect.
    #[error("a command came back as {0}; this is a defect")]
    Defect(String),
}

impl SessionsError {
    /// That of a request of that many bytes that had no answer within that time.
    pub(crate) fn unanswered(error: ClusterError, within: Duration, bytes: usize) -> Self {
        match error {
            ClusterError::NoQuorum => Self::NoQuorum(within),
            ClusterError::TimeWaits => Self::TimeWaits,
            ClusterError::OutcomeUnknown => Self::OutcomeUnknown(within),
            ClusterError::Overloaded => Self::Overloaded,
            ClusterError::StorageFull => Self::StorageFull,
            ClusterError::GivesWay => Self::GivesWay,
            ClusterError::OlderRules => Self::OlderRules,
            ClusterError::StorageExhausted => Self::StorageExhausted,
            ClusterError::TooLarge => Self::TooLarge { bytes },
            ClusterError::Stopping => Self::Stopping,
        }
    }

    /// That of a command that was refused, or came back as what it was not.
    pub(crate) fn refused(outcome: &Outcome, namespace: &NamespaceName) -> Self {
        match outcome {
            Outcome::Refused(Refusal::ConditionFailed) => Self::ConditionFailed,
            Outcome::Refused(Refusal::Limit(limit)) => Self::Limit(*limit),
            Outcome::Refused(Refusal::Namespace(NamespaceRefusal::Unknown)) => Self::NoNamespace(namespace.clone()),
            // An outcome's `Debug` shows no value.
            other => Self::Defect(format!("{other:?}")),
        }
    }
}
