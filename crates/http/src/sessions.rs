use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sessile_core::{Delete, Idempotency, Limit, NamespaceId, NamespaceTable, Put, Renew, SessionKey, Ttl, Version};
use tokio::time::Instant;

/// The port: what the session API needs of a store.
///
/// Every call answers by its deadline. A call may be dropped before it answers, when its client is gone; a write that
/// is dropped may or may not happen. The same write with the same idempotency key gets the answer of the first.
pub trait Sessions: Send + Sync + 'static {
    /// The namespaces there are, as far as the store knows; `None` if nobody has said yet which there are. Asked for each
    /// request; a store that is not open yet answers when it is.
    fn namespaces(
        &self,
        _deadline: Instant,
    ) -> impl Future<Output = Result<Option<Arc<NamespaceTable>>, SessionsError>> + Send {
        std::future::ready(Ok(None))
    }

    /// The newest acknowledged session of that key; `None` when there is none, or no longer.
    fn get(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        deadline: Instant,
    ) -> impl Future<Output = Result<Option<Session>, SessionsError>> + Send;

    /// What this node knows of that key now, without asking anybody: it may be missing, or back from a delete.
    fn get_local(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        deadline: Instant,
    ) -> impl Future<Output = Result<LocalRead, SessionsError>> + Send;

    /// Stores a value, durably once this answers.
    fn put(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        put: Put,
        idempotency: Option<Idempotency>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Written, SessionsError>> + Send;

    /// Removes a session, durably once this answers; handing it out if asked.
    fn delete(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        delete: Delete,
        idempotency: Option<Idempotency>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Deleted, SessionsError>> + Send;

    /// Gives a session a new lifetime, durably once this answers; `None` when there is none, or no longer.
    fn renew(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        renew: Renew,
        idempotency: Option<Idempotency>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Option<Written>, SessionsError>> + Send;

    /// Returns when what the store tells of the namespaces is as new as everything acknowledged before the call.
    fn is_current(&self, deadline: Instant) -> impl Future<Output = Result<(), SessionsError>> + Send;

    /// Whether this node could serve a linearizable read now.
    fn is_ready(&self, deadline: Instant) -> impl Future<Output = Result<(), SessionsError>> + Send;
}

/// A live session. The value is secret: `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    /// What the client stored.
    pub value: Bytes,
    /// Which write it is.
    pub version: Version,
    /// How long it has left; `None` when it never expires.
    pub remaining: Option<Duration>,
    /// The lifetime that a read gives it again, if it is in the last half of that, and reads renew it.
    pub due: Option<Ttl>,
}

/// What one node knows of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRead {
    /// The session, if it knows of one.
    pub session: Option<Session>,
    /// It knows of everything that was acknowledged until so long ago, at least.
    pub age: Duration,
}

/// A write that happened, or the one that was renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Which write it is.
    pub version: Version,
}

/// A delete that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deleted {
    /// Whether there was a live session.
    pub existed: bool,
    /// That session, if the delete asked for it.
    pub taken: Option<Session>,
}

/// Why the store gave no answer. How each looks to a client stands in `problem.rs`.
#[derive(Debug, thiserror::Error)]
pub enum SessionsError {
    /// No quorum was reached by the deadline, and nothing was changed.
    #[error("no quorum was reached by the deadline")]
    NoQuorum,
    /// Time waits for an operator's word, so nothing can be written; nothing was changed.
    #[error("time waits for an operator or for clocks that agree")]
    TimeWaits,
    /// A write was sent and its outcome did not come back by the deadline: it may or may not have happened.
    #[error("the outcome of the write is unknown")]
    OutcomeUnknown,
    /// A queue is full; nothing was changed.
    #[error("too many requests are waiting")]
    Overloaded,
    /// A disk is full; nothing was changed.
    #[error("the storage is full")]
    StorageFull,
    /// Disks fill up, and the namespace gives way to those of a higher priority; nothing was changed.
    #[error("the namespace gives way to others while disks fill up")]
    GivesWay,
    /// A disk is full, and so is what was reserved for deletes; nothing was changed.
    #[error("the storage is full, and its reserve for deletes is used up")]
    StorageExhausted,
    /// This node is about to stop; nothing was changed.
    #[error("the node is shutting down")]
    ShuttingDown,
    /// The write's condition does not hold; nothing was changed.
    #[error("the condition does not hold")]
    ConditionFailed,
    /// The write would break a limit of its namespace; nothing was changed.
    #[error(transparent)]
    Limit(Limit),
    /// The namespace was dropped; nothing was changed.
    #[error("there is no such namespace any more")]
    NoNamespace,
    /// The idempotency key was used for another request; nothing was changed.
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// No room is left to remember the answer by the idempotency key; nothing was changed.
    #[error("as many answers are remembered as may be")]
    AnswersFull,
    /// Not every member of the cluster can follow such a write yet; nothing was changed.
    #[error("the rules in force do not know such a request")]
    OlderRules,
    /// A defect. Its text is logged, so it must not contain a key or a value.
    #[error("internal error: {0}")]
    Internal(#[source] Box<dyn Error + Send + Sync>),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} bytes, {:?}, {:?} left)", self.value.len(), self.version, self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_printed() {
        let value = Bytes::from_static(b"topsecret");
        let session = Session { value, version: Version::new(7), remaining: None, due: None };
        let deleted = Deleted { existed: true, taken: Some(session) };
        let printed = format!("{deleted:?}");
        assert!(printed.contains("9 bytes") && !printed.contains("topsecret"), "{printed}");
    }
}
