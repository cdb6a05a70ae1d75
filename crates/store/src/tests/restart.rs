use super::*;

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
        assert!(matches!(opened, Opened::Checked(_)), "{opened:?}");
        store.replay();
        assert_eq!(store.get(&key(1)), Some(value(1, 0)));
        assert_eq!(store.get(&key(2)), Some(value(2, 0)));
    });
}

#[test]
fn what_expired_stays_expired_and_its_bytes_go_after_its_bucket() {
    both(|engine| {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), engine).unwrap();
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
    });
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
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
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
fn a_state_that_the_log_cannot_make_again_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.commit(vec![leader.register(), leader.put(key(1), value(1, 0), day())]);
    let (applied, _) = store.state().applied();
    store.state().persist().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(openraft::storage::RaftLogStorage::purge(&mut store.log_store(), applied.unwrap())).unwrap();
    store.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let error = open(dir.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains("no longer reaches back") && error.contains("restore a backup"), "{error}");
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
    runtime.block_on(store.log_store().purge(last)).unwrap();
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
        let view = store.state().current().engine.view().unwrap();
        let pairs = view.scan_prefix(&[]).map(Result::unwrap);
        pairs.filter(|(key, _)| key[0] != 0).collect::<Vec<_>>()
    });
    assert_eq!(dumps[0], dumps[1]);
}
