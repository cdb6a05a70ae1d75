//! A bit flipped in synced bytes is found, or changes nothing.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::support::*;
use crate::log::frame::{Kind, frame_bytes};
use crate::log::{LogError, RaftLog};

const THREADS: usize = 2;

/// Untouched files are compared after every so many refusals: comparing costs more than opening.
const COMPARE_EVERY: usize = 61;

/// Where a frame says of what kind it is.
const KIND_AT: usize = 24;

#[derive(Default, Debug)]
struct Tally {
    refused: usize,
    harmless: usize,
}

/// Flips one random bit in each byte that `places` names, one at a time, and opens the log.
fn sweep(pristine: &[(PathBuf, Vec<u8>)], original: &Contents, places: &[(usize, usize)], seed: u64) -> Tally {
    let directory = scratch();
    restore(directory.path(), pristine);
    let mut random = SmallRng::seed_from_u64(seed);
    let mut tally = Tally::default();
    for &(file, offset) in places {
        let path = directory.path().join(pristine[file].0.file_name().unwrap());
        let bit = 1 << random.random_range(0..8);
        let writable = OpenOptions::new().write(true).open(&path).unwrap();
        writable.write_all_at(&[pristine[file].1[offset] ^ bit], offset as u64).unwrap();
        let case = format!("{}, byte {offset}, bit {bit}", path.display());
        let opened = open_and_read(directory.path());
        match opened {
            Err(error) => {
                tally.refused += 1;
                assert!(error.to_string().contains(".seg"), "{case}: the error names no file: {error}");
                let unchanged = || {
                    let now = files(directory.path());
                    now.len() == pristine.len()
                        && now
                            .iter()
                            .zip(pristine)
                            .enumerate()
                            .all(|(number, ((_, now), (_, before)))| number == file || now == before)
                };
                assert!(!tally.refused.is_multiple_of(COMPARE_EVERY) || unchanged(), "{case}: refused but changed");
                writable.write_all_at(&[pristine[file].1[offset]], offset as u64).unwrap();
            }
            Ok(contents) => {
                tally.harmless += 1;
                assert!(contents == *original, "{case}: the log changed and nobody noticed");
                restore(directory.path(), pristine);
            }
        }
    }
    tally
}

fn open_and_read(directory: &Path) -> Result<Contents, LogError> {
    let log = RaftLog::open(directory, small(16 << 10))?;
    Contents::of(&log)
}

/// Splits the places among threads and adds up.
fn sweep_all(pristine: &[(PathBuf, Vec<u8>)], original: &Contents, places: &[(usize, usize)]) -> Tally {
    thread::scope(|scope| {
        let shares: Vec<_> = (0..THREADS)
            .map(|share| {
                let places: Vec<_> = places.iter().copied().skip(share).step_by(THREADS).collect();
                scope.spawn(move || sweep(pristine, original, &places, share as u64))
            })
            .collect();
        shares.into_iter().map(|share| share.join().unwrap()).fold(Tally::default(), |sum, tally| Tally {
            refused: sum.refused + tally.refused,
            harmless: sum.harmless + tally.harmless,
        })
    })
}

/// Where the written part of a file ends.
fn written(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Every byte written in `chosen` files, and a sample of what was only preallocated.
fn places(pristine: &[(PathBuf, Vec<u8>)], chosen: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    for (file, (_, bytes)) in pristine.iter().enumerate().filter(|(file, _)| chosen(*file)) {
        places.extend((0..written(bytes)).map(|offset| (file, offset)));
        places.extend((written(bytes)..bytes.len()).step_by(97).map(|offset| (file, offset)));
    }
    places
}

#[test]
fn a_bit_flipped_anywhere_in_a_closed_log_is_found_or_changes_nothing() {
    let directory = scratch();
    let (log, original) = a_thousand_entries(directory.path(), &mut SmallRng::seed_from_u64(1));
    log.close().unwrap();
    let pristine = files(directory.path());
    assert!(pristine.len() >= 5, "spread over several segments");
    let places = places(&pristine, |_| true);
    let tally = sweep_all(&pristine, &original, &places);
    println!("{} files, {} flips: {tally:?}", pristine.len(), places.len());
    assert!(tally.refused > places.len() / 2);
}

#[test]
fn a_bit_flipped_in_the_newest_segments_of_a_killed_log_is_found_or_changes_nothing() {
    let directory = scratch();
    let (log, original) = a_thousand_entries(directory.path(), &mut SmallRng::seed_from_u64(2));
    // What kill -9 leaves: the files as they are, not closed.
    let pristine = files(directory.path());
    drop(log);
    let newest = pristine.len() - 2;
    let tally = sweep_all(&pristine, &original, &places(&pristine, |file| file >= newest));
    assert!(tally.refused > 0, "{tally:?}");
}

#[test]
fn a_bit_flipped_in_a_purged_truncated_and_recycled_log_is_found_or_changes_nothing() {
    let directory = scratch();
    let (log, _) = a_thousand_entries(directory.path(), &mut SmallRng::seed_from_u64(3));
    durably(|done| log.purge(log.position_of(700).unwrap(), done));
    log.sync().unwrap();
    durably(|done| log.truncate_after(Some(950), done));
    for index in 951..=1100 {
        durably(|done| log.append(vec![record(50, index, vec![9; 30])], done));
    }
    let original = Contents::of(&log).unwrap();
    log.close().unwrap();
    let pristine = files(directory.path());
    let tally =
        sweep_all(&pristine, &original, &places(&pristine, |_| true).into_iter().step_by(7).collect::<Vec<_>>());
    assert!(tally.refused > 0 && tally.harmless > 0, "{tally:?}");
}

#[test]
fn a_segment_lost_renamed_or_swapped_is_found_and_an_unknown_file_is_left_alone() {
    let directory = scratch();
    let (log, original) = a_thousand_entries(directory.path(), &mut SmallRng::seed_from_u64(4));
    log.close().unwrap();
    let pristine = files(directory.path());
    let refused = |files: &[(PathBuf, Vec<u8>)]| {
        restore(directory.path(), files);
        let error = open_and_read(directory.path()).unwrap_err();
        assert!(error.to_string().contains(".seg"), "{error}");
        assert_eq!(self::files(directory.path()), files, "refused but changed");
    };
    for lost in 0..pristine.len() {
        let mut files = pristine.clone();
        let (path, bytes) = files.remove(lost);
        refused(&files);
        files.push((path.with_file_name("zz.seg"), bytes));
        refused(&files);
    }
    let mut swapped = pristine.clone();
    let first = swapped[0].1.clone();
    swapped[0].1 = std::mem::replace(&mut swapped[1].1, first);
    refused(&swapped);
    for (number, (path, bytes)) in pristine.iter().enumerate().take(pristine.len() - 1) {
        for length in [0, 100, 4096, bytes.len() / 2] {
            let mut files = pristine.clone();
            files[number] = (path.clone(), bytes[..length].to_vec());
            refused(&files);
        }
    }
    restore(directory.path(), &pristine);
    std::fs::write(directory.path().join("lost+found"), "not ours").unwrap();
    assert_eq!(open_and_read(directory.path()).unwrap(), original);
    assert!(directory.path().join("lost+found").exists());
}

/// Opening fills a short file up with zeros, and they may be what a frame was cut of: the next time it would prove that
/// the damage before it had been synced.
#[test]
fn damage_before_a_marker_whose_last_zeros_are_cut_off_is_found_at_once() {
    let directory = scratch();
    let (log, original) = a_thousand_entries(directory.path(), &mut SmallRng::seed_from_u64(5));
    drop(log);
    let mut short = files(directory.path());
    let newest = &mut short.last_mut().unwrap().1;
    newest.truncate(written(newest));
    assert_eq!(newest.last(), Some(&(Kind::Synced as u8)), "a marker names no position");
    restore(directory.path(), &short);
    assert_eq!(open_and_read(directory.path()).unwrap(), original, "what is cut off is zeros");
    let newest = &mut short.last_mut().unwrap().1;
    let marker = newest.len() - 1 - KIND_AT;
    newest[marker - frame_bytes(b"the last vote".len())] ^= 1;
    restore(directory.path(), &short);
    let error = open_and_read(directory.path()).map(drop).unwrap_err();
    assert!(error.to_string().contains("proves"), "{error}");
    assert_eq!(files(directory.path()), short, "refused but changed");
}
