//! Concurrent callers share syncs, readers do not wait for them, and memory stays bounded.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::support::*;
use crate::log::disk::{Change, Disk, Probe};
use crate::log::{LogOptions, RaftLog};

#[derive(Default)]
struct CountingSyncs(AtomicUsize);

impl Probe for CountingSyncs {
    fn before(&self, change: Change<'_>) -> io::Result<()> {
        if let Change::Sync { .. } = change {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[test]
fn appends_and_votes_that_queue_up_share_one_fsync() {
    let directory = scratch();
    let syncs = Arc::new(CountingSyncs::default());
    let disk = Disk { probe: Some(Arc::clone(&syncs) as Arc<dyn Probe>) };
    let log = RaftLog::create_on(disk, directory.path(), IDENTITY, small(64 << 10)).unwrap();
    let before = syncs.0.load(Ordering::SeqCst);
    let gate = held_back(&log);
    let mut answers = Vec::new();
    for index in 1..=100 {
        let (done, appended) = answer();
        log.append(vec![record(1, index, vec![1; 100])], done).unwrap();
        answers.push(appended);
        let (done, voted) = answer();
        log.save_vote(&index.to_le_bytes(), done).unwrap();
        answers.push(voted);
    }
    assert_eq!(log.read(1..101, usize::MAX).unwrap().len(), 100, "readable before they are durable");
    gate.open();
    answers.into_iter().for_each(|answer| answer.recv().unwrap().unwrap());
    assert_eq!(syncs.0.load(Ordering::SeqCst) - before, 1, "200 calls, one sync");
}

#[test]
fn what_is_told_as_durable_is_what_no_crash_takes_back() {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), IDENTITY, small(64 << 10)).unwrap();
    assert_eq!(log.durable_index(), 0);
    for index in 1..=3 {
        durably(|done| log.append(vec![record(1, index, "x")], done));
    }
    assert_eq!(log.durable_index(), 3);
    let gate = held_back(&log);
    let (done, appended) = answer();
    log.append(vec![record(1, 4, "x")], done).unwrap();
    assert_eq!((log.last().map(|last| last.index), log.durable_index()), (Some(4), 3), "it is on its way to the disk");
    let (done, truncated) = answer();
    log.truncate_after(Some(2), done).unwrap();
    assert_eq!(log.durable_index(), 2, "a truncation counts at once");
    gate.open();
    appended.recv().unwrap().unwrap();
    truncated.recv().unwrap().unwrap();
    assert_eq!(log.durable_index(), 2);
    durably(|done| log.purge(record(1, 2, "x").position, done));
    durably(|done| log.append(vec![record(2, 3, "y")], done));
    assert_eq!(log.durable_index(), 3);
    drop(log);
    let log = RaftLog::open(directory.path(), small(64 << 10)).unwrap();
    assert_eq!(log.durable_index(), 3, "and after a start");
}

#[test]
fn a_call_alone_is_synced_at_once() {
    let directory = scratch();
    let syncs = Arc::new(CountingSyncs::default());
    let disk = Disk { probe: Some(Arc::clone(&syncs) as Arc<dyn Probe>) };
    let log = RaftLog::create_on(disk, directory.path(), IDENTITY, small(64 << 10)).unwrap();
    let before = syncs.0.load(Ordering::SeqCst);
    for index in 1..=20 {
        durably(|done| log.append(vec![record(1, index, "x")], done));
    }
    assert_eq!(syncs.0.load(Ordering::SeqCst) - before, 20);
}

#[test]
fn many_readers_read_what_a_purge_is_recycling() {
    let directory = scratch();
    let options = LogOptions { cache_bytes: 0, ..small(16 << 10) };
    let log = RaftLog::create(directory.path(), IDENTITY, options).unwrap();
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let log = log.clone();
                scope.spawn(move || {
                    let mut read = 0;
                    while log.vote().is_none() {
                        let Some(first) = log.first_index() else { continue };
                        // A purge may come first; what is read is right or refused as purged, never damaged.
                        match log.read(first..first + 40, usize::MAX) {
                            Ok(entries) => {
                                assert!(
                                    entries.iter().all(|entry| entry.payload[..] == entry.position.index.to_le_bytes())
                                );
                                read += entries.len();
                            }
                            Err(error) => assert!(matches!(error, crate::log::LogError::Purged { .. }), "{error}"),
                        }
                    }
                    read
                })
            })
            .collect();
        for index in 1..=6000_u64 {
            log.append(vec![record(1, index, index.to_le_bytes().to_vec())], Box::new(|_| ())).unwrap();
            if index % 100 == 0 {
                durably(|done| log.purge(at(1, index - 50), done));
            }
        }
        log.save_vote(b"enough", Box::new(|_| ())).unwrap();
        assert!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>() > 0);
    });
    log.sync().unwrap();
    assert!(log.disk_bytes() <= 6 * (16 << 10), "purged segments are reused: {}", log.disk_bytes());
}

#[test]
fn a_done_may_drop_the_last_handle() {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), IDENTITY, small(8 << 10)).unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let held = log.clone();
    let gate = held_back(&log);
    let done = move |result: Result<(), _>| {
        drop(held);
        sender.send(result.is_ok()).unwrap();
    };
    log.append(vec![record(1, 1, "x")], Box::new(done)).unwrap();
    std::thread::spawn(move || {
        gate.open();
        drop(log);
    });
    assert!(receiver.recv().unwrap());
}

#[test]
fn an_append_larger_than_the_whole_queue_does_not_wait_for_a_committed_position_that_waits_for_it() {
    let directory = scratch();
    let log = RaftLog::create(directory.path(), IDENTITY, small(64 << 10)).unwrap();
    log.save_committed(at(1, 0)).unwrap();
    durably(|done| log.append(vec![record(1, 1, vec![1; 1 << 20])], done));
    log.save_committed(at(1, 1)).unwrap();
    log.sync().unwrap();
}

#[test]
fn a_reader_that_was_there_before_a_purge_still_reads_what_it_found() {
    let directory = scratch();
    let options = LogOptions { cache_bytes: 0, ..small(8 << 10) };
    let log = RaftLog::create(directory.path(), IDENTITY, options).unwrap();
    durably(|done| log.append(vec![record(1, 1, "held")], done));
    // A reader that has looked up where the entry is, and has not read it yet.
    let found = log.find(1..2, usize::MAX).unwrap();
    for index in 2..=400 {
        durably(|done| log.append(vec![record(1, index, vec![1; 100])], done));
        durably(|done| log.purge(at(1, index - 1), done));
    }
    log.sync().unwrap();
    assert_eq!(found.read().unwrap(), [record(1, 1, "held")]);
}
