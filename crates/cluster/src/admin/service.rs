use std::collections::BTreeMap;
use std::time::Duration;

use openraft::base::BoxStream;
use sessile_core::{MAX_HISTORY, RulesVersion};
use sessile_store::{NodeId, off_the_runtime};
use tokio::time::timeout;
use tonic::{Request, Response, Status};
use tracing::{info, warn};

use super::backup::backup;
use super::keys::Shown;
use super::managed::ManagedMember;
use super::move_addresses::move_addresses;
use super::passing_on::{AdminService, Other, author};
use super::set_time::set_time;
use super::status;
use super::{namespaces, tokens, watching};
use crate::membership::{Asked, Changed, HAND_OVER_TIMEOUT, hand_over, rotate_key};
use crate::transport::why_silent;
use crate::wire::admin_client::AdminClient;
use crate::wire::admin_server::Admin;
use crate::wire::{
    AddLearnerRequest, AddTokenRequest, BackupPart, BackupRequest, ChangeResponse, CreateNamespaceRequest,
    DropNamespaceRequest, HistoryRequest, HistoryResponse, InitRequest, InitResponse, ListGroupsRequest,
    ListGroupsResponse, ListKeysRequest, ListKeysResponse, ListNamespacesRequest, ListNamespacesResponse,
    ListTokensRequest, ListTokensResponse, MoveAddressesRequest, NamespaceResponse, PromoteRequest, RemoveRequest,
    RemoveTokenRequest, ReplaceRequest, RotateKeyRequest, SetAddressRequest, SetNamespaceRequest, SetTimeRequest,
    SetTimeResponse, StatusRequest, StatusResponse, TransferLeaderRequest, TransferLeaderResponse,
    TriggerSnapshotRequest, TriggerSnapshotResponse, TruncateNamespaceRequest, WatchMembershipRequest,
};

/// How long a new cluster of one may take to be ready.
const INIT_TIMEOUT: Duration = Duration::from_secs(10);

impl AdminService {
    /// Admits the node that answers at an address.
    async fn add_node_at(
        &self,
        member: &ManagedMember,
        address: &str,
        if_membership: Option<u64>,
    ) -> Result<Changed, Status> {
        let found = self.this().probe(address).await.map_err(|status| {
            Status::failed_precondition(format!(
                "{address} {}; nothing was changed: start the node there first",
                why_silent(&status)
            ))
        })?;
        let node = found.node;
        let cluster = member.group.cluster;
        // Before it is written down: one that cannot follow would stay in the membership.
        self.this().would_enter(address, node, cluster).await.map_err(|status| {
            Status::failed_precondition(format!("{address} {}; nothing was changed", why_silent(&status)))
        })?;
        let changed = member.changes.admit_found(&found, address, if_membership).await?;
        self.this().admit_at(address, node, cluster).await.map_err(|status| {
            let why = why_silent(&status);
            Status::failed_precondition(format!("{address} {why}; it is a learner that does not follow"))
        })?;
        Ok(changed)
    }
}

/// What came of a change, for the history.
fn result(member: &ManagedMember, asked: &Asked) -> String {
    match asked {
        Asked::Answered(changed) => changed.what.clone(),
        Asked::HandedOver(to) => format!("{} leads now, and makes the change", member.group.name_of(*to)),
    }
}

fn answer(changed: Changed) -> Response<ChangeResponse> {
    let Changed { changed, what, membership } = changed;
    Response::new(ChangeResponse { changed, what, membership_index: membership })
}

#[tonic::async_trait]
impl Admin for AdminService {
    type WatchMembershipStream = BoxStream<'static, Result<StatusResponse, Status>>;
    type ListKeysStream = BoxStream<'static, Result<ListKeysResponse, Status>>;
    type BackupStream = BoxStream<'static, Result<BackupPart, Status>>;
    type RevealKeysStream = BoxStream<'static, Result<ListKeysResponse, Status>>;

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Ok(Response::new(self.source.status().await))
    }

    async fn watch_membership(
        &self,
        _: Request<WatchMembershipRequest>,
    ) -> Result<Response<Self::WatchMembershipStream>, Status> {
        let (source, watched) = (self.source.clone(), self.source.clone());
        let look = move || {
            let source = source.clone();
            async move { Ok(source.status().await) }
        };
        Ok(Response::new(watching::looks(move || watched.changes(), look, self.stop.clone())))
    }

    async fn init(&self, request: Request<InitRequest>) -> Result<Response<InitResponse>, Status> {
        let (this, lobby, author) = (self.this(), &*self.source.lobby, author(&request));
        if let Some(member) = self.source.member.get() {
            let group = &*member.group;
            let members = group.membership().membership().nodes().count();
            if members == 0 {
                // It was stopped after it had entered the cluster that it was told to make, and before it had made it.
                let made = group.raft.initialize(BTreeMap::from([(group.node, this.as_member())])).await;
                made.map_err(|error| Status::failed_precondition(format!("the cluster cannot be made here: {error}")))?;
            }
            if members <= 1 {
                let (cluster_id, changed) = (group.cluster.to_string(), members == 0);
                return Ok(Response::new(InitResponse { cluster_id, changed }));
            }
            return Err(Status::failed_precondition(format!(
                "node {} is a member of cluster {} already, and nothing was changed",
                this.name(),
                group.cluster
            )));
        }
        if lobby.former() {
            return Err(Status::failed_precondition(format!(
                "the directory of node {} held a cluster once, so it may join one and never make one: to make a new \
                 one here all the same, empty its data directory first",
                this.name()
            )));
        }
        let cluster = lobby.init(this.node()).map_err(|error| Status::internal(error.to_string()))?;
        let cluster = cluster.ok_or_else(|| Status::unavailable("this node is just entering a cluster; look again"))?;
        let made = timeout(INIT_TIMEOUT, async {
            self.source.member.wait().await;
            let member = self.member()?;
            let group = &*member.group;
            group.when_leading().await;
            let cluster = group.cluster.to_string();
            let what = format!("make the node {} the first of a new cluster", this.name());
            // Made before: a cluster that is not there has no history.
            let made = std::future::ready(Ok(cluster));
            member.changes.history().record(&author, &what, made, |cluster| format!("the cluster is {cluster}")).await
        });
        let cluster_id = made.await.map_err(|_| {
            Status::deadline_exceeded(format!("cluster {cluster} is being made; look again with `sessile status`"))
        })??;
        info!(%cluster, "by an operator's word this node is the first member of a new cluster");
        Ok(Response::new(InitResponse { cluster_id, changed: true }))
    }

    async fn add_learner(&self, request: Request<AddLearnerRequest>) -> Result<Response<ChangeResponse>, Status> {
        self.among_peers()?;
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.add_learner(self.pass_on(node, request.into_inner(), &author)).await;
        }
        let member = self.member()?;
        let AddLearnerRequest { address, if_membership } = request.into_inner();
        let what = format!("add the node at {address} as a learner");
        let adding = self.add_node_at(&member, &address, if_membership);
        member.changes.history().record(&author, &what, adding, |changed| changed.what.clone()).await.map(answer)
    }

    async fn promote(&self, request: Request<PromoteRequest>) -> Result<Response<ChangeResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.promote(self.pass_on(node, request.into_inner(), &author)).await;
        }
        let PromoteRequest { member: who, if_membership } = request.into_inner();
        let member = self.member()?;
        let promoting = member.changes.promote(&who, if_membership, None);
        let what = format!("promote {who}");
        member.changes.history().record(&author, &what, promoting, |changed| changed.what.clone()).await.map(answer)
    }

    async fn replace(&self, request: Request<ReplaceRequest>) -> Result<Response<ChangeResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.replace(self.pass_on(node, request.into_inner(), &author)).await;
        }
        let request = request.into_inner();
        let member = self.member()?;
        let replacing = member.changes.replace(&request.old, &request.new, request.if_membership);
        let what = format!("replace {} by {}", request.old, request.new);
        match member.changes.history().record(&author, &what, replacing, |asked| result(&member, asked)).await? {
            Asked::Answered(changed) => Ok(answer(changed)),
            Asked::HandedOver(to) => self.other(to)?.client.replace(self.pass_on(to, request, &author)).await,
        }
    }

    async fn remove(&self, request: Request<RemoveRequest>) -> Result<Response<ChangeResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.remove(self.pass_on(node, request.into_inner(), &author)).await;
        }
        let request = request.into_inner();
        let member = self.member()?;
        let removing = member.changes.remove(&request.member, request.if_membership);
        let what = format!("remove {}", request.member);
        match member.changes.history().record(&author, &what, removing, |asked| result(&member, asked)).await? {
            Asked::Answered(changed) => Ok(answer(changed)),
            Asked::HandedOver(to) => self.other(to)?.client.remove(self.pass_on(to, request, &author)).await,
        }
    }

    async fn transfer_leader(
        &self,
        request: Request<TransferLeaderRequest>,
    ) -> Result<Response<TransferLeaderResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.transfer_leader(self.pass_on(node, request.into_inner(), &author)).await;
        }
        let member = self.member()?;
        let to = request.into_inner().to;
        let to = if to.is_empty() { None } else { Some(member.changes.find_member(&to)?.0) };
        if to == Some(member.group.node) {
            return Ok(Response::new(TransferLeaderResponse {
                leader: member.group.name_of(member.group.node),
                changed: false,
            }));
        }
        let what = match to {
            Some(to) => format!("transfer leadership to {}", member.group.name_of(to)),
            None => "transfer leadership to whoever has caught up furthest".to_owned(),
        };
        let handing_over = hand_over(&member.group, &member.health, to, HAND_OVER_TIMEOUT);
        let leads = |leader: &NodeId| format!("{} leads", member.group.name_of(*leader));
        let leader = member.changes.history().record(&author, &what, handing_over, leads).await?;
        Ok(Response::new(TransferLeaderResponse { leader: member.group.name_of(leader), changed: true }))
    }

    async fn trigger_snapshot(
        &self,
        request: Request<TriggerSnapshotRequest>,
    ) -> Result<Response<TriggerSnapshotResponse>, Status> {
        let managed = self.member()?;
        let (is_passed_on, author) = (self.is_passed_on(&request)?, author(&request));
        let who = request.into_inner().member;
        if !who.is_empty() && !is_passed_on {
            let (node, member) = managed.changes.find_member(&who)?;
            if node != managed.group.node {
                let mut other = AdminClient::new(self.this().directory().connect(node, &member.address)?);
                return other
                    .trigger_snapshot(self.pass_on(node, TriggerSnapshotRequest { member: who }, &author))
                    .await;
            }
        }
        managed.group.raft.trigger().snapshot().await.map_err(|_| Status::unavailable("this node is stopping"))?;
        let state = managed.group.state.clone();
        let persisted = off_the_runtime(move || state.persist().map(|()| state.persisted_index())).await;
        let index = persisted.ok().and_then(Result::ok).flatten();
        let index = index.ok_or_else(|| Status::internal("the state could not be made durable; see the node's log"))?;
        Ok(Response::new(TriggerSnapshotResponse { index }))
    }

    async fn set_address(&self, request: Request<SetAddressRequest>) -> Result<Response<ChangeResponse>, Status> {
        self.among_peers()?;
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.set_address(self.pass_on(node, request.into_inner(), &author)).await;
        }
        let request = request.into_inner();
        let SetAddressRequest { member, address, if_membership } = &request;
        if !address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok()) {
            return Err(Status::invalid_argument(format!("{address:?} is no address: give host:port")));
        }
        let managed = self.member()?;
        let setting = managed.changes.set_address(member, address, *if_membership);
        let what = format!("set the address of {member} to {address}");
        match managed.changes.history().record(&author, &what, setting, |asked| result(&managed, asked)).await? {
            Asked::Answered(changed) => Ok(answer(changed)),
            Asked::HandedOver(to) => self.other(to)?.client.set_address(self.pass_on(to, request, &author)).await,
        }
    }

    async fn move_addresses(&self, request: Request<MoveAddressesRequest>) -> Result<Response<ChangeResponse>, Status> {
        self.among_peers()?;
        let moves = request.into_inner().moves;
        move_addresses(&*self.member()?, self.this(), moves).await.map(Response::new)
    }

    async fn history(&self, _: Request<HistoryRequest>) -> Result<Response<HistoryResponse>, Status> {
        let group = &*self.member()?.group;
        let kept = group.state.rules() >= RulesVersion::HISTORY;
        Ok(Response::new(HistoryResponse { entries: status::history(group, MAX_HISTORY), kept }))
    }

    async fn set_time(&self, request: Request<SetTimeRequest>) -> Result<Response<SetTimeResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.set_time(self.pass_on(node, request.into_inner(), &author)).await;
        }
        let (member, request) = (self.member()?, request.into_inner());
        let answer = set_time(&member, &request).await?;
        if answer.changed && !request.only_asks {
            // Only now: while time waits, nothing else comes into the log.
            let moved = std::future::ready(Ok(()));
            let told = member.changes.history().record(&author, "set the time", moved, |()| answer.what.clone()).await;
            if let Err(status) = told {
                warn!("the time was set, and the history does not tell of it: {}", status.message());
            }
        }
        Ok(Response::new(answer))
    }

    async fn rotate_key(&self, request: Request<RotateKeyRequest>) -> Result<Response<ChangeResponse>, Status> {
        self.among_peers()?;
        let managed = self.member()?;
        let (is_passed_on, author) = (self.is_passed_on(&request)?, author(&request));
        let who = request.into_inner().member;
        if !who.is_empty() && !is_passed_on {
            let (node, member) = managed.changes.find_member(&who)?;
            if node != managed.group.node {
                let mut other = AdminClient::new(self.this().directory().connect(node, &member.address)?);
                return other.rotate_key(self.pass_on(node, RotateKeyRequest { member: who }, &author)).await;
            }
        }
        let what = format!("change the key of {}", self.this().name());
        let changing = rotate_key(&managed.changes);
        managed.changes.history().record(&author, &what, changing, |changed| changed.what.clone()).await.map(answer)
    }

    async fn list_namespaces(
        &self,
        _: Request<ListNamespacesRequest>,
    ) -> Result<Response<ListNamespacesResponse>, Status> {
        namespaces::list(&*self.member()?).await.map(Response::new)
    }

    async fn list_groups(&self, request: Request<ListGroupsRequest>) -> Result<Response<ListGroupsResponse>, Status> {
        namespaces::groups(&*self.member()?, request.get_ref()).await.map(Response::new)
    }

    async fn create_namespace(
        &self,
        request: Request<CreateNamespaceRequest>,
    ) -> Result<Response<NamespaceResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.create_namespace(self.pass_on(node, request.into_inner(), &author)).await;
        }
        namespaces::create(&*self.member()?, &author, request.into_inner()).await.map(Response::new)
    }

    async fn set_namespace(
        &self,
        request: Request<SetNamespaceRequest>,
    ) -> Result<Response<NamespaceResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.set_namespace(self.pass_on(node, request.into_inner(), &author)).await;
        }
        namespaces::set(&*self.member()?, &author, request.into_inner()).await.map(Response::new)
    }

    async fn truncate_namespace(
        &self,
        request: Request<TruncateNamespaceRequest>,
    ) -> Result<Response<NamespaceResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.truncate_namespace(self.pass_on(node, request.into_inner(), &author)).await;
        }
        namespaces::truncate(&*self.member()?, &author, request.into_inner()).await.map(Response::new)
    }

    async fn drop_namespace(
        &self,
        request: Request<DropNamespaceRequest>,
    ) -> Result<Response<NamespaceResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.drop_namespace(self.pass_on(node, request.into_inner(), &author)).await;
        }
        namespaces::drop_namespace(&*self.member()?, &author, request.into_inner()).await.map(Response::new)
    }

    async fn list_keys(&self, request: Request<ListKeysRequest>) -> Result<Response<Self::ListKeysStream>, Status> {
        let (member, author) = (self.member()?, author(&request));
        let listed = self.lists.list(&member, &author, request.into_inner(), Shown::Hashed, self.stop.clone());
        listed.await.map(Response::new)
    }

    async fn reveal_keys(&self, request: Request<ListKeysRequest>) -> Result<Response<Self::RevealKeysStream>, Status> {
        let (member, author) = (self.member()?, author(&request));
        let listed = self.lists.list(&member, &author, request.into_inner(), Shown::Revealed, self.stop.clone());
        listed.await.map(Response::new)
    }

    async fn backup(&self, request: Request<BackupRequest>) -> Result<Response<Self::BackupStream>, Status> {
        let (member, author) = (self.member()?, author(&request));
        let even_behind = request.into_inner().even_behind;
        backup(&member, &author, self.this().into(), even_behind, self.stop.clone()).await.map(Response::new)
    }

    async fn list_tokens(&self, request: Request<ListTokensRequest>) -> Result<Response<ListTokensResponse>, Status> {
        tokens::list(&*self.member()?, request.get_ref()).await.map(Response::new)
    }

    async fn add_token(&self, request: Request<AddTokenRequest>) -> Result<Response<NamespaceResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.add_token(self.pass_on(node, request.into_inner(), &author)).await;
        }
        tokens::add(&*self.member()?, &author, request.into_inner()).await.map(Response::new)
    }

    async fn remove_token(&self, request: Request<RemoveTokenRequest>) -> Result<Response<NamespaceResponse>, Status> {
        let author = author(&request);
        if let Some(Other { node, mut client }) = self.leader(&request).await? {
            return client.remove_token(self.pass_on(node, request.into_inner(), &author)).await;
        }
        tokens::remove(&*self.member()?, &author, request.into_inner()).await.map(Response::new)
    }
}
