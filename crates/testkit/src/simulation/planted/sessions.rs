//! A node that answers clients wrongly: what the session API asks is answered here in its cluster's place.

use std::sync::Arc;
use std::time::Duration;

use sessile::{ClusterSessions, live};
use sessile_cluster::{Cluster, LiveRecord};
use sessile_core::{Condition, Delete, Idempotency, NamespaceId, NamespaceTable, Put, Renew, SessionKey};
use sessile_http::{Deleted, LocalRead, Session, Sessions, SessionsError, Written};
use sessile_store::term_of;
use tokio::time::Instant;

use super::defect::Defect;
use crate::simulation::world::Host;

/// How long a write may take before one that forgets itself is tried again: about as long as it takes to elect a leader.
const TRY: Duration = Duration::from_millis(500);

/// How long after its deadline a command may still be proposed by one that does not look.
const LATE: Duration = Duration::from_secs(20);

/// The sessions of a node with a defect. What it does not concern goes to the node's own.
pub(in crate::simulation) struct PlantedSessions {
    own: Arc<ClusterSessions>,
    host: Arc<Host>,
    defect: Defect,
}

impl PlantedSessions {
    pub(in crate::simulation) fn new(own: Arc<ClusterSessions>, host: Arc<Host>, defect: Defect) -> Self {
        Self { own, host, defect }
    }

    /// What is answered to a read without regard to the rules; `None` if the rules are kept this time.
    async fn misread(&self, namespace: NamespaceId, key: &SessionKey, deadline: Instant) -> Option<Option<Session>> {
        let cluster = self.own.started()?;
        match self.defect {
            Defect::ReadWithoutReadIndex => known_here(cluster, namespace, key, deadline).await,
            Defect::LeaderAsksNobody => {
                leads_in(cluster)?;
                known_here(cluster, namespace, key, deadline).await
            }
            Defect::LeaderAnswersForItsOwnState => {
                let term = leads_in(cluster)?;
                let known = known_here(cluster, namespace, key, deadline).await?;
                cluster.read(namespace, key, deadline).await.ok()?;
                (leads_in(cluster) == Some(term)).then_some(known)
            }
            Defect::ExpiryByWallClock => {
                let found = cluster.read(namespace, key, deadline).await.ok()?;
                let lives = |found: &LiveRecord| found.record.header.expires_at > self.host.wall_clock();
                Some(found.filter(lives).map(live))
            }
            _ => None,
        }
    }

    /// Whether what reached no log by its deadline is proposed after it.
    fn is_proposed_late<T>(&self, answer: &Result<T, SessionsError>) -> bool {
        self.defect == Defect::ProposedAfterItsDeadline && matches!(answer, Err(SessionsError::NoQuorum))
    }

    fn named(&self, idempotency: Option<Idempotency>) -> Option<Idempotency> {
        idempotency.filter(|_| self.defect != Defect::AnswersForgotten)
    }

    fn forgets_itself(&self, condition: &Condition) -> bool {
        match self.defect {
            Defect::PutForgetsItself => *condition == Condition::None,
            Defect::ConditionalForgetsItself => *condition != Condition::None,
            _ => false,
        }
    }
}

/// What the node knows of a key, whether it is current or not; `None` before it was current once.
async fn known_here(
    cluster: &Cluster,
    namespace: NamespaceId,
    key: &SessionKey,
    deadline: Instant,
) -> Option<Option<Session>> {
    let (found, _) = cluster.read_local(namespace, key, deadline).await.ok()?;
    Some(found.map(live))
}

/// The term in which the node leads, as far as it knows itself, once it has applied an entry of that term.
fn leads_in(cluster: &Cluster) -> Option<u64> {
    let status = cluster.status();
    let (term, applied) = (status.leads_in?, status.applied?);
    let is_of_this_term = cluster.log_ids().iter().any(|entry| entry.index == applied && term_of(entry) == term);
    is_of_this_term.then_some(term)
}

/// Asks again and again until the deadline, each time for another command.
async fn again<T, F>(deadline: Instant, ask: impl Fn(Instant) -> F + Send) -> Result<T, SessionsError>
where
    F: Future<Output = Result<T, SessionsError>> + Send,
{
    let mut in_doubt = false;
    loop {
        let patience = deadline.min(Instant::now() + TRY);
        let answer = ask(patience).await;
        in_doubt |= matches!(answer, Err(SessionsError::OutcomeUnknown));
        let late = matches!(answer, Err(SessionsError::OutcomeUnknown | SessionsError::NoQuorum));
        if late && Instant::now() >= patience && patience < deadline {
            continue;
        }
        return match answer {
            Err(SessionsError::ConditionFailed) => Err(SessionsError::ConditionFailed),
            Err(_) if in_doubt => Err(SessionsError::OutcomeUnknown),
            answer => answer,
        };
    }
}

impl Sessions for PlantedSessions {
    async fn namespaces(&self, deadline: Instant) -> Result<Option<Arc<NamespaceTable>>, SessionsError> {
        match self.own.started() {
            None if self.defect == Defect::UnknownNamespaceIsGone => Ok(None),
            _ => self.own.namespaces(deadline).await,
        }
    }

    async fn get(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        deadline: Instant,
    ) -> Result<Option<Session>, SessionsError> {
        match self.misread(namespace, &key, deadline).await {
            Some(answer) => Ok(answer),
            None => self.own.get(namespace, key, deadline).await,
        }
    }

    async fn get_local(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        deadline: Instant,
    ) -> Result<LocalRead, SessionsError> {
        self.own.get_local(namespace, key, deadline).await
    }

    async fn put(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        put: Put,
        idempotency: Option<Idempotency>,
        deadline: Instant,
    ) -> Result<Written, SessionsError> {
        let idempotency = self.named(idempotency);
        if !self.forgets_itself(&put.condition) {
            let answer = self.own.put(namespace, key.clone(), put.clone(), idempotency.clone(), deadline).await;
            if self.is_proposed_late(&answer) {
                let own = self.own.clone();
                #[expect(clippy::disallowed_methods, reason = "nobody waits for it any more: that is the defect")]
                tokio::spawn(async move { own.put(namespace, key, put, idempotency, deadline + LATE).await.is_ok() });
            }
            return answer;
        }
        again(deadline, |deadline| self.own.put(namespace, key.clone(), put.clone(), idempotency.clone(), deadline))
            .await
    }

    async fn delete(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        delete: Delete,
        idempotency: Option<Idempotency>,
        deadline: Instant,
    ) -> Result<Deleted, SessionsError> {
        let idempotency = self.named(idempotency);
        // A plain delete that is done twice takes away what was written in between, as a conditional write would.
        if self.defect != Defect::ConditionalForgetsItself {
            return self.own.delete(namespace, key, delete, idempotency, deadline).await;
        }
        again(deadline, |deadline| {
            self.own.delete(namespace, key.clone(), delete.clone(), idempotency.clone(), deadline)
        })
        .await
    }

    async fn renew(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        renew: Renew,
        idempotency: Option<Idempotency>,
        deadline: Instant,
    ) -> Result<Option<Written>, SessionsError> {
        self.own.renew(namespace, key, renew, idempotency, deadline).await
    }

    async fn is_current(&self, deadline: Instant) -> Result<(), SessionsError> {
        if self.defect == Defect::UnknownNamespaceIsGone {
            return Ok(());
        }
        self.own.is_current(deadline).await
    }

    async fn is_ready(&self, deadline: Instant) -> Result<(), SessionsError> {
        self.own.is_ready(deadline).await
    }
}
