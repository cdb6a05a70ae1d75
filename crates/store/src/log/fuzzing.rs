//! What holds of whatever a log's files hold when it is opened.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;

use super::checkpoint::Checkpoint;
use super::frame::{Kind, Salt, Stamp, encode, frame_bytes};
use super::header::{HEADER_BYTES, SegmentHeader};
use super::segment::{RESERVED_BYTES, segment_path};
use super::{Done, LogError, LogOptions, LogPosition, LogRecord, MAX_INDEX, MIN_SEGMENT_BYTES, RaftLog};

const IDENTITY: &[u8] = b"node and cluster";
/// Sizes that a segment of made-up bytes may claim: opening fills it up with zeros, which is no use to watch.
const LARGEST_SEGMENT: u32 = 64 << 10;
/// The header's last bytes, which are the checksum of those before.
const HEADER_CRC_AT: usize = HEADER_BYTES - 4;

/// What a log holds, short of what needs no sync of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Contents {
    vote: Option<Bytes>,
    purged: Option<LogPosition>,
    entries: Vec<LogRecord>,
}

/// A log that was closed: its files, and what it held after each of its frames.
struct Story {
    files: Vec<(PathBuf, Vec<u8>)>,
    states: Vec<Contents>,
}

/// Opens a log in `directory`, which is emptied first. The first byte says what it is made of:
/// - 0: a good log with damage, four bytes each. It is refused and left alone, or holds what it held after some frame;
/// - 1: a segment as it is, or, from 128 on, with a header whose checksum fits. It is refused, or can be gone on with;
/// - 2: frames that verify, eight bytes each. The same.
pub fn log_recovery(directory: &Path, bytes: &[u8]) {
    let (&kind, rest) = bytes.split_first().unwrap_or((&0, &[]));
    match kind % 3 {
        0 => damaged(directory, rest),
        1 => segment(directory, rest.to_vec(), kind >= 128),
        _ => frames(directory, rest),
    }
}

fn damaged(directory: &Path, damage: &[u8]) {
    static STORY: OnceLock<Story> = OnceLock::new();
    let story = STORY.get_or_init(|| a_story(directory));
    let mut files = story.files.clone();
    let count = files.len();
    for piece in damage.chunks_exact(4) {
        let bytes = &mut files[usize::from(piece[0] >> 2) % count].1;
        let at = usize::from(u16::from_le_bytes([piece[1], piece[2]])).min(bytes.len());
        match piece[0] & 3 {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= piece[3]),
            1 => bytes[at..].fill(0),
            2 => bytes.truncate(at),
            _ => {
                let block = at..(at + 64).min(bytes.len());
                let to = (usize::from(piece[3]) * 64).min(bytes.len() - block.len());
                bytes.copy_within(block, to);
            }
        }
    }
    restore(directory, &files);
    match open(directory) {
        Ok(contents) => {
            assert!(story.states.contains(&contents), "it holds what it never held");
            assert_eq!(open(directory).as_ref().ok(), Some(&contents), "it holds something else the next time");
        }
        Err(error) => {
            assert!(error.to_string().contains(".seg"), "the error names no file: {error}");
            for (path, bytes) in &files {
                assert_eq!(fs::read(path).as_ref().ok(), Some(bytes), "refused but changed");
            }
        }
    }
}

fn segment(directory: &Path, mut bytes: Vec<u8>, fits: bool) {
    if let Some(size) = bytes.get_mut(12..16)
        && size.iter().rev().gt(LARGEST_SEGMENT.to_be_bytes().iter())
    {
        size.copy_from_slice(&LARGEST_SEGMENT.to_le_bytes());
    }
    if fits && let Some(block) = bytes.get_mut(..HEADER_BYTES) {
        let crc = crc32c::crc32c(&block[..HEADER_CRC_AT]);
        block[HEADER_CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    }
    restore(directory, &[(segment_path(directory, 1), bytes)]);
    refused_or_gone_on_with(directory);
}

fn frames(directory: &Path, pieces: &[u8]) {
    let salt = Salt(0x0123_4567_89ab_cdef);
    let checkpoint = Checkpoint { identity: Bytes::from_static(IDENTITY), ..Checkpoint::default() };
    let mut bytes = SegmentHeader { number: 1, size: MIN_SEGMENT_BYTES, salt, checkpoint }.encode();
    let size = MIN_SEGMENT_BYTES as usize;
    for piece in pieces.chunks_exact(8) {
        let kind = match piece[0] % 7 {
            0 => Kind::Entry,
            1 => Kind::Vote,
            2 => Kind::Committed,
            3 => Kind::Truncated,
            4 => Kind::Purged,
            5 => Kind::Synced,
            _ => Kind::Sealed,
        };
        // The largest numbers are where sums overflow.
        let large = |byte: u8| if byte >= 0xf0 { u64::MAX - u64::from(0xff - byte) } else { byte.into() };
        let position = (piece[1] & 1 == 0).then_some(LogPosition { term: large(piece[2]), index: large(piece[3]) });
        let body = vec![piece[4]; usize::from(piece[5])];
        // The writer leaves this much free behind every frame.
        if bytes.len() + frame_bytes(body.len()) + RESERVED_BYTES > size {
            break;
        }
        let offset = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        // What was synced when a frame was written cannot lie behind it.
        let proven = offset.min(u32::from(u16::from_le_bytes([piece[6], piece[7]])));
        encode(&mut bytes, Stamp { salt, offset, proven }, kind, position, &body);
    }
    bytes.resize(size, 0);
    restore(directory, &[(segment_path(directory, 1), bytes)]);
    refused_or_gone_on_with(directory);
}

fn refused_or_gone_on_with(directory: &Path) {
    let Ok(log) = RaftLog::open(directory, options()) else { return };
    let contents = contents(&log).expect("a log that opens can be read");
    let next = log.last().map_or(Some(1), |last| last.index.checked_add(1));
    let Some(index) = next.filter(|next| *next <= MAX_INDEX) else { return };
    let more = LogRecord { position: LogPosition { term: u64::MAX, index }, payload: Bytes::from_static(b"more") };
    log.append(vec![more.clone()], Box::new(|_| ())).expect("a log that opens takes the next entry");
    log.close().expect("what was appended is written");
    drop(log);
    let again = open(directory).expect("a log that was gone on with opens again");
    assert_eq!(again, Contents { entries: [contents.entries, vec![more]].concat(), ..contents });
}

fn options() -> LogOptions {
    LogOptions {
        segment_bytes: MIN_SEGMENT_BYTES,
        cache_bytes: 0,
        recycled_segments: 0,
        max_batch_bytes: 64 << 10,
        ..LogOptions::default()
    }
}

fn open(directory: &Path) -> Result<Contents, LogError> {
    contents(&RaftLog::open(directory, options())?)
}

fn contents(log: &RaftLog) -> Result<Contents, LogError> {
    let entries = match (log.first_index(), log.last()) {
        (Some(first), Some(last)) => log.read(first..last.index.saturating_add(1), usize::MAX)?,
        _ => Vec::new(),
    };
    Ok(Contents { vote: log.vote(), purged: log.purged(), entries })
}

/// A log that is being written, and what it held after each of its frames.
struct Telling {
    log: RaftLog,
    states: Vec<Contents>,
}

impl Telling {
    fn settle(&mut self, call: impl FnOnce(&RaftLog, Done) -> Result<(), LogError>) {
        call(&self.log, Box::new(|_| ())).expect("nothing of it is out of bounds");
        self.log.sync().expect("what was asked for is written");
        self.states.push(contents(&self.log).expect("what was written can be read"));
    }

    fn append(&mut self, term: u64, indices: RangeInclusive<u64>) {
        for index in indices {
            let payload = vec![u8::try_from(index % 251).unwrap_or(0); usize::try_from(index % 90).unwrap_or(0)];
            let record = LogRecord { position: LogPosition { term, index }, payload: payload.into() };
            self.settle(|log, done| log.append(vec![record], done));
        }
    }
}

/// Entries, a vote, a truncation and a purge, over several segments.
fn a_story(directory: &Path) -> Story {
    restore(directory, &[]);
    let log = RaftLog::create(directory, IDENTITY, options()).expect("the directory is empty");
    let mut told = Telling { log, states: Vec::new() };
    told.settle(|log, done| log.append(Vec::new(), done));
    told.append(1, 1..=20);
    told.settle(|log, done| log.save_vote(b"a vote", done));
    told.append(2, 21..=60);
    told.settle(|log, done| log.truncate_after(Some(50), done));
    told.append(3, 51..=70);
    told.settle(|log, done| log.purge(LogPosition { term: 1, index: 5 }, done));
    told.append(3, 71..=75);
    let Telling { log, states } = told;
    log.close().expect("nothing failed before");
    drop(log);
    let listed = fs::read_dir(directory).expect("it was made above");
    let paths = listed.map(|entry| entry.expect("nobody else changes it").path());
    let mut files: Vec<_> = paths.map(|path| (path.clone(), fs::read(&path).expect("it is there"))).collect();
    files.sort();
    Story { files, states }
}

/// Makes `directory` hold `files`, and nothing else.
fn restore(directory: &Path, files: &[(PathBuf, Vec<u8>)]) {
    for entry in fs::read_dir(directory).expect("the caller made it") {
        fs::remove_file(entry.expect("nobody else changes it").path()).expect("it is there");
    }
    for (path, bytes) in files {
        fs::write(path, bytes).expect("there is room");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing::seeds;

    #[test]
    fn every_seed_of_a_log_is_refused_or_holds_what_it_once_held() {
        // In memory where there is some: it syncs often, and tests no disk.
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let story = a_story(directory.path());
        let at = |place: u16| place.to_le_bytes();
        let damage =
            |kind: u8, file: u8, place: u16, last: u8| vec![file << 2 | kind, at(place)[0], at(place)[1], last];
        let last = u8::try_from(story.files.len() - 1).unwrap();
        let first = &story.files[0].1;
        let frame = |kind: u8, index: u8, body: u8| [kind, 0, 1, index, b'x', body, 0xff, 0xff];
        let entries: Vec<_> = (1..=5).map(|index| frame(0, index, 9)).collect();
        let whole = [entries.concat(), frame(1, 0, 16).to_vec(), frame(5, 0, 0).to_vec()].concat();
        let made = [
            ("untouched", vec![0]),
            ("flipped", [vec![0], damage(0, 1, 5000, 4)].concat()),
            ("zeroed", [vec![0], damage(1, last, 4600, 0)].concat()),
            ("cut", [vec![0], damage(2, last, 4700, 0)].concat()),
            ("moved", [vec![0], damage(3, last, 4096, 80)].concat()),
            ("segment", [&[1], &first[..4096 + 512]].concat()),
            ("short_segment", [&[129], &first[..4096 + 96]].concat()),
            ("frames", [vec![2], whole.clone()].concat()),
            ("truncated", [vec![2], whole, frame(3, 2, 0).to_vec(), frame(0, 3, 1).to_vec()].concat()),
            ("largest_index", [vec![2], frame(0, 0xff, 1).to_vec()].concat()),
            ("purged_beyond", [vec![2], frame(4, 0xff, 0).to_vec(), frame(5, 0, 0).to_vec()].concat()),
        ];
        seeds::hold("log_recovery", &made, |bytes| log_recovery(directory.path(), bytes));
    }
}
