//! A member that lost its state, and whose log no longer reaches back to the beginning.

use openraft::storage::{RaftLogStorage, StorageHelper};

use super::transfer::{snapshot_of, transfer};
use super::*;
use crate::types::position;
use crate::{LogId, Member, Membership, NodeId, RecoveringStore, Snapshot, SnapshotMeta, Vote};

const ENGINE: EngineKind = EngineKind::Fjall;

/// A member that applied `applied` entries of a log of `logged`, purged up to `purged`, and lost its state. And a donor
/// of the same cluster with the same log.
struct Story {
    dir: tempfile::TempDir,
    _donor_dir: tempfile::TempDir,
    donor: Store,
    node: NodeId,
    /// Entries by their index, from 1.
    log: Vec<Entry>,
    leader: Leader,
}

impl Story {
    fn new(purged: usize, applied: usize, logged: usize) -> Self {
        let (dir, donor_dir, cluster) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), ClusterId::random());
        let (store, _) = open_in(dir.path(), ENGINE, cluster).unwrap();
        let (donor, _) = open_in(donor_dir.path(), ENGINE, cluster).unwrap();
        let mut leader = Leader::new();
        let mut log = vec![leader.register()];
        log.extend((2..=40).map(|number| leader.put(key(number), value(number, 0), day())));
        let node = store.node();
        let member = Member { name: "n1".into(), ..Member::default() };
        let members = std::collections::BTreeMap::from([(node, member)]);
        let voters = members.keys().copied().collect();
        log[19].payload = EntryPayload::Membership(Membership::new(vec![voters], members).unwrap());
        wait(store.log_store().save_vote(&Vote::new_committed(1, node))).unwrap();
        store.commit(log[..applied].to_vec());
        use openraft::storage::RaftLogStorageExt;
        if logged > applied {
            wait(store.log_store().blocking_append(log[applied..logged].to_vec())).unwrap();
        }
        wait(store.log_store().save_committed(Some(log[applied - 1].log_id))).unwrap();
        wait(store.log_store().purge(log[purged - 1].log_id)).unwrap();
        store.close().unwrap();
        std::fs::remove_dir_all(dir.path().join("state")).unwrap();
        Self { dir, _donor_dir: donor_dir, donor, node, log, leader }
    }

    fn open(&self) -> RecoveringStore {
        match opening(self.dir.path(), ENGINE).unwrap() {
            Opening::Recovering(stateless) => stateless,
            Opening::Pristine(_) => panic!("pristine"),
            Opening::Member(_, opened) => panic!("a member: {opened:?}"),
        }
    }

    /// The donor's snapshot once it has applied so much, received.
    fn fetch(&self, stateless: &RecoveringStore, upto: usize) -> (SnapshotMeta, Snapshot) {
        let from = self.donor.state().applied().0.map_or(0, |applied| usize::try_from(applied.index).unwrap());
        if from < upto {
            self.donor.state().apply(&self.log[from..upto]).unwrap();
        }
        let (meta, snapshot) = snapshot_of(&self.donor);
        let chunks = snapshot.chunks().map(Result::unwrap);
        let received = transfer(stateless.receive().unwrap(), chunks, &meta).unwrap();
        (meta, received)
    }

    /// The log goes on in another term, as another leader's: everything from that index on is of term 2.
    fn another_leader_from(&mut self, index: u64) {
        for entry in self.log.iter_mut().filter(|entry| entry.log_id.index >= index) {
            entry.log_id = log_id(2, entry.log_id.index);
        }
    }
}

/// What openraft makes of it at its start: it applies what is committed, and refuses what does not fit.
fn start_raft(store: &Store) -> (LogId, u64, u64) {
    let (mut log, mut machine) = (store.log_store(), store.state_machine());
    let state = wait(StorageHelper::new(&mut log, &mut machine).with_id(store.node()).get_initial_state()).unwrap();
    let first = log.purged().map_or(0, |purged| purged.index) + 1;
    let vote = openraft::RaftState::vote_ref(&state).leader_id.term;
    (log.last().unwrap(), first, vote)
}

#[test]
fn a_state_that_the_log_cannot_make_again_is_fetched_from_another_member() {
    let story = Story::new(10, 25, 30);
    let stateless = story.open();
    assert_eq!(stateless.node(), story.node, "still the same node");
    assert_eq!(stateless.cluster(), story.donor.cluster());
    assert_eq!(stateless.must_reach(), 25, "what it knew to be committed");
    assert_eq!(stateless.reason(), "there is none");
    let members = stateless.members();
    assert_eq!(members.iter().map(|(id, member)| (*id, &*member.name)).collect::<Vec<_>>(), [(story.node, "n1")]);
    let (meta, snapshot) = story.fetch(&stateless, 28);
    let store = stateless.complete(snapshot, &meta).map_err(|failed| failed.1).unwrap();
    assert_eq!(store.state().applied().0, meta.last_log_id);
    let (last, first, vote) = start_raft(&store);
    assert_eq!((last.index, first, vote), (30, 11, 1), "the log on both sides of the snapshot's last id stays");
    store.replay();
    assert_eq!(store.get(&key(30)), Some(value(30, 0)));
    store.close().unwrap();
    assert_eq!(open(story.dir.path(), ENGINE).unwrap().1, Opened::Clean);
}

#[test]
fn a_damaged_state_is_kept_aside_while_another_is_fetched() {
    let story = Story::new(10, 25, 30);
    std::fs::create_dir(story.dir.path().join("state")).unwrap();
    std::fs::write(story.dir.path().join("state/CURRENT"), "nonsense").unwrap();
    let stateless = story.open();
    assert!(stateless.aside().unwrap().join("CURRENT").is_file());
    assert!(stateless.reason().contains("CURRENT names no directory"), "{}", stateless.reason());
}

#[test]
fn a_damaged_state_still_says_who_the_members_are_when_the_log_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), ENGINE).unwrap();
    let mut leader = Leader::new();
    let (mut entry, node) = (leader.register(), store.node());
    let members = std::collections::BTreeMap::from([(node, Member::default())]);
    entry.payload =
        EntryPayload::Membership(Membership::new(vec![members.keys().copied().collect()], members).unwrap());
    store.commit([entry.clone()]);
    wait(store.log_store().purge(entry.log_id)).unwrap();
    let mut batch = crate::engine::Batch::new();
    batch.put(&[0x10, 0][..], &b"no record"[..]);
    store.state().current().engine.write(batch).unwrap();
    store.state().persist().unwrap();
    assert!(store.state().check_beside(|| true).is_err(), "the check beside the service notices it");
    drop(store);
    let Opening::Recovering(stateless) = opening(dir.path(), ENGINE).unwrap() else { panic!("forgotten") };
    assert_eq!(stateless.members(), [(node, Member::default())]);
}

#[test]
fn a_log_that_knows_of_more_than_it_holds_does_not_make_the_state_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), ENGINE).unwrap();
    // A snapshot was installed, and a crash came before the log was purged up to it.
    store.commit([Leader::new().register()]);
    wait(store.log_store().save_committed(Some(log_id(1, 9)))).unwrap();
    store.close().unwrap();
    std::fs::remove_dir_all(dir.path().join("state")).unwrap();
    let Opening::Recovering(stateless) = opening(dir.path(), ENGINE).unwrap() else { panic!("made from half a log") };
    assert_eq!(stateless.must_reach(), 9);
}

#[test]
fn a_disk_that_fails_while_the_log_is_fitted_leaves_no_state_in_use() {
    let mut story = Story::new(10, 25, 30);
    story.another_leader_from(27);
    let stateless = story.open();
    let (meta, snapshot) = story.fetch(&stateless, 28);
    stateless.close_log();
    let (stateless, _) = *stateless.complete(snapshot, &meta).err().unwrap();
    drop(stateless);
    assert_eq!(story.open().must_reach(), 25, "it begins again");
}

#[test]
fn a_snapshot_that_ends_before_what_was_committed_is_refused_and_another_may_come() {
    let story = Story::new(10, 25, 30);
    let stateless = story.open();
    let (meta, snapshot) = story.fetch(&stateless, 24);
    let (stateless, error) = *stateless.complete(snapshot, &meta).err().unwrap();
    assert!(error.to_string().contains("ends at entry 24, but entry 25 was committed here"), "{error}");
    let (meta, snapshot) = story.fetch(&stateless, 25);
    assert!(stateless.complete(snapshot, &meta).is_ok());
}

#[test]
fn a_snapshot_of_another_history_is_refused() {
    let mut story = Story::new(10, 25, 30);
    story.another_leader_from(25);
    let stateless = story.open();
    let (meta, snapshot) = story.fetch(&stateless, 25);
    let (stateless, error) = *stateless.complete(snapshot, &meta).err().unwrap();
    assert!(error.to_string().contains("another history"), "{error}");
    assert_eq!(stateless.last().map(|last| last.index), Some(30), "nothing of the log went");
}

#[test]
fn a_log_that_goes_another_way_than_the_snapshot_is_cut_and_the_vote_is_raised() {
    let mut story = Story::new(10, 25, 30);
    story.another_leader_from(27);
    let stateless = story.open();
    let (meta, snapshot) = story.fetch(&stateless, 28);
    let store = stateless.complete(snapshot, &meta).map_err(|failed| failed.1).unwrap();
    let (last, first, vote) = start_raft(&store);
    assert_eq!((Some(last), first, vote), (meta.last_log_id, 29, 2), "29 and 30 were never committed");
    assert_eq!(store.log_store().purged(), meta.last_log_id);
    // The new leader goes on, and so does this log.
    store.commit(story.log[28..].to_vec());
    assert_eq!(store.state().applied().0.unwrap().index, 40);
}

#[test]
fn a_log_that_ends_before_the_snapshot_goes_on_behind_it() {
    let mut story = Story::new(10, 25, 26);
    let stateless = story.open();
    let (meta, snapshot) = story.fetch(&stateless, 33);
    let store = stateless.complete(snapshot, &meta).map_err(|failed| failed.1).unwrap();
    let (last, first, vote) = start_raft(&store);
    assert_eq!((Some(last), first, vote), (meta.last_log_id, 34, 1));
    store.commit(story.log[33..].to_vec());
    story.donor.state().apply(&story.log[33..]).unwrap();
    assert_eq!(store.state().summary(), story.donor.state().summary());
    assert_eq!(story.leader.tick(0).log_id.index, 41);
}

#[test]
fn whatever_a_crash_leaves_of_it_begins_again_or_is_complete() {
    for step in 0..=5 {
        let mut story = Story::new(10, 25, 30);
        story.another_leader_from(27);
        let stateless = story.open();
        let (meta, snapshot) = story.fetch(&stateless, 28);
        let last = position(&meta.last_log_id.unwrap());
        if step >= 1 {
            stateless.raise_vote(last).unwrap();
        }
        if step == 2 {
            // In the middle of the log's change: cut, and not yet purged.
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut log = stateless.log_store();
            runtime.block_on(log.truncate_after(Some(log_id(1, 27)))).unwrap();
        }
        if step >= 3 {
            stateless.replace_log(last).unwrap();
        }
        let crashed = if step >= 4 {
            let store = stateless.complete(snapshot, &meta).map_err(|failed| failed.1).unwrap();
            let crashed = crash_image(story.dir.path());
            drop(store);
            crashed
        } else {
            let crashed = crash_image(story.dir.path());
            drop((stateless, snapshot));
            crashed
        };
        if step == 5 {
            // All but the one step that puts the state in use.
            std::fs::remove_file(crashed.path().join("state/CURRENT")).unwrap();
        }
        let node = story.node;
        let story = Story { dir: crashed, ..story };
        let store = match opening(story.dir.path(), ENGINE).unwrap() {
            Opening::Member(store, opened) => {
                assert!(step == 4 && opened == Opened::Unchecked, "step {step}: {opened:?}");
                store
            }
            Opening::Recovering(stateless) => {
                assert_ne!(step, 4);
                assert!(stateless.must_reach() >= 25, "step {step}: what was committed is not forgotten");
                let (meta, snapshot) = story.fetch(&stateless, 31);
                stateless.complete(snapshot, &meta).map_err(|failed| failed.1).unwrap()
            }
            Opening::Pristine(_) => panic!("step {step}: pristine"),
        };
        assert_eq!(store.node(), node);
        let applied = store.state().applied().0.unwrap();
        let (last, _, vote) = start_raft(&store);
        assert_eq!((last, vote), (applied, 2), "step {step}");
        store.commit(story.log[usize::try_from(applied.index).unwrap()..].to_vec());
        store.state().check().unwrap();
    }
}
