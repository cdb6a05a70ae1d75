use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::RwLock;
use prost::Message;
use sessile_store::{ClusterId, KeyHash, Member, NodeId};
use tonic::metadata::{BinaryMetadataKey, BinaryMetadataValue, MetadataMap};
use tonic::{Request, Response, Status};

use super::connections::{Connections, OpenConnection};
use super::convert::{cluster_from_wire, cluster_to_wire, id_from_wire, id_to_wire};
use super::keys::{KnownKeys, Recognised};
use super::refusals::{RefusalCount, Refusals, refusal_of, refuse};
use super::tls::Handshake;
use crate::tokens::{Purpose, Secret, Side};
use crate::wire::Envelope;
use crate::wire::refusal::Reason;

/// The protocol that this program speaks, and the oldest that it understands.
const VERSION: u32 = 1;
const OLDEST_VERSION: u32 = 1;
/// The one Raft group there is so far.
const GROUP: u32 = 0;

/// Where the envelope stands in the metadata of every request and every answer.
const KEY: &str = "sessile-envelope-bin";

/// Who this node is to the others, and what it lets in. Every RPC passes here, both ways. An envelope says who somebody is;
/// what counts is that the connection's key proves it.
pub(crate) struct Door {
    node: NodeId,
    keys: KnownKeys,
    token: Secret,
    /// Those of the others to this node.
    connections: Arc<Connections>,
    cluster: OnceLock<ClusterId>,
    removed: RwLock<BTreeSet<NodeId>>,
    /// Of these, who was replaced and may come back as a new node by itself.
    replaced: RwLock<BTreeSet<NodeId>>,
    key: BinaryMetadataKey,
    refusals: Refusals,
}

impl Door {
    pub(crate) fn new(node: NodeId, keys: KnownKeys, token: Secret, connections: Arc<Connections>) -> Self {
        Self {
            node,
            keys,
            token,
            connections,
            cluster: OnceLock::new(),
            removed: RwLock::default(),
            replaced: RwLock::default(),
            key: BinaryMetadataKey::from_static(KEY),
            refusals: Refusals::default(),
        }
    }

    /// One that recognises nobody, as where there is no TLS.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn without_tls(node: NodeId) -> Self {
        Self::new(node, KnownKeys::new(true), Secret::default(), Connections::new(1))
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// By which keys the others are recognised.
    pub(crate) fn keys(&self) -> &KnownKeys {
        &self.keys
    }

    /// Where connections of the others to this node are kept.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// From now on these are the members. A connection on which one was let in by a key that is not its own any more ends.
    pub(crate) fn members_are<'a>(&self, members: impl Iterator<Item = (&'a NodeId, &'a Member)>) {
        self.keys.members_are(members);
        self.connections
            .end_unless(|node, handshake| !matches!(self.keys.recognise(node, handshake), Recognised::WrongKey));
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster.get().copied()
    }

    /// From now on this node is of that cluster; it is of one for as long as it runs.
    pub(crate) fn enter(&self, cluster: ClusterId) {
        // A second call names the same one: there is one start.
        let _ = self.cluster.set(cluster);
    }

    /// From now on these, which were removed from the cluster, stay outside.
    pub(crate) fn keep_out(&self, removed: impl IntoIterator<Item = NodeId>) {
        *self.removed.write() = removed.into_iter().collect();
    }

    /// Of those that stay outside, who was replaced while it was away: it may come back as a new node without a word from an
    /// operator.
    pub(crate) fn may_rejoin(&self, replaced: BTreeSet<NodeId>) {
        *self.replaced.write() = replaced;
    }

    /// An error that tells a node of this cluster that it was removed, if it was.
    pub(crate) fn assert_not_removed(&self, node: NodeId) -> Result<(), Status> {
        self.is_removed(node).map_or(Ok(()), |(reason, text)| Err(self.refuse(reason, &text)))
    }

    fn is_removed(&self, node: NodeId) -> Option<(Reason, String)> {
        let cluster = self.cluster()?;
        if !self.removed.read().contains(&node) {
            return None;
        }
        Some(match self.replaced.read().contains(&node) {
            true => (Reason::Replaced, format!("node {node} was replaced in cluster {cluster} while it was away")),
            false => (Reason::Removed, format!("node {node} was removed from cluster {cluster}")),
        })
    }

    pub(crate) fn counts(&self) -> Vec<RefusalCount> {
        self.refusals.counts()
    }

    /// A request to a member, or to a node that nothing is known of yet.
    pub(crate) fn request<T>(&self, to: Option<NodeId>, message: T, within: Option<Duration>) -> Request<T> {
        let mut request = Request::new(message);
        self.seal(to, Vec::new(), request.metadata_mut());
        if let Some(within) = within {
            request.set_timeout(within);
        }
        request
    }

    /// A request to a node that may know nothing of this one, on a connection with that handshake. It proves that this node
    /// knows the join token, and is to be made to none that has not proved it.
    pub(super) fn request_with_proof<T>(
        &self,
        to: Option<NodeId>,
        message: T,
        handshake: Option<Handshake>,
    ) -> Request<T> {
        let proof = handshake.map(|handshake| self.proof(handshake));
        self.request_that_proves(to, message, proof.unwrap_or_default())
    }

    pub(super) fn request_that_proves<T>(&self, to: Option<NodeId>, message: T, proof: Vec<u8>) -> Request<T> {
        let mut request = Request::new(message);
        self.seal(to, proof, request.metadata_mut());
        request
    }

    /// An answer to whoever asked.
    pub(crate) fn answer<T>(&self, to: NodeId, message: T) -> Response<T> {
        let mut response = Response::new(message);
        self.seal(Some(to), Vec::new(), response.metadata_mut());
        response
    }

    fn seal(&self, to: Option<NodeId>, proof: Vec<u8>, metadata: &mut MetadataMap) {
        let envelope = Envelope {
            cluster: self.cluster().map(cluster_to_wire).unwrap_or_default(),
            group: GROUP,
            from: id_to_wire(self.node),
            to: to.map(id_to_wire).unwrap_or_default(),
            version: VERSION,
            oldest_version: OLDEST_VERSION,
            proof: proof.into(),
        };
        metadata.insert_bin(self.key.clone(), BinaryMetadataValue::from_bytes(&envelope.encode_to_vec()));
    }

    /// Lets in what a member of the same cluster says to this node. Says who it is.
    pub(crate) fn admit<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        self.admit_if(request, |recognised| recognised == Recognised::Member)
    }

    /// The same, also of a node that may be a member since, without this one having heard of it, if it has proved that it
    /// knows the join token: a member that was away longer than all that it knew must be told by others, and a new one by
    /// whoever leads.
    pub(crate) fn admit_unheard_of<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        self.admit_if(request, |recognised| matches!(recognised, Recognised::Member | Recognised::Proved))
    }

    fn admit_if<T>(&self, request: &Request<T>, admits: impl Fn(Recognised) -> bool) -> Result<NodeId, Status> {
        let admitted = self.open(request.metadata()).and_then(|(from, envelope)| {
            self.check(from, &envelope, true)?;
            let connection = connection_of(request);
            let recognised = self.keys.recognise(from, connection.and_then(|connection| connection.handshake()));
            if !admits(recognised) {
                return Err(self.unrecognised(from, recognised));
            }
            if let Some(connection) = connection {
                connection.is_of(from);
            }
            Ok(from)
        });
        admitted.map_err(|(reason, text)| self.refuse(reason, &text))
    }

    fn unrecognised(&self, from: NodeId, recognised: Recognised) -> (Reason, String) {
        if recognised == Recognised::WrongKey {
            let text = format!(
                "the connection has not the key by which node {from} is known to node {}: if it lost its key, remove it, and \
                 start it with --discard-data-and-rejoin",
                self.node
            );
            return (Reason::WrongKey, text);
        }
        (Reason::NotAMember, format!("node {from} is no member, as far as node {} knows", self.node))
    }

    /// Lets in what a node says that need not be of the same cluster yet, if it has proved on this connection that it knows
    /// the join token, or does so now; or is recognised as a member. Says who it is.
    pub(crate) fn admit_proved<T>(&self, request: &Request<T>, own_name: &str) -> Result<NodeId, Status> {
        let (from, envelope) = self.open(request.metadata()).map_err(|(reason, text)| self.refuse(reason, &text))?;
        let connection = connection_of(request);
        let handshake = connection.and_then(|connection| self.handshake(connection));
        if connection.is_some_and(|connection| connection.has_proved()) || self.is_member_by_key(from, handshake) {
            return Ok(from);
        }
        if let (Some(connection), Some(handshake)) = (connection, handshake)
            && self.token.is_proved(Purpose::Join, Side::Caller, &handshake.exporter, &envelope.proof)
        {
            connection.proves();
            self.proves(from, Some(handshake));
            return Ok(from);
        }
        let text = if envelope.proof.is_empty() {
            format!("node {from} has not proved to node {own_name} that it knows the join token")
        } else {
            wrong_token(&format!("node {own_name}"))
        };
        Err(self.refuse(Reason::Token, &text))
    }

    /// The key of whoever made the connection; none, if it showed none.
    pub(crate) fn key_of<T>(&self, request: &Request<T>) -> Option<KeyHash> {
        connection_of(request)?.handshake()?.key
    }

    /// Who a node is that speaks without TLS, as one of a program of before. It is listened to while a member has no key.
    pub(crate) fn of_before<T>(&self, request: &Request<T>) -> Option<NodeId> {
        let is_plain = connection_of(request).is_some_and(|connection| connection.handshake().is_none());
        let listens = is_plain && !self.keys.plaintext() && self.keys.some_have_none();
        listens.then(|| self.open(request.metadata()).ok()).flatten().map(|(from, _)| from)
    }

    /// Who sends it, as it says itself.
    pub(crate) fn sender<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let opened = self.open(request.metadata());
        opened.map(|(from, _)| from).map_err(|(reason, text)| self.refuse(reason, &text))
    }

    /// What this node proves to whoever made this connection: that it knows the join token. Says who that is.
    pub(crate) fn prove<T>(&self, request: &Request<T>) -> Result<(NodeId, Vec<u8>), Status> {
        let from = self.sender(request)?;
        let handshake = connection_of(request).and_then(|connection| self.handshake(connection));
        let handshake = handshake.ok_or_else(|| self.refuse(Reason::Token, "nothing is proved without TLS"))?;
        Ok((from, self.token.prove(Purpose::Join, Side::Called, &handshake.exporter)))
    }

    /// What both sides of this connection know, and nobody else; nothing without TLS.
    pub(crate) fn exporter_of<T>(&self, request: &Request<T>) -> Option<[u8; 32]> {
        let handshake = connection_of(request).and_then(|connection| self.handshake(connection));
        handshake.map(|handshake| handshake.exporter)
    }

    /// Looks at the proof of a node that this one has connected to. An error if it knows another token, and is no member by
    /// its key either.
    pub(super) fn is_proved_by(&self, node: NodeId, handshake: Option<Handshake>, proof: &[u8]) -> Result<(), Status> {
        let proved = handshake.is_some_and(|h| self.token.is_proved(Purpose::Join, Side::Called, &h.exporter, proof));
        if proved {
            self.proves(node, handshake);
            return Ok(());
        }
        if self.is_member_by_key(node, handshake) {
            return Ok(());
        }
        self.refusals.here(Reason::Token);
        Err(refuse(Reason::Token, &wrong_token(&format!("node {node}"))))
    }

    /// Proves, to whoever took the connection of that handshake, that this side knows the join token.
    pub(super) fn proof(&self, handshake: Handshake) -> Vec<u8> {
        self.token.prove(Purpose::Join, Side::Caller, &handshake.exporter)
    }

    /// Whether somebody else's token is the same, as a program of before sends it.
    pub(crate) fn knows_token(&self, token: &str) -> bool {
        self.token.is_same(token)
    }

    fn proves(&self, node: NodeId, handshake: Option<Handshake>) {
        if let Some(key) = handshake.and_then(|handshake| handshake.key) {
            self.keys.has_proved(node, key);
        }
    }

    fn is_member_by_key(&self, node: NodeId, handshake: Option<Handshake>) -> bool {
        !self.keys.plaintext() && self.keys.recognise(node, handshake) == Recognised::Member
    }

    /// What is known of the other side. Without TLS by the operator's choice, it is always the same.
    fn handshake(&self, connection: &OpenConnection) -> Option<Handshake> {
        connection.handshake().or_else(|| self.keys.plaintext().then_some(Handshake::PLAIN))
    }

    /// Of which cluster somebody is who means exactly this node, and has proved that it knows the join token.
    pub(crate) fn meant_for_here<T>(&self, request: &Request<T>) -> Option<ClusterId> {
        let (from, envelope) = self.open(request.metadata()).ok()?;
        let meant = id_from_wire(&envelope.to) == Some(self.node);
        let handshake = connection_of(request).and_then(|connection| connection.handshake());
        let recognised = matches!(self.keys.recognise(from, handshake), Recognised::Member | Recognised::Proved);
        cluster_from_wire(&envelope.cluster).filter(|_| meant && recognised)
    }

    /// What a member answered, if it is who was asked.
    pub(crate) fn receive<T>(&self, from: NodeId, answer: Result<Response<T>, Status>) -> Result<T, Status> {
        self.receive_envelope(Some(from), answer).map(|(_, message)| message)
    }

    /// What a node answered that need not be of the same cluster, and who it is.
    pub(crate) fn receive_stranger<T>(&self, answer: Result<Response<T>, Status>) -> Result<(NodeId, T), Status> {
        self.receive_envelope(None, answer)
    }

    fn receive_envelope<T>(
        &self,
        from: Option<NodeId>,
        answer: Result<Response<T>, Status>,
    ) -> Result<(NodeId, T), Status> {
        let response = answer.inspect_err(|status| {
            if let Some((reason, _)) = refusal_of(status) {
                self.refusals.by_others(reason);
            }
        })?;
        let checked = self.open(response.metadata()).and_then(|(sender, envelope)| {
            if from.is_some_and(|expected| expected != sender) {
                return Err((Reason::WrongNode, format!("the answer is from node {sender}, which was not asked")));
            }
            self.check(sender, &envelope, from.is_some())?;
            Ok(sender)
        });
        match checked {
            Ok(sender) => Ok((sender, response.into_inner())),
            Err((reason, text)) => {
                self.refusals.here(reason);
                // What this node refuses must not be taken for what the other one says of this node.
                Err(refuse(Reason::WrongNode, &text))
            }
        }
    }

    pub(crate) fn refuse(&self, reason: Reason, text: &str) -> Status {
        self.refusals.here(reason);
        refuse(reason, text)
    }

    fn open(&self, metadata: &MetadataMap) -> Result<(NodeId, Envelope), (Reason, String)> {
        let bytes = metadata.get_bin(&self.key).and_then(|value| value.to_bytes().ok());
        let envelope = bytes.and_then(|bytes| Envelope::decode(bytes).ok());
        let Some(envelope) = envelope else {
            return Err((Reason::NoEnvelope, format!("no readable {KEY}: this is no node of Sessile")));
        };
        if envelope.version < OLDEST_VERSION || envelope.oldest_version > VERSION {
            let text = format!(
                "protocol version {} (and down to {}) meets version {VERSION} (and down to {OLDEST_VERSION}): run versions \
                 that are at most one apart",
                envelope.version, envelope.oldest_version
            );
            return Err((Reason::Version, text));
        }
        let from = id_from_wire(&envelope.from).ok_or((Reason::NoEnvelope, "the sender has no id".to_owned()))?;
        Ok((from, envelope))
    }

    fn check(&self, from: NodeId, envelope: &Envelope, is_member: bool) -> Result<(), (Reason, String)> {
        if !is_member {
            return Ok(());
        }
        let Some(cluster) = self.cluster() else {
            return Err((Reason::NotReady, format!("node {} belongs to no cluster yet", self.node)));
        };
        if cluster_from_wire(&envelope.cluster) != Some(cluster) {
            let text = format!("node {} belongs to cluster {cluster}, not to the sender's", self.node);
            return Err((Reason::WrongCluster, text));
        }
        if envelope.group != GROUP {
            return Err((Reason::WrongGroup, format!("node {} holds no Raft group {}", self.node, envelope.group)));
        }
        // Whoever it meant: all whom it knows may have been replaced since, and nobody else would tell it.
        if let Some(refused) = self.is_removed(from) {
            return Err(refused);
        }
        if id_from_wire(&envelope.to) != Some(self.node) {
            return Err((Reason::WrongNode, format!("this is node {}, and another one was meant", self.node)));
        }
        Ok(())
    }
}

/// The connection on which a request came; none where there is no listener.
fn connection_of<T>(request: &Request<T>) -> Option<&OpenConnection> {
    request.extensions().get::<Arc<OpenConnection>>().map(|connection| &**connection)
}

fn wrong_token(whose: &str) -> String {
    format!("the join token is not the one of {whose}: give both the same cluster.join_token_file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> NodeId {
        NodeId::from(number)
    }

    fn door(node: u64) -> Door {
        Door::without_tls(id(node))
    }

    fn member(node: u64, cluster: ClusterId) -> Door {
        let door = door(node);
        door.enter(cluster);
        door
    }

    fn reason(refused: Result<NodeId, Status>) -> Reason {
        refusal_of(&refused.unwrap_err()).unwrap().0
    }

    #[test]
    fn a_node_lets_in_only_what_is_meant_for_it() {
        let (ours, theirs) = (ClusterId::random(), ClusterId::random());
        let (one, two) = (member(1, ours), member(2, ours));
        assert_eq!(two.admit(&one.request(Some(id(2)), (), None)).unwrap(), id(1));
        assert_eq!(reason(two.admit(&one.request(Some(id(3)), (), None))), Reason::WrongNode);
        assert_eq!(reason(two.admit(&member(1, theirs).request(Some(id(2)), (), None))), Reason::WrongCluster);
        assert_eq!(reason(two.admit(&Request::new(()))), Reason::NoEnvelope);
        assert_eq!(reason(door(2).admit(&one.request(Some(id(2)), (), None))), Reason::NotReady);
        two.keep_out([id(1)]);
        assert_eq!(reason(two.admit(&one.request(Some(id(2)), (), None))), Reason::Removed);
        let to_one_before = two.admit(&one.request(Some(id(3)), (), None));
        assert_eq!(reason(to_one_before), Reason::Removed, "it knows only members of before, who tell it nothing");
        two.may_rejoin([id(1)].into());
        let replaced = two.admit(&one.request(Some(id(2)), (), None)).unwrap_err();
        assert_eq!(refusal_of(&replaced).unwrap().0, Reason::Replaced);
        assert_eq!(crate::wire::Refusal::decode(replaced.details()).unwrap().reason(), Reason::Removed, "as before");
        let counts = two.counts();
        for reason in ["wrong_node", "wrong_cluster", "no_envelope", "removed"] {
            assert!(counts.iter().any(|count| count.reason == reason && count.here > 0), "{reason}");
        }
    }

    #[test]
    fn an_answer_counts_only_from_the_node_that_was_asked() {
        let ours = ClusterId::random();
        let (one, two) = (member(1, ours), member(2, ours));
        assert!(one.receive(id(2), Ok(two.answer(id(1), ()))).is_ok());
        let other = one.receive(id(3), Ok(two.answer(id(1), ()))).unwrap_err();
        assert_eq!(refusal_of(&other).unwrap().0, Reason::WrongNode);
        let counted = one.counts().into_iter().find(|count| count.reason == "wrong_node").unwrap();
        assert_eq!((counted.here, counted.there), (1, 0), "an alert, and not a timeout");
        one.keep_out([id(2)]);
        let removed = one.receive(id(2), Ok(two.answer(id(1), ()))).unwrap_err();
        assert_eq!(refusal_of(&removed).unwrap().0, Reason::WrongNode, "it is not this node that was removed");
    }

    #[test]
    fn a_version_that_cannot_be_spoken_is_refused_by_name_and_what_is_new_is_ignored() {
        let ours = ClusterId::random();
        let two = member(2, ours);
        let envelope = |version, oldest_version, extra: &[u8]| {
            let envelope = Envelope {
                cluster: cluster_to_wire(ours),
                group: 0,
                from: id_to_wire(id(1)),
                to: id_to_wire(id(2)),
                version,
                oldest_version,
                proof: bytes::Bytes::new(),
            };
            let mut request = Request::new(());
            let bytes = [&envelope.encode_to_vec(), extra].concat();
            request.metadata_mut().insert_bin(KEY, BinaryMetadataValue::from_bytes(&bytes));
            request
        };
        let newer = two.admit(&envelope(VERSION + 5, VERSION + 1, &[])).unwrap_err();
        assert_eq!(refusal_of(&newer).unwrap().0, Reason::Version);
        assert!(newer.message().contains(&format!("version {}", VERSION + 5)), "{newer:?}");
        // Field 100, a varint: what a newer program may add.
        assert!(two.admit(&envelope(VERSION + 1, VERSION, &[0xa0, 0x06, 0x07])).is_ok());
    }
}
