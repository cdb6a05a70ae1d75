use std::sync::Arc;
use std::time::Duration;

use sessile_store::StoreError;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::identity::{identity, reservation_from};
use super::lobby::Lobby;
use crate::late::Late;
use crate::membership::MembershipChanges;
use crate::transport::{ThisNode, cluster_from_wire, cluster_to_wire, id_from_wire, id_to_wire};
use crate::wire::admission_server::Admission;
use crate::wire::refusal::Reason;
use crate::wire::{
    AdmitRequest, AdmitResponse, Identity, JoinRequest, JoinResponse, ReleaseRequest, ReleaseResponse, ReserveRequest,
    ReserveResponse,
};

/// What nodes say to each other before they are of one cluster, at the receiver.
pub(crate) struct AdmissionService {
    this: Arc<ThisNode>,
    lobby: Arc<Lobby>,
    /// From then on this node has listened long enough for a cluster that knows it.
    has_listened_at: Instant,
    changes: Late<MembershipChanges>,
}

impl AdmissionService {
    /// It has just started, and listens for so long before it takes part in making a cluster.
    pub(crate) fn new(
        this: Arc<ThisNode>,
        lobby: Arc<Lobby>,
        listens_for: Duration,
        changes: Late<MembershipChanges>,
    ) -> Self {
        Self { this, lobby, has_listened_at: Instant::now() + listens_for, changes }
    }

    fn check_token(&self, token: &str) -> Result<(), Status> {
        if self.this.admits(token) {
            return Ok(());
        }
        let text = format!(
            "the join token is not the one of node {}: give both the same cluster.join_token_file",
            self.this.name()
        );
        Err(self.this.door().refuse(Reason::Token, &text))
    }
}

/// A disk that fails is said to whoever asked, and to the log.
fn disk(error: &StoreError) -> Status {
    tracing::error!("{error}");
    Status::internal(error.to_string())
}

#[tonic::async_trait]
impl Admission for AdmissionService {
    async fn probe(&self, request: Request<Identity>) -> Result<Response<Identity>, Status> {
        let (this, lobby) = (&self.this, &self.lobby);
        let from = this.door().admit_stranger(&request)?;
        let theirs = request.into_inner();
        if let Some(cluster) = cluster_from_wire(&theirs.cluster)
            && lobby.is_open()
        {
            lobby.heard_of(cluster, &theirs.address);
        }
        Ok(this.door().answer(from, identity(this, lobby)))
    }

    async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Response<ReserveResponse>, Status> {
        let (this, lobby) = (&self.this, &self.lobby);
        let from = this.door().admit_stranger(&request)?;
        let request = request.into_inner();
        self.check_token(&request.join_token)?;
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
        let from = this.door().admit_stranger(&request)?;
        let request = request.into_inner();
        self.check_token(&request.join_token)?;
        let reservation = reservation_from(&request.cluster, &request.initiator);
        let reservation = reservation.ok_or_else(|| Status::invalid_argument("the reservation has no readable ids"))?;
        lobby.release(reservation).map_err(|error| disk(&error))?;
        Ok(this.door().answer(from, ReleaseResponse {}))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let this = &self.this;
        let from = this.door().admit_stranger(&request)?;
        let request = request.into_inner();
        self.check_token(&request.join_token)?;
        if id_from_wire(&request.node) != Some(from) {
            return Err(this.door().refuse(Reason::WrongNode, "a node joins for itself only"));
        }
        let changes = self.changes.get().ok_or_else(|| {
            let text = format!("node {} belongs to no cluster itself yet", this.name());
            this.door().refuse(Reason::NotReady, &text)
        })?;
        let answer = changes.join(from, &request).await?;
        Ok(this.door().answer(from, answer))
    }

    async fn admit(&self, request: Request<AdmitRequest>) -> Result<Response<AdmitResponse>, Status> {
        let (this, lobby) = (&self.this, &self.lobby);
        let from = this.door().admit_stranger(&request)?;
        let request = request.into_inner();
        self.check_token(&request.join_token)?;
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
