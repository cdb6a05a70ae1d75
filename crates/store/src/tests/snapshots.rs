use openraft::RaftSnapshotBuilder;
use openraft::storage::{RaftLogStorage, RaftStateMachine};

use super::watched::{HAS_ROOM, WATCHED};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_the_state_of_its_moment_on_either_engine_while_writes_go_on() {
    for (from, to) in [(EngineKind::Fjall, EngineKind::Sled), (EngineKind::Sled, EngineKind::Fjall)] {
        let (dir, target_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (store, _) = open(dir.path(), from).unwrap();
        let mut leader = Leader::new();
        let mut entries = vec![leader.register()];
        entries.extend((0..500).map(|number| leader.put(key(number), value(number, 0), day())));
        store.state().apply(&entries).unwrap();
        let snapshot = store.state_machine().build_snapshot().await.unwrap();
        let place = snapshot.meta.last_log_id.map(|log_id| log_id.index);
        assert_eq!(store.state().persisted_index(), place, "durable, for the log up to there goes");
        let rewrites: Vec<Entry> = (0..250).map(|number| leader.put(key(number), value(number, 1), day())).collect();
        store.state().apply(&rewrites).unwrap();

        let (target, _) = open(target_dir.path(), to).unwrap();
        let node = target.node();
        target.state_machine().install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
        assert_eq!(target.state().applied().0, snapshot.meta.last_log_id);
        assert_eq!(target.state().clock(), store.state().clock(), "what had expired there has expired here");
        assert_eq!(target.get(&key(1)), Some(value(1, 0)), "the value of the snapshot's moment");
        target.state().apply(&rewrites).unwrap();
        assert_eq!(target.state().counts(), store.state().counts(), "and equal once it has caught up");
        target.state().check().unwrap();
        target.close().unwrap();

        let reopened = open(target_dir.path(), to).unwrap().0;
        assert_eq!(reopened.node(), node, "a snapshot does not change who this is");
        assert_eq!(reopened.get(&key(1)), Some(value(1, 1)));
        assert_eq!(reopened.get(&key(499)), Some(value(499, 0)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_is_cut_short_leaves_the_old_state_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.state().apply(&[leader.register(), leader.put(key(1), value(1, 0), day())]).unwrap();
    store.close().unwrap();
    // What a crash in the middle of an install leaves: a second directory that CURRENT does not name.
    copy_tree(&dir.path().join("state/1"), &dir.path().join("state/2"));
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    assert_eq!(store.get(&key(1)), Some(value(1, 0)));
    assert!(!dir.path().join("state/2").exists());
}

#[test]
fn the_log_goes_up_to_what_is_durable_on_a_full_disk_too() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), WATCHED).unwrap();
    let mut leader = Leader::new();
    store.commit(vec![leader.register(), leader.put(key(1), value(1, 0), day())]);
    HAS_ROOM.set(false);
    let snapshot = wait(store.state_machine().build_snapshot()).unwrap();
    let place = snapshot.meta.last_log_id.unwrap();
    assert_eq!(place.index, 2, "a table had it before there was no room");
    wait(store.log_store().purge(place)).unwrap();
    HAS_ROOM.set(true);
}
