//! A node that is left of a cluster whose majority is lost for ever.

use std::collections::BTreeSet;

use super::*;
use crate::{NodeId, Rescue, Unfinished, marks};

fn rescue(dir: &Path) -> Result<Rescue, StoreError> {
    Rescue::open(DataDir::open(dir)?, &options(EngineKind::Fjall))
}

/// One of three, whose log has two entries more than are known to be committed.
fn survivor(dir: &Path) -> (NodeId, ClusterId) {
    let (store, _) = open(dir, EngineKind::Fjall).unwrap();
    let mut leader = Leader::new();
    store.commit([leader.register(), leader.three(store.node())]);
    store.commit((0..20).map(|number| leader.put(key(number), value(number, 0), day())).collect::<Vec<_>>());
    leader.clock += 5_000;
    let acknowledged = [leader.put(key(20), value(20, 0), day()), leader.delete(key(0))];
    use openraft::storage::RaftLogStorageExt;
    wait(store.log_store().blocking_append(acknowledged)).unwrap();
    let who = (store.node(), store.cluster());
    store.close().unwrap();
    who
}

#[test]
fn a_survivor_is_the_only_member_of_a_new_cluster_with_all_that_its_log_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (node, cluster) = survivor(dir.path());
    let found = rescue(dir.path()).unwrap();
    let plan = found.plan();
    assert_eq!((plan.node, plan.cluster, plan.sessions), (node, cluster, 20));
    assert_eq!((plan.last_index, plan.applied, plan.last_at.as_millis()), (24, 22, START + 5_000));
    let voters: BTreeSet<NodeId> = plan.voters.iter().map(|(node, _)| *node).collect();
    assert_eq!((voters, plan.learners.len()), (BTreeSet::from([node, 2.into(), 3.into()]), 0));
    assert_eq!(plan.member.unwrap().name, "n1");

    let new = found.carry_out("root").unwrap();
    assert_ne!(new, cluster);
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    assert_eq!((store.node(), store.cluster()), (node, new), "the same node in another cluster");
    store.replay();
    assert_eq!(store.get(&key(20)), Some(value(20, 0)), "what a majority may have acknowledged is there");
    assert_eq!(store.get(&key(0)), None);
    let membership = store.state().applied().1;
    let members: Vec<_> = membership.membership().nodes().map(|(node, member)| (*node, member.name.clone())).collect();
    assert_eq!(members, [(node, "n1".to_owned())]);
    assert_eq!(store.state().removed(), [2.into(), 3.into()], "who is gone never comes back with what it had");
    assert_eq!(store.log_store().ballot().unwrap().leader_id.voted_for, node);
}

#[test]
fn a_plan_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (node, cluster) = survivor(dir.path());
    rescue(dir.path()).unwrap().leave().unwrap();
    let (store, opened) = open(dir.path(), EngineKind::Fjall).unwrap();
    assert_eq!((store.node(), store.cluster(), opened), (node, cluster, Opened::Clean));
    assert_eq!(store.log_store().last(), Some(log_id(1, 24)));
}

#[test]
fn a_rescue_that_was_cut_short_anywhere_is_gone_on_with_and_no_node_starts_before() {
    for done in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let (node, cluster) = survivor(dir.path());
        let new = ClusterId::random();
        let data = DataDir::open(dir.path()).unwrap();
        marks::begin_rescuing(&data, new).unwrap();
        if done > 0 {
            let state =
                crate::state::EngineDir::open(&data.state(), EngineKind::Fjall, Default::default()).unwrap().unwrap();
            state.set_owner(crate::state::Owner { node, cluster: new }).unwrap();
            state.engine.shutdown().unwrap();
        }
        if done > 1 {
            marks::set_cluster(&data, new).unwrap();
        }
        drop(data);
        let error = opening(dir.path(), EngineKind::Fjall).err().unwrap();
        assert!(matches!(error, StoreError::CutShort { act: Unfinished::Rescue, .. }), "{error}");
        assert!(matches!(rescue(dir.path()), Err(StoreError::CutShort { .. })));
        let data = DataDir::open(dir.path()).unwrap();
        let options = options(EngineKind::Fjall);
        assert_eq!(Rescue::end_what_was_begun(&data, &options, "root").unwrap(), Some(new));
        assert_eq!(Rescue::end_what_was_begun(&data, &options, "root").unwrap(), None);
        drop(data);
        let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
        store.replay();
        assert_eq!((store.node(), store.cluster(), store.state().sessions()), (node, new, 20));
        assert_ne!(new, cluster);
    }
}

#[test]
fn what_has_no_data_or_runs_or_lost_its_state_is_not_rescued() {
    let dir = tempfile::tempdir().unwrap();
    let error = rescue(&dir.path().join("new")).err().unwrap().to_string();
    assert!(error.contains("no node with data"), "{error}");
    let at = dir.path().join("member");
    survivor(&at);
    let running = DataDir::open(&at).unwrap();
    assert!(matches!(rescue(&at), Err(StoreError::Locked { .. })));
    drop(running);
    let (store, _) = open(&at, EngineKind::Fjall).unwrap();
    store.replay();
    store.state().persist().unwrap();
    wait(openraft::storage::RaftLogStorage::purge(&mut store.log_store(), log_id(1, 20))).unwrap();
    store.close().unwrap();
    std::fs::remove_dir_all(at.join("state")).unwrap();
    let error = rescue(&at).err().unwrap().to_string();
    assert!(error.contains("sessile restore"), "{error}");
}
