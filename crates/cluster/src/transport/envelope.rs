use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use prost::Message;
use sessile_store::{ClusterId, NodeId};
use tonic::metadata::{BinaryMetadataKey, BinaryMetadataValue, MetadataMap};
use tonic::{Code, Request, Response, Status};

use super::convert::{cluster_from_wire, cluster_to_wire, id_from_wire, id_to_wire};
use crate::wire::refusal::Reason;
use crate::wire::{Envelope, Refusal};

/// The protocol that this program speaks, and the oldest that it understands.
const VERSION: u32 = 1;
const OLDEST_VERSION: u32 = 1;
/// The one Raft group there is so far.
const GROUP: u32 = 0;

/// Where the envelope stands in the metadata of every request and every answer.
const KEY: &str = "sessile-envelope-bin";

/// Who this node is to the others, and what it lets in. Every RPC passes here, both ways.
pub(crate) struct Door {
    node: NodeId,
    cluster: OnceLock<ClusterId>,
    removed: RwLock<BTreeSet<NodeId>>,
    key: BinaryMetadataKey,
    /// What this node refused, and what others refused of this node, by reason.
    refused: [AtomicU64; REASONS.len()],
    refused_by_others: [AtomicU64; REASONS.len()],
}

/// How often something was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalCount {
    /// Why, as a metric's label.
    pub reason: &'static str,
    /// By this node.
    pub here: u64,
    /// By others, of what this node sent: an alertable mismatch, not a timeout.
    pub there: u64,
}

const REASONS: [(Reason, &str); 9] = [
    (Reason::NoEnvelope, "no_envelope"),
    (Reason::WrongCluster, "wrong_cluster"),
    (Reason::WrongGroup, "wrong_group"),
    (Reason::WrongNode, "wrong_node"),
    (Reason::Removed, "removed"),
    (Reason::Version, "version"),
    (Reason::NotReady, "not_ready"),
    (Reason::Token, "token"),
    (Reason::NameTaken, "name_taken"),
];

impl Door {
    pub(crate) fn new(node: NodeId) -> Self {
        Self {
            node,
            cluster: OnceLock::new(),
            removed: RwLock::default(),
            key: BinaryMetadataKey::from_static(KEY),
            refused: Default::default(),
            refused_by_others: Default::default(),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
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

    pub(crate) fn counts(&self) -> Vec<RefusalCount> {
        let counts = REASONS.iter().zip(self.refused.iter().zip(&self.refused_by_others));
        let count = |(&(_, reason), (here, there)): (&(Reason, &'static str), (&AtomicU64, &AtomicU64))| RefusalCount {
            reason,
            here: here.load(Ordering::Relaxed),
            there: there.load(Ordering::Relaxed),
        };
        counts.map(count).collect()
    }

    /// A request to a member, or to a node that nothing is known of yet.
    pub(crate) fn request<T>(&self, to: Option<NodeId>, message: T, within: Option<Duration>) -> Request<T> {
        let mut request = Request::new(message);
        self.seal(to, request.metadata_mut());
        if let Some(within) = within {
            request.set_timeout(within);
        }
        request
    }

    /// An answer to whoever asked.
    pub(crate) fn answer<T>(&self, to: NodeId, message: T) -> Response<T> {
        let mut response = Response::new(message);
        self.seal(Some(to), response.metadata_mut());
        response
    }

    fn seal(&self, to: Option<NodeId>, metadata: &mut MetadataMap) {
        let envelope = Envelope {
            cluster: self.cluster().map(cluster_to_wire).unwrap_or_default(),
            group: GROUP,
            from: id_to_wire(self.node),
            to: to.map(id_to_wire).unwrap_or_default(),
            version: VERSION,
            oldest_version: OLDEST_VERSION,
        };
        metadata.insert_bin(self.key.clone(), BinaryMetadataValue::from_bytes(&envelope.encode_to_vec()));
    }

    /// Lets in what a member of the same cluster says to this node. Says who it is.
    pub(crate) fn admit<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let (from, envelope) = self.open(request.metadata()).map_err(|(reason, text)| self.refuse(reason, &text))?;
        self.check(from, &envelope, true).map_err(|(reason, text)| self.refuse(reason, &text))?;
        Ok(from)
    }

    /// Lets in what a node says that need not be of the same cluster yet. Says who it is.
    pub(crate) fn admit_stranger<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let (from, _) = self.open(request.metadata()).map_err(|(reason, text)| self.refuse(reason, &text))?;
        Ok(from)
    }

    /// Of which cluster somebody is who means exactly this node.
    pub(crate) fn meant_for_here<T>(&self, request: &Request<T>) -> Option<ClusterId> {
        let (_, envelope) = self.open(request.metadata()).ok()?;
        let meant = id_from_wire(&envelope.to) == Some(self.node);
        cluster_from_wire(&envelope.cluster).filter(|_| meant)
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
                count(&self.refused_by_others, reason);
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
                count(&self.refused, reason);
                // What this node refuses must not be taken for what the other one says of this node.
                Err(refuse(Reason::WrongNode, &text))
            }
        }
    }

    pub(crate) fn refuse(&self, reason: Reason, text: &str) -> Status {
        count(&self.refused, reason);
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
        if self.removed.read().contains(&from) {
            return Err((Reason::Removed, format!("node {from} was removed from cluster {cluster}")));
        }
        if id_from_wire(&envelope.to) != Some(self.node) {
            return Err((Reason::WrongNode, format!("this is node {}, and another one was meant", self.node)));
        }
        Ok(())
    }
}

fn count(counts: &[AtomicU64; REASONS.len()], reason: Reason) {
    if let Some(at) = REASONS.iter().position(|(known, _)| *known == reason) {
        counts[at].fetch_add(1, Ordering::Relaxed);
    }
}

/// A refusal that programs can tell apart and people can read.
pub(crate) fn refuse(reason: Reason, text: &str) -> Status {
    let code = match reason {
        Reason::NotReady => Code::Unavailable,
        Reason::Token => Code::PermissionDenied,
        Reason::NameTaken => Code::AlreadyExists,
        _ => Code::FailedPrecondition,
    };
    let details = Refusal { reason: reason.into(), text: text.to_owned() }.encode_to_vec();
    Status::with_details(code, text, details.into())
}

/// Why the other side refused, if it did; anything else is a failure of the way there.
pub(crate) fn refusal_of(status: &Status) -> Option<(Reason, String)> {
    let refusal = Refusal::decode(status.details()).ok().filter(|_| !status.details().is_empty())?;
    (refusal.reason() != Reason::Unspecified).then(|| (refusal.reason(), refusal.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> NodeId {
        NodeId::from(number)
    }

    fn member(node: u64, cluster: ClusterId) -> Door {
        let door = Door::new(id(node));
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
        assert_eq!(reason(Door::new(id(2)).admit(&one.request(Some(id(2)), (), None))), Reason::NotReady);
        two.keep_out([id(1)]);
        assert_eq!(reason(two.admit(&one.request(Some(id(2)), (), None))), Reason::Removed);
        let to_one_before = two.admit(&one.request(Some(id(3)), (), None));
        assert_eq!(reason(to_one_before), Reason::Removed, "it knows only members of before, who tell it nothing");
        let counts = two.counts();
        assert!(
            ["wrong_node", "wrong_cluster", "no_envelope", "removed"]
                .iter()
                .all(|reason| counts.iter().any(|count| count.reason == *reason && count.here > 0))
        );
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
