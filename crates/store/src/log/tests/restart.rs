//! A long log opens without reading all of it, and what it did not read is verified later.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::support::*;
use crate::log::frame::FRAME_HEADER_BYTES;
use crate::log::recovery::recover;
use crate::log::summary::summary_at;
use crate::log::{LogError, LogOptions, RaftLog};

const SEGMENT: u32 = 16 << 10;
/// Far beyond what a test takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn options() -> LogOptions {
    small(SEGMENT)
}

/// Takes the summaries away: what a program of before leaves, or a power cut.
fn without_summaries(files: &[(PathBuf, Vec<u8>)]) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = files.to_vec();
    for (_, bytes) in files.iter_mut().filter(|(path, _)| path.extension().is_some_and(|found| found == "seg")) {
        let at = usize::try_from(summary_at(u32::try_from(bytes.len()).unwrap())).unwrap();
        bytes[at..].fill(0);
    }
    files
}

/// Appends, truncations, purges, votes and terms, over several segments.
fn a_story(seed: u64, directory: &Path) -> Contents {
    let mut random = SmallRng::seed_from_u64(seed);
    let log = RaftLog::create(directory, IDENTITY, LogOptions { recycled_segments: 1, ..options() }).unwrap();
    let (mut model, mut term) = (Contents::default(), 1);
    for _ in 0..random.random_range(20..120) {
        let last = model.last().map_or(0, |last| last.index);
        let floor = model.purged.map_or(0, |purged| purged.index);
        match random.random_range(0..12) {
            0 => {
                let vote = random_payload(&mut random, 30);
                durably(|done| log.save_vote(&vote, done));
                model.vote = Some(vote);
            }
            1 => {
                let keep = Some(random.random_range(floor.max(last.saturating_sub(60))..=last));
                durably(|done| log.truncate_after(keep, done));
                model.truncate(keep);
            }
            2 => {
                let beyond = random.random_ratio(1, 8);
                let index = if beyond { last + 5 } else { random.random_range(floor..=last) };
                let position = log.position_of(index).unwrap_or(at(term, index));
                durably(|done| log.purge(position, done));
                model.purge(position);
            }
            _ => {
                term += random.random_range(0..5) / 4;
                let records: Vec<_> = (last + 1..=last + random.random_range(1..30))
                    .map(|index| record(term, index, random_payload(&mut random, 900)))
                    .collect();
                durably(|done| log.append(records.clone(), done));
                model.entries.extend(records);
            }
        }
    }
    log.close().unwrap();
    model
}

#[test]
fn a_log_opens_to_the_same_with_and_without_its_summaries() {
    let (mut believed, mut segments) = (0, 0);
    for seed in 0..60 {
        let directory = scratch();
        let model = a_story(seed, directory.path());
        let whole = files(directory.path());
        let without = without_summaries(&whole);
        for files in [&whole, &without] {
            restore(directory.path(), files);
            for believes in [true, false] {
                let found = recover(directory.path(), believes).unwrap();
                believed += found.unread.len();
                segments += if believes && files == &whole { found.segments.len() - 1 } else { 0 };
                assert!(believes && files == &whole || found.unread.is_empty());
            }
            let log = RaftLog::open(directory.path(), options()).unwrap();
            assert_eq!(Contents::of(&log).unwrap(), model, "seed {seed}");
            goes_on(log, directory.path(), &options());
        }
    }
    println!("{believed} of {segments} sealed segments were believed");
    assert!(believed * 10 > segments * 9, "{believed} of {segments} sealed segments were believed");
}

#[test]
fn a_sealed_segment_that_is_believed_is_not_read() {
    let directory = scratch();
    let (log, original) = a_thousand_entries(directory.path(), &mut SmallRng::seed_from_u64(31));
    log.close().unwrap();
    drop(log);
    let segments = files(directory.path());
    let found = recover(directory.path(), true).unwrap();
    assert_eq!(found.unread.len(), segments.len() - 1, "all but the last");
    let log = RaftLog::open(directory.path(), options()).unwrap();
    assert_eq!(Contents::of(&log).unwrap(), original);
}

/// The place of a byte that no reader of entries looks at, in the first segment: the vote that was saved first.
fn a_place_that_nobody_reads(bytes: &[u8]) -> u64 {
    let vote = (4096..bytes.len() - FRAME_HEADER_BYTES)
        .step_by(8)
        .find(|at| bytes[*at..*at + 4] == bytes[20..24] && bytes[at + 24] == 2);
    u64::try_from(vote.unwrap() + FRAME_HEADER_BYTES).unwrap()
}

#[test]
fn a_bit_that_rots_where_nobody_reads_is_found_while_the_log_is_open_and_by_the_next_opening() {
    let directory = scratch();
    let (log, _) = a_thousand_entries(directory.path(), &mut SmallRng::seed_from_u64(32));
    log.close().unwrap();
    drop(log);
    let (path, bytes) = files(directory.path()).remove(0);
    let place = a_place_that_nobody_reads(&bytes);
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&[bytes[usize::try_from(place).unwrap()] ^ 1], place).unwrap();

    let log = RaftLog::open(directory.path(), LogOptions { verify_after: Duration::ZERO, ..options() }).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let error = loop {
        assert!(Instant::now() < deadline, "the damage is not found");
        if let Err(error) = log.sync() {
            break error;
        }
    };
    assert!(matches!(&error, LogError::Damaged { file, .. } if *file == path), "{error}");
    let (done, _answer) = answer();
    assert!(log.append(vec![record(999, 1001, "more")], done).is_err(), "nothing succeeds any more");
    assert!(log.close().is_err());
    drop(log);
    let again = RaftLog::open(directory.path(), options()).map(drop).unwrap_err();
    assert!(matches!(&again, LogError::Damaged { file, .. } if *file == path), "{again}");

    // With the byte as it was, the log is as it was.
    file.write_all_at(&[bytes[usize::try_from(place).unwrap()]], place).unwrap();
    assert_eq!(RaftLog::open(directory.path(), options()).unwrap().last().map(|last| last.index), Some(1000));
}

#[test]
fn a_whole_log_is_verified_while_it_is_written_and_purged_and_nothing_is_found() {
    let directory = scratch();
    let (log, original) = a_thousand_entries(directory.path(), &mut SmallRng::seed_from_u64(33));
    drop(log);
    let log = RaftLog::open(directory.path(), LogOptions { verify_after: Duration::ZERO, ..options() }).unwrap();
    let last = original.last().unwrap();
    for index in 1..=400 {
        durably(|done| log.append(vec![record(last.term, last.index + index, vec![5; 60])], done));
        durably(|done| log.purge(log.position_of(index * 2).unwrap(), done));
    }
    log.close().unwrap();
    drop(log);
    let log = RaftLog::open(directory.path(), options()).unwrap();
    assert_eq!((log.first_index(), log.last().map(|last| last.index)), (Some(801), Some(1400)));
}
