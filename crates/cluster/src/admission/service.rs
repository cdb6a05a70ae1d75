use std::sync::Arc;
use std::time::Duration;

use sessile_store::{ClusterId, Member, NodeId, Reservation, StoreError};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::local::Local;
use crate::transport::{cluster_from_wire, cluster_to_wire, id_from_wire, id_to_wire, refusal_of};
use crate::wire::admission_client::AdmissionClient;
use crate::wire::admission_server::Admission;
use crate::wire::refusal::Reason;
use crate::wire::{
    AdmitRequest, AdmitResponse, Identity, JoinRequest, JoinResponse, ReleaseRequest, ReleaseResponse, ReserveRequest,
    ReserveResponse,
};

/// How long somebody may take to say who they are.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a node may take to hear that it is admitted.
const ADMIT_TIMEOUT: Duration = Duration::from_millis(500);

/// What nodes say to each other before they are of one cluster, at the receiver.
pub(crate) struct AdmissionService {
    local: Arc<Local>,
}

impl AdmissionService {
    pub(crate) fn new(local: Arc<Local>) -> Self {
        Self { local }
    }

    fn check_token(&self, token: &str) -> Result<(), Status> {
        if self.local.admits(token) {
            return Ok(());
        }
        let text = format!(
            "the join token is not the one of node {}: give both the same cluster.join_token_file",
            self.local.config.name
        );
        Err(self.local.door.refuse(Reason::Token, &text))
    }
}

/// Who this node is.
pub(super) fn identity(local: &Local) -> Identity {
    let reservation = local.lobby.reservation();
    let Member { name, address, rules_supported } = local.as_member();
    Identity {
        node: id_to_wire(local.node()),
        name,
        address,
        cluster: local.door.cluster().map(cluster_to_wire).unwrap_or_default(),
        reserved: reservation.map(|reservation| cluster_to_wire(reservation.cluster)).unwrap_or_default(),
        initiator: reservation.map(|reservation| id_to_wire(reservation.initiator)).unwrap_or_default(),
        former: local.lobby.former(),
        expect: local
            .config
            .peers
            .as_ref()
            .and_then(|peers| peers.expect)
            .map_or(0, |expect| u32::try_from(expect).unwrap_or(u32::MAX)),
        rules_supported: rules_supported.number(),
        joining: local.lobby.clusters().into_keys().next().map(cluster_to_wire).unwrap_or_default(),
    }
}

pub(super) fn reservation_from(cluster: &[u8], initiator: &[u8]) -> Option<Reservation> {
    Some(Reservation { cluster: cluster_from_wire(cluster)?, initiator: id_from_wire(initiator)? })
}

/// A disk that fails is said to whoever asked, and to the log.
fn disk(error: &StoreError) -> Status {
    tracing::error!("{error}");
    Status::internal(error.to_string())
}

pub(super) fn client(local: &Local, address: &str) -> Result<AdmissionClient<Channel>, Status> {
    Ok(AdmissionClient::new(local.directory.connect(address)?))
}

/// Asks who answers at an address.
pub(crate) async fn probe(local: &Local, address: &str) -> Result<(NodeId, Identity), Status> {
    let mut client = client(local, address)?;
    let request = local.door.request(None, identity(local), Some(PROBE_TIMEOUT));
    let answer = tokio::time::timeout(PROBE_TIMEOUT, client.probe(request)).await;
    let answer = answer.map_err(|_| Status::deadline_exceeded("it does not answer in time"))?;
    local.door.receive_stranger(answer)
}

/// Tells a node that answers at an address that it may enter this cluster: the proof is the token.
pub(crate) async fn admit_at(local: &Local, address: &str, node: NodeId, cluster: ClusterId) -> Result<(), Status> {
    let admit = AdmitRequest { join_token: local.join_token().to_owned(), cluster: cluster_to_wire(cluster) };
    let request = local.door.request(Some(node), admit, Some(ADMIT_TIMEOUT));
    local.door.receive_stranger(client(local, address)?.admit(request).await).map(drop)
}

/// What is wrong with whoever should have answered, to stand behind its address.
pub(crate) fn why_silent(status: &Status) -> String {
    if let Some((_, text)) = refusal_of(status) {
        return format!("refuses: {text}");
    }
    let mut causes = Vec::new();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    let all = causes.join(": ");
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => "does not answer in time".into(),
        Code::Unimplemented => "answers, but is no node of Sessile, or an older one".into(),
        _ if all.contains("dns error") || all.contains("lookup") => "does not resolve".into(),
        _ if all.contains("onnection refused") => "does not answer: connection refused".into(),
        _ if all.contains("http2") || all.contains("frame") || all.contains("protocol") || all.contains("reset") => {
            "answers, but not as a node of Sessile does".into()
        }
        _ => format!("does not answer: {}", causes.last().map_or(status.message(), |last| last)),
    }
}

#[tonic::async_trait]
impl Admission for AdmissionService {
    async fn probe(&self, request: Request<Identity>) -> Result<Response<Identity>, Status> {
        let local = &self.local;
        let from = local.door.admit_stranger(&request)?;
        let theirs = request.into_inner();
        if let Some(cluster) = cluster_from_wire(&theirs.cluster)
            && local.lobby.is_open()
        {
            local.lobby.heard_of(cluster, &theirs.address);
        }
        Ok(local.door.answer(from, identity(local)))
    }

    async fn reserve(&self, request: Request<ReserveRequest>) -> Result<Response<ReserveResponse>, Status> {
        let local = &self.local;
        let from = local.door.admit_stranger(&request)?;
        let request = request.into_inner();
        self.check_token(&request.join_token)?;
        let listens_for = local.config.peers.as_ref().map(|peers| peers.listen_for).unwrap_or_default();
        if local.started.elapsed() < listens_for {
            let text = format!("node {} listens a moment for a cluster that knows it", local.config.name);
            return Err(local.door.refuse(Reason::NotReady, &text));
        }
        let wanted = reservation_from(&request.cluster, &request.initiator);
        let wanted = wanted.ok_or_else(|| Status::invalid_argument("the reservation has no readable ids"))?;
        let reserved = local.lobby.reserve(wanted).map_err(|error| disk(&error))?.ok_or_else(|| {
            let text = format!("node {} has no place to reserve: it knows a cluster", local.config.name);
            local.door.refuse(Reason::NotReady, &text)
        })?;
        let answer =
            ReserveResponse { cluster: cluster_to_wire(reserved.cluster), initiator: id_to_wire(reserved.initiator) };
        Ok(local.door.answer(from, answer))
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        let local = &self.local;
        let from = local.door.admit_stranger(&request)?;
        let request = request.into_inner();
        self.check_token(&request.join_token)?;
        let reservation = reservation_from(&request.cluster, &request.initiator);
        let reservation = reservation.ok_or_else(|| Status::invalid_argument("the reservation has no readable ids"))?;
        local.lobby.release(reservation).map_err(|error| disk(&error))?;
        Ok(local.door.answer(from, ReleaseResponse {}))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let local = &self.local;
        let from = local.door.admit_stranger(&request)?;
        let request = request.into_inner();
        self.check_token(&request.join_token)?;
        if id_from_wire(&request.node) != Some(from) {
            return Err(local.door.refuse(Reason::WrongNode, "a node joins for itself only"));
        }
        let member = local.member().ok_or_else(|| {
            let text = format!("node {} belongs to no cluster itself yet", local.config.name);
            local.door.refuse(Reason::NotReady, &text)
        })?;
        let answer = member.join(from, &request).await?;
        Ok(local.door.answer(from, answer))
    }

    async fn admit(&self, request: Request<AdmitRequest>) -> Result<Response<AdmitResponse>, Status> {
        let local = &self.local;
        let from = local.door.admit_stranger(&request)?;
        let request = request.into_inner();
        self.check_token(&request.join_token)?;
        let cluster = cluster_from_wire(&request.cluster);
        let cluster = cluster.ok_or_else(|| Status::invalid_argument("the cluster has no readable id"))?;
        if local.lobby.is_open() {
            local.lobby.admitted_to(cluster);
        } else if local.door.cluster().or(local.lobby.entering()) != Some(cluster) {
            let text = format!("node {} belongs to another cluster already", local.config.name);
            return Err(local.door.refuse(Reason::WrongCluster, &text));
        }
        Ok(local.door.answer(from, AdmitResponse {}))
    }
}
