//! Segments that are ready to be used: their blocks are on disk already.
//!
//! The log goes on with them when nobody else can write any more, because the disk is full, a quota is used up, or there
//! are no inodes left. A thread makes new ones, so that whoever appends does not wait for a segment to be filled with
//! zeros; purged segments come back here before they are removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::LogError;
use super::disk::Disk;
use super::header::HEADER_BYTES;
use super::segment::{RESERVED_BYTES, SegmentFile, spare_path, write_zeros};
use super::summary::summary_at;
use crate::give_way::sync_and_rest;

/// The name a spare has until its blocks are durable. A crash leaves it behind; opening removes it.
pub(super) const UNFINISHED_SPARE_NAME: &str = "unfinished-spare.tmp";

/// Zeros are synced after so many, so that the log's own syncs never wait behind a whole segment of them.
const SYNCED_PIECE_BYTES: u64 = 2 << 20;

/// Spares that were no segments before have numbers above this, given downwards, so that no segment ever has the same: it
/// would take two thousand million segments until they meet.
const MADE_AHEAD_FROM: u32 = u32::MAX / 2;

/// How long it waits after a spare could not be made.
const RETRY: Duration = Duration::from_secs(5);

/// The spares of a log.
pub(super) struct Spares {
    disk: Disk,
    directory: PathBuf,
    segment_bytes: u32,
    /// So many are made ahead.
    reserved: usize,
    /// So many are kept of those that come back from a purge.
    kept: usize,
    /// Bytes of all files of the log.
    disk_bytes: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    ready: Vec<PathBuf>,
    /// The number of the next that is made. It only falls: one that was taken is still there under its name for a while,
    /// and another of that name would take its place.
    next: u32,
    stopped: bool,
}

impl Spares {
    /// Those that are ready; `disk_bytes` are the bytes of all files of the log.
    pub(super) fn new(
        disk: Disk,
        directory: &Path,
        segment_bytes: u32,
        (reserved, kept): (usize, usize),
        ready: Vec<PathBuf>,
        disk_bytes: u64,
    ) -> Arc<Spares> {
        Arc::new(Spares {
            disk,
            directory: directory.to_path_buf(),
            segment_bytes,
            reserved,
            kept: kept.max(reserved),
            disk_bytes: AtomicU64::new(disk_bytes),
            state: Mutex::new(State { next: below_all(&ready), ready, stopped: false }),
            changed: Condvar::new(),
        })
    }

    /// Bytes of all files of the log.
    pub(super) fn disk_bytes(&self) -> u64 {
        self.disk_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn grew(&self, bytes: u32) {
        self.disk_bytes.fetch_add(bytes.into(), Ordering::Relaxed);
    }

    pub(super) fn shrank(&self, bytes: u32) {
        self.disk_bytes.fetch_sub(bytes.into(), Ordering::Relaxed);
    }

    /// Bytes of frames that fit into those that are ready.
    pub(super) fn room(&self) -> u64 {
        let frames = u64::from(summary_at(self.segment_bytes));
        let segment = frames.saturating_sub((HEADER_BYTES + RESERVED_BYTES) as u64);
        self.state.lock().ready.len() as u64 * segment
    }

    /// Whether less than one is left, with so much room in the current segment; never where none are made ahead.
    pub(super) fn is_exhausted(&self, room: u64) -> bool {
        self.reserved > 0 && room + self.room() < u64::from(self.segment_bytes)
    }

    /// One to be used. Another one is made in its place.
    pub(super) fn take(&self) -> Option<PathBuf> {
        let spare = self.state.lock().ready.pop();
        self.changed.notify_all();
        spare
    }

    /// Whether one more is kept.
    pub(super) fn wants(&self, size: u32) -> bool {
        size == self.segment_bytes && self.state.lock().ready.len() < self.kept
    }

    /// One that came back from a purge.
    pub(super) fn put(&self, spare: PathBuf) {
        self.state.lock().ready.push(spare);
    }

    /// Lets [`Spares::run`] end.
    pub(super) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_all();
    }

    /// As a thread: makes spares while there are too few, until it is stopped. One that cannot be made is tried again: it
    /// was promised to nobody, and the log says so when it needs one and there is none.
    pub(super) fn run(&self) {
        loop {
            {
                let mut state = self.state.lock();
                while !state.stopped && state.ready.len() >= self.reserved {
                    self.changed.wait(&mut state);
                }
                if state.stopped {
                    return;
                }
            }
            if self.make().is_err() {
                // What was filled so far is no use to anybody, and the disk may be full.
                let _ = self.disk.remove(&self.directory.join(UNFINISHED_SPARE_NAME));
                let mut state = self.state.lock();
                if !state.stopped {
                    self.changed.wait_for(&mut state, RETRY);
                }
            }
        }
    }

    /// Makes one, unless it is stopped. It bears its name only once its blocks are durable.
    fn make(&self) -> Result<(), LogError> {
        let unfinished = self.directory.join(UNFINISHED_SPARE_NAME);
        let file = self.disk.create(&unfinished)?;
        let size = u64::from(self.segment_bytes);
        self.disk.allocate(&file, &unfinished, size)?;
        let mut at = 0;
        while at < size {
            if self.state.lock().stopped {
                return Err(LogError::Closed);
            }
            let end = size.min(at + SYNCED_PIECE_BYTES);
            write_zeros(&self.disk, &file, &unfinished, at, end)?;
            // The log's own syncs go before.
            sync_and_rest(|| self.disk.sync_data(&file, &unfinished))?;
            // Nobody reads zeros, and the log writes whole pages over them.
            Disk::forget(&file, at, end);
            at = end;
        }
        self.disk.sync_all(&file, &unfinished)?;
        let spare = spare_path(&self.directory, self.next_number());
        self.disk.rename(&unfinished, &spare)?;
        self.disk.sync_directory(&self.directory)?;
        self.grew(self.segment_bytes);
        self.state.lock().ready.push(spare);
        Ok(())
    }

    fn next_number(&self) -> u32 {
        let mut state = self.state.lock();
        let number = state.next;
        state.next -= 1;
        number
    }
}

/// The highest number below those of all spares that were made ahead. Those that were segments have lower ones.
fn below_all(spares: &[PathBuf]) -> u32 {
    let numbers = spares.iter().filter_map(|path| path.file_stem()?.to_str()?.parse::<u32>().ok());
    numbers.filter(|number| *number > MADE_AHEAD_FROM).min().map_or(u32::MAX, |lowest| lowest - 1)
}

/// Makes a segment, out of a spare if there is one of its size.
pub(super) fn next_segment(
    spares: &Spares,
    number: u32,
    size: u32,
    checkpoint: &super::checkpoint::Checkpoint,
) -> Result<SegmentFile, LogError> {
    let spare = if size == spares.segment_bytes { spares.take() } else { None };
    let is_new = spare.is_none();
    let made = SegmentFile::create(&spares.disk, &spares.directory, number, size, checkpoint, spare);
    match made {
        Ok(file) => {
            if is_new {
                spares.grew(size);
            }
            Ok(file)
        }
        Err(error) => Err(error.or_no_room(&spares.directory)),
    }
}
