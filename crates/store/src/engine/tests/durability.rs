//! Promises 2 and 5: persisted is persisted, and a failure is said.

use std::io::{Seek, SeekFrom, Write};

use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use super::super::open;
use super::{EngineKind, OPTIONS, Scratch, State, copy_tree, crash_image, on_each_engine, puts, state_of};

on_each_engine!(persist_means_persist, a_clean_stop_keeps_everything, an_unclean_stop_keeps_a_prefix);

/// What a crash of an earlier program left in fjall's journal is read once, and never again over what came after it.
#[test]
fn a_journal_of_an_earlier_program_is_read_and_does_not_come_back_over_what_was_written_since() {
    let (scratch, left) = (Scratch::new(EngineKind::Fjall), tempfile::tempdir().unwrap());
    scratch.open().shutdown().unwrap();
    {
        let database = fjall::Database::builder(scratch.path().join("data")).open().unwrap();
        let keyspace = database.keyspace("state", fjall::KeyspaceCreateOptions::default).unwrap();
        keyspace.insert("a", "old").unwrap();
        keyspace.insert("b", "old").unwrap();
        database.persist(fjall::PersistMode::SyncAll).unwrap();
        copy_tree(&scratch.path(), left.path());
    }
    let again = tempfile::tempdir().unwrap();
    copy_tree(left.path(), again.path());
    let open = |dir: &TempDir| open(EngineKind::Fjall, dir.path(), OPTIONS).unwrap();
    let old = State::from([("a".into(), "old".into()), ("b".into(), "old".into())]);

    let engine = open(&left);
    assert_eq!(state_of(&*engine), old);
    engine.shutdown().unwrap();
    assert_eq!(state_of(&*open(&left)), old, "a clean stop empties the journal, and loses nothing");

    let engine = open(&again);
    let mut batch = puts([("a", "new")]);
    batch.remove("b");
    engine.write(batch).unwrap();
    engine.persist().unwrap();
    // Without a clean stop: the journal is still there.
    drop(engine);
    assert_eq!(state_of(&*open(&again)), State::from([("a".into(), "new".into())]));
}

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
    if kind == EngineKind::Fjall {
        // Nothing depends on the journal: it is empty.
        assert_eq!(std::fs::metadata(scratch.path().join("data/0.jnl")).unwrap().len(), 0);
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

/// The journal is one of earlier programs. After a power cut the kernel may have written a later page of the journal and not an earlier one. Values longer than
/// a page, so that a hole can lie inside of one, where fjall by itself refuses the store.
#[test]
fn a_hole_in_the_journal_of_fjall_is_cut_behind_the_last_persist_and_refused_before_it() {
    const PAGE: u64 = 4096;
    let record = |number: u32| (number.to_be_bytes().to_vec(), vec![7; 20_000]);
    let left = tempfile::tempdir().unwrap();
    let scratch = Scratch::new(EngineKind::Fjall);
    scratch.open().shutdown().unwrap();
    {
        let database = fjall::Database::builder(scratch.path().join("data")).open().unwrap();
        let keyspace = database.keyspace("state", fjall::KeyspaceCreateOptions::default).unwrap();
        for (key, value) in (0..20).map(record) {
            keyspace.insert(key, value).unwrap();
        }
        database.persist(fjall::PersistMode::SyncAll).unwrap();
        // Not closed: what is left is what a crash leaves.
        copy_tree(&scratch.path(), left.path());
    }
    // Ten of them were persisted.
    let mut mark = [0_u64.to_le_bytes(), (10 * 20_051_u64).to_le_bytes()].concat();
    mark.extend(xxh3_64(&mark).to_le_bytes());
    std::fs::write(left.path().join("JOURNAL"), mark).unwrap();
    for hole in 0..95 {
        let crashed = tempfile::tempdir().unwrap();
        copy_tree(left.path(), crashed.path());
        let mut journal = std::fs::File::options().write(true).open(crashed.path().join("data/0.jnl")).unwrap();
        journal.seek(SeekFrom::Start(PAGE * hole)).unwrap();
        journal.write_all(&[0; 4096]).unwrap();
        let opened = open(EngineKind::Fjall, crashed.path(), OPTIONS);
        // Each batch takes 20,051 bytes: the first that the hole touches is lost, and what follows.
        let whole = usize::try_from(PAGE * hole / 20_051).unwrap();
        match opened {
            Ok(engine) => {
                let found = state_of(&*engine);
                assert_eq!(found.len(), whole.min(20), "a hole at page {hole}");
                assert!(whole >= 10, "persisted batches are gone without a word");
                engine.write(puts([record(20)])).unwrap();
                engine.persist().unwrap();
                drop(engine);
                let engine = open(EngineKind::Fjall, crashed.path(), OPTIONS).unwrap();
                assert_eq!(state_of(&*engine).len(), found.len() + 1, "what was written behind the cut");
            }
            Err(error) => {
                assert!(whole < 10, "a torn tail is no damage: {error}");
                assert!(error.to_string().contains("0.jnl is damaged at byte"), "{error}");
            }
        }
    }
}

/// Tables are written by a thread of its own; what it runs into must not stay with it.
#[test]
fn a_failed_flush_in_the_background_of_fjall_stops_the_writes() {
    let scratch = Scratch::new(EngineKind::Fjall);
    let engine = scratch.open();
    std::fs::remove_dir_all(scratch.path().join("data/keyspaces/1/tables")).unwrap();
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
