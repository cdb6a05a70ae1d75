//! The stored form of the session state: which key holds what, and how its bytes are read.
//!
//! ```text
//! 00            whose state this is                    sealed (Owner)
//! 01            how far the log is applied             sealed (Applied)
//! 02 row key    clock, counts, proposers, namespaces …  sealed (Row)
//! 10 ns key     a record: version, checksum, header, value
//! ```
//! `ns` is the namespace's number, 4 bytes big endian. A snapshot carries everything but the owner.

use bytes::{Bytes, BytesMut};
use sessile_core::{Header, NamespaceId, Record, Row, RowKey, SessionKey, Ttl, group_of};
use xxhash_rust::xxh3::Xxh3;

use crate::codec::{CodecError, plain, seal, unplain, unseal};
use crate::types::{log_id, position};
use crate::{ClusterId, KeyHash, LogId, Member, Membership, NodeId, StoredMembership};

pub(super) const OWNER_KEY: &[u8] = &[0x00];
pub(super) const APPLIED_KEY: &[u8] = &[0x01];
pub(super) const ROW_SPACE: u8 = 0x02;
pub(super) const RECORD_SPACE: u8 = 0x10;

/// The version that a record starts with.
const RECORD_VERSION: u8 = 1;
/// The version of one that keeps its lifetime, in seconds, behind its header.
const RECORD_WITH_LIFETIME: u8 = 2;
/// Version byte and checksum of key and header.
const RECORD_PREFIX_BYTES: usize = 1 + size_of::<u32>();

/// Whose state it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Owner {
    pub(crate) node: NodeId,
    pub(crate) cluster: ClusterId,
}

/// How far the log is applied, and who was a member there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) log_id: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct StoredApplied {
    log_id: Option<(u64, u64)>,
    membership_log_id: Option<(u64, u64)>,
    voters: Vec<Vec<NodeId>>,
    members: Vec<(NodeId, Member)>,
}

/// The keys by which members are recognised, of those that have one. They stand behind the rest, and not at all where nobody
/// has one: a program of before there were keys reads that.
type StoredKeys = Vec<(NodeId, Vec<KeyHash>)>;

impl Applied {
    pub(super) fn encode(&self) -> Bytes {
        let pair = |log_id: &LogId| (position(log_id).term, log_id.index);
        let membership = self.membership.membership();
        let keys = membership.nodes().filter(|(_, member)| !member.keys.is_empty());
        let keys: StoredKeys = keys.map(|(node, member)| (*node, member.keys.clone())).collect();
        let stored = StoredApplied {
            log_id: self.log_id.as_ref().map(pair),
            membership_log_id: self.membership.log_id().as_ref().map(pair),
            voters: membership.get_joint_config().iter().map(|set| set.iter().copied().collect()).collect(),
            members: membership.nodes().map(|(node, member)| (*node, member.clone())).collect(),
        };
        if keys.is_empty() { seal(&stored) } else { seal(&(stored, keys)) }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (stored, keys) = unseal::<(StoredApplied, StoredKeys)>(bytes)
            .or_else(|_| unseal::<StoredApplied>(bytes).map(|stored| (stored, StoredKeys::new())))?;
        let id = |(term, index)| log_id(term, index);
        let voters = stored.voters.into_iter().map(|set| set.into_iter().collect()).collect();
        let mut members: std::collections::BTreeMap<_, _> = stored.members.into_iter().collect();
        for (node, keys) in keys {
            members.entry(node).and_modify(|member: &mut Member| member.keys = keys);
        }
        let membership = Membership::new(voters, members);
        let membership = membership.map_err(|_| CodecError::Damaged("the membership is not valid"))?;
        Ok(Self {
            log_id: stored.log_id.map(id),
            membership: StoredMembership::new(stored.membership_log_id.map(id), membership),
        })
    }
}

pub(super) fn record_key(namespace: NamespaceId, key: &SessionKey) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + key.as_bytes().len());
    bytes.extend_from_slice(&namespace_prefix(namespace));
    bytes.extend_from_slice(key.as_bytes());
    bytes.freeze()
}

/// What the stored keys of a namespace's records begin with.
pub(super) fn namespace_prefix(namespace: NamespaceId) -> [u8; 5] {
    let [a, b, c, d] = namespace.number().to_be_bytes();
    [RECORD_SPACE, a, b, c, d]
}

pub(super) fn parse_record_key(bytes: &Bytes) -> Result<(NamespaceId, SessionKey), CodecError> {
    let (namespace, key) = split_record_key(bytes)?;
    let key = SessionKey::new(bytes.slice_ref(key));
    Ok((namespace, key.map_err(|_| CodecError::Damaged("a record's key is no key"))?))
}

/// The namespace of a record and the group of its key.
pub(super) fn group_of_record(stored_key: &[u8]) -> Result<(NamespaceId, &str), CodecError> {
    let (number, key) = split_record_key(stored_key)?;
    Ok((number, group_of(key)))
}

fn split_record_key(stored_key: &[u8]) -> Result<(NamespaceId, &[u8]), CodecError> {
    let split = stored_key.strip_prefix(&[RECORD_SPACE]).and_then(<[u8]>::split_first_chunk::<4>);
    let (number, key) = split.ok_or(CodecError::Damaged("a record's key is no key"))?;
    Ok((NamespaceId::new(u32::from_be_bytes(*number)), key))
}

pub(super) fn encode_record(stored_key: &[u8], record: &Record) -> Bytes {
    let mut bytes = Vec::with_capacity(RECORD_PREFIX_BYTES + 64 + record.value.len());
    bytes.resize(RECORD_PREFIX_BYTES, 0);
    plain(&record.header, &mut bytes);
    bytes[0] = RECORD_VERSION;
    if let Some(lifetime) = record.header.lifetime {
        plain(&lifetime.as_secs().unwrap_or(0), &mut bytes);
        bytes[0] = RECORD_WITH_LIFETIME;
    }
    let checksum = header_checksum(stored_key, &bytes[RECORD_PREFIX_BYTES..]);
    bytes[1..RECORD_PREFIX_BYTES].copy_from_slice(&checksum);
    bytes.extend_from_slice(&record.value);
    bytes.into()
}

/// Reads a record and verifies it: the header against its checksum, which covers the key that it was stored under, and
/// the value against the hash in the header.
pub(super) fn decode_record(stored_key: &[u8], bytes: &Bytes) -> Result<Record, CodecError> {
    let (header, used) = decode_header(stored_key, bytes)?;
    let record = Record { header, value: bytes.slice(used..) };
    if record.is_intact() { Ok(record) } else { Err(CodecError::Damaged("a value is not what was written")) }
}

/// Reads a record's header alone; where the value begins comes with it.
pub(super) fn decode_header(stored_key: &[u8], bytes: &[u8]) -> Result<(Header, usize), CodecError> {
    let short = CodecError::Damaged("a record is too short");
    let (&version, rest) = bytes.split_first().ok_or(short.clone())?;
    let (checksum, rest) = rest.split_first_chunk::<4>().ok_or(short)?;
    let (mut header, mut used) = unplain::<Header>(rest)?;
    match version {
        RECORD_VERSION => {}
        RECORD_WITH_LIFETIME => {
            let (seconds, more) = unplain::<u64>(rest.get(used..).unwrap_or_default())?;
            (header.lifetime, used) = (Some(Ttl::from_secs(seconds).unwrap_or(Ttl::FOREVER)), used + more);
        }
        other => return Err(CodecError::Version(other)),
    }
    if *checksum != header_checksum(stored_key, &rest[..used]) {
        return Err(CodecError::Damaged("a record's header is not what was written under its key"));
    }
    Ok((header, RECORD_PREFIX_BYTES + used))
}

fn header_checksum(stored_key: &[u8], header: &[u8]) -> [u8; 4] {
    let mut hasher = Xxh3::new();
    hasher.update(header);
    hasher.update(stored_key);
    let [a, b, c, d, ..] = hasher.digest().to_le_bytes();
    [a, b, c, d]
}

pub(super) fn row_key(key: &RowKey) -> Bytes {
    let mut bytes = vec![ROW_SPACE];
    plain(key, &mut bytes);
    bytes.into()
}

pub(super) fn parse_row(key: &[u8], bytes: &[u8]) -> Result<(RowKey, Row), CodecError> {
    let (row_key, used) = unplain::<RowKey>(key.get(1..).unwrap_or_default())?;
    if used + 1 != key.len() {
        return Err(CodecError::Damaged("a row's key does not decode"));
    }
    // The row carries its own key, so that one in another's place is found.
    let (own_key, row): (RowKey, Row) = unseal(bytes)?;
    if own_key != row_key {
        Err(CodecError::Damaged("a row is stored under another's key"))
    } else {
        Ok((row_key, row))
    }
}

pub(super) fn encode_row(key: &RowKey, row: &Row) -> Bytes {
    seal(&(key, row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::examples;
    use sessile_core::{Bucket, LogTime};

    #[test]
    fn a_flipped_bit_in_a_record_or_its_key_is_found() {
        let record = examples::record(b"a session's value");
        a_flipped_bit_is_found(&record);
        a_flipped_bit_is_found(&examples::with_lifetime(record));
    }

    fn a_flipped_bit_is_found(record: &Record) {
        let key = record_key(NamespaceId::SESSIONS, &examples::key());
        let stored = encode_record(&key, record);
        assert_eq!(decode_record(&key, &stored).as_ref(), Ok(record));
        for bit in 0..stored.len() * 8 {
            let mut flipped = stored.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            decode_record(&key, &flipped.into()).expect_err("a flipped bit in the record");
        }
        for bit in 0..key.len() * 8 {
            let mut flipped = key.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            decode_record(&flipped, &stored).expect_err("a flipped bit in the key");
        }
    }

    #[test]
    fn a_row_of_a_group_that_no_key_could_belong_to_is_refused() {
        let longest = sessile_core::MAX_GROUP_BYTES;
        for (name, good) in
            [("", true), (&*"g".repeat(longest), true), (&*"g".repeat(longest + 1), false), ("a b", false)]
        {
            let bucket = Bucket::ending(LogTime::from_millis(60_000));
            // As the key of a row is encoded: which kind, then its parts.
            let mut key = vec![ROW_SPACE];
            plain(&(1_u32, NamespaceId::SESSIONS, name, bucket), &mut key);
            let row = Row::Tally(sessile_core::Tally::of_one(1, 1));
            let sealed = seal(&((1_u32, NamespaceId::SESSIONS, name, bucket), row));
            assert_eq!(parse_row(&key, &sealed).is_ok(), good, "{name:?}");
        }
    }

    fn bytes(hex: &str) -> Bytes {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.chunks(2).map(byte).collect()
    }

    /// Golden: these stand on disks, so none of these lines ever changes; a new form gets a new line.
    #[test]
    fn a_record_of_the_first_version_is_read_and_written_as_it_was() {
        let (key, record) = (examples::key(), examples::record(b"a session's value"));
        let stored_key = bytes("10 00000001 6177696b693a4d5753657373696f6e3a30");
        let stored = bytes(
            "01 b3003e81 01 fb2c01 fd0068e5cf8b010000 fd4004e6cf8b010000 01 fc40e20100 11 fd96c16b371e9524ce
             612073657373696f6e27732076616c7565",
        );
        assert_eq!(record_key(NamespaceId::SESSIONS, &key), stored_key);
        assert_eq!(parse_record_key(&stored_key), Ok((NamespaceId::SESSIONS, key)));
        assert_eq!(decode_record(&stored_key, &stored).as_ref(), Ok(&record));
        assert_eq!(encode_record(&stored_key, &record), stored);
    }

    /// Golden, like the record above.
    #[test]
    fn a_record_that_keeps_its_lifetime_is_read_and_written_as_it_was() {
        let record = examples::with_lifetime(examples::record(b"a session's value"));
        let stored_key = record_key(NamespaceId::SESSIONS, &examples::key());
        let stored = bytes(
            "02 91f7fe87 01 fb2c01 fd0068e5cf8b010000 fd4004e6cf8b010000 01 fc40e20100 11 fd96c16b371e9524ce fb100e
             612073657373696f6e27732076616c7565",
        );
        assert_eq!(encode_record(&stored_key, &record), stored);
        assert_eq!(decode_record(&stored_key, &stored).as_ref(), Ok(&record));
    }

    /// Golden, like the record above.
    #[test]
    fn rows_of_the_first_version_are_read_and_written_as_they_were() {
        let table = [
            ("clock", "02 00", "01 ab8564d976541f70 00 00 fd0068e5cf8b010000 01"),
            (
                "tally",
                "02 01 01 05 6177696b69 fd4004e6cf8b010000",
                "01 307ac987c6b2d1b7 01 01 05 6177696b69 fd4004e6cf8b010000 01 02 28 feffffffffffffffffffffffffffffffff",
            ),
            (
                "proposer",
                "02 02 03",
                "01 08a671bd73d73b08 02 03 02 07 fdffffffffffffffff 04 03 04 00 09
                 05 01 01 01 05 74616b656e 08 fdffffffffffffffff 05 06 05 01 07",
            ),
            ("tombstone", "02 03 04", "01 01f205dfd8c5a957 03 04 03 0b"),
            (
                "change",
                "02 04 fb2c01",
                "01 ce95f77d652a8656 04 fb2c01 04 fd0068e5cf8b010000 09 6175746f70696c6f74 0d 31302e302e302e313a37303831
                 0a 70726f6d6f7465206e33 00",
            ),
            (
                "change_ended",
                "02 04 fb2d01",
                "01 a9f7ca1661c4e280 04 fb2d01 04 fd0068e5cf8b010000 09 6175746f70696c6f74 0d 31302e302e302e313a37303831
                 0a 70726f6d6f7465206e33 01 04 646f6e65",
            ),
            ("last_namespace", "02 05", "01 8fb0b15971784715 05 05 02"),
            (
                "namespace",
                "02 06 02",
                "01 874f657551c9f940 06 02 06 0a 0a0165 12032f652f 2801 fb2c01 03 04",
            ),
            (
                "truncated_group",
                "02 07 02 05 6177696b69",
                "01 c90c1c9b86a72bd4 07 02 05 6177696b69 07 04 fd4004e6cf8b010000",
            ),
            ("unnamed", "02 08 02", "01 f0f1a9e925992745 08 02 08 fd4004e6cf8b010000"),
            (
                "answer",
                "02 09 02 03 612d31",
                "01 60d3fe8bd3441458 09 02 03 612d31 09 05 fd0068e5cf8b010000 01 01 01 05 74616b656e 08 fdffffffffffffffff 05",
            ),
        ];
        let rows = examples::rows();
        assert_eq!(rows.each_ref().map(|(name, ..)| *name), table.map(|(name, ..)| name));
        for ((_, key, row), (_, stored_key, stored)) in rows.into_iter().zip(table) {
            let (stored_key, stored) = (bytes(stored_key), bytes(stored));
            assert_eq!((row_key(&key), encode_row(&key, &row)), (stored_key.clone(), stored.clone()), "{key:?}");
            let (key, row) = parse_row(&stored_key, &stored).unwrap();
            assert_eq!(encode_row(&key, &row), stored, "{key:?}");
        }
    }
}
