//! A log that is kept for hours: its index stays small, and what is old is read without asking much of anybody.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::support::*;
use crate::log::index::{ANCHOR_BYTES, Index, Placed};
use crate::log::{LogError, LogOptions, RaftLog};

/// Bytes of a small session's frame.
const FRAME: u32 = 200;

/// As [`crate::log::LogOptions::default`] has it, nearly.
const SEGMENT: u32 = 16 << 20;

#[test]
fn five_million_entries_cost_less_than_a_byte_each_in_memory() {
    let entries = 5_000_000_u64;
    let mut index = Index::after(None);
    let (mut segment, mut offset) = (1, 4096);
    for number in 1..=entries {
        let begins = offset == 4096;
        index.push_stored(
            at(1 + number / 1_000_000, number),
            Placed { index: number, segment, offset, end: offset + FRAME, begins },
        );
        offset += FRAME;
        if offset + FRAME > SEGMENT {
            (segment, offset) = (segment + 1, 4096);
        }
    }
    let bytes = index.index_bytes() as u64;
    println!("{bytes} bytes for {entries} entries");
    assert!(bytes < entries, "{bytes} bytes for {entries} entries");
    assert_eq!(index.live_bytes(), entries * u64::from(FRAME));
    let half = index.bytes_after(entries / 2);
    assert!(half.abs_diff(entries / 2 * u64::from(FRAME)) <= 2 * u64::from(ANCHOR_BYTES), "{half}");
    index.purge(at(1, entries - 10));
    assert_eq!((index.first_index(), index.last()), (Some(entries - 9), Some(at(6, entries))));
    assert!(index.live_bytes() <= u64::from(ANCHOR_BYTES) + 10 * u64::from(FRAME));
}

/// Entries between anchors, terms that change, truncations within a segment, votes and markers between entries: whatever
/// range is read, what comes is what was appended.
#[test]
fn any_range_of_a_log_is_read_as_it_was_appended_cached_or_not() {
    // Nothing, the newest entries, all.
    for cache_bytes in [0, 200_000, 1 << 30] {
        any_range_is_read_as_it_was_appended(LogOptions { cache_bytes, ..small(1 << 20) });
    }
}

fn any_range_is_read_as_it_was_appended(options: LogOptions) {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), IDENTITY, options.clone()).unwrap();
    let mut random = SmallRng::seed_from_u64(23);
    let (mut model, mut term) = (Contents::default(), 1);
    while model.entries.len() < 3000 {
        let next = model.last().map_or(1, |last| last.index + 1);
        let records: Vec<_> = (next..next + random.random_range(1..60))
            .map(|index| record(term, index, random_payload(&mut random, 3000)))
            .collect();
        model.entries.extend(records.clone());
        durably(|done| log.append(records, done));
        match random.random_range(0..8) {
            0 => durably(|done| log.save_vote(&term.to_le_bytes(), done)),
            1 => term += 1,
            2 => {
                let keep = model.last().map(|last| last.index.saturating_sub(random.random_range(0..80)));
                durably(|done| log.truncate_after(keep, done));
                model.truncate(keep);
            }
            _ => {}
        }
    }
    let last = model.last().unwrap().index;
    durably(|done| log.purge(log.position_of(7).unwrap(), done));
    let check = |log: &RaftLog, random: &mut SmallRng| {
        for _ in 0..400 {
            let lowest = [8, last - 100][random.random_range(0..2)];
            let start = random.random_range(lowest..=last);
            let end = random.random_range(start..=last + 3);
            let max_bytes = [0, 1, 5000, 100_000, usize::MAX][random.random_range(0..5)];
            let read = log.read(start..end, max_bytes).unwrap();
            let expected = model.entries.iter().skip_while(|entry| entry.position.index < start);
            assert!(read.iter().eq(expected.take(read.len())), "{start}..{end}, {max_bytes} bytes");
            assert_eq!(read.is_empty(), start == end);
            let bytes: usize = read.iter().map(|entry| entry.payload.len()).sum();
            assert!(read.len() <= 1 || bytes <= max_bytes, "{bytes} of {max_bytes}");
            let whole = read.len() as u64 == end.min(last + 1) - start;
            assert!(whole || max_bytes < usize::MAX, "{start}..{end}: {}", read.len());
        }
    };
    check(&log, &mut random);
    drop(log);
    let log = RaftLog::open(directory.path(), options).unwrap();
    check(&log, &mut random);
}

#[test]
fn a_bit_that_flips_while_the_log_is_open_is_found_when_its_entry_is_read() {
    use std::os::unix::fs::FileExt;
    let directory = scratch();
    let options = LogOptions { cache_bytes: 0, ..small(1 << 20) };
    let log = RaftLog::create(directory.path(), IDENTITY, options).unwrap();
    durably(|done| log.append((1..=200).map(|index| record(1, index, vec![7; 1000])).collect(), done));
    let (path, bytes) = files(directory.path()).remove(0);
    let place = bytes.windows(8).rposition(|window| window == [7; 8]).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().write_all_at(&[6], place as u64).unwrap();
    assert_eq!(log.read(1..200, usize::MAX).unwrap().len(), 199, "the others are whole");
    let error = log.read(150..201, usize::MAX).unwrap_err();
    assert!(matches!(&error, LogError::Damaged { file, .. } if *file == path), "{error}");
}

/// Readers hold segments only while they read, and a log of many segments needs few descriptors.
#[test]
fn a_log_of_many_segments_keeps_one_file_open() {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), IDENTITY, LogOptions { cache_bytes: 0, ..small(8 << 10) }).unwrap();
    for index in 1..=400 {
        durably(|done| log.append(vec![record(1, index, vec![1; 1000])], done));
    }
    assert_eq!(log.read(1..401, usize::MAX).unwrap().len(), 400);
    let open = || {
        let links =
            std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        links.filter(|path| path.starts_with(directory.path())).count()
    };
    assert!(files(directory.path()).len() > 40);
    assert_eq!(open(), 1);
    drop(log);
    let _log = RaftLog::open(directory.path(), small(8 << 10)).unwrap();
    assert_eq!(open(), 1);
}
