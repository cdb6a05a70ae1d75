//! A snapshot on its way from one member to another.

use openraft::RaftSnapshotBuilder;
use openraft::storage::RaftStateMachine;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::{Snapshot, SnapshotMeta, SnapshotReceiver};

const ENGINES: [(EngineKind, EngineKind); 2] =
    [(EngineKind::Fjall, EngineKind::Sled), (EngineKind::Sled, EngineKind::Fjall)];

pub(super) fn snapshot_of(store: &Store) -> (SnapshotMeta, Snapshot) {
    let snapshot = wait(store.state_machine().build_snapshot()).unwrap();
    (snapshot.meta, snapshot.snapshot)
}

pub(super) fn transfer(
    mut receiver: SnapshotReceiver,
    chunks: impl IntoIterator<Item = Bytes>,
    meta: &SnapshotMeta,
) -> Result<Snapshot, StoreError> {
    chunks.into_iter().try_for_each(|chunk| receiver.write(chunk))?;
    receiver.finish(meta.clone())
}

pub(super) fn install(store: &Store, meta: &SnapshotMeta, snapshot: Snapshot) -> std::io::Result<()> {
    wait(store.state_machine().install_snapshot(meta, snapshot))
}

/// Directories of states, the one in use among them.
fn states(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("state")).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count()
}

#[test]
fn the_receiver_has_what_the_sender_had_while_writes_go_on() {
    for (from, to) in ENGINES {
        let (dir, target_dir, cluster) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), ClusterId::random());
        let (store, _) = open_in(dir.path(), from, cluster).unwrap();
        let mut leader = Leader::new();
        let mut entries = vec![leader.register()];
        entries.extend((0..2_000).map(|number| leader.put(key(number), value(number, 0), day())));
        entries
            .extend((2_000..2_100).map(|number| leader.put(key(number), value(number, 0), Ttl::from_secs(1).unwrap())));
        entries.push(leader.tick(120_000));
        store.state().apply(&entries).unwrap();
        let at_snapshot = (store.state().summary(), store.state().counts());
        let (meta, snapshot) = snapshot_of(&store);

        let (target, _) = open_in(target_dir.path(), to, cluster).unwrap();
        let node = target.node();
        let mut receiver = target.state().receive().unwrap();
        let mut later = Vec::new();
        let mut sent = 0;
        for chunk in snapshot.chunks() {
            let chunk = chunk.unwrap();
            assert!(chunk.len() <= 256 * 1024);
            sent += 1;
            receiver.write(chunk).unwrap();
            let mut put = |number| leader.put(key(sent * 50 + number), value(number, sent), day());
            let mut writes: Vec<Entry> = (0..100).map(&mut put).collect();
            writes.push(leader.delete(key(sent)));
            store.state().apply(&writes).unwrap();
            later.extend(writes);
        }
        assert!(sent > 2, "it is a stream");
        assert_eq!(target.state().applied().0, None, "nothing is in use before it is installed");
        let received = receiver.finish(meta.clone()).unwrap();
        install(&target, &meta, received).unwrap();
        assert_eq!((target.state().summary(), target.state().counts()), at_snapshot);
        assert_eq!(target.state().persisted_index(), meta.last_log_id.map(|id| id.index), "durable: the log goes now");
        assert_eq!(states(target_dir.path()), 1, "the old state is gone");
        assert_eq!(target.state().check().unwrap().records, 2_000, "what no longer counts was not sent");

        target.state().apply(&later).unwrap();
        assert_eq!(target.state().summary(), store.state().summary(), "equal, once it has caught up");
        assert_eq!(target.live_dump(), store.live_dump());
        assert_eq!(target.state().checksums().last(), store.state().checksums().last());
        target.close().unwrap();
        let (reopened, _) = open(target_dir.path(), to).unwrap();
        assert_eq!(reopened.node(), node, "a snapshot does not change who this is");
        assert_eq!(reopened.state().summary(), store.state().summary());
    }
}

impl Store {
    /// Everything that the log made, but for records that have left the counts, whose bytes each node removes when it
    /// likes.
    fn live_dump(&self) -> Vec<(Bytes, Bytes)> {
        self.state().persist().unwrap();
        let mut next = None;
        loop {
            next = self.state().reap(next.as_ref(), 10_000).unwrap().next;
            if next.is_none() {
                return self.dump();
            }
        }
    }
}

/// A sender with a little of everything, and its chunks.
fn small(from: EngineKind, cluster: ClusterId) -> (SnapshotMeta, Vec<Bytes>) {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open_in(dir.path(), from, cluster).unwrap();
    let mut leader = Leader::new();
    let mut entries = vec![leader.register()];
    entries.extend((0..4).map(|number| leader.put(key(number), value(number, 0), day())));
    store.state().apply(&entries).unwrap();
    let (meta, snapshot) = snapshot_of(&store);
    let mut chunks: Vec<Bytes> = snapshot.chunks().map(Result::unwrap).collect();
    assert_eq!(chunks.len(), 2);
    // Large enough to be torn in two, by hand.
    let big: Vec<Entry> = (10..800).map(|number| leader.put(key(number), vec![7; 1_000].into(), day())).collect();
    store.state().apply(&big).unwrap();
    let (big_meta, snapshot) = snapshot_of(&store);
    if from == EngineKind::Sled {
        chunks = snapshot.chunks().map(Result::unwrap).collect();
        return (big_meta, chunks);
    }
    (meta, chunks)
}

#[test]
fn a_transfer_that_is_not_what_was_sent_is_refused_and_damages_nothing() {
    for (from, to) in ENGINES {
        let cluster = ClusterId::random();
        let (meta, chunks) = small(from, cluster);
        let target_dir = tempfile::tempdir().unwrap();
        let (target, _) = open_in(target_dir.path(), to, cluster).unwrap();
        let mut leader = Leader::new();
        target.state().apply(&[leader.register()]).unwrap();
        let before = target.state().summary();
        let refused = |what: &str, chunks: Vec<Bytes>, meta: &SnapshotMeta| {
            let error = transfer(target.state().receive().unwrap(), chunks, meta).expect_err(what);
            assert!(matches!(error, StoreError::Transfer { .. }), "{what}: {error}");
            assert_eq!(states(target_dir.path()), 1, "{what}: what was begun is gone");
            assert_eq!(target.state().summary(), before);
        };
        for missing in 0..chunks.len() {
            let mut fewer = chunks.clone();
            fewer.remove(missing);
            refused("a chunk is missing", fewer, &meta);
            let mut twice = chunks.clone();
            twice.insert(missing, chunks[missing].clone());
            refused("a chunk came twice", twice, &meta);
            refused("it ended early", chunks[..missing].to_vec(), &meta);
        }
        for first in 1..chunks.len() {
            let mut swapped = chunks.clone();
            swapped.swap(first - 1, first);
            refused("two chunks changed places", swapped, &meta);
        }
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..40 {
            let mut flipped = chunks.clone();
            let at = random.random_range(0..chunks.len());
            let mut bytes = flipped[at].to_vec();
            let bit = random.random_range(0..bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            flipped[at] = bytes.into();
            refused(&format!("bit {bit} of chunk {at} flipped"), flipped, &meta);
        }
        let elsewhere = SnapshotMeta { last_log_id: Some(log_id(1, 3)), ..meta.clone() };
        refused("it is said to be of another place", chunks.clone(), &elsewhere);
        let mut receiver = target.state().receive().unwrap();
        receiver.write(chunks[1].clone()).expect_err("the second chunk first");
        receiver.write(chunks[0].clone()).expect_err("nothing is taken after an error");
        drop(receiver);

        let received = transfer(target.state().receive().unwrap(), chunks, &meta).unwrap();
        install(&target, &meta, received).unwrap();
        target.state().check().unwrap();
        assert_eq!(target.state().applied().0, meta.last_log_id);
    }
}

#[test]
fn a_snapshot_of_another_cluster_is_refused() {
    let (meta, chunks) = small(EngineKind::Fjall, ClusterId::random());
    let dir = tempfile::tempdir().unwrap();
    let (target, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let error = transfer(target.state().receive().unwrap(), chunks, &meta).unwrap_err().to_string();
    assert!(error.contains("of another cluster"), "{error}");
}

#[test]
fn a_snapshot_never_takes_the_state_back() {
    let cluster = ClusterId::random();
    let (meta, chunks) = small(EngineKind::Fjall, cluster);
    let dir = tempfile::tempdir().unwrap();
    let (target, _) = open_in(dir.path(), EngineKind::Fjall, cluster).unwrap();
    let mut leader = Leader::new();
    let received = transfer(target.state().receive().unwrap(), chunks, &meta).unwrap();
    target.state().apply(&[leader.register()]).unwrap();
    target.state().apply(&(0..9).map(|n| leader.put(key(n), value(n, 0), day())).collect::<Vec<_>>()).unwrap();
    let before = target.state().summary();
    let error = install(&target, &meta, received).unwrap_err().to_string();
    assert!(error.contains("is applied here"), "{error}");
    assert_eq!((target.state().summary(), states(dir.path())), (before, 1));
}

#[test]
fn several_snapshots_are_received_at_once_and_what_a_crash_leaves_of_them_goes_at_the_next_start() {
    let cluster = ClusterId::random();
    let (meta, chunks) = small(EngineKind::Fjall, cluster);
    let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (target, _) = open_in(dir.path(), EngineKind::Sled, cluster).unwrap();
    let mut receivers = [0; 3].map(|_| target.state().receive().unwrap());
    for chunk in &chunks {
        receivers.iter_mut().for_each(|receiver| receiver.write(chunk.clone()).unwrap());
    }
    let [one, other, unfinished] = receivers;
    let received = [one, other].map(|receiver| receiver.finish(meta.clone()).unwrap());
    assert_eq!(states(dir.path()), 4);
    copy_tree(dir.path(), crashed.path());
    drop(unfinished);
    for received in received {
        install(&target, &meta, received).unwrap();
    }
    assert_eq!((target.state().applied().0, states(dir.path())), (meta.last_log_id, 1));

    let (reopened, _) = open(crashed.path(), EngineKind::Sled).unwrap();
    assert_eq!((reopened.state().applied().0, states(crashed.path())), (None, 1));
}

#[test]
fn the_end_of_another_transfer_does_not_fit() {
    let cluster = ClusterId::random();
    let [one, other] = [1, 2].map(|number| {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open_in(dir.path(), EngineKind::Fjall, cluster).unwrap();
        let mut leader = Leader::new();
        store.state().apply(&[leader.register(), leader.put(key(number), value(1, 0), day())]).unwrap();
        let (meta, snapshot) = snapshot_of(&store);
        (meta, snapshot.chunks().map(Result::unwrap).collect::<Vec<_>>())
    });
    assert_eq!(one.0, other.0);
    let dir = tempfile::tempdir().unwrap();
    let (target, _) = open_in(dir.path(), EngineKind::Fjall, cluster).unwrap();
    let mixed = [one.1[0].clone(), other.1[1].clone()];
    let error = transfer(target.state().receive().unwrap(), mixed, &one.0).unwrap_err().to_string();
    assert!(error.contains("not the same"), "{error}");
}

#[test]
fn a_sender_that_lost_a_record_without_a_word_is_found_out() {
    let (dir, other, cluster) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), ClusterId::random());
    let (store, _) = open_in(dir.path(), EngineKind::Fjall, cluster).unwrap();
    let mut leader = Leader::new();
    let puts = [1, 8].map(|number| (number, value(number, 0)));
    store.state().apply(&[leader.register()]).unwrap();
    store.state().apply(&puts.map(|(number, value)| leader.put(key(number), value, day()))).unwrap();
    let current = store.state().current();
    let lost = current.engine.view().unwrap().scan_prefix(&[0x10]).next().unwrap().unwrap().0;
    let mut batch = crate::engine::Batch::new();
    batch.remove(lost);
    current.engine.write(batch).unwrap();
    let (meta, snapshot) = snapshot_of(&store);
    let (target, _) = open_in(other.path(), EngineKind::Fjall, cluster).unwrap();
    let chunks = snapshot.chunks().map(Result::unwrap);
    let error = transfer(target.state().receive().unwrap(), chunks, &meta).unwrap_err().to_string();
    assert!(error.contains("group GroupName(\"wiki1\") of sessions are not those"), "{error}");
}

/// One of those many of one group, or the only one of a group: then most of the state is rows that count them.
fn key_of(number: u64, groups: bool) -> SessionKey {
    if groups { SessionKey::new(format!("{number:0150}:MWSession:1")).unwrap() } else { key(number) }
}

#[test]
fn a_transfer_that_broke_goes_on_where_the_receiver_is_and_ends_as_one_that_did_not() {
    for ((from, to), groups) in ENGINES.into_iter().flat_map(|engines| [(engines, false), (engines, true)]) {
        let (dir, target_dir, cluster) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), ClusterId::random());
        let (store, _) = open_in(dir.path(), from, cluster).unwrap();
        let mut leader = Leader::new();
        let mut entries = vec![leader.register()];
        let (sessions, bytes) = if groups { (9_000, 90) } else { (3_000, 900) };
        entries.extend((0..sessions).map(|number| leader.put(key_of(number, groups), vec![7; bytes].into(), day())));
        store.state().apply(&entries).unwrap();
        let snapshot = store.state().snapshot_to_send(0).unwrap();
        let mut chunks = snapshot.snapshot.chunks();
        let (target, _) = open_in(target_dir.path(), to, cluster).unwrap();
        let mut receiver = target.state().receive().unwrap();
        // Wherever it breaks, some chunks were on their way and are lost.
        for taken in [1, 2, 1, 3] {
            for _ in 0..taken {
                let Some(chunk) = chunks.next() else { break };
                receiver.write(chunk.unwrap()).unwrap();
            }
            let lost = chunks.by_ref().take(2).count();
            assert!(chunks.go_on_from(receiver.next_chunk()), "{lost} chunks back");
        }
        // After the last one as well.
        let rest: Vec<Bytes> = chunks.by_ref().map(Result::unwrap).collect();
        assert!(!rest.is_empty() && chunks.next().is_none() && chunks.go_on_from(receiver.next_chunk()));
        assert_eq!(chunks.map(Result::unwrap).collect::<Vec<_>>(), rest, "the same chunks again");
        rest.into_iter().for_each(|chunk| receiver.write(chunk).unwrap());
        assert!(receiver.has_all());
        let received = receiver.finish(snapshot.meta.clone()).unwrap();
        install(&target, &snapshot.meta, received).unwrap();
        assert_eq!(target.state().summary(), store.state().summary());
        assert_eq!(target.dump(), store.dump());
    }
}

#[test]
fn a_sender_does_not_go_on_from_a_place_that_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    let mut entries = vec![leader.register()];
    entries.extend((0..1_000).map(|number| leader.put(key(number), vec![7; 900].into(), day())));
    store.state().apply(&entries).unwrap();
    let mut chunks = store.state().snapshot_to_send(0).unwrap().snapshot.chunks();
    chunks.next().unwrap().unwrap();
    let second = chunks.next().unwrap().unwrap();
    assert!(!chunks.go_on_from(7), "it was never there");
    assert!(chunks.go_on_from(1));
    assert_eq!(chunks.next().unwrap().unwrap(), second);
}

#[test]
fn members_get_the_same_snapshot_while_it_is_under_way_and_one_of_then_when_nobody_sends_it() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.state().apply(&[leader.register(), leader.put(key(1), value(1, 0), day())]).unwrap();
    let first = store.state().snapshot_to_send(0).unwrap();
    assert!(first.snapshot.live_bytes() > value(1, 0).len() as u64);
    let (id, chunks) = (first.snapshot.id(), first.snapshot.chunks());
    drop(first);
    store.state().apply(&[leader.put(key(2), value(2, 0), day())]).unwrap();
    let again = store.state().snapshot_to_send(2).unwrap();
    assert_eq!((again.snapshot.id(), again.meta.last_log_id.map(|last| last.index)), (id, Some(2)), "chunks keep it");
    let newer = store.state().snapshot_to_send(3).unwrap();
    assert!(
        newer.snapshot.id() != id && newer.meta.last_log_id.map(|last| last.index) == Some(3),
        "it must reach that"
    );
    let newest = newer.snapshot.id();
    drop((chunks, again, newer));
    let later = store.state().snapshot_to_send(0).unwrap();
    assert!(![id, newest].contains(&later.snapshot.id()), "nobody keeps them");
}
