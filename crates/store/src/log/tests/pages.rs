//! A log does not read what it is about to write over.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::power::{Event, Recorder};
use super::support::*;
use crate::log::RaftLog;

const PAGE: usize = 4096;

/// A kernel that holds a page in memory, or is given all of it, reads nothing from the disk for a write. How many bytes
/// of a file are in memory is counted from its start: a log writes forward.
#[test]
fn an_append_covers_each_page_that_it_is_the_first_to_write_to() {
    let (directory, recorder) = (scratch(), Arc::new(Recorder::default()));
    let log = RaftLog::create_on(recorder.disk(), directory.path(), IDENTITY, small(64 << 10)).unwrap();
    let mut random = SmallRng::seed_from_u64(17);
    for index in 1..=400 {
        let payload = random_payload(&mut random, 3000);
        durably(|done| log.append(vec![record(1, index, payload)], done));
        if index % 50 == 0 && random.random_bool(0.5) {
            durably(|done| log.purge(at(1, index), done));
        }
    }
    log.close().unwrap();

    let (mut written, mut appends) = (BTreeMap::<_, usize>::new(), 0);
    for event in recorder.events.lock().drain(..) {
        match event {
            // A spare has left memory by the time it becomes a segment.
            Event::Rename(_, to) => drop(written.insert(to, PAGE)),
            Event::Write(file, offset, bytes) if file.to_string_lossy().ends_with(".seg") => {
                let (covered, end) = (written.entry(file).or_insert(PAGE), offset + bytes.len());
                let is_summary = offset > 60 << 10 && offset > *covered;
                if !is_summary {
                    assert!(offset <= *covered, "{offset} lies behind the {covered} bytes in memory");
                    assert!(end <= *covered || end.is_multiple_of(PAGE), "a write to {end} covers a part of a page");
                    *covered = end.max(*covered);
                    appends += 1;
                }
            }
            _ => {}
        }
    }
    assert!(appends > 400 && written.len() > 5, "{appends} appends, {} files", written.len());
}
