use std::sync::Arc;
use std::time::Duration;

use sessile_store::{NodeId, StoreError};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::identity::{identity, reservation_from};
use super::lobby::Lobby;
use super::wrong_tokens::WrongTokens;
use crate::late::Late;
use crate::membership::{MembershipChanges, runs_at};
use crate::transport::{ThisNode, cluster_from_wire, cluster_to_wire, id_from_wire, id_to_wire, refusal_of};
use crate::wire::admission_server::Admission;
use crate::wire::refusal::Reason;
use crate::wire::{
    AdmitRequest, AdmitResponse, Identity, JoinRequest, JoinResponse, ProveRequest, ProveResponse, ReleaseRequest,
    ReleaseResponse, ReserveRequest, ReserveResponse,
};

/// What nodes say to each other before they are of one cluster, at the receiver.
pub(crate) struct AdmissionService {
    this: Arc<ThisNode>,
    lobby: Arc<Lobby>,
    /// From then on this node has listened long enough for a cluster that knows it.
    has_listened_at: Instant,
    changes: Late<MembershipChanges>,
    wrong_tokens: WrongTokens,
}

impl AdmissionService {
    /// It has just started, and listens for so long before it takes part in making a cluster.
    pub(crate) fn new(
        this: Arc<ThisNode>,
        lobby: Arc<Lobby>,
        listens_for: Duration,
        changes: Late<MembershipChanges>,
    ) -> Self {
        Self { this, lobby, has_listened_at: Instant::now() + listens_for, changes, wrong_tokens: WrongTokens::new() }
    }

    /// Lets in who has proved that it knows the join token. Says who it is.
    async fn enter<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let entered = self.this.door().admit_proved(request, self.this.name());
        if let Err(refused) = &entered
            && refusal_of(refused).is_some_and(|(reason, _)| reason == Reason::Token)
        {
            self.wrong_tokens.came(refused.message()).await;
        }
        entered
    }
}

/// A disk that fails is said to whoever asked, and to the log.
fn disk(error: &StoreError) -> Status {
    tracing::error!("{error}");
    Status::internal(error.to_string())
}

#[tonic::async_trait]
impl Admission for AdmissionService {
    async fn prove(&self, request: Request<ProveRequest>) -> Result<Response<ProveResponse>, Status> {
        let door = self.this.door();
        let (from, proof) = door.prove(&request)?;
        if request.get_ref().is_wrong {
            let text = format!("node {from} has called, and knows another join token than this node");
            self.wrong_tokens.came(&text).await;
        }
        Ok(door.answer(from, ProveResponse { proof: proof.into() }))
    }

    async fn probe(&self, request: Request<Identity>) -> Result<Response<Identity>, Status> {
        let (this, lobby) = (&self.this, &self.lobby);
        let from = match this.door().of_before(&request) {
            Some(from) => from,
            None => self.enter(&request).await?,
        };
        let theirs = request.into_inner();
        let cluster = cluster_from_wire(&theirs.cluster);
        if cluster.is_some() && cluster == this.door().cluster() {
            // All whom it knows may have been replaced since, and whoever is where they were is known to it by no key.
            this.door().assert_not_removed(from)?;
        }
        if let Some(cluster) = cluster
            && lobby.is_open()
        {
            lobby.heard_of(cluster, &theirs.address);
        }
        let runs_at = match self.changes.get().filter(|_| theirs.asks_where_it_runs) {
            Some(changes) => runs_at(&changes, from, &theirs).await,
            None => String::new(),
        };
        Ok(this.door().answer(from, Identity { runs_at, ..identity(this, lobby) }))
    }

    async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Response<ReserveResponse>, Status> {
        let (this, lobby) = (&self.this, &self.lobby);
        let from = self.enter(&request).await?;
        let request = request.into_inner();
        if Instant::now() < self.has_listened_at {
            let text = format!("node {} listens a moment for a cluster that knows it", this.name());
            return Err(this.door().refuse(Reason::NotReady, &text));
        }
        let wanted = reservation_from(&request.cluster, &request.initiator);
        let wanted = wanted.ok_or_else(|| Status::invalid_argument("the reservation has no readable ids"))?;
        let reserved = lobby.reserve(wanted).map_err(|error| disk(&error))?.ok_or_else(|| {
            let text = format!("node {} has no place to reserve: it knows a cluster", this.name());
            this.door().refuse(Reason::NotReady, &text)
        })?;
        let answer =
            ReserveResponse { cluster: cluster_to_wire(reserved.cluster), initiator: id_to_wire(reserved.initiator) };
        Ok(this.door().answer(from, answer))
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        let (this, lobby) = (&self.this, &self.lobby);
        let from = self.enter(&request).await?;
        let request = request.into_inner();
        let reservation = reservation_from(&request.cluster, &request.initiator);
        let reservation = reservation.ok_or_else(|| Status::invalid_argument("the reservation has no readable ids"))?;
        lobby.release(reservation).map_err(|error| disk(&error))?;
        Ok(this.door().answer(from, ReleaseResponse {}))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let this = &self.this;
        let from = match this.door().of_before(&request) {
            Some(from) if this.door().knows_token(&request.get_ref().join_token) => from,
            _ => self.enter(&request).await?,
        };
        let key = this.door().key_of(&request);
        let request = request.into_inner();
        if id_from_wire(&request.node) != Some(from) {
            return Err(this.door().refuse(Reason::WrongNode, "a node joins for itself only"));
        }
        let changes = self.changes.get().ok_or_else(|| {
            let text = format!("node {} belongs to no cluster itself yet", this.name());
            this.door().refuse(Reason::NotReady, &text)
        })?;
        let answer = changes.join(from, &request, key).await?;
        Ok(this.door().answer(from, answer))
    }

    async fn admit(&self, request: Request<AdmitRequest>) -> Result<Response<AdmitResponse>, Status> {
        let (this, lobby) = (&self.this, &self.lobby);
        let from = self.enter(&request).await?;
        let request = request.into_inner();
        let cluster = cluster_from_wire(&request.cluster);
        let cluster = cluster.ok_or_else(|| Status::invalid_argument("the cluster has no readable id"))?;
        if lobby.is_open() {
            if !request.only_asks {
                lobby.admitted_to(cluster);
            }
        } else if this.door().cluster().or(lobby.entering()) != Some(cluster) {
            let text = format!("node {} belongs to another cluster already", this.name());
            return Err(this.door().refuse(Reason::WrongCluster, &text));
        }
        Ok(this.door().answer(from, AdmitResponse {}))
    }
}
