//! Promise 4: a directory belongs to one engine and one process.

use std::fs;
use std::path::Path;

use super::super::{EngineError, open};
use super::{EngineKind, OPTIONS, Scratch, child, files, on_each_engine, puts, state_of};

on_each_engine!(
    another_engines_directory_is_refused_and_left_alone,
    a_newer_format_is_refused_by_name_and_left_alone,
    a_strangers_directory_is_refused_and_left_alone,
    a_damaged_mark_is_refused,
    a_creation_cut_short_is_begun_anew,
    a_lost_file_is_never_taken_for_an_empty_store,
    a_second_open_in_this_process_is_refused,
    a_second_open_in_another_process_is_refused,
    a_name_is_read_as_it_is_written,
);

fn other(kind: EngineKind) -> EngineKind {
    match kind {
        EngineKind::Fjall => EngineKind::Sled,
        EngineKind::Sled | EngineKind::Other(_) => EngineKind::Fjall,
    }
}

/// A closed store with one record.
fn closed_store(kind: EngineKind) -> Scratch {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    engine.write(puts([("key", "value")])).unwrap();
    engine.shutdown().unwrap();
    scratch
}

/// Opens, expects a refusal, and that it changed nothing.
fn refusal(kind: EngineKind, dir: &Path) -> EngineError {
    let before = files(dir);
    let error = open(kind, dir, OPTIONS).err().expect("the directory is refused");
    assert!(files(dir) == before, "a refused directory was changed");
    error
}

fn another_engines_directory_is_refused_and_left_alone(kind: EngineKind) {
    let scratch = closed_store(other(kind));
    let error = refusal(kind, &scratch.path());
    assert!(
        matches!(&error, EngineError::WrongEngine { found, wanted, .. } if *found == other(kind).name() && *wanted == kind.name())
    );
    let advice = format!("holds a {0} store, but storage.engine is {kind}: set storage.engine: {0}, or", other(kind));
    assert!(error.to_string().contains(&advice), "{error}");
    assert_eq!(state_of(&*scratch.open()).len(), 1);
}

fn a_newer_format_is_refused_by_name_and_left_alone(kind: EngineKind) {
    let newer = if kind == EngineKind::Sled { 2 } else { 3 };
    for mark in
        [format!("sessile-engine {newer}\n{kind}\nready\n"), "sessile-engine 17\nrocks\nquite another line".to_owned()]
    {
        let scratch = closed_store(kind);
        fs::write(scratch.path().join("ENGINE"), mark).unwrap();
        let error = refusal(kind, &scratch.path());
        assert!(matches!(error, EngineError::NewerFormat { found, .. } if found == newer || found == 17), "{error}");
    }
}

fn a_strangers_directory_is_refused_and_left_alone(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    fs::create_dir(scratch.path()).unwrap();
    fs::write(scratch.path().join("thesis.tex"), "irreplaceable").unwrap();
    let error = refusal(kind, &scratch.path());
    assert!(matches!(error, EngineError::Foreign { .. }) && error.to_string().contains("thesis.tex"), "{error}");
}

fn a_damaged_mark_is_refused(kind: EngineKind) {
    let scratch = closed_store(kind);
    let mark = fs::read(scratch.path().join("ENGINE")).unwrap();
    for bit in 0..mark.len() * 8 {
        let mut flipped = mark.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(scratch.path().join("ENGINE"), &flipped).unwrap();
        let error = refusal(kind, &scratch.path());
        assert!(matches!(error, EngineError::Foreign { .. } | EngineError::NewerFormat { .. }), "bit {bit}: {error}");
    }
    fs::write(scratch.path().join("ENGINE"), []).unwrap();
    assert!(matches!(refusal(kind, &scratch.path()), EngineError::Foreign { .. }));
}

fn a_creation_cut_short_is_begun_anew(kind: EngineKind) {
    // The engine's own files, in the state each of them has at some moment of a creation.
    let complete = files(&closed_store(kind).path().join("data"));
    for leave in 0..=complete.len() {
        let scratch = Scratch::new(kind);
        fs::create_dir(scratch.path()).unwrap();
        fs::write(scratch.path().join("ENGINE.lock"), "").unwrap();
        fs::write(scratch.path().join("ENGINE.new"), "sessile-eng").unwrap();
        if leave > 0 {
            fs::write(scratch.path().join("ENGINE"), format!("sessile-engine 1\n{kind}\ncreating\n")).unwrap();
            for (path, bytes) in complete.iter().take(leave) {
                let path = scratch.path().join("data").join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
            }
        }
        let engine = scratch.open();
        assert!(state_of(&*engine).is_empty());
        engine.write(puts([("key", "value")])).unwrap();
        engine.shutdown().unwrap();
        assert_eq!(state_of(&*scratch.open()).len(), 1);
    }
}

fn a_lost_file_is_never_taken_for_an_empty_store(kind: EngineKind) {
    let scratch = closed_store(kind);
    let needed: &[&str] = match kind {
        EngineKind::Fjall => &["MANIFEST", "tables/0"],
        EngineKind::Sled => &["conf", "db"],
        EngineKind::Other(_) => &[],
    };
    for name in needed {
        let path = scratch.path().join("data").join(name);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let error = refusal(kind, &scratch.path());
        assert!(matches!(error, EngineError::Backend { .. }), "{name}: {error}");
        fs::write(&path, bytes).unwrap();
    }
    fs::rename(scratch.path().join("data"), scratch.path().join("moved")).unwrap();
    refusal(kind, &scratch.path());
    fs::rename(scratch.path().join("moved"), scratch.path().join("data")).unwrap();
    assert_eq!(state_of(&*scratch.open()).len(), 1);
}

fn a_second_open_in_this_process_is_refused(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let view = engine.view().unwrap();
    let error = open(kind, &scratch.path(), OPTIONS).err().expect("the directory is refused");
    assert!(matches!(error, EngineError::Locked { .. }), "{error}");
    engine.shutdown().unwrap();
    // At once, and although a view lives on.
    let again = scratch.open();
    assert!(matches!(view.get(b"key"), Err(EngineError::Closed { .. })));
    assert!(matches!(view.scan_prefix(b"").next(), Some(Err(EngineError::Closed { .. }))));
    drop(again);
    // Dropped without a shutdown: an unclean stop, but one that lets go.
    scratch.open().shutdown().unwrap();
}

fn a_second_open_in_another_process_is_refused(kind: EngineKind) {
    let scratch = Scratch::new(kind);
    let engine = scratch.open();
    let (mut process, mut answers) = child::spawn("open", kind, &scratch.path());
    let answer = answers.next().unwrap();
    process.wait().unwrap();
    assert!(answer.contains("is in use by another process"), "{answer}");
    engine.shutdown().unwrap();
    let (mut process, mut answers) = child::spawn("open", kind, &scratch.path());
    assert_eq!(answers.next().unwrap(), "opened");
    process.wait().unwrap();
}

/// The other process of the test above.
pub(super) fn open_and_tell(kind: EngineKind, dir: &Path) {
    let answer = match open(kind, dir, OPTIONS) {
        Ok(_) => "opened".to_owned(),
        Err(error) => error.to_string(),
    };
    child::answer(&answer);
}

fn a_name_is_read_as_it_is_written(kind: EngineKind) {
    assert_eq!(kind.to_string().parse::<EngineKind>().unwrap(), kind);
    assert!("rocks".parse::<EngineKind>().unwrap_err().to_string().contains("it is fjall or sled"));
}
