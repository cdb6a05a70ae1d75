//! The writer: the only place that writes to segments while the log is open.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::checkpoint::Checkpoint;
use super::disk::Disk;
use super::fold::Fold;
use super::frame::{Kind, Stamp, encode, frame_bytes};
use super::header::HEADER_BYTES;
use super::index::Placed;
use super::queue::{Operation, Queued, Shared};
use super::segment::{RESERVED_BYTES, SegmentFile, segment_size, spare_path};
use super::spares::{Spares, next_segment};
use super::summary::{encode_summary, summary_at};
use super::{Done, LogError, LogOptions, LogPosition};

/// The buffer gives space beyond this back after a batch: an odd large append shall not be paid for for ever.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// So many full segments stay in the kernel's memory, for members that are a little behind. An hour of log would push out
/// what reads of sessions need, and nobody reads it unless a member was away.
const REMEMBERED_SEGMENTS: usize = 4;

/// What a file system reads and writes at a time. A write that covers only a part of a page which is not in memory has to
/// read it first, and a spare that has waited for long is not: whoever appends would wait for a read behind all others.
const PAGE_BYTES: u32 = 4096;

/// Most segments that are let go between two batches: a file system may take milliseconds to free a file, and who
/// appends waits for it.
const MAX_DROPPED: usize = 4;

/// A segment and the highest entry in it that is still in the log.
pub(super) struct HeldSegment {
    pub(super) file: Arc<SegmentFile>,
    pub(super) highest: Option<u64>,
}

/// How long a writer that is a task waits before a batch.
type Pause = Arc<dyn Fn() -> Duration + Send + Sync>;

/// What the writer knows. It lags behind what readers see by what is queued.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Disk,
    pub(super) directory: PathBuf,
    pub(super) options: LogOptions,
    /// The state after the last frame that was encoded.
    pub(super) checkpoint: Checkpoint,
    /// Oldest first; the last is written to.
    pub(super) held: VecDeque<HeldSegment>,
    pub(super) spares: Arc<Spares>,
    /// Where `buffer` will be written.
    pub(super) end: u32,
    /// Below this every byte of the current segment is synced.
    pub(super) proven: u32,
    /// Below this every page of the current segment was written to.
    pub(super) covered: u32,
    pub(super) buffer: Vec<u8>,
    pub(super) placed: Vec<Placed>,
    /// What the current segment says.
    pub(super) fold: Fold,
}

/// Answers callers if the thread unwinds, so that nobody waits for a thread that is gone.
struct Unwinding(Arc<Shared>);

impl Drop for Unwinding {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail(&LogError::WriterGone, Vec::new());
        }
    }
}

impl Writer {
    /// As a thread: writes until the log is closed or fails.
    pub(super) fn run(mut self) {
        let _unwinding = Unwinding(Arc::clone(&self.shared));
        while self.next().is_continue() {}
    }

    /// As a task: the same, with a pause of the runtime's time before each batch.
    pub(super) async fn run_as_task(shared: Arc<Shared>, writer: Arc<Mutex<Option<Writer>>>, pause: Pause) {
        loop {
            shared.has_work().await;
            tokio::time::sleep(pause()).await;
            // Whoever closed the log has written the rest.
            if !Writer::step(&mut writer.lock()) {
                return;
            }
        }
    }

    /// Writes what is queued, if anything is. Says whether there may be more to come.
    pub(super) fn step(writer: &mut Option<Writer>) -> bool {
        let Some(open) = writer else { return false };
        if open.shared.lock().has_work() && open.next().is_break() {
            *writer = None;
        }
        writer.is_some()
    }

    /// Waits for a batch and writes it; breaks off when the log is closed or fails.
    fn next(&mut self) -> ControlFlow<()> {
        let mut batch = self.shared.next_batch();
        let shared = Arc::clone(&self.shared);
        let _step = shared.progress.begin();
        let dones: Vec<Done> = batch.iter_mut().filter_map(|queued| queued.done.take()).collect();
        let closing = matches!(batch.last(), Some(Queued { operation: Operation::Close, .. }));
        if let Err(error) = self.write(batch) {
            self.shared.fail(&error, dones);
            return ControlFlow::Break(());
        }
        dones.into_iter().for_each(|done| done(Ok(())));
        loop {
            match self.drop_purged() {
                Ok(true) if !self.shared.lock().has_work() => {}
                Ok(_) => break,
                Err(error) => {
                    self.shared.fail(&error, Vec::new());
                    return ControlFlow::Break(());
                }
            }
        }
        if closing { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn write(&mut self, batch: Vec<Queued>) -> Result<(), LogError> {
        let through = batch.last().map_or(0, |queued| queued.number);
        let mut close = false;
        for queued in batch {
            match queued.operation {
                Operation::Append(records) => {
                    for record in records {
                        self.entry(record.position, &record.payload)?;
                    }
                }
                Operation::Vote(vote) => self.frame(Kind::Vote, None, &vote)?,
                Operation::Committed(position) => self.frame(Kind::Committed, Some(position), &[])?,
                Operation::Truncate(last) => self.truncate(last)?,
                Operation::Purge(position) => self.frame(Kind::Purged, Some(position), &[])?,
                Operation::Sync => {}
                Operation::Damaged(error) => return Err(error),
                Operation::Close => close = true,
            }
        }
        self.flush()?;
        if close {
            // So that the last marker survives a power cut too, and with it the proof of the last batch.
            let file = self.current();
            self.disk.sync_data(&*file.file()?, &file.path)?;
        }
        self.shared.settle(&self.placed, through);
        self.placed.clear();
        let room = summary_at(self.current().size).saturating_sub(self.end + count(RESERVED_BYTES));
        self.shared.room.store(room.into(), Ordering::Relaxed);
        self.buffer.shrink_to(KEPT_BUFFER_BYTES);
        Ok(())
    }

    fn current(&self) -> &SegmentFile {
        &self.held[self.held.len() - 1].file
    }

    fn entry(&mut self, position: LogPosition, payload: &[u8]) -> Result<(), LogError> {
        self.frame(Kind::Entry, Some(position), payload)?;
        let end = self.next_offset();
        let offset = end - count(frame_bytes(payload.len()));
        if let Some(held) = self.held.back_mut() {
            held.highest = Some(position.index);
            self.placed.push(self.fold.entry(position, held.file.number, offset, end));
        }
        Ok(())
    }

    fn truncate(&mut self, last: Option<LogPosition>) -> Result<(), LogError> {
        self.frame(Kind::Truncated, last, &[])?;
        let keep = last.map(|last| last.index);
        while self.placed.last().is_some_and(|placed| Some(placed.index) > keep) {
            self.placed.pop();
        }
        for held in &mut self.held {
            held.highest = held.highest.min(keep);
        }
        Ok(())
    }

    /// Where the next frame goes.
    fn next_offset(&self) -> u32 {
        self.end + count(self.buffer.len())
    }

    /// Adds a frame to the buffer, in a new segment if this one has no room for it.
    fn frame(&mut self, kind: Kind, position: Option<LogPosition>, body: &[u8]) -> Result<(), LogError> {
        let room = summary_at(self.current().size).saturating_sub(self.next_offset());
        let room = usize::try_from(room).unwrap_or(0);
        if frame_bytes(body.len()) + RESERVED_BYTES > room {
            self.rotate(body.len())?;
        }
        self.encode(kind, position, body);
        self.checkpoint.apply(kind, position, body);
        if kind != Kind::Entry {
            self.fold.other(kind, position);
        }
        Ok(())
    }

    fn encode(&mut self, kind: Kind, position: Option<LogPosition>, body: &[u8]) {
        let stamp = Stamp { salt: self.current().salt, offset: self.next_offset(), proven: self.proven };
        encode(&mut self.buffer, stamp, kind, position, body);
    }

    /// Writes the buffer, syncs it, and only then says so with a marker. Nothing buffered, nothing done.
    fn flush(&mut self) -> Result<(), LogError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.put()?;
        let file = self.current();
        let begin = Instant::now();
        self.disk.sync_data(&*file.file()?, &file.path)?;
        self.shared.syncs.note(begin.elapsed());
        self.proven = self.end;
        self.encode(Kind::Synced, None, &[]);
        self.put()
    }

    /// Writes the buffer, and zeros behind it up to the end of its last page if that one is written to for the first time.
    fn put(&mut self) -> Result<(), LogError> {
        let end = self.next_offset();
        if end > self.covered {
            self.covered = end.next_multiple_of(PAGE_BYTES).min(self.current().size);
            let zeros = self.covered.saturating_sub(end) as usize;
            self.buffer.resize(self.buffer.len() + zeros, 0);
        }
        let file = self.current();
        self.disk.write(&*file.file()?, &file.path, &self.buffer, u64::from(self.end))?;
        self.end = end;
        self.buffer.clear();
        Ok(())
    }

    /// Goes on in a new segment with room for a body of `body_bytes`. The order is what recovery relies on: the new
    /// segment is durable before this one is sealed, and this one's seal is durable before the new one is written to.
    fn rotate(&mut self, body_bytes: usize) -> Result<(), LogError> {
        let Some(number) = self.current().number.checked_add(1) else {
            return Err(LogError::OutOfBounds { what: "segment number", size: 1 << 32, bound: u32::MAX.into() });
        };
        let size = segment_size(self.options.segment_bytes, body_bytes);
        let file = next_segment(&self.spares, number, size, &self.checkpoint)?;
        self.encode(Kind::Sealed, None, &[]);
        self.flush()?;
        self.summarise();
        self.current().release();
        self.forget_old();
        let file = Arc::new(file);
        self.shared.lock().segments.insert(number, Arc::clone(&file));
        self.held.push_back(HeldSegment { file, highest: None });
        self.fold = Fold::after(self.checkpoint.last);
        self.end = count(HEADER_BYTES);
        self.proven = self.end;
        self.covered = 0;
        Ok(())
    }

    /// Lets the kernel forget the segment that has become too old to be asked for soon.
    fn forget_old(&self) {
        let old = self.held.len().checked_sub(REMEMBERED_SEGMENTS + 1).and_then(|old| self.held.get(old));
        if let Some(HeldSegment { file, .. }) = old
            && let Ok(open) = file.file()
        {
            Disk::forget(&open, 0, file.size.into());
        }
    }

    /// Whether the oldest segment holds nothing but purged entries.
    fn has_purged(&self) -> bool {
        let purged = self.checkpoint.purged.map(|purged| purged.index);
        self.held.len() > 1 && self.held.front().is_some_and(|held| held.highest <= purged)
    }

    /// Says at the end of the segment what is in it. Nothing needs that, so an error is none: the next opening reads more.
    fn summarise(&self) {
        let file = self.current();
        let summary = encode_summary(&self.fold, &self.checkpoint, file.salt, file.size, self.end);
        if let (Some(summary), Ok(open)) = (summary, file.file()) {
            drop(self.disk.write(&open, &file.path, &summary, summary_at(file.size).into()));
        }
    }

    /// Lets go of the oldest segments that hold nothing but purged entries. The purge is durable by now: were a file to
    /// go first, a crash would leave a log with a hole. Whether any went; no more than [`MAX_DROPPED`] go at once.
    pub(super) fn drop_purged(&mut self) -> Result<bool, LogError> {
        let mut changed = false;
        for _ in 0..MAX_DROPPED {
            if !self.has_purged() {
                break;
            }
            let Some(HeldSegment { file, .. }) = self.held.front() else { break };
            self.shared.lock().segments.remove(&file.number);
            // A reader that found an entry in it before the purge shall find the file. It stays until a later batch.
            if Arc::strong_count(file) > 1 {
                break;
            }
            let Some(HeldSegment { file, .. }) = self.held.pop_front() else { break };
            changed = true;
            let (path, number, size) = (file.path.clone(), file.number, file.size);
            // Whoever verifies it may hold it now; then it must not get another life.
            if Arc::into_inner(file).is_some() && self.spares.wants(size) {
                let spare = spare_path(&self.directory, number);
                self.disk.rename(&path, &spare)?;
                self.spares.put(spare);
            } else {
                self.disk.remove(&path)?;
                self.spares.shrank(size);
            }
        }
        if changed {
            // Before a spare is written to: else a crash could bring its old name back over its new content.
            self.disk.sync_directory(&self.directory)?;
        }
        Ok(changed)
    }
}

/// Within a segment, counts fit: it is at most [`super::MAX_SEGMENT_BYTES`] long.
fn count(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
