//! What an older program left can be gone on with: a data directory of each format version and engine, packed, and
//! entries as they stand in logs, byte for byte. None of it is ever made anew; a new format gets a file of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command as Program;

use sessile_core::RulesVersion;

use super::*;
use crate::log::{MIN_SEGMENT_BYTES, RaftLog};
use crate::log_store::identity_of;
use crate::{Member, Membership, NodeId, decode_entry, encode_entry};

const NODE: NodeId = NodeId::from_bits(0x5e55_11e0);
const CLUSTER: ClusterId = ClusterId::from_bits(0xc1);
/// What the first format version says of the state that `history` makes, on either engine.
const CHECKSUM: u64 = 33_483_024_835_222_259;

/// Seconds to live; 0 for ever.
const LIFETIMES: [u64; 4] = [60, 86_400, 31_536_000, 0];
const SESSIONS: u64 = 12;

fn golden_options(engine: EngineKind) -> StoreOptions {
    // Small segments: what is preallocated is packed too.
    let log = LogOptions { segment_bytes: MIN_SEGMENT_BYTES, recycled_segments: 0, ..LogOptions::default() };
    StoreOptions { log, ..options(engine) }
}

/// Sessions with several lifetimes, some written twice, one taken, one expired.
fn history(leader: &mut Leader) -> Vec<Entry> {
    let member = Member { name: "n1".to_owned(), rules_supported: RulesVersion::FIRST, ..Member::default() };
    let membership = Membership::new(vec![BTreeSet::from([NODE])], BTreeMap::from([(NODE, member)])).unwrap();
    let mut entries = vec![Entry::new(log_id(1, 0), EntryPayload::Membership(membership)), leader.register()];
    for number in 0..SESSIONS {
        let ttl = Ttl::from_secs(LIFETIMES[usize::try_from(number % 4).unwrap()]).unwrap_or(Ttl::FOREVER);
        entries.push(leader.put(key(number), value(number, 0), ttl));
    }
    entries.extend([leader.put(key(4), value(4, 1), day()), leader.put(key(5), value(5, 1), day())]);
    entries.push(leader.put(key(100), value(100, 0), Ttl::from_secs(5).unwrap()));
    entries.push(leader.tick(10_000));
    entries.push(leader.say(key(101), Action::Delete(Delete { condition: Condition::Absent, take: true })));
    entries.push(leader.say(key(7), Action::Delete(Delete { condition: Condition::Present, take: true })));
    entries
}

/// What a reader finds after `history`.
fn found_after_history(store: &Store) {
    for number in 0..SESSIONS {
        let round = u64::from(number == 4 || number == 5);
        let expected = (number != 7).then(|| value(number, round));
        assert!(store.get(&key(number)) == expected, "session {number}");
    }
    assert_eq!(store.get(&key(100)), None, "it expired");
}

fn archive(engine: EngineKind) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(format!("data-v1-{engine}.tar.gz"))
}

/// Made once, by the program that wrote this version, where there is none.
fn make(engine: EngineKind) {
    let dir = tempfile::tempdir().unwrap();
    let data = DataDir::open(dir.path()).unwrap();
    drop(RaftLog::create(&dir.path().join("log"), &identity_of(NODE), golden_options(engine).log).unwrap());
    let Ok(Opening::Pristine(pristine)) = Opening::open(data, &golden_options(engine)) else {
        panic!("there is nothing but an identity");
    };
    let store = pristine.adopt(CLUSTER).unwrap();
    store.commit(history(&mut Leader::new()));
    found_after_history(&store);
    store.close().unwrap();
    std::fs::remove_file(dir.path().join("LOCK")).unwrap();
    let packed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "-S", "-czf"];
    let status = Program::new("tar").args(packed).arg(archive(engine)).arg("-C").arg(dir.path()).arg(".").status();
    assert!(status.unwrap().success());
}

#[test]
fn a_data_directory_of_the_first_version_is_opened_with_every_session_and_gone_on_with() {
    for engine in EngineKind::ALL {
        let archive = archive(engine);
        if std::env::var_os("SESSILE_REGENERATE_GOLDEN").is_some() && !archive.exists() {
            make(engine);
        }
        let dir = tempfile::tempdir().unwrap();
        let status = Program::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(dir.path()).status();
        assert!(status.unwrap().success(), "{}", archive.display());
        let open = || match Opening::open(DataDir::open(dir.path()).unwrap(), &golden_options(engine)).unwrap() {
            Opening::Member(store, opened) => (store, opened),
            Opening::Pristine(_) | Opening::Recovering(_) => panic!("{engine} took it for something else"),
        };
        let (store, opened) = open();
        assert!(if engine.reports_damage() { opened == Opened::Clean } else { matches!(opened, Opened::Checked(_)) });
        assert_eq!((store.node(), store.cluster()), (NODE, CLUSTER));
        found_after_history(&store);
        assert_eq!(store.state().summary().checksum, CHECKSUM, "{engine}: what members compare is another number now");
        store.state().check().unwrap();

        // The log says what the state says: what was written then is made again from it.
        let mut leader = Leader::new();
        let entries = history(&mut leader);
        let logged = store.log.read(0..entries.len() as u64, usize::MAX).unwrap();
        assert!(logged.iter().map(|record| record.payload.clone()).eq(entries.iter().map(encode_entry)));

        store.commit([leader.put(key(200), value(200, 0), day()), leader.delete(key(0))]);
        drop(store);
        let (store, _) = open();
        store.replay();
        assert_eq!((store.get(&key(200)), store.get(&key(0))), (Some(value(200, 0)), None));
        assert_eq!(store.get(&key(11)), Some(value(11, 0)));
        store.close().unwrap();
    }
}

#[test]
fn entries_of_the_first_version_are_read_and_written_as_they_were() {
    let rules_supported = RulesVersion::FIRST;
    let member = |number: u64| {
        let (name, address) = (format!("n{number}"), "[::1]:7081".into());
        Member { name, address, rules_supported, ..Member::default() }
    };
    let members: BTreeMap<_, _> = (1..=2).map(|number| (NodeId::from(number), member(number))).collect();
    let voters = |numbers: &[u64]| numbers.iter().copied().map(NodeId::from).collect::<BTreeSet<_>>();
    let membership = Membership::new(vec![voters(&[1]), voters(&[2])], members).unwrap();
    let proposal = Proposal { stamp: LogTime::from_millis(START), command: Command::Tick.encode() };
    let table = [
        ("1a00", EntryPayload::Blank),
        ("0a0b 0880d095ffbc31 1202 1a00", EntryPayload::Normal(proposal)),
        (
            "1274 0a12 0a1000000000000000000000000000000001 0a12 0a1000000000000000000000000000000002
             1224 0a1000000000000000000000000000000001 12026e31 1a0a5b3a3a315d3a37303831 2001
             1224 0a1000000000000000000000000000000002 12026e32 1a0a5b3a3a315d3a37303831 2001",
            EntryPayload::Membership(membership),
        ),
    ];
    for (golden, payload) in table {
        let digits: Vec<u8> = golden.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
        let bytes: Bytes = digits.chunks(2).map(byte).collect();
        let entry = Entry::new(log_id(3, 7), payload);
        assert_eq!(decode_entry(log_id(3, 7), bytes.clone()).as_ref(), Ok(&entry), "{golden}");
        assert_eq!(encode_entry(&entry), bytes, "{golden}");
    }
}

/// A backup as the first program wrote it that had any.
#[test]
fn a_backup_of_the_first_version_is_whole_and_a_cluster_is_made_of_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/backup-v1.backup");
    if std::env::var_os("SESSILE_REGENERATE_GOLDEN").is_some() && !path.exists() {
        make_backup(&path);
    }
    let backup = std::fs::read(path).unwrap();
    let summary = crate::verify(backup.as_slice(), |_| ()).unwrap();
    assert_eq!(
        (summary.head.cluster, summary.head.node.as_str(), summary.records),
        (CLUSTER, "n1", SESSIONS),
        "all but one that was taken, and one that has just expired"
    );
    let target = tempfile::tempdir().unwrap();
    let engine = EngineKind::Fjall;
    crate::restore(backup.as_slice(), target.path(), &golden_options(engine), "root", |_| ()).unwrap();
    let Opening::Member(store, _) = opening(target.path(), engine).unwrap() else { panic!("it is a member") };
    store.replay();
    found_after_history(&store);
    assert_eq!(store.state().removed(), [NODE]);
}

fn make_backup(path: &Path) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_in(dir.path(), EngineKind::Fjall, CLUSTER).unwrap();
    store.commit(history(&mut Leader::new()));
    let (meta, snapshot) = transfer::snapshot_of(&store);
    let head = crate::BackupHead {
        cluster: CLUSTER,
        meta,
        taken_at_ms: START,
        node: "n1".into(),
        version: "0.1.0".into(),
        live_bytes: snapshot.live_bytes(),
    };
    let mut writer = crate::BackupWriter::new(std::fs::File::create(path).unwrap(), head.encode()).unwrap();
    snapshot.chunks().for_each(|chunk| writer.chunk(chunk.unwrap()).unwrap());
    writer.finish().unwrap();
}
