//! Promises 2 and 5: persisted is persisted, and a failure is said.

use super::super::open;
use super::{EngineKind, OPTIONS, Scratch, State, crash_image, on_each_engine, puts, state_of};

on_each_engine!(persist_means_persist, a_clean_stop_keeps_everything, an_unclean_stop_keeps_a_prefix);

/// The state as a crash right after a persist leaves it: the directory, copied while the engine has it open.
fn persist_means_persist(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let mut expected = State::new();
    for round in 0..8_u32 {
        // From many small values to a few that lie outside of sled's log; together more than one of its segments.
        let size = 1 << (2 * round + 4);
        let batch: State = (0..(400_000 / size).max(2))
            .map(|number| (format!("{round}/{number}").into(), vec![u8::try_from(round).unwrap(); size].into()))
            .collect();
        expected.extend(batch.clone());
        engine.write(puts(batch)).unwrap();
        engine.persist().unwrap();

        let crashed = crash_image(&scratch.path());
        let copy = open(kind, crashed.path(), OPTIONS).unwrap();
        assert!(state_of(&*copy) == expected, "round {round}: not everything persisted is there");
    }
}

fn a_clean_stop_keeps_everything(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let mut expected = State::new();
    for round in 0..10_u8 {
        let engine = scratch.open();
        assert!(state_of(&*engine) == expected);
        for number in 0..50_u8 {
            let record = (vec![number, round % 3].into(), vec![round; 500].into());
            expected.extend([record.clone()]);
            engine.write(puts([record])).unwrap();
        }
        engine.shutdown().unwrap();
    }
}

fn an_unclean_stop_keeps_a_prefix(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    for number in 0..2_000_u32 {
        engine.write(puts([(number.to_be_bytes().to_vec(), vec![7; 300])])).unwrap();
        if number == 1_000 {
            engine.persist().unwrap();
        }
    }
    let crashed = crash_image(&scratch.path());
    let copy = open(kind, crashed.path(), OPTIONS).unwrap();
    let found: Vec<u32> =
        state_of(&*copy).keys().map(|key| u32::from_be_bytes(key.as_ref().try_into().unwrap())).collect();
    assert!(found.len() > 1_000);
    assert_eq!(found, (0..u32::try_from(found.len()).unwrap()).collect::<Vec<_>>());
}

/// Tables are written by a thread of its own; what it runs into must not stay with it.
#[test]
fn a_failed_flush_in_the_background_of_fjall_stops_the_writes() {
    let scratch = Scratch::new(EngineKind::Fjall);
    let engine = scratch.open();
    std::fs::remove_dir_all(scratch.path().join("data/tables")).unwrap();
    let failed = (0..400)
        .find_map(|number: u32| engine.write(puts([(number.to_be_bytes().to_vec(), vec![7; 1024 * 1024])])).err());
    let failed = failed.expect("writes end, and do not wait for ever for a thread that died").to_string();
    assert!(failed.contains("fjall store in") && failed.contains("writing a table"), "{failed}");
    let again = engine.write(puts([("key", "value")])).unwrap_err().to_string();
    assert!(again.contains("an earlier write or fsync failed"), "{again}");
    let persisted = engine.persist().unwrap_err().to_string();
    assert!(persisted.contains("writing a table failed"), "whoever comes later is told what it was: {persisted}");
    assert!(engine.shutdown().is_err());
}
