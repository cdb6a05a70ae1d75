//! A process that is killed, started again, and only then loses its power: what it acknowledged after the start must not
//! stand on something that was never synced.

use std::path::Path;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::power::{Crash, Event, Image, LOG_DIRECTORY, Recorder};
use super::support::*;
use crate::log::{LogOptions, RaftLog};

/// Entries written before the kill: several segments of them.
const ENTRIES: u64 = 24;

/// Different ends of the same power cut.
const POWER_CUTS_A_POINT: usize = 2;

fn options() -> LogOptions {
    LogOptions { recycled_segments: 1, ..small(8 << 10) }
}

fn fill(log: &RaftLog, first: u64, count: u64) {
    for index in first..first + count {
        durably(|done| log.append(vec![record(1, index, vec![7; 900])], done));
    }
}

/// What the disk was told to do while entries were written over several segments.
fn written(directory: &Path) -> Vec<Event> {
    let recorder = Arc::new(Recorder::default());
    let log = RaftLog::create_on(recorder.disk(), directory, IDENTITY, options()).unwrap();
    fill(&log, 1, ENTRIES);
    log.close().unwrap();
    std::mem::take(&mut *recorder.events.lock())
}

#[test]
fn what_is_acknowledged_after_a_kill_survives_a_power_cut_that_takes_what_was_never_synced() {
    let told = scratch();
    let events = written(&told.path().join(LOG_DIRECTORY));
    let mut random = SmallRng::seed_from_u64(17);
    let (mut image, mut killed_between) = (Image::default(), 0);
    for (place, next) in events.iter().enumerate() {
        // Killed before `next` was whole; the kernel keeps what was written, synced or not.
        let mut machine = image.clone();
        let started = scratch();
        let directory = started.path().join(LOG_DIRECTORY);
        std::fs::create_dir(&directory).unwrap();
        machine.kill(Some(next), &mut random, &directory);
        image.advance(next);
        if !RaftLog::exists(&directory).unwrap() {
            continue;
        }
        killed_between += usize::from(matches!(next, Event::Sync(_)));

        let recorder = Arc::new(Recorder::default());
        let log = RaftLog::open_on(recorder.disk(), &directory, options()).unwrap();
        // Whatever was found may have been told to others by now: it counts as acknowledged, like what follows it.
        let found = log.last().map_or(0, |last| last.index);
        recorder.note(Event::Acknowledged(0));
        fill(&log, found + 1, 2);
        let expected = Contents::of(&log).unwrap();
        let mut rest = std::mem::take(&mut *recorder.events.lock());
        let opened = rest.iter().position(|event| matches!(event, Event::Acknowledged(_))).unwrap();
        drop(log);
        let later = rest.split_off(opened);
        rest.iter().for_each(|event| machine.advance(event));

        let cut = scratch();
        for (moment, after, entries) in [("its opening", Vec::new(), found), ("two more entries", later, found + 2)] {
            after.iter().for_each(|event| machine.advance(event));
            for how in [Crash::PowerAndLuckless].into_iter().chain([Crash::Power; POWER_CUTS_A_POINT]) {
                let case = format!("killed at event {place}, power cut after {moment}, {how:?}");
                machine.crash(how, None, &mut random, cut.path());
                let log = RaftLog::open(cut.path(), options()).unwrap_or_else(|error| panic!("{case}: {error}"));
                let left = Contents::of(&log).unwrap();
                let kept = expected.entries.iter().filter(|entry| entry.position.index <= entries);
                assert!(left.entries.iter().eq(kept), "{case}: {:?} of {entries} entries", left.last());
            }
        }
    }
    assert!(killed_between > 20, "killed between a write and its sync: {killed_between}");
}
