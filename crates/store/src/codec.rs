//! Between Raft's types and the bytes in the log. Entries are protobuf, because members exchange them; what only this
//! node reads back is bincode behind a version byte and a checksum.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bytes::{BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use prost::Message;
use sessile_core::{LogTime, RulesVersion};
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::MAX_VALUE_BYTES;
use crate::types::{Entry, log_id, term_of};
use crate::{KeyHash, LogId, Member, Membership, NodeId, Proposal, StoredMembership, wire};

/// The version that every sealed form starts with.
const SEALED_VERSION: u8 = 1;
/// Version byte and checksum.
const SEAL_BYTES: usize = 1 + size_of::<u64>();

/// The most bytes that are read as one. A string makes room for the length that it begins with before it is read, so
/// without this a length that damage made up would take all memory. What is sealed is at most one value of an engine;
/// but a number counts with its whole width here, however short it is written.
const MAX_DECODED_BYTES: usize = 4 * MAX_VALUE_BYTES;

const BINCODE: Configuration<LittleEndian, Varint, Limit<MAX_DECODED_BYTES>> =
    bincode::config::standard().with_limit::<MAX_DECODED_BYTES>();

/// Why stored bytes cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A newer program wrote them.
    #[error("it has version {0}, which this program does not know")]
    Version(u8),
    /// They are not what was written.
    #[error("{0}")]
    Damaged(&'static str),
}

/// Encodes with a version byte and a checksum.
pub(crate) fn seal<T: serde::Serialize>(value: &T) -> Bytes {
    let mut bytes = vec![0; SEAL_BYTES];
    let encoded = bincode::serde::encode_into_std_write(value, &mut bytes, BINCODE);
    debug_assert!(encoded.is_ok(), "writing to memory cannot fail");
    let checksum = xxh3_64(&bytes[SEAL_BYTES..]);
    bytes[0] = SEALED_VERSION;
    bytes[1..SEAL_BYTES].copy_from_slice(&checksum.to_le_bytes());
    bytes.into()
}

/// Reads what `seal` wrote.
pub(crate) fn unseal<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    let (&version, rest) = bytes.split_first().ok_or(CodecError::Damaged("it is empty"))?;
    let (checksum, payload) = rest.split_first_chunk::<8>().ok_or(CodecError::Damaged("it is too short"))?;
    if version != SEALED_VERSION {
        return Err(CodecError::Version(version));
    }
    if u64::from_le_bytes(*checksum) != xxh3_64(payload) {
        return Err(CodecError::Damaged("its checksum does not fit"));
    }
    match bincode::serde::decode_from_slice(payload, BINCODE) {
        Ok((value, used)) if used == payload.len() => Ok(value),
        _ => Err(CodecError::Damaged("it does not decode")),
    }
}

/// Encodes without either: for keys of rows, which are compared and never verified alone.
pub(crate) fn plain<T: serde::Serialize>(value: &T, into: &mut Vec<u8>) {
    let encoded = bincode::serde::encode_into_std_write(value, into, BINCODE);
    debug_assert!(encoded.is_ok(), "writing to memory cannot fail");
}

/// Reads what `plain` wrote; how many bytes that were comes with it.
pub(crate) fn unplain<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<(T, usize), CodecError> {
    bincode::serde::decode_from_slice(bytes, BINCODE).map_err(|_| CodecError::Damaged("it does not decode"))
}

/// The bytes of an entry's payload in the log.
pub fn encode_entry(entry: &Entry) -> Bytes {
    use wire::entry::Payload;
    let payload = match &entry.payload {
        EntryPayload::Blank => Payload::Blank(wire::Blank {}),
        EntryPayload::Normal(proposal) => Payload::Proposal(wire::Proposal {
            stamp_ms: proposal.stamp.as_millis(),
            command: proposal.command.clone(),
        }),
        EntryPayload::Membership(membership) => Payload::Membership(membership_to_wire(membership)),
    };
    let entry = wire::Entry { payload: Some(payload) };
    let mut bytes = BytesMut::with_capacity(entry.encoded_len()).writer();
    let encoded = entry.encode(bytes.get_mut());
    debug_assert!(encoded.is_ok(), "the buffer has room");
    bytes.into_inner().freeze()
}

/// Reads what `encode_entry` wrote. The command shares the bytes.
///
/// # Errors
/// The bytes are damaged, or of a kind that only a newer program knows.
pub fn decode_entry(log_id: LogId, bytes: Bytes) -> Result<Entry, CodecError> {
    use wire::entry::Payload;
    let entry = wire::Entry::decode(bytes).map_err(|_| CodecError::Damaged("the protobuf is damaged"))?;
    let payload = match entry.payload {
        None => {
            return Err(CodecError::Damaged("it is of a kind that this program does not know; start the newer one"));
        }
        Some(Payload::Blank(wire::Blank {})) => EntryPayload::Blank,
        Some(Payload::Proposal(proposal)) => {
            EntryPayload::Normal(Proposal { stamp: LogTime::from_millis(proposal.stamp_ms), command: proposal.command })
        }
        Some(Payload::Membership(membership)) => EntryPayload::Membership(membership_from_wire(&membership)?),
    };
    Ok(Entry::new(log_id, payload))
}

/// The bytes of a membership, as members exchange them.
pub fn encode_membership(stored: &StoredMembership) -> Bytes {
    let log_id = stored.log_id().as_ref().map(|id| wire::LogId { term: term_of(id), index: id.index });
    let membership = Some(membership_to_wire(stored.membership()));
    wire::StoredMembership { log_id, membership }.encode_to_vec().into()
}

/// Reads what `encode_membership` wrote.
///
/// # Errors
/// The bytes are damaged, or no membership.
pub fn decode_membership(bytes: Bytes) -> Result<StoredMembership, CodecError> {
    let stored = wire::StoredMembership::decode(bytes).map_err(|_| CodecError::Damaged("the protobuf is damaged"))?;
    let membership = stored.membership.ok_or(CodecError::Damaged("there is no membership in it"))?;
    let log_id = stored.log_id.map(|id| log_id(id.term, id.index));
    Ok(StoredMembership::new(log_id, membership_from_wire(&membership)?))
}

fn membership_to_wire(membership: &Membership) -> wire::Membership {
    let id = |id: &NodeId| Bytes::copy_from_slice(&id.to_bytes());
    let configs = membership.get_joint_config().iter();
    let member = |(node, member): (&NodeId, &Member)| wire::Member {
        node_id: id(node),
        name: member.name.clone(),
        address: member.address.clone(),
        rules_supported: member.rules_supported.number(),
        key: member.keys.iter().map(|key| Bytes::copy_from_slice(&key.to_bytes())).collect(),
    };
    wire::Membership {
        configs: configs.map(|voters| wire::Voters { node_id: voters.iter().map(id).collect() }).collect(),
        members: membership.nodes().map(member).collect(),
    }
}

fn membership_from_wire(wire: &wire::Membership) -> Result<Membership, CodecError> {
    let id = |bytes: &Bytes| NodeId::from_bytes(bytes).ok_or(CodecError::Damaged("a node id has not 16 bytes"));
    let configs = wire.configs.iter().map(|voters| voters.node_id.iter().map(id).collect());
    let configs: Vec<std::collections::BTreeSet<NodeId>> = configs.collect::<Result<_, _>>()?;
    let member = |member: &wire::Member| {
        let rules_supported = RulesVersion::new(member.rules_supported);
        let key =
            |bytes: &Bytes| KeyHash::from_bytes(bytes).ok_or(CodecError::Damaged("a key's hash has not 32 bytes"));
        let keys = member.key.iter().map(key).collect::<Result<_, _>>()?;
        let node = Member { name: member.name.clone(), address: member.address.clone(), rules_supported, keys };
        Ok((id(&member.node_id)?, node))
    };
    let members = wire.members.iter().map(member).collect::<Result<std::collections::BTreeMap<_, _>, CodecError>>()?;
    Membership::new(configs, members).map_err(|_| CodecError::Damaged("a membership is not valid"))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_went() {
        let keys = vec![KeyHash::new([7; 32]), KeyHash::new([8; 32])];
        let member = Member { name: "n1".into(), address: "127.0.0.1:7081".into(), keys, ..Member::default() };
        let voters = BTreeSet::from([NodeId::from(1)]);
        let membership = Membership::new(vec![voters], BTreeMap::from([(NodeId::from(1), member)])).unwrap();
        let proposal = Proposal { stamp: LogTime::from_millis(5), command: Bytes::from_static(b"command") };
        for payload in [EntryPayload::Blank, EntryPayload::Normal(proposal), EntryPayload::Membership(membership)] {
            let entry = Entry::new(log_id(3, 7), payload);
            assert_eq!(decode_entry(log_id(3, 7), encode_entry(&entry)).unwrap(), entry);
        }
    }

    #[test]
    fn an_entry_of_a_newer_program_is_not_taken_for_an_empty_one() {
        let newer = [0xfa, 0x01, 0x00];
        decode_entry(log_id(3, 7), Bytes::copy_from_slice(&newer)).expect_err("field 31 is not known");
    }

    #[test]
    fn a_length_that_damage_made_up_is_refused_before_room_is_made_for_it() {
        let longest = u64::MAX;
        for length in [longest, longest / 2, 1 << 40, 1 << 32] {
            let mut bytes = Vec::new();
            plain(&length, &mut bytes);
            unplain::<String>(&bytes).expect_err("there are no bytes behind the length");
        }
    }

    #[test]
    fn a_flipped_bit_breaks_the_seal() {
        let sealed = seal(&(1_u64, "text".to_owned()));
        assert_eq!(unseal::<(u64, String)>(&sealed).unwrap(), (1, "text".to_owned()));
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            unseal::<(u64, String)>(&flipped).expect_err("a flipped bit");
        }
    }
}
