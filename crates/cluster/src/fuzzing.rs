//! What holds of whatever envelope comes with a message. Here for the targets in fuzz/, and for the tests that hold the
//! seeds to it.

use http::{HeaderMap, HeaderName, HeaderValue};
use prost::Message;
use sessile_store::{ClusterId, NodeId};
use tonic::metadata::{BinaryMetadataValue, MetadataMap};
use tonic::{Code, Request, Response, Status};

use crate::transport::{Door, cluster_from_wire, id_from_wire, refusal_of};
use crate::wire::Envelope;

/// Where the envelope stands: the name is part of the protocol.
const KEY: &str = "sessile-envelope-bin";

const HERE: NodeId = NodeId::from_bits(2);
const REMOVED: NodeId = NodeId::from_bits(3);
const CLUSTER: ClusterId = ClusterId::from_bits(7);

/// A message is refused by reason, or is of the member, the cluster and the receiver that its envelope names.
pub fn envelope(bytes: &[u8]) {
    let mut metadata = MetadataMap::new();
    metadata.insert_bin(KEY, BinaryMetadataValue::from_bytes(bytes));
    admitted(&metadata, Some(bytes));
    // As another program could send it: the text of the header, which need not be Base64.
    if let Ok(value) = HeaderValue::from_bytes(bytes) {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(KEY), value)]);
        admitted(&MetadataMap::from_headers(headers), None);
    }
    if let Some((reason, _)) = refusal_of(&Status::with_details(Code::Internal, "", bytes.to_vec().into())) {
        assert_ne!(i32::from(reason), 0, "a reason that says nothing is none");
    }
}

fn admitted(metadata: &MetadataMap, envelope: Option<&[u8]>) {
    let door = Door::without_tls(HERE);
    door.enter(CLUSTER);
    door.keep_out([REMOVED]);
    let mut request = Request::new(());
    *request.metadata_mut() = metadata.clone();
    let answer = || {
        let mut response = Response::new(());
        *response.metadata_mut() = metadata.clone();
        Ok(response)
    };
    let stranger = door.sender(&request).ok();
    assert_eq!(door.receive_stranger(answer()).ok().map(|(from, ())| from), stranger);
    match door.admit(&request) {
        Ok(from) => {
            assert_eq!(stranger, Some(from));
            assert_ne!(from, REMOVED);
            assert_eq!(door.meant_for_here(&request), Some(CLUSTER));
            assert!(door.receive(from, answer()).is_ok());
            assert!(door.receive(REMOVED, answer()).is_err());
            if let Some(envelope) = envelope.and_then(|bytes| Envelope::decode(bytes).ok()) {
                assert_eq!(id_from_wire(&envelope.from), Some(from));
                assert_eq!(id_from_wire(&envelope.to), Some(HERE));
                assert_eq!(cluster_from_wire(&envelope.cluster), Some(CLUSTER));
            }
        }
        Err(status) => assert!(refusal_of(&status).is_some(), "refused, and nobody is told why"),
    }
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{cluster_to_wire, id_to_wire};
    use crate::wire::Refusal;
    use crate::wire::refusal::Reason;

    fn sealed(from: NodeId, to: Option<NodeId>, cluster: Option<ClusterId>) -> Vec<u8> {
        let door = Door::without_tls(from);
        cluster.into_iter().for_each(|cluster| door.enter(cluster));
        let request = door.request(to, (), None);
        request.metadata().get_bin(KEY).unwrap().to_bytes().unwrap().into()
    }

    #[test]
    fn every_seed_of_an_envelope_is_refused_by_reason_or_is_of_a_member() {
        let one = NodeId::from_bits(1);
        let newer = Envelope {
            cluster: cluster_to_wire(CLUSTER),
            group: 1,
            from: id_to_wire(one),
            to: id_to_wire(HERE),
            version: u32::MAX,
            oldest_version: u32::MAX,
            proof: bytes::Bytes::new(),
        };
        let text = "another one was meant".to_owned();
        let refusal = Refusal { reason: Reason::WrongNode.into(), text, ..Refusal::default() };
        let made = [
            ("member", sealed(one, Some(HERE), Some(CLUSTER))),
            ("removed", sealed(REMOVED, Some(HERE), Some(CLUSTER))),
            ("elsewhere", sealed(one, Some(one), Some(CLUSTER))),
            ("stranger", sealed(one, None, None)),
            ("newer", newer.encode_to_vec()),
            ("refusal", refusal.encode_to_vec()),
        ];
        let door = Door::without_tls(HERE);
        door.enter(CLUSTER);
        let mut request = Request::new(());
        request.metadata_mut().insert_bin(KEY, BinaryMetadataValue::from_bytes(&made[0].1));
        assert_eq!(door.admit(&request).unwrap(), one, "the first seed gets past every check");
        seeds::hold("envelope", &made, envelope);
    }
}
