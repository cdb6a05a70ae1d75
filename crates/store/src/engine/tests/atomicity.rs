//! Promises 1 and 2: batches are whole, and a crash leaves a prefix of them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::super::open;
use super::{Batch, Engine, EngineKind, OPTIONS, Scratch, child, on_each_engine, state_of};

on_each_engine!(
    a_view_never_sees_half_a_batch,
    who_sees_the_applied_index_sees_what_it_covers,
    a_killed_process_leaves_whole_batches_up_to_what_it_persisted,
);

const KEYS: u64 = 20;
/// Each killed process continues where the last one ended, so later rounds recover what recoveries wrote.
const KILLS: usize = 10;
const PERSIST_EVERY: u64 = 20;
/// So often a batch is written as into a store that is being filled: in ascending order, and nothing is removed.
const FILL_EVERY: u64 = 7;
/// Batches whose own record is kept, to tell a gap from a prefix.
const HISTORY: u64 = 500;

fn member(number: u64) -> Vec<u8> {
    format!("member/{number:02}").into_bytes()
}

fn history(number: u64) -> Vec<u8> {
    format!("history/{number:08}").into_bytes()
}

/// The batch that takes the state to `applied`: every member holds it, as does the applied index.
fn step(applied: u64) -> Batch {
    let mut batch = filling(applied);
    for old in applied.saturating_sub(HISTORY + 1).max(1)..=applied.saturating_sub(HISTORY) {
        batch.remove(history(old));
    }
    batch
}

/// The same, but for what it would remove: the next one does that.
fn filling(applied: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put("applied", applied.to_be_bytes().to_vec());
    batch.put(history(applied), Bytes::new());
    for number in 0..KEYS {
        batch.put(member(number), applied.to_be_bytes().repeat(100));
    }
    batch
}

fn number(value: &[u8]) -> u64 {
    u64::from_be_bytes(value[..8].try_into().unwrap())
}

fn applied(engine: &dyn Engine) -> u64 {
    engine.get(b"applied").unwrap().map_or(0, |value| number(&value))
}

fn a_view_never_sees_half_a_batch(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    engine.write(step(1)).unwrap();
    let is_writing = AtomicBool::new(true);
    std::thread::scope(|scope| {
        let reader = || {
            let mut views = 0;
            while is_writing.load(Ordering::Relaxed) || views < 10 {
                let view = engine.view().unwrap();
                let expected = number(&view.get(b"applied").unwrap().unwrap());
                let seen: Vec<u64> = view.scan_prefix(b"member/").map(|record| number(&record.unwrap().1)).collect();
                assert_eq!(seen, vec![expected; 20], "a batch was seen in parts");
                assert_eq!(view.get(&history(expected + 1)).unwrap(), None);
                views += 1;
            }
        };
        scope.spawn(reader);
        scope.spawn(reader);
        for applied in 2..1_500 {
            engine.write(step(applied)).unwrap();
        }
        is_writing.store(false, Ordering::Relaxed);
    });
}

fn who_sees_the_applied_index_sees_what_it_covers(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    // Enough for fjall to flush several times: it is then that its own snapshots see half a batch.
    assert_index_covers_records(&*scratch.open(), 9_000);
}

/// Reads the applied index and then records, while batches are written.
pub(super) fn assert_index_covers_records(engine: &dyn Engine, batches: u64) {
    engine.write(step(1)).unwrap();
    let is_writing = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while is_writing.load(Ordering::Relaxed) {
                let reached = applied(engine);
                // The first and the last of the batch, and one that is written before the index.
                for member in [member(0), member(KEYS - 1), member(KEYS / 2)] {
                    let seen = number(&engine.get(&member).unwrap().unwrap());
                    assert!(seen >= reached, "the index says {reached}, a record it covers says {seen}");
                }
            }
        });
        for applied in 2..batches {
            engine.write(step(applied)).unwrap();
        }
        is_writing.store(false, Ordering::Relaxed);
    });
}

fn a_killed_process_leaves_whole_batches_up_to_what_it_persisted(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let mut random = SmallRng::seed_from_u64(7);
    let mut reached = 0;
    for round in 0..KILLS {
        let (mut process, mut answers) = child::spawn("write until killed", kind, &scratch.path());
        let patience = random.random_range(1..12);
        let mut persisted: u64 = 0;
        for _ in 0..patience {
            persisted = answers.next().expect("the child lives until it is killed").parse().unwrap();
        }
        process.kill().unwrap();
        // What it still said before it died was a promise too.
        persisted = answers.last().map_or(persisted, |last| last.parse().unwrap_or(persisted));
        process.wait().unwrap();

        let engine = scratch.open();
        let applied = applied(&*engine);
        assert!(applied >= persisted, "round {round}: {persisted} was persisted, {applied} is there");
        let state = state_of(&*engine);
        for member in (0..KEYS).map(member) {
            let value = &state[member.as_slice()];
            assert_eq!((number(value), value.len()), (applied, 800), "round {round}: half a batch");
        }
        let oldest = applied.saturating_sub(HISTORY - 1).max(1);
        let expected: Vec<Vec<u8>> = (oldest..=applied).map(history).collect();
        let kept = |key: &&Bytes| key.starts_with(b"history/") && ***key >= *history(oldest);
        let found: Vec<Bytes> = state.keys().filter(kept).cloned().collect();
        assert_eq!(found, expected, "round {round}: not a prefix of what was written");
        assert!(applied > reached, "round {round} wrote nothing");
        reached = applied;
        // No shutdown: the next round finds what a crash left, and one more.
    }
}

/// The killed process of the test above.
pub(super) fn write_until_killed(kind: EngineKind, dir: &Path) {
    let engine = open(kind, dir, OPTIONS).unwrap();
    let begin = applied(&*engine);
    for applied in begin + 1.. {
        let is_filling = applied % FILL_EVERY == 0;
        if is_filling { engine.fill(filling(applied)) } else { engine.write(step(applied)) }.unwrap();
        if applied % PERSIST_EVERY == 0 {
            engine.persist().unwrap();
            child::answer(&applied.to_string());
        }
    }
}
