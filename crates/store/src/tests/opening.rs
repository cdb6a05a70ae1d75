//! How a directory is found, what it promised, and what is left of one whose data was discarded.

use super::*;
use crate::{Former, NodeId, PristineStore, Reservation};

fn pristine(dir: &Path) -> PristineStore {
    match opening(dir, EngineKind::Fjall).unwrap() {
        Opening::Pristine(pristine) => pristine,
        Opening::Member(_, opened) => panic!("a member: {opened:?}"),
        Opening::Recovering(stateless) => panic!("{stateless:?}"),
    }
}

fn discard(dir: &Path) -> Option<std::path::PathBuf> {
    DataDir::open(dir).unwrap().discard().unwrap()
}

#[test]
fn a_node_without_a_cluster_keeps_its_id_and_makes_no_state() {
    let dir = tempfile::tempdir().unwrap();
    let node = pristine(dir.path()).node();
    assert_eq!(pristine(dir.path()).node(), node, "the same node after a restart");
    assert!(!dir.path().join("state").exists() && !dir.path().join("CLUSTER").exists());
    let cluster = ClusterId::random();
    let store = pristine(dir.path()).adopt(cluster).unwrap();
    assert_eq!((store.node(), store.cluster()), (node, cluster));
    store.close().unwrap();
    let (store, opened) = open(dir.path(), EngineKind::Fjall).unwrap();
    assert_eq!((store.node(), store.cluster(), opened), (node, cluster, Opened::Clean));
}

#[test]
fn the_first_reservation_stays_until_it_is_released_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = [1, 2].map(|n| Reservation { cluster: ClusterId::random(), initiator: NodeId::from(n) });
    let store = pristine(dir.path());
    assert_eq!(store.reservation(), None);
    assert_eq!(store.reserve(first).unwrap(), first);
    assert_eq!(store.reserve(second).unwrap(), first);
    drop(store);
    let store = pristine(dir.path());
    assert_eq!(store.reservation(), Some(first));
    assert_eq!(store.reserve(second).unwrap(), first);
    store.release().unwrap();
    assert_eq!(store.reservation(), None);
    drop(store);
    let store = pristine(dir.path());
    assert_eq!(store.reserve(second).unwrap(), second);
    let store = store.adopt(second.cluster).unwrap();
    assert_eq!(store.reservation().unwrap(), Some(second), "whoever makes the cluster must know what it was about");
    store.settle().unwrap();
    assert_eq!(store.reservation().unwrap(), None, "a member has promised nothing");
    store.close().unwrap();
}

#[test]
fn a_reservation_that_cannot_be_read_is_not_taken_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let store = pristine(dir.path());
    store.reserve(Reservation { cluster: ClusterId::random(), initiator: NodeId::from(1) }).unwrap();
    drop(store);
    std::fs::write(dir.path().join("RESERVED"), "nonsense").unwrap();
    let error = opening(dir.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains("RESERVED cannot be read") && error.contains("--discard-data-and-rejoin"), "{error}");
}

#[test]
fn an_adoption_that_was_cut_short_is_ended_by_the_next_opening() {
    let whole = tempfile::tempdir().unwrap();
    let store = pristine(whole.path());
    let (node, cluster) = (store.node(), ClusterId::random());
    store.reserve(Reservation { cluster, initiator: node }).unwrap();
    drop(store);
    let reserved = tempfile::tempdir().unwrap();
    copy_tree(whole.path(), reserved.path());
    drop(pristine(whole.path()).adopt(cluster).unwrap());
    // The mark is there; of the state there is nothing, or a directory that is not in use, or all but the cleaning up.
    for made in 0..3 {
        let cut = tempfile::tempdir().unwrap();
        copy_tree(reserved.path(), cut.path());
        std::fs::copy(whole.path().join("CLUSTER"), cut.path().join("CLUSTER")).unwrap();
        if made > 0 {
            copy_tree(&whole.path().join("state"), &cut.path().join("state"));
        }
        if made == 1 {
            std::fs::remove_file(cut.path().join("state/CURRENT")).unwrap();
        }
        let (store, opened) = open(cut.path(), EngineKind::Fjall).unwrap();
        assert_eq!((store.node(), store.cluster()), (node, cluster));
        assert_eq!(opened == Opened::New, made < 2, "{opened:?}");
        assert_eq!(store.reservation().unwrap().map(|reserved| reserved.cluster), Some(cluster));
        store.commit(vec![Leader::new().register()]);
    }
}

#[test]
fn discarded_data_is_kept_aside_and_its_directory_never_begins_a_cluster() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(discard(dir.path()), None, "there was nothing");
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let (node, cluster) = (store.node(), store.cluster());
    store.commit(vec![Leader::new().register()]);
    store.close().unwrap();
    let aside = discard(dir.path()).unwrap();
    assert!(aside.join("log").is_dir() && aside.join("state").is_dir() && aside.join("CLUSTER").is_file());

    let store = pristine(dir.path());
    assert_ne!(store.node(), node, "an empty disk is a new node");
    assert_eq!(store.former(), Some(Former::Cluster(cluster)));
    drop(store);
    assert_eq!(discard(dir.path()), None, "a flag that stays in a unit file discards nothing more");
    assert_eq!(pristine(dir.path()).former(), Some(Former::Cluster(cluster)));
    let store = pristine(dir.path()).adopt(cluster).unwrap();
    store.settle().unwrap();
    store.close().unwrap();
    assert!(!dir.path().join("FORMER").exists(), "CLUSTER says it now");
    assert!(discard(dir.path()).unwrap().ends_with("discarded-2"), "and what was aside stays there");
}

#[test]
fn a_discard_names_the_cluster_by_whatever_is_left() {
    for (lost, unknown) in [(&["CLUSTER"][..], false), (&["log"][..], false), (&["CLUSTER", "state"][..], true)] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
        let cluster = store.cluster();
        store.commit(vec![Leader::new().register()]);
        store.close().unwrap();
        for lost in lost {
            let path = dir.path().join(lost);
            if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
        }
        let error = opening(dir.path(), EngineKind::Fjall).err().unwrap().to_string();
        assert!(error.contains("serve --discard-data-and-rejoin"), "{error}");
        discard(dir.path()).unwrap();
        let former = pristine(dir.path()).former();
        assert_eq!(former, Some(if unknown { Former::Unknown } else { Former::Cluster(cluster) }), "without {lost:?}");
    }
}

#[test]
fn a_damaged_log_is_refused_and_the_refusal_names_the_one_flag() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    store.commit(vec![Leader::new().register()]);
    store.close().unwrap();
    let segment = std::fs::read_dir(dir.path().join("log")).unwrap().map(|e| e.unwrap().path()).min().unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let error = opening(dir.path(), EngineKind::Fjall).err().unwrap().to_string();
    assert!(error.contains("serve --discard-data-and-rejoin"), "{error}");
    discard(dir.path()).unwrap();
    pristine(dir.path());
}

#[test]
fn a_discard_that_was_cut_short_is_never_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    store.commit(vec![Leader::new().register()]);
    store.close().unwrap();
    let before = tempfile::tempdir().unwrap();
    copy_tree(dir.path(), before.path());
    discard(dir.path()).unwrap();
    let order = crate::discard::in_order(["log", "CLEAN", "CLUSTER", "state"].map(str::to_owned).into());
    for done in 1..order.len() {
        let cut = tempfile::tempdir().unwrap();
        copy_tree(before.path(), cut.path());
        std::fs::copy(dir.path().join("FORMER"), cut.path().join("FORMER")).unwrap();
        std::fs::create_dir(cut.path().join("discarded-1")).unwrap();
        for name in &order[..done] {
            std::fs::rename(cut.path().join(name), cut.path().join("discarded-1").join(name)).unwrap();
        }
        let error = opening(cut.path(), EngineKind::Fjall).err().unwrap().to_string();
        assert!(error.contains("serve --discard-data-and-rejoin"), "{error}");
        discard(cut.path()).unwrap();
        assert!(matches!(pristine(cut.path()).former(), Some(Former::Cluster(_))));
    }
}

#[test]
fn a_state_that_the_members_condemned_is_set_aside_however_whole_it_looks() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    store.commit(vec![Leader::new().register()]);
    store.notes().condemned().unwrap();
    store.close().unwrap();
    let (store, opened) = open(dir.path(), EngineKind::Fjall).unwrap();
    let Opened::Rebuilt { reason, aside: Some(aside) } = opened else { panic!("{opened:?}") };
    assert!(reason.contains("differs from that of two other members") && aside.is_dir(), "{reason}");
    store.close().unwrap();
    assert_eq!(open(dir.path(), EngineKind::Fjall).unwrap().1, Opened::Clean, "once");
}

#[test]
fn a_member_that_was_removed_does_not_start_until_its_data_is_discarded() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let node = store.node();
    store.notes().removed().unwrap();
    store.close().unwrap();
    let refused = opening(dir.path(), EngineKind::Fjall).err().unwrap();
    assert!(refused.is_ended_by_discard() && refused.to_string().contains("--discard-data-and-rejoin"), "{refused}");
    discard(dir.path()).unwrap();
    assert_ne!(pristine(dir.path()).node(), node);
}

#[test]
fn a_member_that_was_replaced_comes_back_as_a_new_node_however_often_that_is_cut_short() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let (node, cluster) = (store.node(), store.cluster());
    store.commit(vec![Leader::new().register()]);
    assert!(store.notes().replaced(LogTime::from_millis(1_000)).unwrap());
    store.close().unwrap();
    let names = ["log", "CLUSTER", "CLEAN", "REPLACED", "state"].map(str::to_owned);
    let order = crate::discard::in_order(names.into());
    for done in 0..=order.len() {
        let cut = tempfile::tempdir().unwrap();
        copy_tree(dir.path(), cut.path());
        for name in &order[..done] {
            // As far as it came, with what it does first.
            std::fs::write(cut.path().join("FORMER"), crate::codec::seal(&Some(cluster))).unwrap();
            std::fs::create_dir_all(cut.path().join("discarded-1")).unwrap();
            std::fs::rename(cut.path().join(name), cut.path().join("discarded-1").join(name)).unwrap();
        }
        if done < order.len() {
            let refused = opening(cut.path(), EngineKind::Fjall).err().unwrap();
            assert!(refused.discards_by_itself() && refused.is_ended_by_discard(), "{done}: {refused}");
            discard(cut.path()).unwrap();
        }
        let fresh = pristine(cut.path());
        assert_eq!(fresh.former(), Some(Former::Cluster(cluster)), "after {done}");
        assert_ne!(fresh.node(), node);
    }
}

#[test]
fn who_is_replaced_again_a_short_while_later_is_left_to_an_operator() {
    let dir = tempfile::tempdir().unwrap();
    let at = |minute: u64| LogTime::from_millis(minute * 60_000);
    let joined = || open(dir.path(), EngineKind::Fjall).unwrap().0;
    let store = joined();
    assert!(store.notes().replaced(at(100)).unwrap());
    store.close().unwrap();
    discard(dir.path()).unwrap();
    let store = joined();
    for (minute, rejoins) in [(101, false), (129, false), (71, false), (130, true)] {
        assert_eq!(store.notes().replaced(at(minute)).unwrap(), rejoins, "in minute {minute}");
    }
    store.close().unwrap();
    std::fs::write(dir.path().join("REJOINED"), b"damaged").unwrap();
    std::fs::remove_file(dir.path().join("REPLACED")).unwrap();
    assert!(!joined().notes().replaced(at(500)).unwrap(), "one that cannot be read may be of a moment ago");
}
