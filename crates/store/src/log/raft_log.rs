//! The log as its callers see it.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use parking_lot::Mutex;

use super::frame::frame_bytes;
use super::lookup::EntryLookup;
use super::queue::{Operation, Shared};
use super::spares::Spares;
use super::verify::Verifier;
use super::writer::Writer;
use super::{Done, LogError, LogPosition, LogRecord, MAX_INDEX, MAX_PAYLOAD_BYTES, MAX_VOTE_BYTES};
use crate::{Durations, LogSegment, Progress};

/// A handle on an open log; clones share it. The last one to go closes the log.
///
/// Calls that change the log take effect in the order they are made. What they change can be read when they return, and
/// is durable when their [`Done`] is called. Where a call itself returns an error, its `Done` is dropped uncalled and
/// nothing changed. They wait while the queue is full, so an async caller makes them where it may block.
#[derive(Clone)]
pub struct RaftLog {
    handle: Arc<Handle>,
}

/// What all clones share.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) writer: Running,
    pub(super) spares: Arc<Spares>,
    pub(super) verifier: Arc<Verifier>,
    /// The threads that make spares and verify.
    pub(super) helpers: Mutex<Vec<JoinHandle<()>>>,
}

/// Who writes.
pub(super) enum Running {
    Thread(Mutex<Option<JoinHandle<()>>>),
    /// Gone once the log is closed or has failed.
    Task(Arc<Mutex<Option<Writer>>>),
}

impl RaftLog {
    pub(super) fn of(handle: Handle) -> RaftLog {
        RaftLog { handle: Arc::new(handle) }
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// What the log was created for.
    pub fn identity(&self) -> Bytes {
        self.shared().lock().identity.clone()
    }

    /// The vote that was saved last.
    pub fn vote(&self) -> Option<Bytes> {
        self.shared().lock().vote.clone()
    }

    /// The committed position that was saved last.
    pub fn committed(&self) -> Option<LogPosition> {
        self.shared().lock().committed
    }

    /// The last position that was purged.
    pub fn purged(&self) -> Option<LogPosition> {
        self.shared().lock().purged
    }

    /// The newest entry; in a log without entries, what was purged last.
    pub fn last(&self) -> Option<LogPosition> {
        self.shared().lock().index.last()
    }

    /// The index of the newest entry that no crash takes back; in a log without any, of what was purged last; or 0.
    pub fn durable_index(&self) -> u64 {
        self.shared().lock().durable_index()
    }

    /// The oldest entry kept; `None` in a log without entries.
    pub fn first_index(&self) -> Option<u64> {
        self.shared().lock().index.first_index()
    }

    /// The position at `index`: of an entry kept, or of the last one purged.
    pub fn position_of(&self, index: u64) -> Option<LogPosition> {
        self.shared().lock().index.position_of(index)
    }

    /// Bytes that the entries kept take on disk.
    pub fn bytes(&self) -> u64 {
        self.shared().lock().index.live_bytes()
    }

    /// Bytes that the entries after `index` take on disk, to within 64 KiB.
    pub fn bytes_after(&self, index: u64) -> u64 {
        self.shared().lock().index.bytes_after(index)
    }

    /// The segments that hold entries, oldest first, with the first entry of each.
    pub fn segments(&self) -> Vec<LogSegment> {
        let state = self.shared().lock();
        let size = |number| state.segments.get(&number).map_or(0, |segment| u64::from(segment.size));
        let firsts = state.index.first_by_segment().into_iter();
        firsts.map(|(number, first_index)| LogSegment { first_index, bytes: size(number) }).collect()
    }

    /// Bytes of all files: segments as preallocated, and those kept for reuse.
    pub fn disk_bytes(&self) -> u64 {
        self.handle.spares.disk_bytes()
    }

    /// Bytes of frames that can be appended without any more room from the file system: what is left of the current segment,
    /// and the segments that are kept ready. Whoever must go on while the disk is full keeps an eye on it: when it is
    /// used up, the log ends with [`LogError::NoRoom`].
    pub fn reserved_bytes(&self) -> u64 {
        self.shared().room.load(Ordering::Relaxed) + self.handle.spares.room()
    }

    /// Whether of the segments that are kept ready less than one is left.
    pub fn is_exhausted(&self) -> bool {
        self.handle.spares.is_exhausted(self.shared().room.load(Ordering::Relaxed))
    }

    /// How the writer goes on, from a batch that it took until that batch is durable.
    pub(crate) fn progress(&self) -> &Progress {
        &self.shared().progress
    }

    /// How long it took each time to make a batch durable.
    pub(crate) fn syncs(&self) -> &Durations {
        &self.shared().syncs
    }

    /// Appends entries. They follow the last entry and each other; the first of a log that never held one may be any.
    ///
    /// # Errors
    /// [`LogError::NotConsecutive`], [`LogError::OutOfBounds`]; the error that ended the log; [`LogError::Closed`].
    pub fn append(&self, records: Vec<LogRecord>, done: Done) -> Result<(), LogError> {
        for record in &records {
            bounded("payload length", record.payload.len(), MAX_PAYLOAD_BYTES)?;
        }
        for (one, next) in records.iter().zip(records.iter().skip(1)) {
            let (expected, found) = (one.position.index.saturating_add(1), next.position.index);
            if expected != found {
                return Err(LogError::NotConsecutive { expected, found });
            }
        }
        records.last().map_or(Ok(()), |last| indexed(last.position))?;
        let bytes = records.iter().map(|record| frame_bytes(record.payload.len())).sum();
        let mut state = self.shared().lock_with_room(bytes)?;
        if let Some(first) = records.first() {
            let found = first.position.index;
            state.index.expects(found).map_err(|expected| LogError::NotConsecutive { expected, found })?;
        }
        for record in &records {
            state.index.push_cached(record.position, record.payload.clone());
        }
        state.push(Operation::Append(records), bytes, Some(done));
        self.shared().wake_writer();
        Ok(())
    }

    /// Replaces the vote (at most [`MAX_VOTE_BYTES`]).
    ///
    /// # Errors
    /// [`LogError::OutOfBounds`]; the error that ended the log; [`LogError::Closed`].
    pub fn save_vote(&self, vote: &[u8], done: Done) -> Result<(), LogError> {
        bounded("vote length", vote.len(), MAX_VOTE_BYTES)?;
        let vote = Bytes::copy_from_slice(vote);
        let mut state = self.shared().lock_with_room(vote.len())?;
        state.vote = Some(vote.clone());
        state.push(Operation::Vote(vote.clone()), frame_bytes(vote.len()), Some(done));
        self.shared().wake_writer();
        Ok(())
    }

    /// Replaces the committed position. It becomes durable with the next write or when the log is closed; until then a
    /// crash brings an older one back, which Raft allows.
    ///
    /// # Errors
    /// [`LogError::OutOfBounds`]; the error that ended the log; [`LogError::Closed`].
    pub fn save_committed(&self, position: LogPosition) -> Result<(), LogError> {
        indexed(position)?;
        let mut state = self.shared().lock();
        state.usable()?;
        if state.committed != Some(position) {
            state.committed = Some(position);
            state.push(Operation::Committed(position), 0, None);
        }
        Ok(())
    }

    /// Removes the entries after `last`, or all of them.
    ///
    /// # Errors
    /// [`LogError::Purged`] if `last` lies before what was purged; the error that ended the log; [`LogError::Closed`].
    pub fn truncate_after(&self, last: Option<u64>, done: Done) -> Result<(), LogError> {
        let mut state = self.shared().lock_with_room(0)?;
        if let (Some(index), Some(purged)) = (last, state.purged)
            && index < purged.index
        {
            return Err(LogError::Purged { index, purged: purged.index });
        }
        let operation = match last {
            // Nothing lies after it: answered in its turn, nothing written.
            Some(index) if state.index.last().is_none_or(|newest| newest.index <= index) => Operation::Sync,
            Some(index) => Operation::Truncate(state.index.position_of(index)),
            None => Operation::Truncate(state.index.floor()),
        };
        if let Operation::Truncate(last) = operation {
            state.index.truncate(last);
        }
        state.push(operation, 0, Some(done));
        self.shared().wake_writer();
        Ok(())
    }

    /// Removes the entries up to `position`. Beyond the last entry it empties the log, which then goes on after
    /// `position` (as after a snapshot was installed). Below what was purged already, nothing changes.
    ///
    /// # Errors
    /// [`LogError::OutOfBounds`]; the error that ended the log; [`LogError::Closed`].
    pub fn purge(&self, position: LogPosition, done: Done) -> Result<(), LogError> {
        indexed(position)?;
        let mut state = self.shared().lock_with_room(0)?;
        let news = state.purged.is_none_or(|purged| purged.index < position.index);
        if news {
            state.purged = Some(position);
            state.index.purge(position);
        }
        state.push(if news { Operation::Purge(position) } else { Operation::Sync }, 0, Some(done));
        self.shared().wake_writer();
        Ok(())
    }

    /// Reads entries of `range` in order, until their payloads exceed `max_bytes`; at least one, if there is one. What
    /// lies beyond the last entry is simply not there. What is read from disk is verified.
    ///
    /// # Errors
    /// [`LogError::Purged`] if `range` begins before the first entry kept; [`LogError::Damaged`]; [`LogError::Io`];
    /// the error that ended the log.
    pub fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<LogRecord>, LogError> {
        self.find(range, max_bytes)?.read()
    }

    /// Looks up, under the lock, where the entries are, with a hold on the segments, so that no purge takes them away.
    /// What is read from disk is read without the lock.
    ///
    /// # Errors
    /// [`LogError::Purged`] if `range` begins before the first entry kept; the error that ended the log.
    pub(crate) fn find(&self, range: Range<u64>, max_bytes: usize) -> Result<EntryLookup, LogError> {
        let index = range.start;
        let state = self.shared().lock();
        match state.usable() {
            Ok(()) | Err(LogError::Closed) => {}
            Err(error) => return Err(error),
        }
        let plan = state.index.plan(range, max_bytes).map_err(|purged| LogError::Purged { index, purged })?;
        let stored = plan.stored.into_iter().map(|stretch| {
            // An entry is found only while its segment is held, and both change under one lock.
            let segment = state.segments.get(&stretch.segment).map(Arc::clone).ok_or(LogError::WriterGone)?;
            Ok((stretch, segment))
        });
        Ok(EntryLookup { stored: stored.collect::<Result<_, LogError>>()?, cached: plan.cached, max_bytes })
    }

    /// Waits until every call made so far is durable, the committed position too.
    ///
    /// # Errors
    /// The error that ended the log; [`LogError::Closed`].
    pub fn sync(&self) -> Result<(), LogError> {
        self.durably(|done| {
            self.shared().lock_with_room(0)?.push(Operation::Sync, 0, Some(done));
            self.shared().wake_writer();
            Ok(())
        })
    }

    /// Makes a call that changes the log, and waits until it is durable.
    ///
    /// # Errors
    /// Those of the call; the error that ended the log.
    pub fn durably(&self, call: impl FnOnce(Done) -> Result<(), LogError>) -> Result<(), LogError> {
        let (sender, receiver) = sync_channel(1);
        call(Box::new(move |result| drop(sender.send(result))))?;
        // Whoever waits here waits on the thread that the task would need.
        if let Running::Task(writer) = &self.handle.writer
            && let Some(mut writer) = writer.try_lock()
        {
            while self.shared().lock().has_work() && Writer::step(&mut writer) {}
        }
        receiver.recv().unwrap_or(Err(LogError::WriterGone))
    }

    /// Makes every call durable and stops the writer thread. Later calls get [`LogError::Closed`]; reading still
    /// works. Closing a closed log does nothing.
    ///
    /// # Errors
    /// The error that ended the log.
    pub fn close(&self) -> Result<(), LogError> {
        self.handle.close()
    }

    #[cfg(test)]
    pub(super) fn cached_bytes(&self) -> usize {
        self.shared().lock().index.cached_bytes()
    }
}

impl Handle {
    fn close(&self) -> Result<(), LogError> {
        {
            let mut state = self.shared.lock();
            if state.usable().is_ok() {
                state.push(Operation::Close, 0, None);
            }
        }
        self.shared.wake_writer();
        match &self.writer {
            Running::Thread(thread) => {
                let thread = thread.lock().take();
                // A `Done` may hold the last handle; the thread that runs it cannot wait for itself.
                if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
                    && thread.join().is_err()
                {
                    return Err(LogError::WriterGone);
                }
            }
            Running::Task(writer) => {
                // Held, it is writing, and the last handle went with a `Done`: what is queued behind it goes with the log.
                if let Some(mut writer) = writer.try_lock() {
                    while self.shared.lock().has_work() && Writer::step(&mut writer) {}
                }
            }
        }
        self.spares.stop();
        self.verifier.stop();
        for helper in self.helpers.lock().drain(..) {
            // They end by themselves, and nothing that they do was promised to anybody.
            drop(helper.join());
        }
        match self.shared.lock().usable() {
            Ok(()) | Err(LogError::Closed) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nobody is left to hear of an error, and every call that asked to be told was told.
        drop(self.close());
    }
}

pub(super) fn bounded(what: &'static str, size: usize, bound: usize) -> Result<(), LogError> {
    if size <= bound { Ok(()) } else { Err(LogError::OutOfBounds { what, size: size as u64, bound: bound as u64 }) }
}

fn indexed(LogPosition { index, .. }: LogPosition) -> Result<(), LogError> {
    let bound = MAX_INDEX;
    if index <= bound { Ok(()) } else { Err(LogError::OutOfBounds { what: "index", size: index, bound }) }
}
