use std::sync::Arc;
use std::time::Duration;

use sessile_core::RulesVersion;
use sessile_core::injected::decisions;
use sessile_store::{ClusterId, Member, NodeId};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::convert::{cluster_to_wire, id_to_wire};
use super::envelope::{Door, refusal_of};
use super::links::Directory;
use crate::join_token::JoinToken;
use crate::wire::admission_client::AdmissionClient;
use crate::wire::{AdmitRequest, Identity, JoinRequest, JoinResponse};

/// How long somebody may take to say who they are.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long the leader may take to admit a node: one entry of the log, and perhaps an election before it.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Who this node is to the others, and what it asks of those who need not be of its cluster yet.
pub(crate) struct ThisNode {
    door: Arc<Door>,
    directory: Directory,
    name: String,
    version: String,
    /// Drawn when this process started.
    start_id: u64,
    peers: Option<AmongPeers>,
}

/// What a node has that is to meet others.
pub(crate) struct AmongPeers {
    /// `host:port` at which the others reach this node.
    pub(crate) address: String,
    pub(crate) join_token: JoinToken,
    /// How many seeds must answer before they make a cluster.
    pub(crate) expect: Option<usize>,
}

impl ThisNode {
    pub(crate) fn new(
        door: Arc<Door>,
        directory: Directory,
        name: String,
        version: String,
        peers: Option<AmongPeers>,
    ) -> Self {
        Self { door, directory, name, version, start_id: rand::random_range(1..=u64::MAX), peers }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.door.node()
    }

    pub(crate) fn door(&self) -> &Arc<Door> {
        &self.door
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// A label for people.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The version of its program, for people.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// What tells this process from all others, an earlier one on the same disk and one on a copy of it too.
    pub(crate) fn start_id(&self) -> u64 {
        self.start_id
    }

    /// Whether an answer comes from another process that has this node's id: one of the two data directories is a copy of the
    /// other.
    pub(crate) fn is_copy(&self, answer: &(NodeId, Identity)) -> bool {
        are_copies((self.node(), self.start_id), answer)
    }

    /// `host:port` at which the others reach this node; empty in a cluster of one.
    pub(crate) fn address(&self) -> &str {
        self.peers.as_ref().map_or("", |peers| &peers.address)
    }

    /// What the membership is to say of this node.
    pub(crate) fn as_member(&self) -> Member {
        Member {
            name: self.name().to_owned(),
            address: self.address().to_owned(),
            rules_supported: RulesVersion::SUPPORTED,
        }
    }

    /// What a member says to whoever asks who it is.
    pub(crate) fn identity(&self) -> Identity {
        let Member { name, address, rules_supported } = self.as_member();
        let expect = self.peers.as_ref().and_then(|peers| peers.expect);
        Identity {
            node: id_to_wire(self.node()),
            name,
            address,
            cluster: self.door.cluster().map(cluster_to_wire).unwrap_or_default(),
            expect: expect.map_or(0, |expect| u32::try_from(expect).unwrap_or(u32::MAX)),
            rules_supported: rules_supported.number(),
            start_id: self.start_id,
            ..Identity::default()
        }
    }

    /// What proves to other nodes that this one may join, or may ask them to; empty if none is asked for.
    pub(crate) fn join_token(&self) -> &str {
        self.peers.as_ref().map_or("", |peers| peers.join_token.reveal())
    }

    /// Whether that proves that somebody may join, or may ask this node to. A node without peers takes nobody's word.
    pub(crate) fn admits(&self, join_token: &str) -> bool {
        self.peers.as_ref().is_some_and(|peers| peers.join_token.admits(join_token))
    }

    /// To say to the node at an address what is said before two are of one cluster.
    pub(crate) fn admission_at(&self, address: &str) -> Result<AdmissionClient<Channel>, Status> {
        Ok(AdmissionClient::new(self.directory.connect(address)?))
    }

    /// Asks who answers at an address.
    pub(crate) async fn probe(&self, address: &str) -> Result<(NodeId, Identity), Status> {
        self.probe_as(self.identity(), address).await
    }

    /// The same, and says that of itself.
    pub(crate) async fn probe_as(&self, identity: Identity, address: &str) -> Result<(NodeId, Identity), Status> {
        let mut client = self.admission_at(address)?;
        let request = self.door.request(None, identity, Some(PROBE_TIMEOUT));
        let answer = timeout(PROBE_TIMEOUT, client.probe(request)).await;
        let answer = answer.map_err(|_| Status::deadline_exceeded("it does not answer in time"))?;
        self.door.receive_stranger(answer)
    }

    /// Asks the node at an address to have this one admitted.
    pub(crate) async fn ask_to_join(&self, address: &str) -> Result<JoinResponse, Status> {
        let Member { name, address: own_address, rules_supported } = self.as_member();
        let request = JoinRequest {
            join_token: self.join_token().to_owned(),
            node: id_to_wire(self.node()),
            name,
            address: own_address,
            rules_supported: rules_supported.number(),
            start_id: self.start_id,
        };
        let mut client = self.admission_at(address)?;
        let answer = timeout(JOIN_TIMEOUT, client.join(self.door.request(None, request, Some(JOIN_TIMEOUT)))).await;
        let answer = answer.map_err(|_| Status::deadline_exceeded("it does not answer in time"))?;
        self.door.receive_stranger(answer).map(|(_, answer)| answer)
    }

    /// Tells the leader how this member is reached and what it can follow.
    pub(crate) async fn announce(&self, leader_address: &str) -> Result<(), Status> {
        match self.ask_to_join(leader_address).await? {
            JoinResponse { cluster, .. } if !cluster.is_empty() => Ok(()),
            JoinResponse { .. } => Err(Status::unavailable("it does not lead any more")),
        }
    }

    /// Tells a node that answers at an address that it may enter this cluster: the proof is the token.
    pub(crate) async fn admit_at(&self, address: &str, node: NodeId, cluster: ClusterId) -> Result<(), Status> {
        self.ask_to_enter(address, node, cluster, false).await
    }

    /// Asks it whether it would, which changes nothing.
    pub(crate) async fn would_enter(&self, address: &str, node: NodeId, cluster: ClusterId) -> Result<(), Status> {
        self.ask_to_enter(address, node, cluster, true).await
    }

    async fn ask_to_enter(
        &self,
        address: &str,
        node: NodeId,
        cluster: ClusterId,
        only_asks: bool,
    ) -> Result<(), Status> {
        let join_token = self.join_token().to_owned();
        let admit = AdmitRequest { join_token, cluster: cluster_to_wire(cluster), only_asks };
        let request = self.door.request(Some(node), admit, Some(self.directory.timing().call()));
        self.door.receive_stranger(self.admission_at(address)?.admit(request).await).map(drop)
    }
}

/// Whether another process than that one answered under its node id. Of members that do not say which they are, nobody knows.
pub(crate) fn are_copies((node, start_id): (NodeId, u64), (answered, there): &(NodeId, Identity)) -> bool {
    let is_another = start_id != 0 && ![0, start_id].contains(&there.start_id);
    *answered == node && is_another && decisions().copies_are_told
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
