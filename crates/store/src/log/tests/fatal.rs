//! After a write or a sync has failed, nothing succeeds any more.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::*;
use crate::log::disk::{Change, Disk, Probe};
use crate::log::{LogError, RaftLog};

/// Fails the syncs (or the writes) of segments after so many.
struct Failing {
    syncs: bool,
    left: AtomicUsize,
    failures: AtomicUsize,
}

impl Probe for Failing {
    fn before(&self, change: Change<'_>) -> io::Result<()> {
        let chosen = match change {
            Change::Sync { .. } => self.syncs,
            Change::Write { .. } => !self.syncs,
            _ => false,
        };
        if chosen && self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            self.failures.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::other("the disk is gone"));
        }
        Ok(())
    }
}

fn failing(syncs: bool, after: usize) -> (Arc<Failing>, Disk) {
    let probe = Arc::new(Failing { syncs, left: AtomicUsize::new(after), failures: AtomicUsize::new(0) });
    (Arc::clone(&probe), Disk { probe: Some(probe) })
}

#[test]
fn a_failed_fsync_or_write_is_fatal_to_every_pending_and_later_call_and_never_retried() {
    for syncs in [true, false] {
        let directory = scratch();
        drop(RaftLog::create(directory.path(), IDENTITY, small(64 << 10)).unwrap());
        let (probe, disk) = failing(syncs, 0);
        let log = RaftLog::open_on(disk, directory.path(), small(64 << 10)).unwrap();
        let gate = held_back(&log);
        let mut answers = Vec::new();
        for index in 1..=3 {
            let (done, answer) = answer();
            log.append(vec![record(1, index, "lost")], done).unwrap();
            answers.push(answer);
        }
        gate.open();
        for answer in answers {
            let error = answer.recv().unwrap().unwrap_err().to_string();
            for word in [if syncs { "sync" } else { "write" }, ".seg", "the disk is gone", "must stop"] {
                assert!(error.contains(word), "{error}");
            }
        }
        let (done, _answer) = answer();
        assert!(matches!(log.append(vec![record(1, 4, "late")], done), Err(LogError::Io { .. })));
        let (done, _answer) = answer();
        assert!(matches!(log.save_vote(b"late", done), Err(LogError::Io { .. })));
        assert!(log.save_committed(at(1, 1)).is_err());
        assert!(log.read(1..2, 100).is_err());
        assert!(log.sync().is_err());
        assert!(log.close().is_err());
        drop(log);
        assert_eq!(probe.failures.load(Ordering::SeqCst), 1, "tried once");
    }
}

#[test]
fn callers_that_wait_for_room_hear_of_the_failure_too() {
    let directory = scratch();
    drop(RaftLog::create(directory.path(), IDENTITY, small(64 << 10)).unwrap());
    let (_probe, disk) = failing(true, 0);
    let options = crate::log::LogOptions { max_batch_bytes: 100, ..small(64 << 10) };
    let log = RaftLog::open_on(disk, directory.path(), options).unwrap();
    let gate = held_back(&log);
    let refused = std::thread::scope(|scope| {
        let appender = scope
            .spawn(|| (1..).find_map(|index| log.append(vec![record(1, index, vec![0; 90])], Box::new(|_| ())).err()));
        gate.open();
        appender.join().unwrap()
    });
    assert!(matches!(refused, Some(LogError::Io { .. })), "{refused:?}");
}

#[test]
fn what_a_failed_fsync_may_have_left_only_in_memory_is_written_again_before_it_is_believed() {
    let directory = scratch();
    drop(RaftLog::create(directory.path(), IDENTITY, small(64 << 10)).unwrap());
    let (_probe, disk) = failing(true, 0);
    let log = RaftLog::open_on(disk, directory.path(), small(64 << 10)).unwrap();
    let (done, answer) = answer();
    log.append(vec![record(1, 1, "in the page cache")], done).unwrap();
    assert!(answer.recv().unwrap().is_err());
    drop(log);
    let recorder = Arc::new(super::power::Recorder::default());
    let log = RaftLog::open_on(recorder.disk(), directory.path(), small(64 << 10)).unwrap();
    assert_eq!(log.last(), Some(at(1, 1)));
    let events = recorder.events.lock();
    let rewritten = events.iter().position(|event| {
        matches!(event, super::power::Event::Write(_, _, bytes) if bytes.windows(17).any(|at| at == b"in the page cache"))
    });
    let synced = events.iter().position(|event| matches!(event, super::power::Event::Sync(_)));
    assert!(rewritten.is_some() && rewritten < synced);
}

#[test]
fn an_opening_that_cannot_write_says_so_and_the_next_one_succeeds() {
    for syncs in [true, false] {
        let directory = scratch();
        let log = RaftLog::create(directory.path(), IDENTITY, small(64 << 10)).unwrap();
        durably(|done| log.append(vec![record(1, 1, "kept")], done));
        drop(log);
        // Without its marker the entry is not proven, so opening has to write.
        let mut files = files(directory.path());
        // The last byte of a marker that is not zero is its kind, 24 bytes in.
        let marker = files[0].1.iter().rposition(|byte| *byte != 0).unwrap() - 24;
        files[0].1[marker..].fill(0);
        restore(directory.path(), &files);
        let (_probe, disk) = failing(syncs, 0);
        assert!(matches!(RaftLog::open_on(disk, directory.path(), small(64 << 10)), Err(LogError::Io { .. })));
        let log = RaftLog::open(directory.path(), small(64 << 10)).unwrap();
        assert_eq!(Contents::of(&log).unwrap().entries, [record(1, 1, "kept")]);
    }
}
