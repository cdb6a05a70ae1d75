//! What is done where nothing may wait for a disk.

use super::watched::{ASKED, AT_ONCE, WATCHED};
use super::*;

#[test]
fn entries_are_applied_where_nothing_may_wait_only_if_memory_has_all_that_they_need() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), WATCHED).unwrap();
    let state = store.state();
    let mut leader = Leader::new();
    state.apply(&[leader.register(), leader.put(key(1), value(1, 0), day())]).unwrap();

    ASKED.set(0);
    let renewal = leader.put(key(1), value(1, 1), day());
    let outcomes = state.try_apply(state.prepare(vec![renewal])).ok().expect("its record is in memory").unwrap();
    assert!(matches!(outcomes[..], [Some(Outcome::Written { .. })]), "{outcomes:?}");
    assert_eq!((store.get(&key(1)), ASKED.get()), (Some(value(1, 1)), 0), "and nobody asked the engine");

    let both = vec![leader.put(key(1), value(1, 2), day()), leader.put(key(2), value(2, 0), day())];
    let prepared = state.try_apply(state.prepare(both)).expect_err("nobody knows whether there is another record");
    assert_eq!((store.get(&key(1)), ASKED.get()), (Some(value(1, 1)), 0), "nothing was done");
    state.apply_prepared(prepared).unwrap();
    assert_eq!((store.get(&key(1)), store.get(&key(2))), (Some(value(1, 2)), Some(value(2, 0))));
    assert_eq!(ASKED.get(), 1, "only what was not in memory");

    AT_ONCE.set(false);
    let full = state.prepare(vec![leader.put(key(1), value(1, 3), day())]);
    let prepared = state.try_apply(full).expect_err("the engine has no room at once");
    AT_ONCE.set(true);
    let held = state.hold_writer();
    let prepared = state.try_apply(prepared).expect_err("somebody else writes");
    drop(held);
    assert!(state.try_apply(prepared).is_ok());
    assert_eq!(store.get(&key(1)), Some(value(1, 3)));
}

#[test]
fn memory_answers_a_read_or_says_that_it_cannot() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), WATCHED).unwrap();
    let mut leader = Leader::new();
    let short = Ttl::from_secs(1).unwrap();
    let mut entries = vec![leader.register(), leader.put(key(1), value(1, 0), day())];
    entries.push(leader.put(key(2), value(2, 0), short));
    entries.push(leader.tick(120_000));
    store.state().apply(&entries).unwrap();
    ASKED.set(0);
    let read = |number| store.state().read_in_memory(NamespaceId::SESSIONS, &key(number)).unwrap();
    let found = |number| read(number).map(|found| found.map(|found| found.record.value));
    assert_eq!(found(1), Some(Some(value(1, 0))));
    assert_eq!(found(2), Some(None), "it has expired");
    assert_eq!(found(3), None, "only the disk knows");
    assert_eq!(ASKED.get(), 0);
}

#[test]
fn what_others_ask_of_a_state_needs_no_lock_that_apply_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let state = store.state();
    let mut leader = Leader::new();
    let mut entries = vec![leader.register()];
    entries.extend((0..200).map(|number| leader.put(key(number), value(number, 0), day())));
    state.apply(&entries).unwrap();
    state.persist().unwrap();
    let told = || {
        let incarnation = state.incarnation(PROPOSER);
        let durable = (state.persisted_index(), state.ended());
        (state.applied(), state.summary(), state.checksums(), state.counts(), state.rules(), incarnation, durable)
    };
    let before = told();
    assert_eq!(before.1.applied.map(|applied| applied.index), Some(201));
    assert_eq!((before.3.iter().map(|(_, _, tally)| tally.keys).sum::<u64>(), state.sessions()), (200, 200));
    let (ask, answer) = std::sync::mpsc::sync_channel(1);
    std::thread::scope(|scope| {
        let held = state.hold_writer();
        scope.spawn(move || {
            let persisted = state.persist();
            let tables = state.engine_figures().map_or(0, |figures| figures.tables);
            assert!(tables > 0 && state.applies().counts().count == 1, "what is measured: {tables} tables");
            ask.send((told(), persisted.is_ok(), state.is_removed(crate::NodeId::from(7)), state.removed())).unwrap();
        });
        // Far longer than it takes, so that only one that waits for the lock ends this way.
        let told = answer.recv_timeout(std::time::Duration::from_secs(60));
        drop(held);
        assert_eq!(told.expect("it waits for apply"), (before.clone(), true, false, vec![]));
    });
    // What is told is what a start finds.
    store.close().unwrap();
    let (reopened, _) = open(dir.path(), EngineKind::Fjall).unwrap();
    let state = reopened.state();
    let found = (state.applied(), state.summary(), state.counts(), state.incarnation(PROPOSER));
    assert_eq!(found, (before.0, before.1, before.3, before.5));
}
