//! What the state may hold, one of each kind, for the tests of its stored form and for the seeds of the fuzz targets. Its
//! bytes stand in golden tests: what is here stays as it is, and a new kind gets a new one beside it.

use std::collections::BTreeMap;

use bytes::Bytes;
use sessile_core::{
    Answer, BaseUri, Bucket, Change, GroupName, Header, HistoryEntry, IdempotencyKey, LogTime, NamespaceId,
    NamespaceName, NamespaceSettings, Outcome, Proposer, ProposerId, Record, Refusal, Row, RowKey, RulesVersion,
    SessionKey, StoredNamespace, Taken, Tally, TruncatedGroup, Ttl, Version, value_hash,
};

const MOMENT: LogTime = LogTime::from_millis(1_700_000_000_000);

/// The end of the minute that it is in.
fn bucket() -> Bucket {
    Bucket::ending(LogTime::from_millis(1_700_000_040_000))
}

pub(super) fn key() -> SessionKey {
    SessionKey::new("awiki:MWSession:0").unwrap()
}

pub(super) fn record(value: &'static [u8]) -> Record {
    let header = Header {
        namespace_generation: 1,
        group_generation: 300,
        expires_at: MOMENT,
        bucket: bucket(),
        counted_by_name: true,
        version: Version::new(123_456),
        value_bytes: value.len() as u64,
        value_hash: value_hash(value),
        lifetime: None,
    };
    Record { header, value: Bytes::from_static(value) }
}

/// The same of a namespace whose records reads renew.
pub(super) fn with_lifetime(record: Record) -> Record {
    Record { header: Header { lifetime: Ttl::from_secs(3_600), ..record.header }, ..record }
}

fn change() -> Change {
    Change::new("autopilot", "10.0.0.1:7081", "promote n3")
}

fn namespace() -> StoredNamespace {
    let (name, base_uri) = (NamespaceName::new("e").unwrap(), BaseUri::new("/e/").unwrap());
    let settings = NamespaceSettings { max_keys: 1, ..NamespaceSettings::unlimited(name, base_uri) };
    StoredNamespace { settings, changed_at: 300, generation: 3, last_generation: 4 }
}

/// A row of each kind, by the kind's name.
pub(super) fn rows() -> [(&'static str, RowKey, Row); 11] {
    let group = GroupName::new(b"awiki").unwrap();
    let tally = Tally { keys: 2, bytes: 40, checksum: u128::MAX };
    let taken = Taken {
        value: "taken".into(),
        version: Version::new(8),
        expires_at: LogTime::NEVER,
        clock: LogTime::from_millis(5),
    };
    let handed_out = Outcome::Deleted { existed: true, taken: Some(taken) };
    let outcomes = BTreeMap::from([
        (4, Outcome::Written { version: Version::new(9) }),
        (5, handed_out.clone()),
        (6, Outcome::Refused(Refusal::UnknownIncarnation { current: 7 })),
    ]);
    let proposer = Proposer::from_parts(7, u64::MAX, 4, outcomes);
    let (name, answer) = (IdempotencyKey::new("a-1").unwrap(), Answer { request: 5, at: MOMENT, outcome: handed_out });
    let truncated = TruncatedGroup { generation: 4, until: bucket() };
    [
        ("clock", RowKey::Clock, Row::Clock(MOMENT, RulesVersion::FIRST)),
        ("tally", RowKey::Tally(NamespaceId::SESSIONS, group.clone(), bucket()), Row::Tally(tally)),
        ("proposer", RowKey::Proposer(ProposerId::new(3)), Row::Proposer(proposer)),
        ("tombstone", RowKey::Tombstone(ProposerId::new(4)), Row::Tombstone(11)),
        ("change", RowKey::History(300), Row::History(HistoryEntry::from_parts(MOMENT, change(), None))),
        ("change_ended", RowKey::History(301), Row::History(HistoryEntry::from_parts(MOMENT, change(), Some("done")))),
        ("last_namespace", RowKey::LastNamespace, Row::LastNamespace(NamespaceId::new(2))),
        ("namespace", RowKey::Namespace(NamespaceId::new(2)), Row::Namespace(namespace())),
        ("truncated_group", RowKey::TruncatedGroup(NamespaceId::new(2), group), Row::TruncatedGroup(truncated)),
        ("unnamed", RowKey::Unnamed(NamespaceId::new(2)), Row::Unnamed(bucket())),
        ("answer", RowKey::Answer(NamespaceId::new(2), name), Row::Answer(answer)),
    ]
}
