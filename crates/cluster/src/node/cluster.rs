use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::base::BoxStream;
use sessile_core::{
    Action, NamespaceId, NamespaceSettings, NamespaceTable, NamespaceToken, Outcome, RulesVersion, SessionKey,
    SessionRequest,
};
use sessile_store::{LiveRecord, LogId, Member, NodeId, Progress};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::namespaces::follow;
use super::peer_service::PeerMember;
use super::status::{MemberReach, Status};
use crate::admin::{ManagedMember, StatusResponse, StatusSource, backup, bytes_of};
use crate::disk::Disk;
use crate::error::ClusterError;
use crate::group::Group;
use crate::health::{Alert, ClusterHealth, Readiness};
use crate::membership::Author;
use crate::reads::Reads;
use crate::transport::{Receiving, ThisNode};
use crate::upkeep::TokenUses;
use crate::writes::Writes;

/// Sessions, replicated. Cheap to clone; every request may go through any clone, on any member.
#[derive(Clone)]
pub struct Cluster {
    pub(crate) parts: Arc<Parts>,
}

/// What a member is made of. It goes when nobody has its [`Cluster`] any more.
pub(crate) struct Parts {
    pub(crate) group: Arc<Group>,
    pub(crate) reads: Arc<Reads>,
    pub(crate) writes: Arc<Writes>,
    pub(super) health: Arc<ClusterHealth>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) this: Arc<ThisNode>,
    pub(super) disk: Arc<Disk>,
    pub(super) receiving: Arc<Receiving>,
    pub(super) status: StatusSource,
    /// Not asked by requests: they live as long as the member does.
    pub(super) managed: Arc<ManagedMember>,
    pub(super) peers: Arc<PeerMember>,
    pub(super) token_uses: Arc<TokenUses>,
}

impl Cluster {
    /// The live record of a key: at least as new as everything acknowledged before the call.
    pub async fn read(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<Option<LiveRecord>, ClusterError> {
        self.parts.reads.read(namespace, key, deadline).await
    }

    /// Returns when what this node has applied is at least as new as everything acknowledged before the call.
    pub async fn is_current(&self, deadline: Instant) -> Result<(), ClusterError> {
        self.parts.reads.confirm(deadline).await
    }

    /// The live record of a key as this node knows it, and how old that knowledge is at most. A node that was never
    /// current since it started knows nothing.
    pub async fn read_local(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<(Option<LiveRecord>, Duration), ClusterError> {
        self.parts.reads.read_local(namespace, key, deadline).await
    }

    /// Does something with a key's record. Acknowledged means fsynced on a majority and applied.
    pub async fn write(
        &self,
        namespace: NamespaceId,
        key: SessionKey,
        request: impl Into<SessionRequest> + Send,
        deadline: Instant,
    ) -> Result<Outcome, ClusterError> {
        let request = request.into();
        let frees = matches!(request.action, Action::Delete(_));
        if let Some(refusal) = self.parts.health.refusal(namespace, frees) {
            return Err(refusal);
        }
        self.has_rules(request.rules_needed(), deadline).await?;
        let written = self.parts.writes.write(namespace, key, request, deadline).await;
        written.map_err(|error| self.or_time_waits(error))
    }

    /// Returns when rules are in force that know such a request: before that, no member may have it in its log. Where all
    /// members can follow them, they are about to be raised.
    async fn has_rules(&self, needed: RulesVersion, deadline: Instant) -> Result<(), ClusterError> {
        let Parts { group, writes, managed, .. } = &*self.parts;
        // Nearly always anything goes.
        if needed == RulesVersion::FIRST || group.state.rules() >= needed {
            return Ok(());
        }
        managed.own_namespaces.raise_rules(needed, group, writes).await;
        let membership = group.membership();
        if membership.membership().nodes().any(|(_, member)| member.rules_supported < needed) {
            return Err(ClusterError::OlderRules);
        }
        let mut reached = group.state.reached();
        let raised = timeout_at(deadline, reached.wait_for(|_| group.state.rules() >= needed)).await;
        raised.is_ok_and(|raised| raised.is_ok()).then_some(()).ok_or(ClusterError::NoQuorum)
    }

    /// Why no write passed by the deadline, although there may be a quorum.
    fn or_time_waits(&self, error: ClusterError) -> ClusterError {
        let waits = error == ClusterError::NoQuorum && self.parts.health.clock_wants().is_some();
        if waits { ClusterError::TimeWaits } else { error }
    }

    /// A backup of all sessions, with everything that was acknowledged before: first its head, and then the chunks, as
    /// [`sessile_store::BackupWriter`] takes them. `who` stands in the history.
    ///
    /// # Errors
    /// In a sentence: there is no quorum, this node makes one already, or its disk is nearly full. The same may end it early.
    pub fn back_up<'a>(
        &'a self,
        who: &'a str,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<Bytes, String>>, String>> {
        Box::pin(async move {
            let Parts { managed, this, .. } = &*self.parts;
            let author = Author::operator(who.to_owned(), this.name().to_owned());
            // Whoever drops the stream ends it.
            let parts = backup(managed, &author, (&**this).into(), false, CancellationToken::new()).await;
            let parts = parts.map_err(|status| status.message().to_owned())?;
            let bytes = |part: Result<_, tonic::Status>| match part.map(bytes_of) {
                Ok(bytes) => bytes.ok_or_else(|| "a part of it is empty; this is a defect".to_owned()),
                Err(status) => Err(status.message().to_owned()),
            };
            Ok(parts.map(bytes).boxed())
        })
    }

    /// The namespaces there are, as far as this node has applied the log.
    pub fn namespaces(&self) -> Arc<NamespaceTable> {
        self.parts.group.state.namespaces()
    }

    /// A request was let in by that token of a namespace. The log tells of it later. Returns at once.
    pub fn token_used(&self, namespace: NamespaceId, token: &NamespaceToken) {
        self.parts.token_uses.note(namespace, token);
    }

    /// Returns when the namespaces have what the configuration of a node that is a cluster by itself says of them. For ever,
    /// if that was refused.
    pub async fn namespaces_follow(&self, own: &[NamespaceSettings]) {
        let mut applied = self.parts.group.state.reached();
        let state = self.parts.group.state.clone();
        if applied.wait_for(|_| follow(&state.namespaces(), own)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// What this node knows of its cluster, as operators see it.
    pub async fn cluster_status(&self) -> StatusResponse {
        self.parts.status.status().await
    }

    /// What an operator should look at now. Neither the disk nor anybody else is asked.
    pub fn alerts(&self) -> Vec<Alert> {
        self.parts.health.alerts()
    }

    /// Whether this node could serve a linearizable read and take a write now. One that is about to stop is not ready,
    /// though it does what comes all the same.
    pub async fn ready(&self, deadline: Instant) -> Result<(), ClusterError> {
        self.parts.readiness.prove(deadline).await.map_err(|error| self.or_time_waits(error))
    }

    /// Tells balancers to look elsewhere: from now on this node is not ready, and does what comes all the same.
    pub fn leaves(&self) {
        self.parts.readiness.leaves();
    }

    /// What this node can tell of itself.
    pub fn status(&self) -> Status {
        let Parts { group, health, this, disk, receiving, .. } = &*self.parts;
        let applied = group.state.summary().applied;
        let disk = disk.report();
        let metrics = group.raft.metrics().borrow_watched().clone();
        Status {
            node: group.node,
            cluster: group.cluster,
            is_leader: group.leads(),
            has_leader: group.leader().is_some(),
            leader_changes: group.leader_changes(),
            leads_in: metrics.state.is_leader().then_some(metrics.current_term),
            term: metrics.current_term,
            applied: applied.map(|log_id| log_id.index),
            committed: metrics.cluster_committed.map(|log_id| log_id.index),
            clock: group.state.clock(),
            rules: group.state.rules(),
            log_bytes: group.log.bytes(),
            state_bytes: disk.state_bytes,
            disk_free_bytes: disk.free_bytes,
            disk_limit_bytes: disk.limit_bytes,
            disk_nearly_full: disk.shortage.is_some(),
            disk_low: disk.is_low,
            gave_way: self.parts.health.gave_way(),
            disk_time_left: disk.time_left,
            receiving_bytes: receiving.bytes(),
            namespaces: group.state.namespaces(),
            counts: group.state.counts(),
            refusals: this.door().counts(),
            members: member_reach(group, health),
            voters: group.membership().membership().voter_ids().collect(),
            is_joint: group.membership().membership().get_joint_config().len() > 1,
            removed: group.state.removed(),
            checksums: group.state.checksums(),
            alerts: health.alert_texts(),
            clock_waits: health.clock_wants().is_some(),
            clock_jump: health.clock_jump().map(|jump| jump.by()),
        }
    }

    /// What this node does one step at a time and on its disk, with the words for it: where one does not come back, the node
    /// cannot tell so itself.
    pub fn work(&self) -> Vec<(&'static str, Progress)> {
        let (state, log) = (self.parts.group.state.progress(), self.parts.group.log.progress());
        let reads = self.parts.group.state.reads().map(|read| ("reading a session from the state", read.clone()));
        let one = [("applying what is committed to the state", state.clone()), ("writing the Raft log", log.clone())];
        one.into_iter().chain(reads).collect()
    }

    /// The last entry that is applied, and a digest of everything replicated but the records. For tests: it looks at all
    /// of it.
    pub fn digest_of_rows(&self) -> (Option<u64>, u64) {
        let (applied, digest) = self.parts.group.state.digest_of_rows();
        (applied.map(|log_id| log_id.index), digest)
    }

    /// Which entries its log holds. For tests: it looks at all of them.
    pub fn log_ids(&self) -> Vec<LogId> {
        self.parts.group.log.log_ids()
    }
}

/// Who the other members are, and whether they answer.
fn member_reach(group: &Group, health: &ClusterHealth) -> Vec<MemberReach> {
    let membership = group.membership();
    let others = membership.membership().nodes().filter(|(node, _)| **node != group.node);
    let reach = |(node, member): (&NodeId, &Member)| MemberReach {
        node: *node,
        name: member.name.clone(),
        reachable: health.is_well(*node),
        lag: health.entries_behind(*node),
    };
    others.map(reach).collect()
}
