//! What callers and the writer thread share: the queue, and what readers see.
//!
//! ```text
//!  append, vote, truncate, purge ──┐ one lock: into the queue and, at once, into what readers see
//!                                  ▼
//!                     queue (bounded) ──▶ writer thread ──▶ one write, one sync ──▶ Done, Done, …
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::Notify;

use super::index::{Index, Placed};
use super::segment::SegmentFile;
use super::{Done, LogError, LogPosition, LogRecord};
use crate::{Durations, Progress};

/// Most calls queued before callers wait: far more than one sync gathers, and little memory.
const MAX_QUEUED: usize = 4096;

/// The queue may hold this many batches' bytes: one is being written while the next gathers.
const QUEUED_BATCHES: usize = 2;

/// One call, as the writer gets it.
pub(super) enum Operation {
    Append(Vec<LogRecord>),
    Vote(Bytes),
    Committed(LogPosition),
    Truncate(Option<LogPosition>),
    Purge(LogPosition),
    /// Nothing to write, or nothing any more: only to be answered in its turn.
    Sync,
    /// What was synced is found to be damaged: the log ends.
    Damaged(LogError),
    /// Everything before it is the last.
    Close,
}

pub(super) struct Queued {
    pub(super) number: u64,
    pub(super) operation: Operation,
    pub(super) bytes: usize,
    pub(super) done: Option<Done>,
}

pub(super) struct State {
    pub(super) identity: Bytes,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<LogPosition>,
    pub(super) purged: Option<LogPosition>,
    pub(super) index: Index,
    /// The newest entry that is durable is not beyond this, and those up to it are unless they were truncated since.
    durable: u64,
    /// Files that readers may need. A reader clones the handle under the lock and reads without it.
    pub(super) segments: BTreeMap<u32, Arc<SegmentFile>>,
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    next_number: u64,
    /// Truncations queued but not written, with the index they keep: an entry that the writer reports as written, but
    /// that one of them removed, must not be mistaken for the entry that took its place since.
    truncations: VecDeque<(u64, Option<u64>)>,
    closing: bool,
    failed: Option<LogError>,
}

/// Everything shared.
pub(super) struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// The same for a writer that is a task.
    work_for_task: Notify,
    has_room: Condvar,
    /// Bytes of frames that fit into the current segment.
    pub(super) room: AtomicU64,
    /// What the writer does, from a batch that it took until that batch is durable.
    pub(super) progress: Progress,
    /// How long it took each time to make a batch durable.
    pub(super) syncs: Durations,
    max_batch_bytes: usize,
    cache_bytes: usize,
}

impl State {
    /// The index of the newest entry that is durable, or of what was purged: what is purged is durable in the state.
    pub(super) fn durable_index(&self) -> u64 {
        self.durable.max(self.purged.map_or(0, |purged| purged.index))
    }

    pub(super) fn new(identity: Bytes, index: Index) -> State {
        let durable = index.last().map_or(0, |last| last.index);
        State {
            identity,
            vote: None,
            committed: None,
            purged: None,
            index,
            segments: BTreeMap::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            next_number: 0,
            durable,
            truncations: VecDeque::new(),
            closing: false,
            failed: None,
        }
    }

    /// The error that every call gets once the log has failed or was closed.
    pub(super) fn usable(&self) -> Result<(), LogError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.closing => Err(LogError::Closed),
            None => Ok(()),
        }
    }

    /// Queues a call. The committed position alone wakes nobody: it rides with the next write.
    pub(super) fn push(&mut self, operation: Operation, bytes: usize, done: Option<Done>) {
        if let Operation::Committed(_) = operation
            && let Some(Queued { operation: queued @ Operation::Committed(_), .. }) = self.queue.back_mut()
        {
            *queued = operation;
            return;
        }
        let number = self.next_number;
        self.next_number += 1;
        if let Operation::Truncate(last) = operation {
            self.truncations.push_back((number, last.map(|last| last.index)));
            self.durable = self.durable.min(last.map_or(0, |last| last.index));
        }
        self.closing |= matches!(operation, Operation::Close);
        self.queued_bytes += bytes;
        self.queue.push_back(Queued { number, operation, bytes, done });
    }

    pub(super) fn has_work(&self) -> bool {
        self.queue.iter().any(|queued| !matches!(queued.operation, Operation::Committed(_)))
    }

    /// Whether a call must wait. Only for what the writer is about to take: a committed position that waits for company
    /// empties no queue, and a call larger than the whole queue has to go as well.
    fn is_full(&self, bytes: usize, max_batch_bytes: usize) -> bool {
        let full = self.queued_bytes.saturating_add(bytes) > max_batch_bytes.saturating_mul(QUEUED_BATCHES);
        (full || self.queue.len() >= MAX_QUEUED) && self.has_work()
    }

    fn take(&mut self, max_batch_bytes: usize) -> Vec<Queued> {
        let mut batch = Vec::new();
        let mut bytes: usize = 0;
        while let Some(queued) = self.queue.front() {
            bytes = bytes.saturating_add(queued.bytes);
            if !batch.is_empty() && bytes > max_batch_bytes {
                break;
            }
            self.queued_bytes -= queued.bytes;
            batch.extend(self.queue.pop_front());
        }
        batch
    }
}

impl Shared {
    pub(super) fn new(state: State, max_batch_bytes: usize, cache_bytes: usize) -> Shared {
        Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            work_for_task: Notify::new(),
            has_room: Condvar::new(),
            room: AtomicU64::new(0),
            progress: Progress::default(),
            syncs: Durations::default(),
            max_batch_bytes,
            cache_bytes,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// The lock, once the queue has room for a call of `bytes` and while the log is usable.
    pub(super) fn lock_with_room(&self, bytes: usize) -> Result<MutexGuard<'_, State>, LogError> {
        let mut state = self.state.lock();
        loop {
            state.usable()?;
            if !state.is_full(bytes, self.max_batch_bytes) {
                return Ok(state);
            }
            self.has_room.wait(&mut state);
        }
    }

    /// Lets the writer know, after a push.
    pub(super) fn wake_writer(&self) {
        self.work.notify_one();
        self.work_for_task.notify_one();
    }

    /// Waits, as a task, until there is something to write.
    pub(super) async fn has_work(&self) {
        while !self.lock().has_work() {
            self.work_for_task.notified().await;
        }
    }

    /// Waits for work and takes what is queued, at most one batch's bytes, in the order of the calls.
    pub(super) fn next_batch(&self) -> Vec<Queued> {
        let mut state = self.state.lock();
        while !state.has_work() {
            self.work.wait(&mut state);
        }
        let batch = state.take(self.max_batch_bytes);
        drop(state);
        self.has_room.notify_all();
        batch
    }

    /// Tells readers where the entries of a batch are, now that they are durable, and lets the cache shrink.
    /// `through` is the number of the batch's last call.
    pub(super) fn settle(&self, placed: &[Placed], through: u64) {
        let mut state = self.state.lock();
        while state.truncations.front().is_some_and(|(number, _)| *number <= through) {
            state.truncations.pop_front();
        }
        let survives = |index: u64| state.truncations.iter().all(|(_, keep)| keep.is_some_and(|keep| index <= keep));
        let surviving: Vec<_> = placed.iter().copied().filter(|placed| survives(placed.index)).collect();
        if let Some(last) = surviving.last() {
            state.durable = last.index;
        }
        for placed in surviving {
            state.index.locate(placed);
        }
        state.index.evict(self.cache_bytes);
    }

    /// Ends the log with `error`: every later call gets it, and so do `dones`, the calls of the batch that failed, and
    /// every call that is queued. From the moment the first of them hears of it, no call succeeds.
    pub(super) fn fail(&self, error: &LogError, dones: Vec<Done>) {
        let queued = {
            let mut state = self.state.lock();
            state.failed.get_or_insert_with(|| error.clone());
            state.queued_bytes = 0;
            std::mem::take(&mut state.queue)
        };
        self.has_room.notify_all();
        for done in dones.into_iter().chain(queued.into_iter().filter_map(|queued| queued.done)) {
            done(Err(error.clone()));
        }
    }
}
