//! Promise 3: a view is the state at its creation, and holds up nobody.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::super::sled::SledEngine;
use super::super::{Engine, EngineError};
use super::{Batch, EngineKind, OPTIONS, Scratch, State, dump, on_each_engine, puts, state_of};

on_each_engine!(
    a_view_is_the_state_at_its_creation_whatever_is_written_meanwhile,
    views_of_different_moments_live_side_by_side,
    a_view_shows_what_was_removed_behind_and_before_a_scan,
    a_view_since_the_last_persist_is_the_state_at_one_moment_since_then,
);

const RECORDS: u32 = 200_000;
const VALUE_BYTES: usize = 200;
const BATCH: usize = 500;
/// Longer than any load can make 1,200 writes take; only a write that waits for the paused scan takes as long.
const PATIENCE: Duration = Duration::from_secs(120);

fn key(number: u32) -> Bytes {
    // Scattered, as session ids are: neighbours in time are not neighbours in the tree.
    format!("record/{:08x}/{number}", number.wrapping_mul(0x9e37_79b1)).into()
}

fn value(number: u32, version: u8) -> Bytes {
    let mut value = number.to_be_bytes().repeat(VALUE_BYTES / 4);
    value[0] = version;
    value.into()
}

/// Writes and keeps the longest wait.
fn write_all(engine: &dyn Engine, records: impl Iterator<Item = (Bytes, Option<Bytes>)>) -> (usize, Duration) {
    let (mut writes, mut longest) = (0, Duration::ZERO);
    let mut records = records.peekable();
    while records.peek().is_some() {
        let mut batch = Batch::new();
        for (key, value) in records.by_ref().take(BATCH) {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.remove(key),
            }
        }
        let begin = Instant::now();
        engine.write(batch).unwrap();
        longest = longest.max(begin.elapsed());
        writes += 1;
    }
    (writes, longest)
}

fn a_view_is_the_state_at_its_creation_whatever_is_written_meanwhile(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let expected: State = (0..RECORDS).map(|number| (key(number), value(number, 1))).collect();
    write_all(&*engine, expected.iter().map(|(key, value)| (key.clone(), Some(value.clone()))));

    let view = engine.view().unwrap();
    let (done, is_done) = sync_channel(1);
    std::thread::scope(|scope| {
        let mut scan = view.scan_prefix(b"");
        let mut seen: State = scan.by_ref().take(expected.len() / 3).map(Result::unwrap).collect();
        scope.spawn(|| {
            let rewrite = (0..RECORDS).map(|number| (key(number), Some(value(number, 2))));
            let add = (RECORDS..RECORDS * 2).map(|number| (key(number), Some(value(number, 3))));
            let remove = (0..RECORDS).map(|number| (key(number), None));
            done.send(write_all(&*engine, rewrite.chain(add))).unwrap();
            done.send(write_all(&*engine, remove)).unwrap();
        });
        // The scan stands still in its middle: all of these writes end, so none waits for it.
        let (writes, longest) = is_done.recv_timeout(PATIENCE).expect("writes go on while a scan is paused");
        println!("{kind}: {writes} writes of {BATCH} beside a paused scan, the longest took {longest:?}");
        seen.extend(scan.map(Result::unwrap));
        assert!(seen == expected, "the scan is not the state at the view's creation");
        let (writes, longest) = is_done.recv_timeout(PATIENCE).expect("writes go on while a scan runs");
        println!("{kind}: {writes} writes of {BATCH} beside a running scan, the longest took {longest:?}");
    });
    for number in (0..RECORDS * 2).step_by(997) {
        let old = (number < RECORDS).then(|| value(number, 1));
        let new = (number >= RECORDS).then(|| value(number, 3));
        assert_eq!(view.get(&key(number)).unwrap(), old);
        assert_eq!(engine.get(&key(number)).unwrap(), new);
    }
    assert!(dump(&*view) == expected, "a second scan of the same view");
    drop(view);
    assert_eq!(state_of(&*engine).len(), expected.len());
}

fn views_of_different_moments_live_side_by_side(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let mut moments = Vec::new();
    for moment in 0..20_u8 {
        let mut batch = puts([(vec![b'k', moment % 5], vec![moment]), (b"always".to_vec(), vec![moment])]);
        batch.remove(vec![b'k', (moment + 2) % 5]);
        engine.write(batch).unwrap();
        moments.push((engine.view().unwrap(), state_of(&*engine)));
    }
    // Dropped out of order, while writes go on.
    for turn in 0..20_u8 {
        let (view, state) = moments.swap_remove(usize::from(turn) * 7 % moments.len());
        assert_eq!(dump(&*view), state);
        assert_eq!(view.get(b"always").unwrap().as_ref(), state.get(b"always".as_slice()));
        engine.write(puts([(b"always".to_vec(), vec![turn, turn])])).unwrap();
    }
}

fn a_view_shows_what_was_removed_behind_and_before_a_scan(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let expected: State = (0..5_000).map(|number| (key(number), value(number, 1))).collect();
    engine.write(puts(expected.clone())).unwrap();
    let view = engine.view().unwrap();
    let mut scan = view.scan_prefix(b"record/");
    let mut seen: State = scan.by_ref().take(2_500).map(Result::unwrap).collect();
    let mut batch = Batch::new();
    for key in expected.keys() {
        batch.remove(key.clone());
    }
    engine.write(batch).unwrap();
    seen.extend(scan.map(Result::unwrap));
    assert!(seen == expected);
    assert!(state_of(&*engine).is_empty());
}

fn a_view_since_the_last_persist_is_the_state_at_one_moment_since_then(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let mut moments = Vec::new();
    for moment in 1..=3_u8 {
        moments.clear();
        engine.persist().unwrap();
        moments.push(state_of(&*engine));
        for turn in 1..=3_u8 {
            let mut batch = puts([("always", vec![moment, turn]), ("sometimes", vec![moment, turn])]);
            if turn == 2 {
                batch.remove("sometimes");
            }
            engine.write(batch).unwrap();
            moments.push(state_of(&*engine));
            let view = engine.view_since_persist().unwrap();
            let seen = dump(&*view);
            assert!(moments.contains(&seen), "{seen:?} is none of {moments:?}");
            assert_eq!(view.get(b"sometimes").unwrap().as_ref(), seen.get(b"sometimes".as_slice()));
        }
    }
    engine.persist().unwrap();
    assert_eq!(dump(&*engine.view_since_persist().unwrap()), state_of(&*engine));
}

#[test]
fn a_view_on_sled_that_outgrows_its_bound_fails_alone() {
    let scratch = Scratch::new(EngineKind::Sled);
    let limit_bytes = 100_000;
    let engine = SledEngine::open_with(&scratch.path(), &OPTIONS, limit_bytes).unwrap();
    let records: State = (0..1_000).map(|number| (key(number), value(number, 1))).collect();
    engine.write(puts(records.clone())).unwrap();

    let view = engine.view().unwrap();
    let mut scan = view.scan_prefix(b"");
    scan.next().unwrap().unwrap();
    engine.write(puts(records.keys().map(|key| (key.clone(), "new")))).unwrap();

    let error = scan.find_map(Result::err).expect("the scan fails, and does not end as if complete");
    assert!(matches!(error, EngineError::ViewOverflow { limit_bytes: 100_000, .. }), "{error}");
    assert!(scan.next().is_none());
    assert!(matches!(view.get(&key(1)), Err(EngineError::ViewOverflow { .. })));
    assert!(engine.held_aside() == 0, "an overflown view holds nothing");
    // The next view has the whole bound again, and its drop gives back what it took.
    let view = engine.view().unwrap();
    engine.write(puts(records.keys().take(100).map(|key| (key.clone(), "newer")))).unwrap();
    assert!(dump(&*view).values().all(|value| value == "new"));
    assert!(engine.held_aside() > 0);
    drop(view);
    assert_eq!(engine.held_aside(), 0);
}
