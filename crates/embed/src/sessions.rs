use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sessile_cluster::{Cluster, ClusterError};
use sessile_core::{
    Action, Condition, Delete, NamespaceId, NamespaceName, NamespaceTable, Outcome, Put, Renew, SessionKey, TtlPolicy,
    Version,
};
use tokio::time::Instant;

use crate::config::Config;
use crate::session::{Session, WriteOptions};
use crate::sessions_error::SessionsError;
use crate::stage::Progress;

/// The sessions of one namespace, through one node. Cheap to clone.
///
/// A request waits until its node is a member and for the next leader, inside its deadline. A write is answered when it is
/// durable on a majority. A read returns the newest write that was acknowledged, on any node; it renews nothing, whatever
/// its namespace says of reads through the session API. Tokens are asked of those who come through that API, and not of the
/// process that the node is in.
#[derive(Clone)]
pub struct Sessions {
    progress: Progress,
    /// The namespaces by the node's configuration, until the log says which there are.
    own: Arc<NamespaceTable>,
    namespace: NamespaceName,
    deadline: Duration,
}

/// What a request goes to.
struct Way {
    cluster: Cluster,
    namespace: NamespaceId,
    ttl: TtlPolicy,
    deadline: Instant,
}

impl Sessions {
    /// How long a request may take if nothing else is said: longer than losing a leader costs, as in the session API.
    pub const DEADLINE: Duration = Duration::from_secs(2);

    pub(crate) fn new(progress: Progress, own: NamespaceTable, namespace: NamespaceName) -> Self {
        Self { progress, own: Arc::new(own), namespace, deadline: Self::DEADLINE }
    }

    pub(crate) fn in_namespace(&self, namespace: NamespaceName) -> Self {
        Self { namespace, ..self.clone() }
    }

    /// The same, with that much time for each request.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The session of that key; `None` when there is none, or no longer.
    ///
    /// # Errors
    /// If the key is none, or there is no answer in time.
    pub async fn get(&self, key: &str) -> Result<Option<Session>, SessionsError> {
        let key = session_key(key)?;
        let Way { cluster, namespace, deadline, .. } = self.way().await?;
        let found = cluster.read(namespace, &key, deadline).await.map_err(|error| self.unanswered(error, 0))?;
        Ok(found.map(Session::from))
    }

    /// Stores a value, durably once this answers. Gives the version of the write.
    ///
    /// # Errors
    /// If the condition does not hold, the key is none, the value is too long, the namespace has no room, or there is no
    /// answer in time.
    pub async fn put(
        &self,
        key: &str,
        value: impl Into<Bytes>,
        options: WriteOptions,
    ) -> Result<Version, SessionsError> {
        self.put_bytes(key, value.into(), options).await
    }

    async fn put_bytes(&self, key: &str, value: Bytes, options: WriteOptions) -> Result<Version, SessionsError> {
        let (key, bytes) = (session_key(key)?, value.len());
        if bytes > Config::MAX_VALUE_BYTES {
            return Err(SessionsError::TooLarge { bytes });
        }
        let way = self.way().await?;
        let (ttl, condition) = options.into_parts();
        let put = Put { value, ttl: way.ttl.grant(ttl), condition };
        match self.write(way, key, Action::Put(put), bytes).await? {
            Outcome::Written { version } => Ok(version),
            other => Err(SessionsError::refused(&other, &self.namespace)),
        }
    }

    /// Lets the session of that key live on, from now on for as long as that says. Gives its version, which stays what it
    /// was; `None` when there is no session, or no longer.
    ///
    /// # Errors
    /// If the condition does not hold, the key is none, a member runs a program that does not know renewals, or there is no
    /// answer in time.
    pub async fn renew(&self, key: &str, options: WriteOptions) -> Result<Option<Version>, SessionsError> {
        let key = session_key(key)?;
        let way = self.way().await?;
        let (ttl, condition) = options.into_parts();
        let renew = Renew { ttl: way.ttl.grant(ttl), condition, if_due: false };
        match self.write(way, key, Action::Renew(renew), 0).await? {
            Outcome::Renewed { version } => Ok(version),
            other => Err(SessionsError::refused(&other, &self.namespace)),
        }
    }

    /// Removes the session of that key, if that holds of it. Whether there was one.
    ///
    /// # Errors
    /// If the condition does not hold, the key is none, or there is no answer in time.
    pub async fn delete(&self, key: &str, condition: Condition) -> Result<bool, SessionsError> {
        self.remove(key, Delete { condition, take: false }).await.map(|(existed, _)| existed)
    }

    /// Removes the session of that key, if that holds of it, and hands it out: to one of those that ask at the same time.
    ///
    /// # Errors
    /// As [`delete`](Self::delete). After [`SessionsError::OutcomeUnknown`] it may be gone.
    pub async fn take(&self, key: &str, condition: Condition) -> Result<Option<Session>, SessionsError> {
        self.remove(key, Delete { condition, take: true }).await.map(|(_, taken)| taken)
    }

    async fn remove(&self, key: &str, delete: Delete) -> Result<(bool, Option<Session>), SessionsError> {
        let key = session_key(key)?;
        let way = self.way().await?;
        match self.write(way, key, Action::Delete(delete), 0).await? {
            Outcome::Deleted { existed, taken } => Ok((existed, taken.map(Session::from))),
            other => Err(SessionsError::refused(&other, &self.namespace)),
        }
    }

    async fn write(&self, way: Way, key: SessionKey, action: Action, bytes: usize) -> Result<Outcome, SessionsError> {
        let Way { cluster, namespace, deadline, .. } = way;
        let written = cluster.write(namespace, key, action, deadline).await;
        written.map_err(|error| self.unanswered(error, bytes))
    }

    /// Which way a request takes that begins now.
    async fn way(&self) -> Result<Way, SessionsError> {
        let reached = self.progress.cluster(self.deadline).await;
        let (cluster, deadline) = reached.map_err(|error| self.unanswered(error, 0))?;
        let found = match self.find(&cluster) {
            Some(found) => Some(found),
            None => {
                // It may have been made after what this node knows of: it would lose a session to say no.
                cluster.is_current(deadline).await.map_err(|error| self.unanswered(error, 0))?;
                self.find(&cluster)
            }
        };
        let (namespace, ttl) = found.ok_or_else(|| SessionsError::NoNamespace(self.namespace.clone()))?;
        Ok(Way { cluster, namespace, ttl, deadline })
    }

    /// The namespace and its lifetimes, as far as this node knows.
    fn find(&self, cluster: &Cluster) -> Option<(NamespaceId, TtlPolicy)> {
        let known = cluster.namespaces();
        let table = if known.is_seeded() { &known } else { &self.own };
        table.named(self.namespace.as_str()).map(|(id, namespace)| (id, namespace.settings.ttl))
    }

    fn unanswered(&self, error: ClusterError, bytes: usize) -> SessionsError {
        SessionsError::unanswered(error, self.deadline, bytes)
    }
}

fn session_key(key: &str) -> Result<SessionKey, SessionsError> {
    SessionKey::new(Bytes::copy_from_slice(key.as_bytes())).map_err(SessionsError::Key)
}
