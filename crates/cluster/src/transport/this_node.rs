use std::sync::Arc;
use std::time::Duration;

use sessile_core::RulesVersion;
use sessile_core::injected::{decisions, rules_supported};
use sessile_store::{ClusterId, KeyHash, Member, NodeId};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::convert::{cluster_to_wire, id_to_wire};
use super::envelope::Door;
use super::links::Directory;
use super::refusals::refusal_of;
use super::tls::{Handshake, speaks_no_tls};
use crate::wire::admission_client::AdmissionClient;
use crate::wire::{AdmitRequest, Identity, JoinRequest, JoinResponse, ProveRequest, ProveResponse};

/// How long the leader may take to admit a node that it speaks with: one entry of the log, and perhaps an election before it.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How many times as long whoever looks elsewhere for an answer may take to give it: it asks at one address, or at two.
const LOOKS: u32 = 3;
/// Why nothing is asked of it.
const OF_BEFORE: &str = "it is of an older program, which wants to be sent the join token; upgrade it first";

/// A connection to a node that need not be of the same cluster.
pub(crate) struct Stranger {
    pub(crate) client: AdmissionClient<Channel>,
    /// What is proved of it; nothing, if it is of a program of before.
    handshake: Option<Handshake>,
}

/// Who answered at an address.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) node: NodeId,
    /// What it says of itself.
    pub(crate) identity: Identity,
    /// The key that it has; none, if there is no TLS.
    pub(crate) key: Option<KeyHash>,
}

impl Found {
    /// What the membership is to say of it, if it is reached there.
    pub(crate) fn as_member(&self, address: &str) -> Member {
        Member {
            name: self.identity.name.clone(),
            address: address.to_owned(),
            rules_supported: RulesVersion::new(self.identity.rules_supported),
            keys: self.key.into_iter().collect(),
        }
    }
}

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
    /// How many seeds must answer before they make a cluster.
    pub(crate) expect: Option<usize>,
    /// Whether this node joins again as a new one by itself when it was replaced.
    pub(crate) rejoins: bool,
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
    pub(crate) fn is_copy(&self, answer: &Found) -> bool {
        are_copies((self.node(), self.start_id), answer)
    }

    /// `host:port` at which the others reach this node; empty in a cluster of one.
    pub(crate) fn address(&self) -> &str {
        self.peers.as_ref().map_or("", |peers| &peers.address)
    }

    /// Whether this node joins again as a new one by itself when it was replaced.
    pub(crate) fn rejoins(&self) -> bool {
        self.peers.as_ref().is_some_and(|peers| peers.rejoins)
    }

    /// What the membership is to say of this node.
    pub(crate) fn as_member(&self) -> Member {
        Member {
            name: self.name().to_owned(),
            address: self.address().to_owned(),
            rules_supported: rules_supported(),
            keys: self.own_keys(),
        }
    }

    /// By what the others are to recognise this node; by nothing, where there are no others, or no TLS.
    fn own_keys(&self) -> Vec<KeyHash> {
        let needs_none = self.peers.is_none() || self.door.keys().plaintext();
        if needs_none { Vec::new() } else { vec![self.directory.tls().key()] }
    }

    /// What a member says to whoever asks who it is.
    pub(crate) fn identity(&self) -> Identity {
        let Member { name, address, rules_supported, .. } = self.as_member();
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

    /// Connects to the node at an address, to say what is said before two are of one cluster. It has proved that it knows the
    /// join token, or is a member by its key; a member of a program of before proves nothing.
    pub(crate) async fn stranger_at(&self, address: &str) -> Result<Stranger, Status> {
        let (channel, handshake) = self.directory.connect_to_anybody(address).await?;
        let mut client = AdmissionClient::new(channel);
        if handshake.is_some() {
            let answer = client.prove(self.door.request(None, ProveRequest { is_wrong: false }, None)).await;
            let (node, ProveResponse { proof }) = self.door.receive_stranger(answer)?;
            if let Err(refused) = self.door.is_proved_by(node, handshake, &proof) {
                // It is to know, too: its log says what is wrong. Whether it hears of it changes nothing here.
                let _ = client.prove(self.door.request(None, ProveRequest { is_wrong: true }, None)).await;
                return Err(refused);
            }
        }
        Ok(Stranger { client, handshake })
    }

    /// Asks who answers at an address, and by which key it is recognised; none, if it has none.
    pub(crate) async fn probe(&self, address: &str) -> Result<Found, Status> {
        self.probe_as(self.identity(), address).await
    }

    /// The same, and says that of itself.
    pub(crate) async fn probe_as(&self, identity: Identity, address: &str) -> Result<Found, Status> {
        self.probe_within(self.directory.timing().probe(), identity, address).await
    }

    /// Asks whoever answers at an address where this node's id runs, besides who it is. It may look there first.
    pub(crate) async fn asks_where_it_runs(&self, address: &str) -> Result<Identity, Status> {
        let asks = Identity { asks_where_it_runs: true, ..self.identity() };
        let found = self.probe_within(LOOKS * self.directory.timing().probe(), asks, address).await?;
        Ok(found.identity)
    }

    async fn probe_within(&self, within: Duration, identity: Identity, address: &str) -> Result<Found, Status> {
        let asked = timeout(within, async {
            let mut stranger = self.stranger_at(address).await?;
            let request = stranger.request(&self.door, None, identity, within);
            let (node, identity) = self.door.receive_stranger(stranger.client.probe(request).await)?;
            Ok(Found { node, identity, key: stranger.key() })
        });
        asked.await.map_err(|_| Status::deadline_exceeded("it does not answer in time"))?
    }

    /// What this node would prove to whoever answers at an address.
    #[cfg(test)]
    pub(crate) async fn proof_at(&self, address: &str) -> Result<Vec<u8>, Status> {
        let stranger = self.stranger_at(address).await?;
        Ok(stranger.handshake.map(|handshake| self.door.proof(handshake)).unwrap_or_default())
    }

    /// Asks who answers at an address, with that proof.
    #[cfg(test)]
    pub(crate) async fn probe_with_proof(&self, address: &str, proof: Vec<u8>) -> Result<NodeId, Status> {
        let (channel, _) = self.directory.connect_to_anybody(address).await?;
        let request = self.door.request_that_proves(None, self.identity(), proof);
        let answer = AdmissionClient::new(channel).probe(request).await;
        self.door.receive_stranger(answer).map(|(node, _)| node)
    }

    /// Whether that member is reached at an address: whoever answers there has the key by which it is recognised.
    pub(crate) async fn is_reached_at(&self, node: NodeId, address: &str) -> bool {
        if self.door.keys().is_recognised_by_key(node) {
            let connected = timeout(self.directory.timing().probe(), self.directory.connect_now(node, address)).await;
            return matches!(connected, Ok(Ok(_)));
        }
        self.probe(address).await.is_ok_and(|found| found.node == node)
    }

    /// Asks the node at an address to have this one admitted.
    pub(crate) async fn ask_to_join(&self, address: &str) -> Result<JoinResponse, Status> {
        self.ask_to_join_as(&self.as_member(), address).await
    }

    /// The same, as a member of which that is said. The key is that of the connection.
    async fn ask_to_join_as(&self, wanted: &Member, address: &str) -> Result<JoinResponse, Status> {
        let Member { name, address: own_address, rules_supported, keys } = wanted.clone();
        let request = JoinRequest {
            node: id_to_wire(self.node()),
            name,
            address: own_address,
            rules_supported: rules_supported.number(),
            start_id: self.start_id,
            key: keys.iter().map(|key| key.to_bytes().to_vec().into()).collect(),
            ..JoinRequest::default()
        };
        let within = self.directory.timing().probe() + JOIN_TIMEOUT;
        let answer = timeout(within, async {
            let mut stranger = self.stranger_at(address).await?;
            if stranger.handshake.is_none() {
                return Err(Status::failed_precondition(OF_BEFORE));
            }
            let request = stranger.request(&self.door, None, request, within);
            self.door.receive_stranger(stranger.client.join(request).await)
        });
        let answer = answer.await.map_err(|_| Status::deadline_exceeded("it does not answer in time"))?;
        answer.map(|(_, answer)| answer)
    }

    /// Tells the leader what is to be said of this member.
    pub(crate) async fn announce(&self, wanted: &Member, leader_address: &str) -> Result<(), Status> {
        let answer = match self.ask_to_join_as(wanted, leader_address).await? {
            // It leads no more, and says who does.
            JoinResponse { cluster, leader_address } if cluster.is_empty() && !leader_address.is_empty() => {
                self.ask_to_join_as(wanted, &leader_address).await?
            }
            answer => answer,
        };
        if answer.cluster.is_empty() { Err(Status::unavailable("it does not lead any more")) } else { Ok(()) }
    }

    /// Tells a node that answers at an address that it may enter this cluster: the proof of that is that of the token.
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
        let admit = AdmitRequest { cluster: cluster_to_wire(cluster), only_asks };
        let within = self.directory.timing().probe();
        let asked = timeout(within, async {
            let mut stranger = self.stranger_at(address).await?;
            let request = stranger.request(&self.door, Some(node), admit, within);
            self.door.receive_stranger(stranger.client.admit(request).await).map(drop)
        });
        asked.await.map_err(|_| Status::deadline_exceeded("it does not answer in time"))?
    }
}

impl Stranger {
    /// By which key it is recognised; none, if it has none.
    pub(crate) fn key(&self) -> Option<KeyHash> {
        self.handshake.and_then(|handshake| handshake.key)
    }

    /// A request on this connection.
    pub(crate) fn request<T>(&self, door: &Door, to: Option<NodeId>, message: T, within: Duration) -> Request<T> {
        let mut request = door.request_with_proof(to, message, self.handshake);
        request.set_timeout(within);
        request
    }
}

/// Whether another process than that one answered under its node id. Of members that do not say which they are, nobody knows.
pub(crate) fn are_copies((node, start_id): (NodeId, u64), answered: &Found) -> bool {
    let is_another = start_id != 0 && ![0, start_id].contains(&answered.identity.start_id);
    answered.node == node && is_another && decisions().copies_are_told
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
    if status.message() == OF_BEFORE {
        return format!("cannot be asked: {OF_BEFORE}");
    }
    match status.code() {
        Code::DeadlineExceeded | Code::Cancelled => "does not answer in time".into(),
        Code::Unimplemented => "answers, but is no node of Sessile, or an older one".into(),
        _ if all.contains("dns error") || all.contains("lookup") => "does not resolve".into(),
        _ if all.contains("onnection refused") => "does not answer: connection refused".into(),
        _ if speaks_no_tls(status) => {
            "answers without TLS, as a node with cluster.plaintext does, or one of an older program".into()
        }
        _ if all.contains("http2") || all.contains("frame") || all.contains("protocol") || all.contains("reset") => {
            "answers, but not as a node of Sessile does".into()
        }
        _ => format!("does not answer: {}", causes.last().map_or(status.message(), |last| last)),
    }
}
