//! What the stories share.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{fs, iter};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore};
use tempfile::TempDir;

use crate::log::{Done, LogError, LogOptions, LogPosition, LogRecord, RaftLog};

pub(super) const IDENTITY: &[u8] = b"node and cluster";

/// A directory in memory where there is one: the tests sync often and test no disk.
pub(super) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap()
}

pub(super) fn small(segment_bytes: u32) -> LogOptions {
    LogOptions {
        segment_bytes,
        cache_bytes: 4096,
        recycled_segments: 2,
        max_batch_bytes: 64 << 10,
        ..LogOptions::default()
    }
}

pub(super) fn at(term: u64, index: u64) -> LogPosition {
    LogPosition { term, index }
}

pub(super) fn record(term: u64, index: u64, payload: impl Into<Bytes>) -> LogRecord {
    LogRecord { position: at(term, index), payload: payload.into() }
}

pub(super) fn random_payload(random: &mut SmallRng, longest: usize) -> Bytes {
    let mut payload = vec![0; random.random_range(0..=longest)];
    random.fill_bytes(&mut payload);
    payload.into()
}

/// A `Done` and where its answer can be awaited.
pub(super) fn answer() -> (Done, Receiver<Result<(), LogError>>) {
    let (sender, receiver) = sync_channel(1);
    (Box::new(move |result| drop(sender.send(result))), receiver)
}

/// Makes a call with a `Done` and waits until it is durable.
pub(super) fn durably(call: impl FnOnce(Done) -> Result<(), LogError>) {
    let (done, answer) = answer();
    call(done).unwrap();
    answer.recv().unwrap().unwrap();
}

/// Keeps the writer thread busy until it is opened, so that what is called meanwhile goes as one batch.
pub(super) struct Gate(SyncSender<()>);

pub(super) fn held_back(log: &RaftLog) -> Gate {
    let (open, opened) = sync_channel(1);
    let (here, arrived) = sync_channel(1);
    let done = move |_| {
        here.send(()).unwrap();
        opened.recv().unwrap();
    };
    log.append(Vec::new(), Box::new(done)).unwrap();
    arrived.recv().unwrap();
    Gate(open)
}

impl Gate {
    pub(super) fn open(self) {
        self.0.send(()).unwrap();
    }
}

/// All that a log holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Contents {
    pub(super) vote: Option<Bytes>,
    pub(super) purged: Option<LogPosition>,
    pub(super) committed: Option<LogPosition>,
    pub(super) entries: Vec<LogRecord>,
}

impl Contents {
    pub(super) fn of(log: &RaftLog) -> Result<Contents, LogError> {
        let entries = match (log.first_index(), log.last()) {
            (Some(first), Some(last)) => log.read(first..last.index + 1, usize::MAX)?,
            _ => Vec::new(),
        };
        if let Some(last) = log.last() {
            assert_eq!(entries.last().map(|entry| entry.position).or(log.purged()), Some(last));
        }
        assert_eq!(log.identity(), IDENTITY);
        Ok(Contents { vote: log.vote(), purged: log.purged(), committed: log.committed(), entries })
    }

    pub(super) fn last(&self) -> Option<LogPosition> {
        self.entries.last().map(|entry| entry.position).or(self.purged)
    }

    pub(super) fn truncate(&mut self, last: Option<u64>) {
        self.entries.retain(|entry| last.is_some_and(|last| entry.position.index <= last));
    }

    pub(super) fn purge(&mut self, position: LogPosition) {
        if self.purged.is_none_or(|purged| purged.index < position.index) {
            self.purged = Some(position);
            self.entries.retain(|entry| entry.position.index > position.index);
        }
    }

    /// Without what needs no sync of its own.
    pub(super) fn durable(mut self) -> Contents {
        self.committed = None;
        self
    }
}

/// The files of a directory and their bytes, by name.
pub(super) fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Makes `directory` hold `files`, by their names, and nothing else.
pub(super) fn restore(directory: &Path, files: &[(PathBuf, Vec<u8>)]) {
    for entry in fs::read_dir(directory).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for (path, bytes) in files {
        fs::write(directory.join(path.file_name().unwrap()), bytes).unwrap();
    }
}

/// 1,000 entries in small segments, every call durable: batches of 1 to 40, votes and terms that change.
pub(super) fn a_thousand_entries(directory: &Path, random: &mut SmallRng) -> (RaftLog, Contents) {
    let log = RaftLog::create(directory, IDENTITY, small(16 << 10)).unwrap();
    let (mut term, mut next) = (1, 1);
    let mut vote = 0_u32;
    while next <= 1000 {
        if random.random_ratio(1, 4) {
            vote += 1;
            durably(|done| log.save_vote(&vote.to_le_bytes(), done));
            term += random.random_range(0..2);
        }
        let count = random.random_range(1..=40).min(1001 - next);
        let records = (next..next + count).map(|index| record(term, index, random_payload(random, 40)));
        durably(|done| log.append(records.collect(), done));
        log.save_committed(at(term, next)).unwrap();
        next += count;
    }
    durably(|done| log.save_vote(b"the last vote", done));
    log.sync().unwrap();
    let contents = Contents::of(&log).unwrap();
    (log, contents)
}

/// The log goes on after whatever happened: append, truncate, close, reopen, and all is there.
pub(super) fn goes_on(log: RaftLog, directory: &Path, options: &LogOptions) {
    let mut contents = Contents::of(&log).unwrap();
    let next = contents.last().map_or(1, |last| last.index + 1);
    let more: Vec<_> = iter::zip(next..next + 5, iter::repeat("more")).map(|(i, word)| record(99, i, word)).collect();
    durably(|done| log.append(more.clone(), done));
    contents.entries.extend(more);
    durably(|done| log.truncate_after(Some(next + 2), done));
    contents.truncate(Some(next + 2));
    durably(|done| log.save_vote(b"a newer vote", done));
    contents.vote = Some(Bytes::from_static(b"a newer vote"));
    log.close().unwrap();
    drop(log);
    let log = RaftLog::open(directory, options.clone()).unwrap();
    assert_eq!(Contents::of(&log).unwrap(), contents);
}
