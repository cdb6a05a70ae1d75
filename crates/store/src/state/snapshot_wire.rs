//! A snapshot as it travels (proto/sessile/v1/snapshot.proto): what stands in one item, and how a chunk proves itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use sessile_core::{
    Bucket, GroupName, Header, LogTime, NamespaceId, Outcome, Proposer, ProposerId, Record, Row, RowKey, RulesVersion,
    SessionKey, Tally, Version,
};

use crate::codec::CodecError;
use crate::wire::{self, snapshot_item::Kind};

/// The format of the chunks that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// One row or record of a snapshot.
pub(super) enum Item {
    Row(RowKey, Row),
    Record(NamespaceId, SessionKey, Record),
}

impl Item {
    pub(super) fn into_wire(self) -> Result<wire::SnapshotItem, CodecError> {
        let kind = match self {
            Self::Record(namespace, key, record) => Kind::Record(record_to_wire(namespace, &key, record)),
            Self::Row(RowKey::Clock, Row::Clock(clock, rules)) => {
                Kind::Clock(wire::SnapshotClock { clock_ms: clock.as_millis(), rules: rules.number() })
            }
            Self::Row(RowKey::Tally(namespace, group, bucket), Row::Tally(tally)) => Kind::Tally(wire::SnapshotTally {
                namespace: namespace.number(),
                group: group.as_str().to_owned(),
                bucket_end_ms: bucket.end().as_millis(),
                keys: tally.keys,
                bytes: tally.bytes,
                checksum: Bytes::copy_from_slice(&tally.checksum.to_be_bytes()),
            }),
            Self::Row(RowKey::Proposer(id), Row::Proposer(proposer)) => {
                let outcome = |(sequence, outcome): (u64, &Outcome)| wire::SnapshotOutcome {
                    sequence,
                    outcome: outcome.encode(),
                };
                Kind::Proposer(wire::SnapshotProposer {
                    proposer: id.to_bytes(),
                    incarnation: proposer.incarnation(),
                    nonce: proposer.nonce(),
                    lowest: proposer.lowest(),
                    outcomes: proposer.outcomes().map(outcome).collect(),
                })
            }
            Self::Row(RowKey::Tombstone(id), Row::Tombstone(log_index)) => {
                Kind::Tombstone(wire::SnapshotTombstone { proposer: id.to_bytes(), log_index })
            }
            Self::Row(
                RowKey::Clock | RowKey::Tally(..) | RowKey::Proposer(_) | RowKey::Tombstone(_),
                Row::Clock(..) | Row::Tally(_) | Row::Proposer(_) | Row::Tombstone(_),
            ) => return Err(CodecError::Damaged("a row is stored under the name of another kind")),
        };
        Ok(wire::SnapshotItem { kind: Some(kind) })
    }

    pub(super) fn from_wire(item: wire::SnapshotItem) -> Result<Self, CodecError> {
        let unknown = CodecError::Damaged("an item is of a kind that this program does not know; start the newer one");
        Ok(match item.kind.ok_or(unknown)? {
            Kind::Record(record) => record_from_wire(record)?,
            Kind::Clock(clock) => {
                let rules = RulesVersion::new(clock.rules);
                Self::Row(RowKey::Clock, Row::Clock(LogTime::from_millis(clock.clock_ms), rules))
            }
            Kind::Tally(tally) => tally_from_wire(&tally)?,
            Kind::Proposer(proposer) => proposer_from_wire(proposer)?,
            Kind::Tombstone(tombstone) => {
                Self::Row(RowKey::Tombstone(proposer_id(&tombstone.proposer)?), Row::Tombstone(tombstone.log_index))
            }
        })
    }
}

fn record_to_wire(namespace: NamespaceId, key: &SessionKey, record: Record) -> wire::SnapshotRecord {
    let Header {
        namespace_generation,
        group_generation,
        expires_at,
        bucket,
        counted_by_name,
        version,
        value_bytes: _,
        value_hash,
    } = record.header;
    wire::SnapshotRecord {
        namespace: namespace.number(),
        key: key.to_bytes(),
        namespace_generation,
        group_generation,
        expires_at_ms: expires_at.as_millis(),
        bucket_end_ms: bucket.end().as_millis(),
        counted_by_name,
        version: version.log_index(),
        value_hash,
        value: record.value,
    }
}

fn record_from_wire(sent: wire::SnapshotRecord) -> Result<Item, CodecError> {
    let header = Header {
        namespace_generation: sent.namespace_generation,
        group_generation: sent.group_generation,
        expires_at: LogTime::from_millis(sent.expires_at_ms),
        bucket: Bucket::ending(LogTime::from_millis(sent.bucket_end_ms)),
        counted_by_name: sent.counted_by_name,
        version: Version::new(sent.version),
        value_bytes: sent.value.len() as u64,
        value_hash: sent.value_hash,
    };
    let key = SessionKey::new(sent.key).map_err(|_| CodecError::Damaged("a record's key is no key"))?;
    let record = Record { header, value: sent.value };
    if record.is_intact() {
        Ok(Item::Record(NamespaceId::new(sent.namespace), key, record))
    } else {
        Err(CodecError::Damaged("a value is not what was written"))
    }
}

fn tally_from_wire(tally: &wire::SnapshotTally) -> Result<Item, CodecError> {
    let group = GroupName::new(tally.group.as_bytes()).ok_or(CodecError::Damaged("a group's name is none"))?;
    let checksum = <[u8; 16]>::try_from(&*tally.checksum);
    let checksum = checksum.map_err(|_| CodecError::Damaged("a group's checksum has not 16 bytes"))?;
    let bucket = Bucket::ending(LogTime::from_millis(tally.bucket_end_ms));
    let row = Tally { keys: tally.keys, bytes: tally.bytes, checksum: u128::from_be_bytes(checksum) };
    Ok(Item::Row(RowKey::Tally(NamespaceId::new(tally.namespace), group, bucket), Row::Tally(row)))
}

fn proposer_from_wire(sent: wire::SnapshotProposer) -> Result<Item, CodecError> {
    let outcome = |sent: wire::SnapshotOutcome| {
        // A copy: what is kept must not hold on to the whole message.
        let outcome = Outcome::decode(Bytes::copy_from_slice(&sent.outcome));
        let outcome =
            outcome.map_err(|_| CodecError::Damaged("an outcome does not decode; start the newest program"))?;
        Ok((sent.sequence, outcome))
    };
    let id = proposer_id(&sent.proposer)?;
    let outcomes = sent.outcomes.into_iter().map(outcome).collect::<Result<BTreeMap<_, _>, CodecError>>()?;
    let proposer = Proposer::from_parts(sent.incarnation, sent.nonce, sent.lowest, outcomes);
    Ok(Item::Row(RowKey::Proposer(id), Row::Proposer(proposer)))
}

fn proposer_id(bytes: &[u8]) -> Result<ProposerId, CodecError> {
    ProposerId::from_bytes(bytes).ok_or(CodecError::Damaged("a proposer's id has not 16 bytes"))
}

/// One message of the transfer.
pub(super) fn encode_chunk(sequence: u64, body: Bytes) -> Bytes {
    let crc32c = checksum(sequence, FORMAT, &body);
    wire::SnapshotChunk { sequence, crc32c, body, format: FORMAT }.encode_to_vec().into()
}

/// The body of the chunk that is next in turn.
pub(super) fn decode_chunk(expected: u64, chunk: Bytes) -> Result<Bytes, String> {
    let wire::SnapshotChunk { sequence, crc32c, body, format } =
        wire::SnapshotChunk::decode(chunk).map_err(|_| format!("chunk {expected} is no protobuf"))?;
    if checksum(sequence, format, &body) != crc32c {
        return Err(format!("chunk {expected} is damaged"));
    }
    if format > FORMAT {
        return Err(format!("it has format {format}, but this program knows only {FORMAT}: start the newer one"));
    }
    if sequence != expected {
        return Err(format!("chunk {sequence} came where chunk {expected} was expected"));
    }
    Ok(body)
}

fn checksum(sequence: u64, format: u32, body: &[u8]) -> u32 {
    let head = crc32c::crc32c_append(crc32c::crc32c(&sequence.to_le_bytes()), &format.to_le_bytes());
    crc32c::crc32c_append(head, body)
}
