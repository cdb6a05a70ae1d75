//! On a disk that somebody else has filled to the last byte the log goes on with what it reserved.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::support::*;
use crate::log::disk::{Change, Disk, Probe};
use crate::log::{LogError, LogOptions, RaftLog};

const SEGMENT: u32 = 16 << 10;
const RESERVED: usize = 3;
/// Far beyond what a test takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk that, once it is full, has no blocks and no inodes, but for what is there.
#[derive(Default)]
struct Filling {
    full: AtomicBool,
    /// The operating system's number for it.
    quota: AtomicBool,
}

impl Probe for Filling {
    fn before(&self, change: Change<'_>) -> io::Result<()> {
        let needs_room = match change {
            Change::Create { .. } | Change::Allocate => true,
            Change::Write { path, offset, bytes } => {
                let length = path.metadata().map_or(0, |found| found.len());
                offset + bytes.len() as u64 > length
            }
            _ => false,
        };
        if needs_room && self.full.load(Ordering::SeqCst) {
            let errno =
                if self.quota.load(Ordering::SeqCst) { rustix::io::Errno::DQUOT } else { rustix::io::Errno::NOSPC };
            return Err(errno.into());
        }
        Ok(())
    }
}

fn filling() -> (Arc<Filling>, Disk) {
    let probe = Arc::new(Filling::default());
    (Arc::clone(&probe), Disk { probe: Some(probe) })
}

fn options() -> LogOptions {
    LogOptions { reserved_segments: RESERVED, recycled_segments: 1, ..small(SEGMENT) }
}

fn spares(directory: &Path) -> usize {
    files(directory).iter().filter(|(path, _)| path.extension().is_some_and(|found| found == "spare")).count()
}

/// Waits for the thread that makes spares.
fn until_reserved(log: &RaftLog, segments: usize) {
    let deadline = Instant::now() + PATIENCE;
    let enough = segments as u64 * u64::from(SEGMENT - 5000);
    while log.reserved_bytes() < enough {
        assert!(Instant::now() < deadline, "{} bytes are reserved", log.reserved_bytes());
        std::thread::yield_now();
    }
}

/// Appends until an append fails, and tells how many bytes went and why it ended.
fn fill(log: &RaftLog) -> (u64, LogError) {
    let mut bytes = 0;
    loop {
        let next = log.last().map_or(1, |last| last.index + 1);
        let (done, answer) = answer();
        log.append(vec![record(1, next, vec![3; 500])], done).unwrap();
        match answer.recv().unwrap() {
            Ok(()) => bytes += 500,
            Err(error) => return (bytes, error),
        }
    }
}

#[test]
fn a_log_on_a_full_disk_takes_what_it_reserved_then_says_so_and_loses_nothing() {
    for quota in [false, true] {
        let directory = scratch();
        let (probe, disk) = filling();
        probe.quota.store(quota, Ordering::SeqCst);
        let log = RaftLog::create_on(disk, directory.path(), IDENTITY, options()).unwrap();
        // The current one and all that are made ahead: one on its way would be taken beyond what was counted.
        until_reserved(&log, 1 + RESERVED);
        probe.full.store(true, Ordering::SeqCst);
        let reserved = log.reserved_bytes();
        let (bytes, error) = fill(&log);
        assert!(matches!(error, LogError::NoRoom { .. }), "{error}");
        for word in ["no room", "none is left in reserve", "make room"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        // Frames have headers and markers; more than two thirds are what was appended.
        assert!(bytes <= reserved && bytes > reserved * 2 / 3, "{bytes} of {reserved} bytes");
        let expected = bytes / 500;
        drop(log);

        // It starts on the full disk, with all that was acknowledged, and ends cleanly again when it needs room.
        let (probe, disk) = filling();
        probe.full.store(true, Ordering::SeqCst);
        let log = RaftLog::open_on(disk, directory.path(), options()).unwrap();
        assert!(log.last().unwrap().index >= expected);
        assert!(log.reserved_bytes() < 2000, "{}", log.reserved_bytes());
        durably(|done| log.save_vote(b"a vote", done));
        drop(log);

        // With room it goes on, and reserves again.
        let log = RaftLog::open(directory.path(), options()).unwrap();
        until_reserved(&log, RESERVED);
        let expected = Contents::of(&log).unwrap();
        goes_on(log, directory.path(), &options());
        assert!(expected.entries.iter().all(|entry| entry.payload == vec![3; 500]));
    }
}

#[test]
fn what_is_purged_fills_the_reserve_before_it_is_freed() {
    let directory = scratch();
    let (probe, disk) = filling();
    let log = RaftLog::create_on(disk, directory.path(), IDENTITY, options()).unwrap();
    until_reserved(&log, RESERVED);
    probe.full.store(true, Ordering::SeqCst);
    // Ten times what is reserved: each segment comes back when its entries are purged.
    for index in 1..=10 * RESERVED as u64 * 20 {
        durably(|done| log.append(vec![record(1, index, vec![3; 500])], done));
        if index % 20 == 0 {
            durably(|done| log.purge(at(1, index - 5), done));
        }
    }
    log.sync().unwrap();
    assert!(spares(directory.path()) >= RESERVED - 1, "{} spares", spares(directory.path()));
    assert!(log.disk_bytes() <= (RESERVED as u64 + 2) * u64::from(SEGMENT), "{}", log.disk_bytes());
}

#[test]
fn a_spare_that_was_being_made_when_the_process_was_killed_is_cleared_away() {
    let directory = scratch();
    drop(RaftLog::create(directory.path(), IDENTITY, small(SEGMENT)).unwrap());
    let unfinished = directory.path().join("unfinished-spare.tmp");
    std::fs::write(&unfinished, [0; 100]).unwrap();
    drop(RaftLog::open(directory.path(), small(SEGMENT)).unwrap());
    assert!(!unfinished.exists());
}
