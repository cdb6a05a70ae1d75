use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::base::BoxStream;
use sessile_core::RulesVersion;
use sessile_store::{Member, NodeId, off_the_runtime};
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tracing::info;

use super::watching;
use crate::admission::{admit_at, probe, why_silent};
use crate::cluster::{Cluster, Inner};
use crate::local::Local;
use crate::membership::{Asked, Changed, HAND_OVER_TIMEOUT};
use crate::wire::admin_client::AdminClient;
use crate::wire::admin_server::Admin;
use crate::wire::{
    AddLearnerRequest, ChangeResponse, InitRequest, InitResponse, MemberStatus, PromoteRequest, RemoveRequest,
    ReplaceRequest, Role, SetAddressRequest, StatusRequest, StatusResponse, TransferLeaderRequest,
    TransferLeaderResponse, TriggerSnapshotRequest, TriggerSnapshotResponse, WatchMembershipRequest,
};

/// How long a call waits for a leader, through an election, before it says that there is none.
const LEADER_WAIT: Duration = Duration::from_secs(3);
/// How long a call may take that another node was asked to do.
const PASSED_ON_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a new cluster of one may take to be ready.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a node may take to prove that it could serve, for its status.
const READY_TIMEOUT: Duration = Duration::from_millis(500);
/// Marks a call that another node has passed on: it is not passed on again.
const PASSED_ON: &str = "sessile-passed-on";

/// What operators ask, at the node that is asked.
pub(crate) struct AdminService {
    local: Arc<Local>,
}

impl AdminService {
    pub(crate) fn new(local: Arc<Local>) -> Self {
        Self { local }
    }

    fn member(&self) -> Result<Arc<Inner>, Status> {
        self.local.member().ok_or_else(|| {
            let waiting = self.local.lobby.waiting_for().join("; ");
            Status::unavailable(format!("node {} belongs to no cluster yet: {waiting}", self.local.config.name))
        })
    }

    /// Whoever leads: this node (`None`), or another one that the call is passed on to. Waits through an election, also
    /// when nobody here has noticed yet that the last leader is gone.
    async fn leader<T>(&self, request: &Request<T>) -> Result<Option<Other>, Status> {
        let is_passed_on = self.is_passed_on(request)?;
        let inner = self.member()?;
        let give_up = Instant::now() + LEADER_WAIT;
        loop {
            match inner.leader() {
                // One that has lost its quorum takes itself for the leader, and knows what was.
                Some(leader) if leader == inner.node => {
                    let confirmed = inner.rounds.join(give_up).await.is_ok();
                    if confirmed && inner.leads() {
                        return Ok(None);
                    }
                }
                Some(leader) if leader != inner.node && !is_passed_on && inner.is_well(leader) => {
                    if let Some(address) = inner.address_of(leader)
                        && let Ok(channel) = self.local.directory.connect_now(&address).await
                    {
                        return Ok(Some(Other { node: leader, client: AdminClient::new(channel) }));
                    }
                }
                _ => {}
            }
            if inner.await_leader(give_up, false).await.is_err() {
                return Err(Status::unavailable(self.no_leader(&inner)));
            }
        }
    }

    /// Whether another member has passed this call on; it must be one of the same cluster, and must mean this node: what
    /// is asked of one cluster never reaches another one whose node answers at a member's address.
    fn is_passed_on<T>(&self, request: &Request<T>) -> Result<bool, Status> {
        let is_passed_on = request.metadata().contains_key(PASSED_ON);
        if is_passed_on {
            self.local.door.admit(request)?;
        }
        Ok(is_passed_on)
    }

    /// The member that has taken over, which does what this one was asked.
    fn other(&self, node: NodeId) -> Result<Other, Status> {
        let address = self.member()?.address_of(node).unwrap_or_default();
        Ok(Other { node, client: AdminClient::new(self.local.directory.connect(&address)?) })
    }

    fn pass_on<T>(&self, to: NodeId, message: T) -> Request<T> {
        let mut request = self.local.door.request(Some(to), message, Some(PASSED_ON_TIMEOUT));
        request.metadata_mut().insert(PASSED_ON, tonic::metadata::MetadataValue::from_static("1"));
        request
    }

    fn no_leader(&self, inner: &Inner) -> String {
        let voters = inner.voters(&inner.membership());
        let arithmetic = inner.arithmetic(&voters);
        let silent: Vec<String> =
            voters.iter().filter(|voter| !inner.is_well(**voter)).map(|voter| inner.name_of(*voter)).collect();
        if silent.is_empty() {
            return "no member leads now; nothing was changed; try again in a moment".into();
        }
        format!(
            "no member leads: {} of {} voters answer, and a quorum needs {}; nothing was changed; bring back {}",
            arithmetic.healthy,
            arithmetic.voters,
            arithmetic.quorum(),
            silent.join(" or ")
        )
    }
}

/// What a node knows of its cluster.
pub(crate) async fn status(local: &Arc<Local>) -> StatusResponse {
    let mut status = StatusResponse {
        node_id: local.node().to_string(),
        node_name: local.config.name.clone(),
        version: local.config.version.clone(),
        ..StatusResponse::default()
    };
    let Some(inner) = local.member() else {
        status.waiting_for = local.lobby.waiting_for();
        status.cluster_id = local.door.cluster().map(|cluster| cluster.to_string()).unwrap_or_default();
        return status;
    };
    let leader = inner.leader();
    let membership = inner.membership();
    let voters: Vec<NodeId> = membership.membership().voter_ids().collect();
    let (term, committed) = {
        let metrics = inner.raft.metrics();
        let metrics = metrics.borrow_watched();
        (metrics.current_term, metrics.cluster_committed.map_or(0, |log_id| log_id.index))
    };
    status.cluster_id = inner.cluster.to_string();
    status.leader = leader.map(|leader| inner.name_of(leader)).unwrap_or_default();
    status.leader_id = leader.map(|leader| leader.to_string()).unwrap_or_default();
    status.term = term;
    status.membership_index = membership.log_id().map_or(0, |log_id| log_id.index);
    status.joint = membership.membership().get_joint_config().len() > 1;
    status.ready = Cluster { inner: inner.clone() }.ready(Instant::now() + READY_TIMEOUT).await.is_ok();
    status.alerts = inner.alerts();
    status.removed = inner.state.removed().len() as u64;
    status.rules = inner.state.rules().number();
    status.clock_ms = inner.state.clock().as_millis();
    let member = |(node, member): (&NodeId, &Member)| {
        let voter = voters.contains(node);
        let role = match (Some(*node) == leader, voter) {
            (true, _) => Role::Leader,
            (false, true) => Role::Follower,
            (false, false) => Role::Learner,
        };
        let known = inner.members.get(*node);
        let is_self = *node == inner.node;
        let report = if is_self { Some(inner.report()) } else { known.as_ref().and_then(|known| known.report.clone()) };
        let last_contact = known.as_ref().and_then(|known| known.last_contact());
        let report_or_none = report.unwrap_or_default();
        MemberStatus {
            id: node.to_string(),
            name: member.name.clone(),
            address: member.address.clone(),
            role: role.into(),
            voter,
            term: report_or_none.term,
            applied: report_or_none.applied,
            lag: committed.saturating_sub(report_or_none.applied),
            last_contact_ms: if is_self {
                Some(0)
            } else {
                last_contact.map(|ago| u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
            },
            version: report_or_none.version,
            since_ms: if is_self {
                inner.started_at.as_millis()
            } else {
                known.as_ref().map_or(0, |known| known.since_wall.as_millis())
            },
            reachable: inner.is_well(*node),
            checksum: report_or_none.checksum,
            checksum_index: report_or_none.applied,
            disk_free_bytes: report_or_none.disk_free_bytes,
            rules_supported: member.rules_supported.number(),
            sessions: report_or_none.sessions,
            behind_ms: u64::try_from(inner.commit_times.behind(Instant::now(), report_or_none.applied).as_millis())
                .unwrap_or(u64::MAX),
            receiving_bytes: report_or_none.receiving_bytes,
            disk_nearly_full: report_or_none.disk_nearly_full,
            disk_limit_bytes: report_or_none.disk_limit_bytes,
            disk_low: report_or_none.disk_low,
            disk_seconds_left: report_or_none.disk_seconds_left,
        }
    };
    status.members = membership.membership().nodes().map(member).collect();
    status.members.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    status
}

/// Ends when the membership, a role or a member's reachability changes after this call.
fn changes(local: Arc<Local>) -> impl Future<Output = ()> + Send + 'static {
    let watched = local.member().map(|inner| {
        let (mut server, members) = (inner.server.clone(), inner.members.changes());
        drop(server.borrow_and_update());
        (server, members)
    });
    async move {
        let Some((mut server, mut members)) = watched else {
            local.when_member().await;
            return;
        };
        tokio::select! {
            _ = server.changed() => {}
            _ = members.changed() => {}
        }
    }
}

/// Another member, which does what this one was asked.
struct Other {
    node: NodeId,
    client: AdminClient<Channel>,
}

fn answer(changed: Changed) -> Response<ChangeResponse> {
    let Changed { changed, what, membership } = changed;
    Response::new(ChangeResponse { changed, what, membership_index: membership })
}

#[tonic::async_trait]
impl Admin for AdminService {
    type WatchMembershipStream = BoxStream<'static, Result<StatusResponse, Status>>;

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(status(&self.local).await))
    }

    async fn watch_membership(
        &self,
        _: Request<WatchMembershipRequest>,
    ) -> Result<Response<Self::WatchMembershipStream>, Status> {
        let (local, watched) = (self.local.clone(), self.local.clone());
        let look = move || {
            let local = local.clone();
            async move { Ok(status(&local).await) }
        };
        Ok(Response::new(watching::looks(move || changes(watched.clone()), look, self.local.stop.clone())))
    }

    async fn init(&self, request: Request<InitRequest>) -> Result<Response<InitResponse>, Status> {
        let local = &self.local;
        if !local.admits(&request.into_inner().join_token) {
            return Err(Status::permission_denied("the join token is not this node's: give --join-token-file"));
        }
        if let Some(inner) = local.member() {
            let members = inner.membership().membership().nodes().count();
            if members == 0 {
                // It was stopped after it had entered the cluster that it was told to make, and before it had made it.
                let made = inner.raft.initialize(BTreeMap::from([(inner.node, local.as_member())])).await;
                made.map_err(|error| Status::failed_precondition(format!("the cluster cannot be made here: {error}")))?;
            }
            if members <= 1 {
                let (cluster_id, changed) = (inner.cluster.to_string(), members == 0);
                return Ok(Response::new(InitResponse { cluster_id, changed }));
            }
            return Err(Status::failed_precondition(format!(
                "node {} is a member of cluster {} already, and nothing was changed",
                local.config.name, inner.cluster
            )));
        }
        if local.lobby.former() {
            return Err(Status::failed_precondition(format!(
                "the directory of node {} held a cluster once, so it may join one and never make one: to make a new \
                 one here all the same, empty its data directory first",
                local.config.name
            )));
        }
        let cluster = local.lobby.init(local.node()).map_err(|error| Status::internal(error.to_string()))?;
        let cluster = cluster.ok_or_else(|| Status::unavailable("this node is just entering a cluster; look again"))?;
        let made = timeout(INIT_TIMEOUT, async {
            local.when_member().await;
            let inner = self.member()?;
            inner.when_leading().await;
            Ok::<_, Status>(inner.cluster.to_string())
        });
        let cluster_id = made.await.map_err(|_| {
            Status::deadline_exceeded(format!("cluster {cluster} is being made; look again with `sessile status`"))
        })??;
        info!(%cluster, "by an operator's word this node is the first member of a new cluster");
        Ok(Response::new(InitResponse { cluster_id, changed: true }))
    }

    async fn add_learner(&self, request: Request<AddLearnerRequest>) -> Result<Response<ChangeResponse>, Status> {
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.add_learner(self.pass_on(node, request.into_inner())).await;
        }
        let inner = self.member()?;
        let AddLearnerRequest { address, if_membership } = request.into_inner();
        let (node, identity) = probe(&self.local, &address).await.map_err(|status| {
            Status::failed_precondition(format!("{address} {}: start the node there first", why_silent(&status)))
        })?;
        let rules_supported = RulesVersion::new(identity.rules_supported);
        let wanted = Member { name: identity.name.clone(), address: address.clone(), rules_supported };
        let changed = inner.admit(node, wanted, if_membership).await?;
        admit_at(&self.local, &address, node, inner.cluster).await.map_err(|status| {
            let why = why_silent(&status);
            Status::failed_precondition(format!("{address} {why}; it is a learner that does not follow"))
        })?;
        Ok(answer(changed))
    }

    async fn promote(&self, request: Request<PromoteRequest>) -> Result<Response<ChangeResponse>, Status> {
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.promote(self.pass_on(node, request.into_inner())).await;
        }
        let PromoteRequest { member, if_membership } = request.into_inner();
        self.member()?.promote(&member, if_membership).await.map(answer)
    }

    async fn replace(&self, request: Request<ReplaceRequest>) -> Result<Response<ChangeResponse>, Status> {
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.replace(self.pass_on(node, request.into_inner())).await;
        }
        let request = request.into_inner();
        let inner = self.member()?;
        match inner.replace(&request.old, &request.new, request.if_membership, request.force).await? {
            Asked::Answered(changed) => Ok(answer(changed)),
            Asked::HandedOver(to) => self.other(to)?.client.replace(self.pass_on(to, request)).await,
        }
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<ChangeResponse>, Status> {
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.remove(self.pass_on(node, request.into_inner())).await;
        }
        let request = request.into_inner();
        let inner = self.member()?;
        match inner.remove(&request.member, request.if_membership, request.force).await? {
            Asked::Answered(changed) => Ok(answer(changed)),
            Asked::HandedOver(to) => self.other(to)?.client.remove(self.pass_on(to, request)).await,
        }
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.transfer_leader(self.pass_on(node, request.into_inner())).await;
        }
        let inner = self.member()?;
        let to = request.into_inner().to;
        let to = if to.is_empty() { None } else { Some(inner.find_member(&to)?.0) };
        if to == Some(inner.node) {
            return Ok(Response::new(TransferLeaderResponse { leader: inner.name_of(inner.node), changed: false }));
        }
        let leader = inner.hand_over(to, HAND_OVER_TIMEOUT).await?;
        Ok(Response::new(TransferLeaderResponse { leader: inner.name_of(leader), changed: true }))
    }

    async fn trigger_snapshot(
        &self,
        request: Request<TriggerSnapshotRequest>,
    ) -> Result<Response<TriggerSnapshotResponse>, Status> {
        let inner = self.member()?;
        let is_passed_on = self.is_passed_on(&request)?;
        let who = request.into_inner().member;
        if !who.is_empty() && !is_passed_on {
            let (node, member) = inner.find_member(&who)?;
            if node != inner.node {
                let mut other = AdminClient::new(self.local.directory.connect(&member.address)?);
                return other.trigger_snapshot(self.pass_on(node, TriggerSnapshotRequest { member: who })).await;
            }
        }
        inner.raft.trigger().snapshot().await.map_err(|_| Status::unavailable("this node is stopping"))?;
        let state = inner.state.clone();
        let persisted = off_the_runtime(move || state.persist().map(|()| state.persisted_index())).await;
        let index = persisted.ok().and_then(Result::ok).flatten();
        let index = index.ok_or_else(|| Status::internal("the state could not be made durable; see the node's log"))?;
        Ok(Response::new(TriggerSnapshotResponse { index }))
    }

    async fn set_address(&self, request: Request<SetAddressRequest>) -> Result<Response<ChangeResponse>, Status> {
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.set_address(self.pass_on(node, request.into_inner())).await;
        }
        let request = request.into_inner();
        let SetAddressRequest { member, address, if_membership } = &request;
        if !address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            return Err(Status::invalid_argument(format!("{address:?} is no address: give host:port")));
        }
        match self.member()?.set_address(member, address, *if_membership).await? {
            Asked::Answered(changed) => Ok(answer(changed)),
            Asked::HandedOver(to) => self.other(to)?.client.set_address(self.pass_on(to, request)).await,
        }
    }
}
