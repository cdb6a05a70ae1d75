//! What a crash leaves of the last write is cut, whatever it is, and never refused.

use std::path::PathBuf;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use super::support::*;
use crate::log::RaftLog;
use crate::log::frame::{FRAME_HEADER_BYTES, frame_bytes};

/// How the file ends from some byte on.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Cut,
    Zeroed,
    Rubbish,
}

struct Story {
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Where in the last file the unsynced write lies.
    from: usize,
    to: usize,
    /// Contents before the write, and after each call in it.
    states: Vec<Contents>,
}

/// A log whose last write holds two entries, a vote, a truncation and an entry, and whose marker never came.
fn a_log_with_an_unsynced_write(seed: u64) -> Story {
    let directory = scratch();
    let (log, synced) = a_thousand_entries(directory.path(), &mut SmallRng::seed_from_u64(seed));
    let last = |files: &[(PathBuf, Vec<u8>)]| files.last().unwrap().1.clone();
    let before = last(&files(directory.path()));
    let gate = held_back(&log);
    let mut states = vec![synced];
    let mut state = states[0].clone();
    for index in [1001, 1002] {
        log.append(vec![record(77, index, vec![5; 21])], Box::new(|_| ())).unwrap();
        state.entries.push(record(77, index, vec![5; 21]));
        states.push(state.clone());
    }
    log.save_vote(b"in flight", Box::new(|_| ())).unwrap();
    state.vote = Some(bytes::Bytes::from_static(b"in flight"));
    states.push(state.clone());
    log.truncate_after(Some(990), Box::new(|_| ())).unwrap();
    state.truncate(Some(990));
    states.push(state.clone());
    log.append(vec![record(78, 991, "after")], Box::new(|_| ())).unwrap();
    state.entries.push(record(78, 991, "after"));
    states.push(state);
    gate.open();
    log.sync().unwrap();
    let files = files(directory.path());
    let after = last(&files);
    assert_eq!(before.len(), after.len());
    let from = before.iter().zip(&after).position(|(before, after)| before != after).unwrap();
    let from = from / 8 * 8;
    let length = 2 * frame_bytes(21) + frame_bytes(9) + frame_bytes(0) + frame_bytes(5);
    Story { files, from, to: from + length, states }
}

#[test]
fn an_unsynced_write_cut_zeroed_or_overwritten_at_any_byte_reopens_to_what_was_synced() {
    let mut story = a_log_with_an_unsynced_write(11);
    let end = story.files.last().unwrap().1.len();
    let whole = story.files.last().unwrap().1.clone();
    assert!(whole[story.to + FRAME_HEADER_BYTES..].iter().all(|byte| *byte == 0), "the write and its marker are last");
    let directory = scratch();
    let mut random = SmallRng::seed_from_u64(12);
    for damage in [Damage::Cut, Damage::Zeroed, Damage::Rubbish] {
        for from in story.from..=story.to {
            let mut bytes = whole.clone();
            match damage {
                Damage::Cut => bytes.truncate(from),
                Damage::Zeroed => bytes[from..].fill(0),
                Damage::Rubbish => random.fill_bytes(&mut bytes[from..end]),
            }
            story.files.last_mut().unwrap().1 = bytes;
            restore(directory.path(), &story.files);
            let log = RaftLog::open(directory.path(), small(16 << 10))
                .unwrap_or_else(|error| panic!("{damage:?} from byte {from} was refused: {error}"));
            let found = Contents::of(&log).unwrap();
            assert!(
                story.states.contains(&found),
                "{damage:?} from byte {from}: neither synced nor a part of the write"
            );
            if from < story.from + FRAME_HEADER_BYTES {
                assert!(found == story.states[0], "{damage:?} from byte {from}");
            }
            goes_on(log, directory.path(), &small(16 << 10));
        }
    }
}

#[test]
fn any_single_sector_missing_from_an_unsynced_write_is_cut() {
    let mut story = a_log_with_an_unsynced_write(13);
    let whole = story.files.last().unwrap().1.clone();
    let directory = scratch();
    // The disk may write sectors in any order, so later frames, complete, may follow a hole.
    for from in (story.from..story.to).step_by(8) {
        let mut bytes = whole.clone();
        bytes[story.to..].fill(0);
        bytes[from..(from + 32).min(story.to)].fill(0);
        story.files.last_mut().unwrap().1 = bytes;
        restore(directory.path(), &story.files);
        let log = RaftLog::open(directory.path(), small(16 << 10))
            .unwrap_or_else(|error| panic!("a hole at byte {from} was refused: {error}"));
        assert!(story.states.contains(&Contents::of(&log).unwrap()), "a hole at byte {from}");
        goes_on(log, directory.path(), &small(16 << 10));
    }
}
