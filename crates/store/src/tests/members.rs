//! What the state knows of the members: who was removed, and what they compare.

use std::collections::{BTreeMap, BTreeSet};

use sessile_core::Refusal;

use super::transfer::{snapshot_of, transfer};
use super::*;
use crate::{Member, Membership, NodeId, decode_membership, encode_membership};

fn node(number: u64) -> NodeId {
    NodeId::from(number)
}

fn membership(sets: &[&[u64]], learners: &[u64]) -> Membership {
    let set = |numbers: &[u64]| numbers.iter().copied().map(node).collect::<BTreeSet<_>>();
    let members = sets.iter().copied().flatten().chain(learners).map(|n| (node(*n), Member::default()));
    Membership::new(sets.iter().map(|numbers| set(numbers)).collect(), members.collect::<BTreeMap<_, _>>()).unwrap()
}

impl Leader {
    fn members(&mut self, sets: &[&[u64]], learners: &[u64]) -> Entry {
        let mut entry = self.tick(0);
        entry.payload = EntryPayload::Membership(membership(sets, learners));
        entry
    }
}

#[test]
fn a_removed_node_is_never_accepted_again_on_no_replica() {
    let mut removed = Vec::new();
    for engine in EngineKind::ALL {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), engine).unwrap();
        let mut leader = Leader::new();
        // The proposer is node 1.
        let began = [leader.register(), leader.members(&[&[1, 2, 3]], &[4])];
        store.commit(began);
        store.commit([leader.put(key(1), value(1, 0), day()), leader.members(&[&[1, 2, 3], &[2, 3, 4]], &[])]);
        assert_eq!(store.state().removed(), [], "who is in either set of a joint change is a member");
        store.commit([leader.members(&[&[2, 3, 4]], &[1])]);
        assert_eq!(store.state().removed(), [], "and so is a learner");
        store.commit([leader.members(&[&[2, 3]], &[])]);
        assert_eq!(store.state().removed(), [node(1), node(4)]);
        assert!(store.state().is_removed(node(1)) && !store.state().is_removed(node(2)));
        assert!(store.state().incarnation(PROPOSER).is_none(), "what was remembered of it is gone");

        let register = Command::Register(Register { proposer: PROPOSER, previous: 0, nonce: 3 });
        let late = [leader.put(key(2), value(2, 0), day()), leader.entry(&register)];
        assert_eq!(
            store.commit(late),
            [Some(Outcome::Refused(Refusal::Removed)), Some(Outcome::Refused(Refusal::Removed))]
        );
        store.commit([leader.members(&[&[1, 2, 3]], &[])]);
        assert!(store.state().is_removed(node(1)), "not even by a membership that names it");
        let summary = store.state().summary();
        drop(store);
        let (store, _) = open(dir.path(), engine).unwrap();
        store.replay();
        assert_eq!(store.state().removed(), [node(1), node(4)], "nor after a crash");
        assert_eq!(store.state().summary(), summary);
        removed.push((store.dump(), summary.checksum));
    }
    assert_eq!(removed[0], removed[1]);
}

#[test]
fn tombstones_come_with_a_snapshot() {
    let (dir, other, cluster) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), ClusterId::random());
    let (store, _) = open_in(dir.path(), EngineKind::Fjall, cluster).unwrap();
    let mut leader = Leader::new();
    let entries = [leader.register(), leader.members(&[&[1, 2]], &[]), leader.members(&[&[2]], &[])];
    store.state().apply(&entries).unwrap();
    let (meta, snapshot) = snapshot_of(&store);
    let (target, _) = open_in(other.path(), EngineKind::Fjall, cluster).unwrap();
    let chunks = snapshot.chunks().map(Result::unwrap);
    let received = transfer(target.state().receive().unwrap(), chunks, &meta).unwrap();
    let machine = &mut target.state_machine();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(openraft::storage::RaftStateMachine::install_snapshot(machine, &meta, received)).unwrap();
    assert_eq!(target.state().removed(), [node(1)]);
    assert_eq!(target.dump(), store.dump());
}

#[test]
fn a_membership_comes_back_as_it_went() {
    for stored in [
        crate::StoredMembership::new(Some(log_id(3, 9)), membership(&[&[1, 2, 3], &[2, 3, 4]], &[7])),
        crate::StoredMembership::default(),
    ] {
        assert_eq!(decode_membership(encode_membership(&stored)).unwrap(), stored);
    }
    decode_membership(Bytes::from_static(&[0xff])).expect_err("no protobuf");
}

#[test]
fn members_that_applied_differently_far_share_a_checksum_and_one_that_differs_is_seen() {
    let logs = |odd: u64| {
        let mut leader = Leader::new();
        let mut entries = vec![leader.register()];
        for number in 0..40_000 {
            let value = if number == odd { value(number, 1) } else { value(number, 0) };
            let command = if number % 50 == 0 { leader.put(key(number % 300), value, day()) } else { leader.tick(20) };
            entries.push(command);
        }
        entries
    };
    let made = |engine, entries: &[Entry], reaps: bool| {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), engine).unwrap();
        for batch in entries.chunks(if reaps { 501 } else { 97 }) {
            store.state().apply(batch).unwrap();
            if reaps {
                store.state().persist().unwrap();
                store.state().reap(None, 1_000).unwrap();
            }
        }
        (store.state().checksums(), store.state().summary())
    };
    let log = logs(u64::MAX);
    let ahead = made(EngineKind::Fjall, &log, true);
    let (behind, _) = made(EngineKind::Sled, &log[..20_000], false);
    let (other, _) = made(EngineKind::Fjall, &logs(16_350)[..20_000], false);
    let shared = |one: &[(u64, u64)], other: &[(u64, u64)]| -> Vec<(u64, bool)> {
        let find = |index| other.iter().find(|(at, _)| *at == index);
        one.iter().filter_map(|(index, sum)| find(*index).map(|(_, its)| (*index, sum == its))).collect()
    };
    assert_eq!(shared(&ahead.0, &behind), [(16_384, true)]);
    assert_eq!(shared(&ahead.0, &other), [(16_384, false)]);
    let indices: Vec<u64> = behind.iter().map(|(index, _)| *index).collect();
    let near = (20_000 / 64 - 63..=20_000 / 64).map(|step| step * 64);
    assert_eq!(indices, near.chain([16_384]).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    assert_eq!(ahead.1.applied, Some(log_id(1, 40_001)));
}
