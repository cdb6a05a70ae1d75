use std::collections::BTreeMap;

use sessile_core::{Refusal, Row, RowKey, RulesVersion};

use super::*;
use crate::{Member, Membership, NodeId};

fn both(story: impl Fn(EngineKind)) {
    EngineKind::ALL.into_iter().for_each(story);
}

#[test]
fn a_clean_stop_is_recognised_and_an_unclean_one_is_checked() {
    both(|engine| {
        let dir = tempfile::tempdir().unwrap();
        let (store, opened) = open(dir.path(), engine).unwrap();
        assert_eq!(opened, Opened::New);
        let node = store.node();
        let mut leader = Leader::new();
        store.commit(vec![leader.register(), leader.put(key(1), value(1, 0), day())]);
        store.close().unwrap();

        let (store, opened) = open(dir.path(), engine).unwrap();
        assert!(if engine.reports_damage() { opened == Opened::Clean } else { matches!(opened, Opened::Checked(_)) });
        assert_eq!(store.node(), node, "the node is the same");
        store.commit(vec![leader.put(key(2), value(2, 0), day())]);
        drop(store);

        let (store, opened) = open(dir.path(), engine).unwrap();
        assert!(is_checked(engine, &opened), "{opened:?}");
        assert!(store.state().check_beside(|| true).unwrap().is_some());
        store.replay();
        assert_eq!(store.get(&key(1)), Some(value(1, 0)));
        assert_eq!(store.get(&key(2)), Some(value(2, 0)));
    });
}

/// Whether a state was found not to have been closed cleanly: it was checked, or is to be while it serves.
fn is_checked(engine: EngineKind, opened: &Opened) -> bool {
    if engine.verifies_reads() { *opened == Opened::Unchecked } else { matches!(opened, Opened::Checked(_)) }
}

#[test]
fn a_state_whose_counts_do_not_hold_is_found_while_it_serves_and_refused_by_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.commit(vec![
        leader.register(),
        leader.put(key(1), value(1, 0), day()),
        leader.put(key(2), value(2, 0), day()),
    ]);
    // Behind the counts' back.
    let mut batch = crate::engine::Batch::new();
    batch.remove([b"\x10\0\0\0\x01", key(1).as_bytes()].concat());
    store.state().current().engine.write(batch).unwrap();
    store.state().persist().unwrap();
    assert!(store.state().check_beside(|| false).unwrap().is_none(), "it ends when it is told to");
    let error = store.state().check_beside(|| true).unwrap_err();
    assert!(matches!(error, StoreError::CountsDiffer { kept_keys: 1, there_keys: 0, .. }), "{error}");
    drop(store);
    let (store, opened) = open(dir.path(), EngineKind::Fjall).unwrap();
    assert!(matches!(&opened, Opened::Rebuilt { reason, .. } if reason.contains("found to be damaged")), "{opened:?}");
    store.replay();
    assert_eq!(store.get(&key(1)), Some(value(1, 0)), "the log, which is whole, made it again");
}

#[test]
fn the_mark_of_a_clean_stop_is_gone_once_it_is_read_and_is_believed_of_its_own_place_only() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("CLEAN");
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.commit(vec![leader.register()]);
    store.close().unwrap();
    let earlier = std::fs::read(&mark).unwrap();

    let (store, opened) = open(dir.path(), EngineKind::Fjall).unwrap();
    assert_eq!(opened, Opened::Clean);
    assert!(!mark.exists(), "what is killed from here on was not stopped cleanly");
    store.commit(vec![leader.put(key(1), value(1, 0), day())]);
    store.state().persist().unwrap();
    drop(store);
    std::fs::write(&mark, earlier).unwrap();
    let (_, opened) = open(dir.path(), EngineKind::Fjall).unwrap();
    assert!(is_checked(EngineKind::Fjall, &opened), "{opened:?}");
}

#[test]
fn what_expired_stays_expired_and_its_bytes_go_after_its_bucket() {
    let dir = tempfile::tempdir().unwrap();
    // fjall's engine removes them by itself, in the test after this one.
    let (store, _) = open(dir.path(), EngineKind::Sled).unwrap();
    let mut leader = Leader::new();
    let short = Ttl::from_secs(5).unwrap();
    let mut entries = vec![leader.register()];
    entries.extend((0..20).map(|number| leader.put(key(number), value(number, 0), short)));
    entries.extend((20..30).map(|number| leader.put(key(number), value(number, 0), day())));
    store.commit(entries);
    store.persist_and_reap(0, 30);

    store.commit(vec![leader.tick(5_000)]);
    assert_eq!(store.get(&key(3)), None, "expired at once");
    store.persist_and_reap(0, 30);
    store.commit(vec![leader.tick(60_000)]);
    assert_eq!(store.state().reap(None, 100).unwrap().removed, 0, "the clock that says so is not durable yet");
    store.persist_and_reap(20, 30);
    store.persist_and_reap(0, 10);
    assert_eq!(store.state().check().unwrap().records, 10);
    assert_eq!(store.get(&key(25)), Some(value(25, 0)));
}

/// By whole tables and merges, which nobody asks for.
#[test]
fn what_expired_leaves_the_tables_of_fjall_by_itself_once_the_clock_that_says_so_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    let long = |number: u64| Bytes::from(vec![u8::try_from(number).unwrap(); 4_000]);
    let mut entries = vec![leader.register()];
    entries.extend((0..20).map(|number| leader.put(key(number), long(number), Ttl::from_secs(5).unwrap())));
    entries.extend((20..30).map(|number| leader.put(key(number), long(number), day())));
    entries.push(leader.tick(65_000));
    store.commit(entries);
    store.state().persist().unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while store.state().check().unwrap().records != 10 {
        assert!(std::time::Instant::now() < deadline, "what expired is still there");
        std::thread::yield_now();
    }
    assert_eq!(store.get(&key(25)), Some(long(25)));
    assert_eq!(store.get(&key(5)), None);
}

impl Store {
    fn persist_and_reap(&self, removed: usize, scanned: usize) {
        self.state().persist().unwrap();
        let reaped = self.state().reap(None, 1_000).unwrap();
        assert_eq!((reaped.removed, reaped.scanned), (removed, scanned));
    }
}

#[test]
fn a_scan_for_expired_bytes_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Sled).unwrap();
    let mut leader = Leader::new();
    let mut entries = vec![leader.register()];
    entries.extend((0..10).map(|number| leader.put(key(number), value(number, 0), Ttl::from_secs(1).unwrap())));
    entries.push(leader.tick(120_000));
    store.commit(entries);
    store.state().persist().unwrap();
    let first = store.state().reap(None, 4).unwrap();
    let second = store.state().reap(first.next.as_ref(), 4).unwrap();
    let third = store.state().reap(second.next.as_ref(), 4).unwrap();
    assert_eq!([first.removed, second.removed, third.removed], [4, 4, 2]);
    assert_eq!(third.next, None);
}

#[test]
fn the_log_makes_a_lost_or_damaged_state_again_while_it_is_whole() {
    both(|engine| {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), engine).unwrap();
        let mut leader = Leader::new();
        store.commit(vec![leader.register(), leader.put(key(1), value(1, 0), day())]);
        let node = store.node();
        store.close().unwrap();
        std::fs::remove_dir_all(dir.path().join("state")).unwrap();

        let (store, opened) = open(dir.path(), engine).unwrap();
        assert!(matches!(opened, Opened::Rebuilt { aside: None, .. }), "{opened:?}");
        assert_eq!(store.node(), node, "the same node");
        store.replay();
        assert_eq!(store.get(&key(1)), Some(value(1, 0)));
        store.close().unwrap();
        std::fs::write(dir.path().join("state/CURRENT"), "nonsense").unwrap();

        let (store, opened) = open(dir.path(), engine).unwrap();
        let Opened::Rebuilt { aside: Some(aside), .. } = opened else { panic!("{opened:?}") };
        assert!(aside.join("1").is_dir(), "the damaged state is kept");
        store.replay();
        assert_eq!(store.get(&key(1)), Some(value(1, 0)));
    });
}

#[test]
fn entries_are_never_purged_before_the_state_that_they_made_is_durable() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    let entries = vec![leader.register(), leader.put(key(1), value(1, 0), day())];
    let last = entries[1].log_id;
    use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.log_store().blocking_append(entries.clone())).unwrap();
    let error = runtime.block_on(store.log_store().purge(last)).unwrap_err().to_string();
    assert!(error.contains("purged before it is applied"), "{error}");
    store.state().apply(&entries).unwrap();
    assert_eq!(store.state().persisted_index(), None);
    runtime.block_on(store.log_store().purge(last)).unwrap();
    assert_eq!(store.state().persisted_index(), Some(last.index));
}

#[test]
fn a_lost_log_is_refused_and_nothing_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    store.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    let error = open(dir.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains("Raft log") && error.contains("is lost"), "{error}");
    assert!(!dir.path().join("log").exists());
}

#[test]
fn a_lost_mark_of_the_cluster_is_refused_and_not_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    store.commit(vec![Leader::new().register()]);
    store.close().unwrap();
    let mark = dir.path().join("CLUSTER");
    std::fs::remove_file(&mark).unwrap();
    let error = open(dir.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains("which names its cluster, is lost"), "{error}");
    assert!(!mark.exists());
}

#[test]
fn a_start_that_is_refused_leaves_the_mark_of_the_clean_stop() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), EngineKind::Fjall).unwrap().0.close().unwrap();
    let error = open(dir.path(), EngineKind::Sled).err().unwrap().to_string();
    assert!(error.contains("set storage.engine: fjall"), "{error}");
    assert_eq!(open(dir.path(), EngineKind::Fjall).unwrap().1, Opened::Clean);
}

#[test]
fn a_state_and_a_log_of_different_nodes_are_refused() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&one, &other] {
        open(dir.path(), EngineKind::Fjall).unwrap().0.close().unwrap();
    }
    std::fs::remove_dir_all(one.path().join("state")).unwrap();
    copy_tree(&other.path().join("state"), &one.path().join("state"));
    let error = open(one.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains("its state is of node"), "{error}");
}

#[test]
fn a_state_of_another_cluster_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), EngineKind::Fjall).unwrap().0.close().unwrap();
    let other = ClusterId::random();
    std::fs::write(dir.path().join("CLUSTER"), crate::codec::seal(&other)).unwrap();
    let error = open(dir.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains(&format!("of cluster {other}")), "{error}");
}

#[test]
fn a_state_that_ends_before_the_log_begins_is_as_good_as_lost() {
    let (dir, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.commit(vec![leader.register()]);
    store.close().unwrap();
    copy_tree(&dir.path().join("state"), older.path());
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let puts = [1, 2, 3].map(|number| leader.put(key(number), value(number, 0), day()));
    let upto = puts[1].log_id;
    store.commit(puts);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(openraft::storage::RaftLogStorage::purge(&mut store.log_store(), upto)).unwrap();
    store.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    copy_tree(older.path(), &dir.path().join("state"));
    let Opening::Recovering(stateless) = opening(dir.path(), EngineKind::Fjall).unwrap() else { panic!("not noticed") };
    assert_eq!(stateless.reason(), "it ends at entry 1, but the log begins at entry 4");
    assert!(stateless.aside().unwrap().join("CURRENT").is_file(), "and kept");
}

#[test]
fn a_state_of_another_history_than_the_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.commit(vec![leader.register()]);
    let applied = leader.put(key(1), value(1, 0), day());
    let mut logged = applied.clone();
    logged.log_id = log_id(2, applied.log_id.index);
    store.state().apply(&[applied]).unwrap();
    use openraft::storage::RaftLogStorageExt;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.log_store().blocking_append(vec![logged])).unwrap();
    store.close().unwrap();
    let error = open(dir.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains("entry 2 is of another term"), "{error}");
}

#[test]
fn a_batch_that_is_not_stored_is_not_shown_and_nothing_is_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.commit(vec![leader.register()]);
    let before = store.state().clock();
    store.state().current().engine.shutdown().unwrap();
    assert_eq!(store.state().ended(), None);
    let failed = store.state().apply(&[leader.tick(1_000)]).expect_err("the engine takes no more");
    assert_eq!(store.state().ended(), Some(failed.to_string()), "whoever meets it later is told the first cause");
    assert_eq!(store.state().clock(), before, "no reader sees a clock whose records are not there");
    let after = store.state().apply(&[leader.tick(1_000)]).unwrap_err();
    assert!(matches!(after, StoreError::Ended { .. }), "{after}");
    assert!(matches!(store.state().persist(), Err(StoreError::Ended { .. })));
}

#[test]
fn entries_that_were_applied_are_not_applied_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    let entries = vec![leader.register(), leader.put(key(1), value(1, 0), day())];
    store.commit(entries.clone());
    let error = store.state().apply(&entries[1..]).unwrap_err().to_string();
    assert!(error.contains("applied before"), "{error}");
}

#[test]
fn damage_that_the_engine_does_not_notice_is_found_by_a_read_and_by_the_check() {
    both(|engine| {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), engine).unwrap();
        let mut leader = Leader::new();
        store.commit(vec![leader.register(), leader.put(key(1), value(1, 0), day())]);
        let current = store.state().current();
        let view = current.engine.view().unwrap();
        for stored in view.scan_prefix(&[]) {
            let (stored_key, whole) = stored.unwrap();
            let write = |bytes: Bytes| {
                let mut batch = crate::engine::Batch::new();
                batch.put(stored_key.clone(), bytes);
                current.engine.write(batch).unwrap();
            };
            let mut flipped = whole.to_vec();
            *flipped.last_mut().unwrap() ^= 1;
            write(flipped.into());
            let is_record = stored_key[0] == 0x10;
            if is_record {
                store.state().read(NamespaceId::SESSIONS, &key(1)).expect_err("a read verifies the value");
            }
            let is_owner = stored_key[0] == 0;
            assert_eq!(current.owner().is_err(), is_owner);
            assert_eq!(store.state().check().is_err(), !is_owner, "space {}", stored_key[0]);
            write(whole);
        }
        assert_eq!(store.state().check().unwrap().records, 1);
    });
}

#[test]
fn rows_that_stand_in_each_others_place_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.commit(vec![leader.register(), leader.put(key(1), value(1, 0), day())]);
    let current = store.state().current();
    let rows: Vec<_> = current.engine.view().unwrap().scan_prefix(&[2]).map(Result::unwrap).collect();
    let mut batch = crate::engine::Batch::new();
    batch.put(rows[0].0.clone(), rows[1].1.clone());
    batch.put(rows[1].0.clone(), rows[0].1.clone());
    current.engine.write(batch).unwrap();
    let error = store.state().check().unwrap_err().to_string();
    assert!(error.contains("stored under another's key"), "{error}");
}

#[test]
fn a_state_of_newer_rules_is_left_to_the_newer_program() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    store.commit(vec![Leader::new().register()]);
    let next = RulesVersion::new(RulesVersion::SUPPORTED.number() + 1);
    let (key, row) = (RowKey::Clock, Row::Clock(LogTime::from_millis(START), next));
    let mut batch = crate::engine::Batch::new();
    // As `stored` lays a row out.
    let mut stored_key = vec![2];
    crate::codec::plain(&key, &mut stored_key);
    batch.put(stored_key, crate::codec::seal(&(&key, &row)));
    store.state().current().engine.write(batch).unwrap();
    store.close().unwrap();
    let error = opening(dir.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains(&format!("rules version {next}")) && error.contains("start the newer one"), "{error}");
    assert!(!error.contains("discard"), "{error}");
}

#[test]
fn rules_rise_only_when_every_member_can_follow() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    let next = RulesVersion::new(RulesVersion::SUPPORTED.number() + 1);
    let newer = Member { rules_supported: next, ..Member::default() };
    let members = BTreeMap::from([(NodeId::from(1), Member::default()), (NodeId::from(2), newer)]);
    let mut membership = leader.register();
    membership.payload =
        EntryPayload::Membership(Membership::new(vec![members.keys().copied().collect()], members).unwrap());
    let outcomes = store.commit(vec![membership, leader.entry(&Command::RaiseRules(next))]);
    assert_eq!(outcomes[1], Some(Outcome::Refused(Refusal::RulesUnsupported)), "one member cannot");
}

#[test]
fn the_same_log_makes_the_same_state_byte_for_byte_on_either_engine() {
    let dumps = EngineKind::ALL.map(|engine| {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), engine).unwrap();
        let mut leader = Leader::new();
        store.commit(vec![leader.register()]);
        for round in 0..5 {
            let puts = (0..50).map(|number| leader.put(key(number), value(number, round), day()));
            store.commit(puts);
            store.commit(vec![leader.delete(key(round)), leader.tick(1_000)]);
        }
        store.dump()
    });
    assert_eq!(dumps[0], dumps[1]);
}

#[test]
fn the_same_log_makes_the_same_state_in_whatever_batches_it_is_applied() {
    let made = [1, 3, 100].map(|entries_a_batch| {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
        let mut leader = Leader::new();
        let mut entries = vec![leader.register()];
        for number in 0..30 {
            // Later entries of a batch meet what earlier ones wrote, added and deleted.
            entries.push(leader.put(key(number % 3), value(number, 0), day()));
            let add = Put { value: value(number, 1), ttl: day(), condition: Condition::Absent };
            entries.push(leader.say(key(number % 4), Action::Put(add)));
            entries.push(leader.delete(key(number % 5)));
        }
        let outcomes: Vec<_> =
            entries.chunks(entries_a_batch).flat_map(|batch| store.commit(batch.iter().cloned())).collect();
        store.state().check().unwrap();
        (outcomes, store.dump())
    });
    assert_eq!(made[0], made[1]);
    assert_eq!(made[0], made[2]);
}

impl Store {
    /// Everything that the log made: all but whose state it is.
    pub(super) fn dump(&self) -> Vec<(Bytes, Bytes)> {
        let view = self.state().current().engine.view().unwrap();
        let pairs = view.scan_prefix(&[]).map(Result::unwrap);
        pairs.filter(|(key, _)| key[0] != 0).collect()
    }
}
