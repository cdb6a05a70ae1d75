//! What one flipped bit in a closed store does. No promise that all are noticed (a later layer hashes values and counts
//! records): only that opening and reading end, in bounded memory, and do not take the process with them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use super::super::open;
use super::{Engine, EngineKind, OPTIONS, Scratch, State, child, copy_tree, files, on_each_engine, puts};

on_each_engine!(
    one_flipped_bit_in_a_closed_store_neither_hangs_nor_kills_nor_panics,
    one_flipped_bit_after_a_crash_neither_hangs_nor_kills_nor_panics,
);

const RECORDS: u32 = 1_000;
/// Files up to this size have a bit flipped in every byte.
const SMALL_FILE_BYTES: usize = 400;
const SAMPLES: usize = 300;
/// Headers and trailers are where a length goes wrong: these bytes at both ends of a larger file are all tried.
const ENDS_BYTES: usize = 150;
/// Flips tried by one process: sled's IO threads, once panicked, spoil every later store of their process.
const TRIALS_PER_PROCESS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);

fn key(number: u32) -> Bytes {
    format!("record/{:08x}", number.wrapping_mul(0x9e37_79b1)).into()
}

fn expected() -> State {
    (0..RECORDS).map(|number| (key(number), number.to_be_bytes().repeat(75).into())).collect()
}

/// Ten batches, each persisted.
fn written_store(kind: EngineKind) -> (Scratch, Box<dyn Engine>) {
    let scratch = Scratch::in_memory(kind);
    let engine = scratch.open();
    let records: Vec<_> = expected().into_iter().collect();
    for batch in records.chunks(100) {
        engine.write(puts(batch.iter().cloned())).unwrap();
        engine.persist().unwrap();
    }
    (scratch, engine)
}

fn one_flipped_bit_in_a_closed_store_neither_hangs_nor_kills_nor_panics(kind: EngineKind) {
    let (scratch, engine) = written_store(kind);
    engine.shutdown().unwrap();
    flip_everywhere(kind, "closed", &scratch);
}

fn one_flipped_bit_after_a_crash_neither_hangs_nor_kills_nor_panics(kind: EngineKind) {
    let (scratch, engine) = written_store(kind);
    let crashed = Scratch::in_memory(kind);
    copy_tree(&scratch.path(), &crashed.path());
    engine.shutdown().unwrap();
    flip_everywhere(kind, "crashed", &crashed);
}

fn flip_everywhere(kind: EngineKind, what: &str, scratch: &Scratch) {
    let mut random = SmallRng::seed_from_u64(11);
    let mut trials = Vec::new();
    for (path, bytes) in files(&scratch.path()) {
        let positions: Vec<usize> = match bytes.len() {
            0..=SMALL_FILE_BYTES => (0..bytes.len()).collect(),
            length => {
                let ends = (0..ENDS_BYTES).chain(length - ENDS_BYTES..length);
                ends.chain((0..SAMPLES).map(|_| random.random_range(0..length))).collect()
            }
        };
        trials.extend(positions.into_iter().map(|at| (path.clone(), at, random.random_range(0..8))));
    }
    let mut table: BTreeMap<(PathBuf, String), Vec<usize>> = BTreeMap::new();
    for chunk in trials.chunks(TRIALS_PER_PROCESS) {
        for ((path, at, _), outcome) in chunk.iter().zip(run(kind, scratch, chunk)) {
            table.entry((path.clone(), outcome)).or_default().push(*at);
        }
    }
    println!("{kind}: one flipped bit in a {what} store of {RECORDS} records");
    let fatal = |outcome: &str| outcome.starts_with("ABORT") || outcome.starts_with("PANIC");
    let is_fatal = table.keys().any(|(_, outcome)| fatal(outcome));
    for ((path, outcome), at) in table {
        let examples: Vec<_> = at.iter().take(6).collect();
        println!("{kind:>6}  {:<40} {outcome:<45} {:>4}  {examples:?}", path.display().to_string(), at.len());
    }
    assert!(!is_fatal, "a flipped bit took the process down");
}

/// Tries flips in a process of their own, and more of them if one takes the process down.
fn run(kind: EngineKind, scratch: &Scratch, trials: &[(PathBuf, usize, u32)]) -> Vec<String> {
    let mut outcomes = Vec::new();
    while outcomes.len() < trials.len() {
        let left = &trials[outcomes.len()..];
        let work = tempfile::tempdir_in(scratch.dir.path()).unwrap();
        copy_tree(&scratch.path(), &work.path().join("original"));
        let lines: Vec<_> = left.iter().map(|(path, at, bit)| format!("{at} {bit} {}", path.display())).collect();
        fs::write(work.path().join("trials"), lines.join("\n")).unwrap();
        let begin = Instant::now();
        let (mut process, answers) = child::spawn("read", kind, work.path());
        let answers: Vec<String> = answers.take(left.len()).collect();
        let status = process.wait().unwrap();
        assert!(begin.elapsed() < PATIENCE, "a damaged store takes too long to read");
        let died = answers.len() < left.len();
        outcomes.extend(answers);
        if died {
            outcomes.push(format!("ABORT: {status}"));
        }
    }
    outcomes
}

/// The process of the test above: one answer for each line of `trials`.
pub(super) fn read_and_tell(kind: EngineKind, dir: &Path) {
    std::panic::set_hook(Box::new(|_| {}));
    let expected = expected();
    for trial in fs::read_to_string(dir.join("trials")).unwrap().lines() {
        let mut words = trial.splitn(3, ' ');
        let (at, bit): (u64, u32) = (words.next().unwrap().parse().unwrap(), words.next().unwrap().parse().unwrap());
        let store = dir.join("store");
        copy_tree(&dir.join("original"), &store);
        flip(&store.join(words.next().unwrap()), at, bit);
        let outcome = catch_unwind(|| read_damaged(kind, &store, &expected));
        child::answer(&outcome.unwrap_or_else(|_| "PANIC reached the caller".to_owned()));
        fs::remove_dir_all(&store).unwrap();
    }
}

fn flip(path: &Path, at: u64, bit: u32) {
    let mut file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ (1 << bit)]).unwrap();
}

/// What a reader of the damaged store gets, in the words of the table.
fn read_damaged(kind: EngineKind, dir: &Path, expected: &State) -> String {
    let how = |error: &dyn ToString| match error.to_string().contains("it panicked") {
        true => "a caught panic",
        false => "an error",
    };
    let engine = match open(kind, dir, OPTIONS) {
        Ok(engine) => engine,
        Err(error) => return format!("refused at open by {}", how(&error)),
    };
    let (mut errors, mut missing, mut wrong) = (Vec::new(), 0, 0);
    for (key, value) in expected {
        match engine.get(key) {
            Ok(Some(found)) if found == *value => {}
            Ok(Some(_)) => wrong += 1,
            Ok(None) => missing += 1,
            Err(error) => errors.push(how(&error)),
        }
    }
    let mut scanned = 0;
    let view = engine.view().unwrap();
    for record in view.scan_prefix(b"") {
        match record {
            Ok((key, value)) if expected.get(&key) == Some(&value) => scanned += 1,
            Ok(_) => wrong += 1,
            Err(error) => errors.push(how(&error)),
        }
    }
    match (missing, wrong, errors.first(), scanned == expected.len()) {
        (0, 0, Some(how), _) => format!("{how} on read"),
        (0, 0, None, true) => "harmless".to_owned(),
        (0, 0, None, false) => "SILENT: a scan ends early".to_owned(),
        (RECORDS, 0, None, _) => "SILENT: all records missing".to_owned(),
        (_, 0, None, _) => "SILENT: records missing".to_owned(),
        (_, _, None, _) => "SILENT: records wrong".to_owned(),
        (_, _, Some(how), _) => format!("SILENT in part: missing or wrong, and {how} on others"),
    }
}
