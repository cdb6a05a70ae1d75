//! A backup: what it holds, what is refused, and what a node makes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::transfer::snapshot_of;
use super::*;
use crate::{
    BackupHead, BackupSummary, BackupWriter, Member, Membership, NodeId, Restored, StoredMembership, marks, restore,
    verify,
};

/// Who does it, for the history.
const WHO: &str = "root";

pub(super) fn three(own: NodeId) -> Membership {
    let nodes = [own, NodeId::from(2), NodeId::from(3)];
    let member = |(number, node): (usize, &NodeId)| (*node, Member { name: format!("n{number}"), ..Member::default() });
    let members: BTreeMap<_, _> = (1..).zip(&nodes).map(member).collect();
    Membership::new(vec![BTreeSet::from(nodes)], members).unwrap()
}

impl Leader {
    pub(super) fn three(&mut self, own: NodeId) -> Entry {
        let mut entry = self.tick(0);
        entry.payload = EntryPayload::Membership(three(own));
        entry
    }
}

fn head_of(store: &Store, meta: crate::SnapshotMeta) -> BackupHead {
    let (node, version) = ("n1".to_owned(), "0.1.0".to_owned());
    BackupHead { cluster: store.cluster(), meta, taken_at_ms: START, node, version, live_bytes: 1 }
}

fn backup_of(store: &Store) -> (Vec<u8>, BackupSummary) {
    let (meta, snapshot) = snapshot_of(store);
    let mut writer = BackupWriter::new(Vec::new(), head_of(store, meta).encode()).unwrap();
    snapshot.chunks().for_each(|chunk| writer.chunk(chunk.unwrap()).unwrap());
    writer.finish().unwrap()
}

/// A member of three with that many sessions, and its next entries.
fn member_with(dir: &Path, engine: EngineKind, sessions: u64) -> (Store, Leader) {
    let (store, _) = open(dir, engine).unwrap();
    let mut leader = Leader::new();
    store.commit([leader.register(), leader.three(store.node())]);
    store.commit((0..sessions).map(|number| leader.put(key(number), value(number, 0), day())).collect::<Vec<_>>());
    (store, leader)
}

fn restored(backup: &[u8], dir: &Path, engine: EngineKind) -> Result<Restored, StoreError> {
    restore(backup, dir, &options(engine), WHO, |_| ())
}

fn refusal(backup: &[u8], dir: &Path) -> String {
    restored(backup, dir, EngineKind::Fjall).unwrap_err().to_string()
}

#[test]
fn a_backup_is_the_first_node_of_a_new_cluster_with_all_that_was_in_the_old_one() {
    for (engine, other) in [(EngineKind::Fjall, EngineKind::Sled), (EngineKind::Sled, EngineKind::Fjall)] {
        let (dir, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (store, mut leader) = member_with(dir.path(), engine, 1_000);
        store.commit([leader.delete(key(7))]);
        let (backup, written) = backup_of(&store);
        // What comes later is not in it.
        store.commit([leader.put(key(5_000), value(1, 1), day()), leader.delete(key(8))]);

        let mut progress = 0;
        let read = verify(backup.as_slice(), |bytes| progress = bytes).unwrap();
        let bytes = backup.len() as u64;
        assert_eq!((progress, read.bytes, written.bytes), (bytes, bytes, bytes));
        assert_eq!((&read.head, read.records, &read.namespaces), (&written.head, 999, &written.namespaces));
        assert_eq!(read.namespaces[0].total.keys, 999);
        assert_eq!(read.namespaces[0].groups.len(), 7, "each wiki is a group");

        let made = restored(&backup, target.path(), other).unwrap();
        assert_eq!((&made.summary.head, made.replayed_to), (&read.head, None));
        let (node, cluster) = (store.node(), store.cluster());
        assert!(made.cluster != cluster && made.node != node, "a new node of a new cluster");
        let (new, opened) = open(target.path(), other).unwrap();
        assert_eq!((new.node(), new.cluster()), (made.node, made.cluster));
        assert!(other == EngineKind::Sled || opened == Opened::Clean, "{opened:?}");
        new.replay();
        for number in 0..1_000 {
            assert_eq!(new.get(&key(number)), (number != 7).then(|| value(number, 0)), "{number}");
        }
        assert_eq!(new.get(&key(5_000)), None);
        let (applied, membership) = new.state().applied();
        let only = Membership::new(vec![BTreeSet::from([made.node])], BTreeMap::from([(made.node, Member::default())]));
        assert_eq!(*membership.membership(), only.unwrap());
        assert!(applied > made.summary.head.applied(), "it goes on where the old one was: versions never repeat");
        assert_eq!(BTreeSet::from_iter(new.state().removed()), BTreeSet::from([node, 2.into(), 3.into()]));
        let sealed = new.log_store().ballot().unwrap();
        assert_eq!(sealed.leader_id.voted_for, made.node, "its vote is for itself");
        let renewed = new.state().read(NamespaceId::SESSIONS, &key(1)).unwrap().unwrap().record.header;
        let before = store.state().read(NamespaceId::SESSIONS, &key(1)).unwrap().unwrap().record.header;
        assert_eq!(renewed, before, "version and end of life are what they were");
    }
}

#[test]
fn a_backup_of_which_any_bit_is_another_or_any_byte_is_missing_is_refused() {
    let (dir, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = member_with(dir.path(), EngineKind::Fjall, 2);
    let (backup, _) = backup_of(&store);
    let mut damaged = backup.clone();
    for bit in 0..backup.len() * 8 {
        damaged[bit / 8] ^= 1 << (bit % 8);
        let error = verify(damaged.as_slice(), |_| ()).expect_err("a flipped bit");
        assert!(matches!(error, StoreError::Backup { .. }), "{error}");
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    for end in 0..backup.len() {
        verify(&backup[..end], |_| ()).expect_err("cut short");
    }
    let two = [backup.as_slice(), &backup].concat();
    verify(two.as_slice(), |_| ()).expect_err("there is more behind it");
    for (file, said) in [
        (&b"sessile backup 2\n"[..], "format 2"),
        (b"sessile backup x\n", "newest program"),
        (b"PK\x03\x04 something else", "does not begin as a backup"),
        (b"", "does not begin as a backup"),
        (&backup[..backup.len() - 1], "cut short"),
    ] {
        let error = refusal(file, &target.path().join("new"));
        assert!(error.contains(said), "{error}");
    }
    // What was begun is gone, and the whole one goes where the damaged one did not.
    restored(&backup, &target.path().join("new"), EngineKind::Fjall).unwrap();
}

#[test]
fn a_node_that_writes_what_was_not_sent_is_found_out_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut leader) = member_with(dir.path(), EngineKind::Fjall, 2_000);
    let (meta, snapshot) = snapshot_of(&store);
    let chunks: Vec<Bytes> = snapshot.chunks().map(Result::unwrap).collect();
    assert!(chunks.len() > 2);
    let begin = || BackupWriter::new(Vec::new(), head_of(&store, meta.clone()).encode()).unwrap();
    let mut writer = begin();
    chunks[..chunks.len() - 1].iter().for_each(|chunk| writer.chunk(chunk.clone()).unwrap());
    assert!(matches!(writer.finish(), Err(StoreError::Backup { .. })), "its end did not come");
    let mut writer = begin();
    writer.chunk(chunks[0].clone()).unwrap();
    writer.chunk(chunks[2].clone()).expect_err("one is missing");
    store.commit([leader.tick(1)]);
    let (later, _) = snapshot_of(&store);
    let mut writer = BackupWriter::new(Vec::new(), head_of(&store, later).encode()).unwrap();
    chunks.iter().for_each(|chunk| writer.chunk(chunk.clone()).unwrap());
    writer.finish().expect_err("it is of another place in the log than its head says");
}

#[test]
fn nothing_is_restored_into_a_directory_that_holds_anything() {
    let (dir, foreign) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = member_with(dir.path(), EngineKind::Fjall, 5);
    let (backup, _) = backup_of(&store);
    assert!(refusal(&backup, dir.path()).contains("in use by another process"));
    let summary = store.state().summary();
    store.close().unwrap();
    let error = refusal(&backup, dir.path());
    assert!(error.contains("whole") && error.contains("name an empty directory"), "{error}");
    let (store, opened) = open(dir.path(), EngineKind::Fjall).unwrap();
    assert_eq!((store.state().summary(), opened), (summary, Opened::Clean), "nothing was changed");

    std::fs::write(foreign.path().join("diary.txt"), "mine").unwrap();
    assert!(refusal(&backup, foreign.path()).contains("diary.txt"));
    assert_eq!(std::fs::read_dir(foreign.path()).unwrap().count(), 1);

    let waiting = tempfile::tempdir().unwrap();
    drop(opening(waiting.path(), EngineKind::Fjall).unwrap());
    let error = refusal(&backup, waiting.path());
    assert!(error.contains("a new node is there"), "{error}");
}

#[test]
fn where_a_restore_was_cut_short_no_node_starts_and_the_same_command_begins_again() {
    let (dir, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = member_with(dir.path(), EngineKind::Fjall, 50);
    let (backup, _) = backup_of(&store);
    let made = restored(&backup, target.path(), EngineKind::Fjall).unwrap();
    // As a crash right before its last step leaves it.
    let dir = DataDir::open(target.path()).unwrap();
    marks::begin_restoring(&dir).unwrap();
    drop(dir);
    let error = opening(target.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains("restore was cut short"), "{error}");
    let again = restored(&backup, target.path(), EngineKind::Fjall).unwrap();
    assert_ne!(again.node, made.node, "it is begun anew");
    let (new, _) = open(target.path(), EngineKind::Fjall).unwrap();
    assert_eq!(new.state().sessions(), 50);
}

#[test]
fn a_node_that_lost_its_state_takes_a_backup_under_its_log_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut leader) = member_with(dir.path(), EngineKind::Fjall, 100);
    let (old, _) = backup_of(&store);
    store.commit((100..150).map(|number| leader.put(key(number), value(number, 0), day())).collect::<Vec<_>>());
    let (backup, summary) = backup_of(&store);
    let purged = summary.head.applied().unwrap();
    store.commit([leader.put(key(1), value(1, 9), day()), leader.delete(key(2))]);
    let (node, cluster, made) = (store.node(), store.cluster(), store.state().summary());
    wait(openraft::storage::RaftLogStorage::purge(&mut store.log_store(), purged)).unwrap();
    store.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();

    let error = refusal(&old, dir.path());
    assert!(error.contains("does not reach back"), "{error}");
    let (elsewhere, _) = member_with(&tempfile::tempdir().unwrap().keep(), EngineKind::Fjall, 1);
    let error = refusal(&backup_of(&elsewhere).0, dir.path());
    assert!(error.contains("the backup is of cluster"), "{error}");
    let did = restored(&backup, dir.path(), EngineKind::Fjall).unwrap();
    assert_eq!((did.node, did.cluster, did.replayed_to), (node, cluster, made.applied.map(|last| last.index)));
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    store.replay();
    assert_eq!((store.node(), store.state().summary()), (node, made), "the log was replayed on top");
    assert_eq!((store.get(&key(1)), store.get(&key(2))), (Some(value(1, 9)), None));
}

#[test]
fn a_backup_remembers_its_head_whole() {
    let membership = StoredMembership::new(Some(log_id(2, 3)), three(NodeId::from(1)));
    let meta = crate::SnapshotMeta { last_log_id: Some(log_id(4, 9)), last_membership: membership };
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let head = head_of(&store, meta);
    assert_eq!(BackupHead::decode(head.encode()).unwrap(), head);
}

#[test]
fn every_seed_of_a_backup_is_held_to_what_holds_of_all() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = member_with(dir.path(), EngineKind::Fjall, 2);
    let (backup, summary) = backup_of(&store);
    let chunk = snapshot_of(&store).1.chunks().next().unwrap().unwrap();
    let made = [("whole", backup), ("head", summary.head.encode().to_vec()), ("chunk", chunk.to_vec())];
    crate::fuzzing::seeds::hold("backup", &made, crate::fuzzing::backup);
}
