//! Whatever the calls, the log says what a plain vector says, before and after it is reopened.

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::support::*;
use crate::log::{LogError, LogOptions, RaftLog};

const SEEDS: u64 = 40;
const CALLS: usize = 250;

struct Run {
    random: SmallRng,
    directory: tempfile::TempDir,
    options: LogOptions,
    log: RaftLog,
    model: Contents,
    term: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut random = SmallRng::seed_from_u64(seed);
        let directory = scratch();
        let options = small([8 << 10, 16 << 10, 64 << 10][random.random_range(0..3)]);
        let log = RaftLog::create(directory.path(), IDENTITY, options.clone()).unwrap();
        Run { random, directory, options, log, model: Contents::default(), term: 1 }
    }

    fn call(&mut self) {
        let durable = self.random.random_ratio(1, 3);
        let (done, answer) = answer();
        match self.random.random_range(0..100) {
            0..55 => self.append(done),
            55..65 => {
                let vote = random_payload(&mut self.random, 40);
                self.log.save_vote(&vote, done).unwrap();
                self.model.vote = Some(vote);
            }
            65..75 => {
                let position = at(self.term, self.random.random_range(0..1000));
                self.log.save_committed(position).unwrap();
                self.model.committed = Some(position);
                done(Ok(()));
            }
            75..83 => self.truncate(done),
            83..92 => self.purge(done),
            92..96 => {
                done(Ok(()));
                self.reopen();
            }
            _ => {
                done(Ok(()));
                self.log.sync().unwrap();
            }
        }
        if durable {
            answer.recv().unwrap().unwrap();
        }
        self.compare();
    }

    fn append(&mut self, done: crate::log::Done) {
        self.term += self.random.random_range(0..5) / 4;
        let next = self.model.last().map_or(self.random.random_range(0..2), |last| last.index + 1);
        let count = self.random.random_range(0..20);
        let longest = if self.random.random_ratio(1, 40) { 100_000 } else { 300 };
        let records: Vec<_> =
            (next..next + count).map(|i| record(self.term, i, random_payload(&mut self.random, longest))).collect();
        self.log.append(records.clone(), done).unwrap();
        self.model.entries.extend(records);
    }

    fn truncate(&mut self, done: crate::log::Done) {
        let floor = self.model.purged.map(|purged| purged.index);
        let last = self.model.last().map_or(0, |last| last.index);
        let first = floor.unwrap_or(0);
        let keep = Some(self.random.random_range(first.max(last.saturating_sub(60))..=last + 2));
        let keep = if self.random.random_ratio(1, 10) { None } else { keep };
        self.log.truncate_after(keep, done).unwrap();
        self.model.truncate(keep);
    }

    fn purge(&mut self, done: crate::log::Done) {
        let first = self.model.entries.first().map_or(0, |entry| entry.position.index);
        let last = self.model.last().map_or(0, |last| last.index);
        let index = match self.random.random_range(0..6) {
            0 => last + self.random.random_range(1..100),
            _ => self.random.random_range(first.saturating_sub(2)..=last),
        };
        let term = self.log.position_of(index).map_or(self.term, |position| position.term);
        self.log.purge(at(term, index), done).unwrap();
        self.model.purge(at(term, index));
    }

    fn reopen(&mut self) {
        self.log.close().unwrap();
        self.log = RaftLog::open(self.directory.path(), self.options.clone()).unwrap();
    }

    fn compare(&self) {
        assert_eq!(Contents::of(&self.log).unwrap(), self.model);
        assert!(self.log.disk_bytes() >= u64::from(self.options.segment_bytes));
        assert_eq!(self.log.bytes() == 0, self.model.entries.is_empty());
    }
}

#[test]
fn whatever_is_called_the_log_agrees_with_a_plain_vector() {
    for seed in 0..SEEDS {
        let mut run = Run::new(seed);
        for _ in 0..CALLS {
            run.call();
        }
        run.reopen();
        run.compare();
        let files: u64 = files(run.directory.path()).iter().map(|(_, bytes)| bytes.len() as u64).sum();
        assert_eq!(run.log.disk_bytes(), files, "seed {seed}");
        assert!(run.log.cached_bytes() <= 4096, "seed {seed}");
    }
}

#[test]
fn a_read_stops_after_its_bytes_but_gives_one_entry_at_least() {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), IDENTITY, small(64 << 10)).unwrap();
    durably(|done| log.append((1..=9).map(|index| record(1, index, vec![7; 100])).collect(), done));
    for (max_bytes, entries) in [(0, 1), (1, 1), (100, 1), (199, 1), (200, 2), (201, 2), (10_000, 9)] {
        assert_eq!(log.read(1..10, max_bytes).unwrap().len(), entries, "{max_bytes} bytes");
    }
    assert_eq!(log.read(8..99, usize::MAX).unwrap().len(), 2);
    assert!(log.read(4..4, usize::MAX).unwrap().is_empty());
}

#[test]
fn a_hole_is_an_error_and_changes_nothing() {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), IDENTITY, small(64 << 10)).unwrap();
    for (first, second) in [(1, 3), (1, 1), (u64::MAX, 0)] {
        let (done, _answer) = answer();
        let refused = log.append(vec![record(1, first, "a"), record(1, second, "b")], done);
        assert!(matches!(refused, Err(LogError::NotConsecutive { .. })), "{first}, {second}");
    }
    assert_eq!(log.last(), None);
    durably(|done| log.append(vec![record(1, 1, "a"), record(1, 2, "b")], done));
    durably(|done| log.purge(at(1, 1), done));
    let (done, _answer) = answer();
    assert!(matches!(log.truncate_after(Some(0), done), Err(LogError::Purged { index: 0, purged: 1 })));
    assert!(matches!(log.read(1..3, 100), Err(LogError::Purged { index: 1, purged: 1 })));
    assert_eq!(log.position_of(1), Some(at(1, 1)));
    assert_eq!(log.position_of(0), None);
}

#[test]
fn every_bound_holds_at_its_edge() {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), &[1; 256], small(64 << 10)).unwrap();
    for (length, fits) in [(255, true), (256, true), (257, false)] {
        let (done, answer) = answer();
        assert_eq!(log.save_vote(&vec![1; length], done).is_ok(), fits, "{length}");
        assert_eq!(answer.recv().is_ok(), fits);
    }
    let longest = crate::log::MAX_PAYLOAD_BYTES;
    for (index, length, fits) in [(1, longest - 1, true), (2, longest, true), (3, longest + 1, false)] {
        let (done, answer) = answer();
        assert_eq!(log.append(vec![record(1, index, vec![1; length])], done).is_ok(), fits, "{length}");
        assert_eq!(answer.recv().is_ok(), fits);
    }
    let beyond = at(1, crate::log::MAX_INDEX + 1);
    assert!(matches!(log.purge(beyond, answer().0), Err(LogError::OutOfBounds { .. })));
    assert!(matches!(log.save_committed(beyond), Err(LogError::OutOfBounds { .. })));
    drop(log);
    let log = RaftLog::open(directory.path(), small(64 << 10)).unwrap();
    assert_eq!(log.read(1..3, usize::MAX).unwrap()[1].payload.len(), longest);
    assert_eq!((log.identity(), log.vote()), (Bytes::from(vec![1; 256]), Some(Bytes::from(vec![1; 256]))));
    let elsewhere = scratch();
    assert!(matches!(RaftLog::create(elsewhere.path(), &[1; 257], small(64 << 10)), Err(LogError::OutOfBounds { .. })));
    assert!(!RaftLog::exists(elsewhere.path()).unwrap());
    for size in [crate::log::MIN_SEGMENT_BYTES - 1, crate::log::MAX_SEGMENT_BYTES + 1] {
        assert!(matches!(RaftLog::open(directory.path(), small(size)), Err(LogError::OutOfBounds { .. })));
    }
}

#[test]
fn a_log_is_created_only_where_nothing_is() {
    let directory = scratch();
    let path = directory.path().join("made/on/the/way");
    assert!(!RaftLog::exists(&path).unwrap());
    assert!(matches!(RaftLog::open(&path, small(8 << 10)), Err(LogError::NoLog { .. })));
    drop(RaftLog::create(&path, IDENTITY, small(8 << 10)).unwrap());
    assert!(RaftLog::exists(&path).unwrap());
    assert!(matches!(RaftLog::create(&path, IDENTITY, small(8 << 10)), Err(LogError::NotEmpty { .. })));
    let foreign = scratch();
    std::fs::write(foreign.path().join("notes"), "mine").unwrap();
    assert!(matches!(RaftLog::create(foreign.path(), IDENTITY, small(8 << 10)), Err(LogError::NotEmpty { .. })));
}

#[test]
fn after_the_last_handle_is_dropped_everything_is_there_even_what_nobody_awaited() {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), IDENTITY, small(8 << 10)).unwrap();
    let clone = log.clone();
    for index in 1..=500 {
        log.append(vec![record(1, index, vec![3; 50])], Box::new(|_| ())).unwrap();
    }
    log.save_committed(at(1, 400)).unwrap();
    drop(log);
    drop(clone);
    let log = RaftLog::open(directory.path(), small(8 << 10)).unwrap();
    assert_eq!((log.last(), log.committed()), (Some(at(1, 500)), Some(at(1, 400))));
    log.close().unwrap();
    log.close().unwrap();
    let (done, _answer) = answer();
    assert!(matches!(log.save_vote(b"late", done), Err(LogError::Closed)));
    assert_eq!(log.read(500..501, 100).unwrap().len(), 1);
}

#[test]
fn the_last_index_that_there_can_be_is_written_and_read_and_nothing_follows_it() {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), IDENTITY, small(64 << 10)).unwrap();
    let last = crate::log::MAX_INDEX;
    durably(|done| log.append(vec![record(1, last - 1, "one"), record(1, last, "two")], done));
    let refused = log.append(vec![record(1, last + 1, "three")], answer().0);
    assert!(matches!(refused, Err(LogError::OutOfBounds { .. })));
    log.close().unwrap();
    drop(log);
    let log = RaftLog::open(directory.path(), small(64 << 10)).unwrap();
    assert_eq!(Contents::of(&log).unwrap().entries, [record(1, last - 1, "one"), record(1, last, "two")]);
    durably(|done| log.purge(at(1, last), done));
    drop(log);
    let log = RaftLog::open(directory.path(), small(64 << 10)).unwrap();
    assert_eq!((log.first_index(), log.last()), (None, Some(at(1, last))));
}
