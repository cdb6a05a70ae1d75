//! What goes in comes out: sizes at the edges, order, prefixes, and a model.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::{EngineError, MAX_BATCH_BYTES, MAX_KEY_BYTES, MAX_VALUE_BYTES, prefix_end};
use super::{Batch, EngineKind, Scratch, State, dump, on_each_engine, puts, state_of};

on_each_engine!(
    records_of_every_size_survive_a_reopening,
    what_is_out_of_bounds_is_refused_whole,
    a_removed_key_is_gone_and_a_removed_absent_key_is_no_error,
    the_last_operation_on_a_key_in_a_batch_wins,
    a_scan_is_in_byte_order_and_keeps_to_its_bounds,
    any_batches_and_reopenings_leave_what_a_map_would_hold,
);

/// The longest key a session makes, and its prefix.
const LONG_KEY_BYTES: usize = 1_100;
const MIB: usize = 1024 * 1024;
/// What an empty scan finds.
const NONE: [Bytes; 0] = [];

fn records_of_every_size_survive_a_reopening(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let mut expected = State::new();
    for (number, size) in
        [0, 1, 255, 256, 1_800, 4_096, 65_535, 65_536, 128 * 1024, 200_000, MIB].into_iter().enumerate()
    {
        let filler = u8::try_from(number).unwrap();
        expected.insert(format!("value of {size}").into(), vec![filler; size].into());
    }
    for size in [1, 2, 255, 256, 1_024, LONG_KEY_BYTES, MAX_KEY_BYTES] {
        expected.insert(vec![b'k'; size].into(), format!("key of {size}").into());
        expected.insert(vec![u8::MAX; size].into(), format!("key of {size} at the end").into());
    }
    expected.insert(vec![0].into(), Bytes::new());

    let engine = scratch.open();
    engine.write(puts(expected.clone())).unwrap();
    for (key, value) in &expected {
        assert_eq!(engine.get(key).unwrap().as_ref(), Some(value));
    }
    assert!(engine.disk_bytes() > 0);
    engine.shutdown().unwrap();
    assert!(matches!(engine.get(b"k"), Err(EngineError::Closed { .. })));
    engine.shutdown().unwrap();

    let engine = scratch.open();
    assert!(state_of(&*engine) == expected);
    assert!(engine.disk_bytes() > MIB as u64);
}

fn what_is_out_of_bounds_is_refused_whole(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let too_much = (0..=MAX_BATCH_BYTES / MAX_VALUE_BYTES).map(|n| (format!("{n}"), vec![0; MAX_VALUE_BYTES]));
    let refused = [
        puts([("good".to_owned(), vec![1]), ("k".repeat(MAX_KEY_BYTES + 1), vec![1])]),
        puts([("good".to_owned(), vec![1]), (String::new(), vec![1])]),
        puts([("good".to_owned(), vec![1]), ("large".to_owned(), vec![0; MAX_VALUE_BYTES + 1])]),
        puts([("good".to_owned(), vec![1])].into_iter().chain(too_much)),
    ];
    for batch in refused {
        assert!(matches!(engine.write(batch), Err(EngineError::OutOfBounds { .. })));
        assert!(state_of(&*engine).is_empty());
    }
    assert!(matches!(engine.get(b""), Err(EngineError::OutOfBounds { .. })));
    engine.write(Batch::new()).unwrap();
    engine.write(puts([("large", vec![7; MAX_VALUE_BYTES])])).unwrap();
    assert_eq!(engine.get(b"large").unwrap().unwrap().len(), MAX_VALUE_BYTES);
}

fn a_removed_key_is_gone_and_a_removed_absent_key_is_no_error(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    engine.write(puts([("a", "1"), ("b", "2")])).unwrap();
    let mut removes = Batch::new();
    removes.remove("a");
    removes.remove("never there");
    engine.write(removes).unwrap();
    assert_eq!(engine.get(b"a").unwrap(), None);
    engine.shutdown().unwrap();
    assert_eq!(state_of(&*scratch.open()), State::from([("b".into(), "2".into())]));
}

fn the_last_operation_on_a_key_in_a_batch_wins(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let mut batch = Batch::new();
    batch.put("kept", "1");
    batch.remove("kept");
    batch.put("kept", "2");
    batch.put("removed", "1");
    batch.remove("removed");
    assert_eq!((batch.len(), batch.bytes(), batch.is_empty()), (5, 4 * 3 + 7 * 2 + 3, false));
    engine.write(batch).unwrap();
    let expected = State::from([("kept".into(), "2".into())]);
    assert_eq!(state_of(&*engine), expected);
    engine.persist().unwrap();
    drop(engine);
    assert_eq!(state_of(&*scratch.open()), expected, "after a crash");
}

fn a_scan_is_in_byte_order_and_keeps_to_its_bounds(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let keys: [&[u8]; 9] = [b"\x00", b"a", b"a\x00", b"a\xff", b"a\xff\xff", b"b", b"b\x00c", b"\xff", b"\xff\xff\x01"];
    engine.write(puts(keys.iter().rev().map(|key| (key.to_vec(), key.to_vec())))).unwrap();
    let view = engine.view().unwrap();
    let found = |scan: super::super::Scan<'_>| -> Vec<Bytes> { scan.map(|record| record.unwrap().0).collect() };
    assert_eq!(found(view.scan_prefix(b"")), keys);
    assert_eq!(found(view.scan_prefix(b"a")), keys[1..5]);
    assert_eq!(found(view.scan_prefix(b"a\xff")), keys[3..5]);
    assert_eq!(found(view.scan_prefix(b"\xff")), keys[7..]);
    assert_eq!(found(view.scan_prefix(b"c")), NONE);
    assert_eq!(found(view.scan(Bound::Excluded(b"a"), Bound::Included(b"b"))), keys[2..6]);
    assert_eq!(found(view.scan(Bound::Included(b"a\x00"), Bound::Excluded(b"b"))), keys[2..5]);
    assert_eq!(found(view.scan(Bound::Unbounded, Bound::Excluded(b"a"))), keys[..1]);
    assert_eq!(found(view.scan(Bound::Included(b"b"), Bound::Unbounded)), keys[5..]);
    // Inverted and empty ranges, on which both libraries panic in places.
    assert_eq!(found(view.scan(Bound::Included(b"b"), Bound::Included(b"a"))), NONE);
    assert_eq!(found(view.scan(Bound::Excluded(b"a"), Bound::Excluded(b"a"))), NONE);
    assert_eq!(found(view.scan(Bound::Included(b"a"), Bound::Included(b"a"))), keys[1..2]);
    assert_eq!(prefix_end(b"a\xff\xff").as_deref(), Some(b"b".as_slice()));
    assert_eq!(prefix_end(b"\xff"), None);
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<(u8, Option<u16>)>),
    /// In ascending order.
    Fill(BTreeMap<u8, u16>),
    Reopen {
        clean: bool,
    },
}

fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    let operation = (0..24_u8, proptest::option::weighted(0.7, 0..3_000_u16));
    let step = prop_oneof![
        8 => proptest::collection::vec(operation, 0..12).prop_map(Step::Write),
        2 => proptest::collection::btree_map(0..24_u8, 0..3_000_u16, 0..12).prop_map(Step::Fill),
        1 => any::<bool>().prop_map(|clean| Step::Reopen { clean }),
    ];
    proptest::collection::vec(step, 1..30)
}

fn any_batches_and_reopenings_leave_what_a_map_would_hold(kind: EngineKind) {
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&any_steps(), |steps| {
        let scratch = Scratch::in_memory(kind);
        let (mut engine, mut model) = (scratch.open(), State::new());
        let key = |key: u8| Bytes::from(vec![key; 1 + usize::from(key) % 3]);
        let value = |size: u16| Bytes::from(size.to_be_bytes().repeat(usize::from(size)));
        for step in steps {
            let (view, viewed) = (engine.view().unwrap(), model.clone());
            match step {
                Step::Write(operations) => {
                    let mut batch = Batch::new();
                    for (number, size) in operations {
                        match size.map(value) {
                            Some(value) => {
                                batch.put(key(number), value.clone());
                                model.insert(key(number), value);
                            }
                            None => {
                                batch.remove(key(number));
                                model.remove(&key(number));
                            }
                        }
                    }
                    engine.write(batch).unwrap();
                    prop_assert!(dump(&*view) == viewed);
                }
                Step::Fill(pairs) => {
                    let pairs: State = pairs.into_iter().map(|(number, size)| (key(number), value(size))).collect();
                    model.extend(pairs.clone());
                    engine.fill(puts(pairs)).unwrap();
                    prop_assert!(dump(&*view) == viewed);
                }
                Step::Reopen { clean } => {
                    drop(view);
                    if clean {
                        engine.shutdown().unwrap();
                    } else {
                        engine.persist().unwrap();
                    }
                    drop(engine);
                    engine = scratch.open();
                }
            }
            prop_assert!(state_of(&*engine) == model);
        }
        Ok(())
    });
    run.unwrap();
}
