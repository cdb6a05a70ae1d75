use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sessile_cluster::{Cluster, ClusterError, LiveRecord};
use sessile_core::{
    Action, Delete, Idempotency, NamespaceId, NamespaceRefusal, NamespaceTable, NamespaceToken, Outcome, Put, Refusal,
    Renew, SessionKey, SessionRequest, Taken,
};
use sessile_http::{Deleted, LocalRead, Session, Sessions, SessionsError, Written};
use tokio::sync::SetOnce;
use tokio::time::{Instant, timeout_at};

use crate::ready_patience::ReadyPatience;

/// The cluster, as the session API wants it. Until there is one, requests wait for it inside their deadline.
pub struct ClusterSessions {
    cluster: SetOnce<Cluster>,
    /// Whether the cluster's namespaces were once those of the log. Nobody is let in by older ones.
    was_current: AtomicBool,
    ready_patience: ReadyPatience,
}

impl ClusterSessions {
    /// A check of readiness waits for that long for the next leader.
    pub fn new(ready_patience: Duration) -> Self {
        Self {
            cluster: SetOnce::new(),
            was_current: AtomicBool::new(false),
            ready_patience: ReadyPatience::new(ready_patience),
        }
    }

    /// From now on requests go to that cluster.
    pub fn serve(&self, cluster: Cluster) {
        // There is one start; a second call would change nothing.
        let _ = self.cluster.set(cluster);
    }

    /// That cluster, if there is one by now.
    pub fn started(&self) -> Option<&Cluster> {
        self.cluster.get()
    }

    async fn cluster(&self, deadline: Instant) -> Result<&Cluster, SessionsError> {
        // Nearly always there is one, and no timer need be set.
        if let Some(cluster) = self.cluster.get() {
            return Ok(cluster);
        }
        timeout_at(deadline, self.cluster.wait()).await.map_err(|_| SessionsError::NoQuorum)
    }
}

impl Sessions for ClusterSessions {
    async fn namespaces(&self, deadline: Instant) -> Result<Option<Arc<NamespaceTable>>, SessionsError> {
        // Until it is open and has once caught up, nobody knows what was changed since its state was stored.
        let cluster = self.cluster(deadline).await?;
        if !self.was_current.load(Ordering::Relaxed) {
            cluster.is_current(deadline).await.map_err(unanswered)?;
            self.was_current.store(true, Ordering::Relaxed);
        }
        Ok(Some(cluster.namespaces()).filter(|table| table.is_seeded()))
    }

    fn token_used(&self, namespace: NamespaceId, token: &NamespaceToken) {
        if let Some(cluster) = self.cluster.get() {
            cluster.token_used(namespace, token);
        }
    }

    async fn get(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        deadline: Instant,
    ) -> Result<Option<Session>, SessionsError> {
        let found = self.cluster(deadline).await?.read(namespace, &key, deadline).await.map_err(unanswered)?;
        Ok(found.map(live))
    }

    async fn get_local(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        deadline: Instant,
    ) -> Result<LocalRead, SessionsError> {
        let cluster = self.cluster(deadline).await?;
        let (found, age) = cluster.read_local(namespace, &key, deadline).await.map_err(unanswered)?;
        Ok(LocalRead { session: found.map(live), age })
    }

    async fn put(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        put: Put,
        idempotency: Option<Idempotency>,
        deadline: Instant,
    ) -> Result<Written, SessionsError> {
        let cluster = self.cluster(deadline).await?;
        let request = SessionRequest { action: Action::Put(put), idempotency };
        match cluster.write(namespace, key, request, deadline).await.map_err(unanswered)? {
            Outcome::Written { version } => Ok(Written { version }),
            other => Err(refused(&other)),
        }
    }

    async fn delete(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        delete: Delete,
        idempotency: Option<Idempotency>,
        deadline: Instant,
    ) -> Result<Deleted, SessionsError> {
        let cluster = self.cluster(deadline).await?;
        let request = SessionRequest { action: Action::Delete(delete), idempotency };
        match cluster.write(namespace, key, request, deadline).await.map_err(unanswered)? {
            Outcome::Deleted { existed, taken } => Ok(Deleted { existed, taken: taken.map(session) }),
            other => Err(refused(&other)),
        }
    }

    async fn renew(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        renew: Renew,
        idempotency: Option<Idempotency>,
        deadline: Instant,
    ) -> Result<Option<Written>, SessionsError> {
        let cluster = self.cluster(deadline).await?;
        let request = SessionRequest { action: Action::Renew(renew), idempotency };
        match cluster.write(namespace, key, request, deadline).await.map_err(unanswered)? {
            Outcome::Renewed { version } => Ok(version.map(|version| Written { version })),
            other => Err(refused(&other)),
        }
    }

    async fn is_current(&self, deadline: Instant) -> Result<(), SessionsError> {
        self.cluster(deadline).await?.is_current(deadline).await.map_err(unanswered)
    }

    async fn is_ready(&self, deadline: Instant) -> Result<(), SessionsError> {
        // A probe wants to know of now.
        let cluster = self.cluster.get().ok_or(SessionsError::NoQuorum)?;
        self.ready_patience.prove(cluster, deadline).await.map_err(unanswered)
    }
}

/// A live record, as the session API shows it.
pub fn live(found: LiveRecord) -> Session {
    Session {
        version: found.record.header.version,
        remaining: found.record.header.expires_at.left(found.clock),
        due: found.record.header.due_renewal(found.clock),
        value: found.record.value,
    }
}

fn session(taken: Taken) -> Session {
    let remaining = taken.expires_at.left(taken.clock);
    Session { version: taken.version, remaining, due: None, value: taken.value }
}

fn unanswered(error: ClusterError) -> SessionsError {
    match error {
        ClusterError::NoQuorum => SessionsError::NoQuorum,
        ClusterError::TimeWaits => SessionsError::TimeWaits,
        ClusterError::OutcomeUnknown => SessionsError::OutcomeUnknown,
        ClusterError::Overloaded => SessionsError::Overloaded,
        ClusterError::StorageFull => SessionsError::StorageFull,
        ClusterError::StorageExhausted => SessionsError::StorageExhausted,
        ClusterError::GivesWay => SessionsError::GivesWay,
        ClusterError::Stopping => SessionsError::ShuttingDown,
        ClusterError::OlderRules => SessionsError::OlderRules,
        ClusterError::TooLarge => SessionsError::Internal(Box::new(error)),
    }
}

fn refused(outcome: &Outcome) -> SessionsError {
    match outcome {
        Outcome::Refused(Refusal::ConditionFailed) => SessionsError::ConditionFailed,
        Outcome::Refused(Refusal::IdempotencyKeyReused) => SessionsError::IdempotencyKeyReused,
        Outcome::Refused(Refusal::AnswersFull) => SessionsError::AnswersFull,
        Outcome::Refused(Refusal::Limit(limit)) => SessionsError::Limit(*limit),
        Outcome::Refused(Refusal::Namespace(NamespaceRefusal::Unknown)) => SessionsError::NoNamespace,
        // An outcome's `Debug` shows no value.
        other => SessionsError::Internal(format!("a command came back as {other:?}").into()),
    }
}
