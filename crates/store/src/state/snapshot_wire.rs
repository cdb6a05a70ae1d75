//! A snapshot as it travels (proto/sessile/v1/snapshot.proto): what stands in one item, and how a chunk proves itself.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;
use sessile_core::{
    Answer, Bucket, Change, GroupName, Header, HistoryEntry, IdempotencyKey, LogTime, NamespaceId, NamespaceSettings,
    NamespaceToken, Outcome, Proposer, ProposerId, Record, Row, RowKey, RulesVersion, SessionKey, StoredNamespace,
    Tally, TokenName, TruncatedGroup, Ttl, Version,
};

use crate::codec::CodecError;
use crate::wire::{self, snapshot_item::Kind};

/// The format of the chunks that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// One row or record of a snapshot.
pub(crate) enum Item {
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
            Self::Row(RowKey::History(log_index), Row::History(entry)) => {
                Kind::Change(change_to_wire(log_index, &entry))
            }
            Self::Row(RowKey::LastNamespace, Row::LastNamespace(last)) => {
                Kind::LastNamespace(wire::SnapshotLastNamespace { namespace: last.number() })
            }
            Self::Row(RowKey::Namespace(id), Row::Namespace(stored)) => Kind::Namespace(wire::SnapshotNamespace {
                namespace: id.number(),
                settings: stored.settings.encode(),
                changed_at: stored.changed_at,
                generation: stored.generation,
                last_generation: stored.last_generation,
            }),
            Self::Row(RowKey::TruncatedGroup(id, name), Row::TruncatedGroup(group)) => {
                Kind::TruncatedGroup(wire::SnapshotTruncatedGroup {
                    namespace: id.number(),
                    group: name.as_str().to_owned(),
                    generation: group.generation,
                    until_ms: group.until.end().as_millis(),
                })
            }
            Self::Row(RowKey::Unnamed(id), Row::Unnamed(until)) => {
                Kind::Unnamed(wire::SnapshotUnnamed { namespace: id.number(), until_ms: until.end().as_millis() })
            }
            Self::Row(RowKey::Token(id, name), Row::Token(token)) => Kind::Token(wire::SnapshotToken {
                namespace: id.number(),
                name: name.as_str().to_owned(),
                token: token.encode(),
            }),
            Self::Row(RowKey::Answer(id, key), Row::Answer(answer)) => Kind::Answer(wire::SnapshotAnswer {
                namespace: id.number(),
                idempotency_key: key.to_bytes(),
                request: Bytes::copy_from_slice(&answer.request.to_be_bytes()),
                at_ms: answer.at.as_millis(),
                outcome: answer.outcome.encode(),
            }),
            Self::Row(
                RowKey::Clock
                | RowKey::Tally(..)
                | RowKey::Proposer(_)
                | RowKey::Tombstone(_)
                | RowKey::History(_)
                | RowKey::LastNamespace
                | RowKey::Namespace(_)
                | RowKey::TruncatedGroup(..)
                | RowKey::Unnamed(_)
                | RowKey::Answer(..)
                | RowKey::Token(..),
                _,
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
            Kind::Change(change) => change_from_wire(&change),
            Kind::LastNamespace(last) => {
                Self::Row(RowKey::LastNamespace, Row::LastNamespace(NamespaceId::new(last.namespace)))
            }
            Kind::Namespace(sent) => namespace_from_wire(&sent)?,
            Kind::TruncatedGroup(sent) => {
                let group = TruncatedGroup { generation: sent.generation, until: bucket_from_wire(sent.until_ms) };
                let key = RowKey::TruncatedGroup(NamespaceId::new(sent.namespace), group_from_wire(&sent.group)?);
                Self::Row(key, Row::TruncatedGroup(group))
            }
            Kind::Unnamed(sent) => {
                let until = bucket_from_wire(sent.until_ms);
                Self::Row(RowKey::Unnamed(NamespaceId::new(sent.namespace)), Row::Unnamed(until))
            }
            Kind::Answer(sent) => answer_from_wire(&sent)?,
            Kind::Token(sent) => token_from_wire(&sent)?,
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
        lifetime,
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
        lifetime_seconds: lifetime.map_or(0, |ttl| ttl.as_secs().unwrap_or(u64::MAX)),
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
        lifetime: match sent.lifetime_seconds {
            u64::MAX => Some(Ttl::FOREVER),
            seconds => Ttl::from_secs(seconds),
        },
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
    let group = group_from_wire(&tally.group)?;
    let checksum = <[u8; 16]>::try_from(&*tally.checksum);
    let checksum = checksum.map_err(|_| CodecError::Damaged("a group's checksum has not 16 bytes"))?;
    let bucket = bucket_from_wire(tally.bucket_end_ms);
    let row = Tally { keys: tally.keys, bytes: tally.bytes, checksum: u128::from_be_bytes(checksum) };
    Ok(Item::Row(RowKey::Tally(NamespaceId::new(tally.namespace), group, bucket), Row::Tally(row)))
}

fn group_from_wire(name: &str) -> Result<GroupName, CodecError> {
    GroupName::new(name.as_bytes()).ok_or(CodecError::Damaged("a group's name is none"))
}

fn bucket_from_wire(end_ms: u64) -> Bucket {
    Bucket::ending(LogTime::from_millis(end_ms))
}

fn namespace_from_wire(sent: &wire::SnapshotNamespace) -> Result<Item, CodecError> {
    let settings = NamespaceSettings::decode(&sent.settings);
    let settings = settings.map_err(|_| CodecError::Damaged("the settings of a namespace break a rule"))?;
    let stored = StoredNamespace {
        settings,
        changed_at: sent.changed_at,
        generation: sent.generation,
        last_generation: sent.last_generation,
    };
    Ok(Item::Row(RowKey::Namespace(NamespaceId::new(sent.namespace)), Row::Namespace(stored)))
}

fn token_from_wire(sent: &wire::SnapshotToken) -> Result<Item, CodecError> {
    let name = TokenName::new(&sent.name).map_err(|_| CodecError::Damaged("a token's name is none"))?;
    let token = NamespaceToken::decode(&sent.token);
    let token = token.map_err(|_| CodecError::Damaged("a token does not decode; start the newest program"))?;
    Ok(Item::Row(RowKey::Token(NamespaceId::new(sent.namespace), name), Row::Token(token)))
}

fn outcome_from_wire(sent: &[u8]) -> Result<Outcome, CodecError> {
    // A copy: what is kept must not hold on to the whole message.
    let outcome = Outcome::decode(Bytes::copy_from_slice(sent));
    outcome.map_err(|_| CodecError::Damaged("an outcome does not decode; start the newest program"))
}

fn answer_from_wire(sent: &wire::SnapshotAnswer) -> Result<Item, CodecError> {
    let key = IdempotencyKey::new(Bytes::copy_from_slice(&sent.idempotency_key));
    let key = key.map_err(|_| CodecError::Damaged("an answer's idempotency key is none"))?;
    let request = <[u8; 16]>::try_from(&*sent.request);
    let request = request.map_err(|_| CodecError::Damaged("the hash of an answer's request has not 16 bytes"))?;
    let answer = Answer {
        request: u128::from_be_bytes(request),
        at: LogTime::from_millis(sent.at_ms),
        outcome: outcome_from_wire(&sent.outcome)?,
    };
    Ok(Item::Row(RowKey::Answer(NamespaceId::new(sent.namespace), key), Row::Answer(answer)))
}

fn proposer_from_wire(sent: wire::SnapshotProposer) -> Result<Item, CodecError> {
    let outcome = |sent: wire::SnapshotOutcome| Ok((sent.sequence, outcome_from_wire(&sent.outcome)?));
    let id = proposer_id(&sent.proposer)?;
    let outcomes = sent.outcomes.into_iter().map(outcome).collect::<Result<BTreeMap<_, _>, CodecError>>()?;
    let proposer = Proposer::from_parts(sent.incarnation, sent.nonce, sent.lowest, outcomes);
    Ok(Item::Row(RowKey::Proposer(id), Row::Proposer(proposer)))
}

fn change_to_wire(log_index: u64, entry: &HistoryEntry) -> wire::SnapshotChange {
    let change = entry.change();
    wire::SnapshotChange {
        log_index,
        at_ms: entry.at().as_millis(),
        who: change.who().to_owned(),
        from: change.from().to_owned(),
        what: change.what().to_owned(),
        result: entry.result().map(str::to_owned),
    }
}

fn change_from_wire(sent: &wire::SnapshotChange) -> Item {
    let change = Change::new(&sent.who, &sent.from, &sent.what);
    let entry = HistoryEntry::from_parts(LogTime::from_millis(sent.at_ms), change, sent.result.as_deref());
    Item::Row(RowKey::History(sent.log_index), Row::History(entry))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_what_was_sent_or_is_refused() {
        let body = Bytes::from_static(b"rows and records, whatever they are");
        for sequence in [0, 1, 300] {
            let chunk = encode_chunk(sequence, body.clone());
            assert_eq!(decode_chunk(sequence, chunk.clone()).as_ref(), Ok(&body));
            decode_chunk(sequence + 1, chunk.clone()).expect_err("not the next one");
            for end in 0..chunk.len() {
                decode_chunk(sequence, chunk.slice(..end)).expect_err("cut short");
            }
            for bit in 0..chunk.len() * 8 {
                let mut flipped = chunk.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                decode_chunk(sequence, flipped.into()).expect_err("a flipped bit");
            }
        }
    }

    #[test]
    fn an_item_of_a_newer_program_is_not_left_out() {
        let newer = wire::SnapshotItem::decode(&[0xfa, 0x01, 0x00][..]).unwrap();
        let error = Item::from_wire(newer).err().unwrap().to_string();
        assert!(error.contains("start the newer one"), "{error}");
    }

    #[test]
    fn a_chunk_of_a_newer_format_is_refused_by_name() {
        let chunk = wire::SnapshotChunk { sequence: 0, crc32c: checksum(0, 2, b""), body: Bytes::new(), format: 2 };
        let error = decode_chunk(0, chunk.encode_to_vec().into()).unwrap_err();
        assert!(error.contains("format 2") && error.contains("only 1"), "{error}");
    }
}
