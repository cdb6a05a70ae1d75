use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader};
use parking_lot::RwLock;
use sessile_core::LogTime;
use tokio::sync::oneshot;

use crate::codec::{decode_entry, encode_entry, seal, unseal};
use crate::log::{LogError, LogRecord, RaftLog};
use crate::types::{Entry, log_id_at, position};
use crate::{Durations, LogId, NodeId, Progress, Retention, SessionState, TypeConfig, Vote, off_the_runtime};

/// The most bytes of entries that one read for replication hands out. A follower's message stays below what gRPC takes.
const MAX_READ_BYTES: usize = 4 * 1024 * 1024;

/// So many entries without a stamp may follow each other before the time of a place in the log counts as unknown. Raft
/// puts in one for each leader and a few for each change of the membership.
const STAMPLESS_ENTRIES: u64 = 16;

/// The most bytes that are read to learn the time of a place in the log, unless a single entry is larger.
const MAX_STAMP_BYTES: usize = 64 * 1024;

/// The Raft log as openraft wants it: entries and votes in and out of [`RaftLog`], in the order of the calls.
#[derive(Clone)]
pub struct LogStore {
    log: RaftLog,
    /// Before entries go, the state that they made must be durable.
    state: Option<SessionState>,
    /// The vote that is kept, or that is on its way to the disk. The log has it as well, behind the lock of all appends; every
    /// round of reads asks for it.
    ballot: Arc<RwLock<Option<Vote>>>,
    /// The last entry that is known to be committed, beside the log for the same reason.
    committed: Arc<RwLock<Option<LogId>>>,
}

impl LogStore {
    /// Over a log, and the state that its purged entries must be durable in.
    pub(crate) fn new(log: RaftLog, state: Option<SessionState>) -> Self {
        let committed = Arc::new(RwLock::new(log.committed().map(log_id_at)));
        let store = Self { log, state, ballot: Arc::default(), committed };
        // A vote that cannot be read stops Raft when it asks for it.
        *store.ballot.write() = store.vote().ok().flatten();
        store
    }

    /// The vote of this node: never older than one that anybody was told of, because a vote is here before it is on disk,
    /// and on disk before it is told (Raft, figure 2).
    pub fn ballot(&self) -> Option<Vote> {
        *self.ballot.read()
    }

    /// How the writing of it goes on.
    pub fn progress(&self) -> &Progress {
        self.log.progress()
    }

    /// How long it took each time to make a batch of it durable (fdatasync).
    pub fn syncs(&self) -> &Durations {
        self.log.syncs()
    }

    /// Bytes of the entries that are kept.
    pub fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Bytes that the entries after `index` take.
    pub fn bytes_after(&self, index: u64) -> u64 {
        self.log.bytes_after(index)
    }

    /// Whether little more can be appended without any more room from the file system. When that is used up on a full disk,
    /// the log fails and the node ends, so writes must be refused before.
    pub fn is_exhausted(&self) -> bool {
        self.log.is_exhausted()
    }

    /// Bytes of its files: segments as preallocated, and those kept for reuse.
    pub fn disk_bytes(&self) -> u64 {
        self.log.disk_bytes()
    }

    /// The last entry on disk or on its way there; in a log without entries, what was purged last.
    pub fn last(&self) -> Option<LogId> {
        self.log.last().map(log_id_at)
    }

    /// The index of the newest entry that this node can have acknowledged: no crash takes it back. 0 if there is none.
    pub fn durable_index(&self) -> u64 {
        self.log.durable_index()
    }

    /// The last entry that was purged.
    pub fn purged(&self) -> Option<LogId> {
        self.log.purged().map(log_id_at)
    }

    /// The last entry that is known here to be committed, before it is applied. After a crash it may be an older one.
    pub fn committed(&self) -> Option<LogId> {
        *self.committed.read()
    }

    /// Which entries it holds.
    pub fn log_ids(&self) -> Vec<LogId> {
        let (Some(first), Some(last)) = (self.log.first_index(), self.log.last()) else { return Vec::new() };
        (first..=last.index).filter_map(|index| self.log.position_of(index)).map(log_id_at).collect()
    }

    /// The last entry that `retention` lets go, if what is durable in the state reaches to `durable` and it is `now`. It
    /// looks at the stamps of a handful of entries, off the runtime.
    ///
    /// # Errors
    /// The disk, or damage in the log.
    pub async fn purge_upto(&self, retention: Retention, durable: u64, now: LogTime) -> io::Result<Option<u64>> {
        let log = self.clone();
        let look = move || {
            let segments = log.log.segments();
            retention.purge_upto(&segments, durable, now, |index| log.stamp_at(index))
        };
        off_the_runtime(look).await.map_err(io::Error::other)?
    }

    /// The stamp of the entry at `index`, or of one soon after it: what Raft itself puts into the log has none. `None` if
    /// there is none near.
    fn stamp_at(&self, index: u64) -> io::Result<Option<LogTime>> {
        let records = match self.log.read(index..index.saturating_add(STAMPLESS_ENTRIES), MAX_STAMP_BYTES) {
            Ok(records) => records,
            // It went meanwhile.
            Err(LogError::Purged { .. }) => return Ok(None),
            Err(error) => return Err(io::Error::other(error)),
        };
        for record in records {
            if let EntryPayload::Normal(proposal) = entry(record)?.payload {
                return Ok(Some(proposal.stamp));
            }
        }
        Ok(None)
    }

    /// Entries from memory at once, and from the disk on a thread where they hold up nobody.
    async fn entries(&self, Range { start, end }: Range<u64>, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let found = loop {
            // What was purged is not an error: openraft asks for more than there is at either end.
            let start = start.max(self.log.purged().map_or(0, |purged| purged.index + 1));
            let start = start.max(self.log.first_index().unwrap_or(0));
            match self.log.find(start..end, max_bytes) {
                // A purge came in between; they only go forward, so this ends.
                Err(LogError::Purged { .. }) => {}
                found => break found.map_err(io::Error::other)?,
            }
        };
        let is_in_memory = found.is_in_memory();
        let read = || found.read().map_err(io::Error::other)?.into_iter().map(entry).collect();
        if is_in_memory { read() } else { off_the_runtime(read).await.map_err(io::Error::other)? }
    }

    fn vote(&self) -> io::Result<Option<Vote>> {
        let Some(bytes) = self.log.vote() else { return Ok(None) };
        let (term, node, committed): (u64, NodeId, bool) = unseal(&bytes)
            .map_err(|error| io::Error::other(format!("the vote in the Raft log cannot be read: {error}")))?;
        let mut vote = Vote::new(term, node);
        vote.committed = committed;
        Ok(Some(vote))
    }

    /// Runs a write of the log and waits until it is durable.
    async fn durably(&self, write: impl FnOnce(crate::log::Done) -> Result<(), LogError>) -> io::Result<()> {
        let (sender, receiver) = oneshot::channel();
        let done = move |result: Result<(), LogError>| drop(sender.send(result));
        write(Box::new(done)).map_err(io::Error::other)?;
        let ended = || io::Error::other("the Raft log was closed before a write was durable");
        receiver.await.map_err(|_| ended())?.map_err(io::Error::other)
    }
}

fn entry(record: LogRecord) -> io::Result<Entry> {
    let index = record.position.index;
    decode_entry(log_id_at(record.position), record.payload)
        .map_err(|error| io::Error::other(format!("entry {index} of the Raft log cannot be read: {error}")))
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(&index) => index,
        Bound::Excluded(&index) => index.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&index) => index.saturating_add(1),
        Bound::Excluded(&index) => index,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.entries(half_open(&range), usize::MAX).await
    }

    /// In pieces, so that a long way to go is never in memory whole.
    async fn entries_stream<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend {
        let Range { start, end } = half_open(&range);
        let pieces = stream::try_unfold((self.clone(), start), move |(log, next)| async move {
            if next >= end {
                return Ok(None);
            }
            let entries = log.entries(next..end, MAX_READ_BYTES).await?;
            let following = entries.last().map(|last| last.log_id.index + 1);
            Ok::<_, io::Error>(following.map(|following| (stream::iter(entries.into_iter().map(Ok)), (log, following))))
        });
        Box::pin(pieces.try_flatten())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.entries(start..end, MAX_READ_BYTES).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        self.vote()
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let purged = self.log.purged().map(log_id_at);
        Ok(LogState { last_purged_log_id: purged, last_log_id: self.log.last().map(log_id_at) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        *self.ballot.write() = Some(*vote);
        let bytes = seal(&(vote.leader_id.term, vote.leader_id.voted_for, vote.committed));
        self.durably(|done| self.log.save_vote(&bytes, done)).await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let Some(log_id) = committed else { return Ok(()) };
        *self.committed.write() = committed;
        // It rides with the next write: what a crash forgets of it, the next leader tells again.
        self.log.save_committed(position(&log_id)).map_err(io::Error::other)
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.committed())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let record = |entry: Entry| LogRecord { position: position(&entry.log_id), payload: encode_entry(&entry) };
        let records = entries.into_iter().map(record).collect();
        let done = move |result: Result<(), LogError>| callback.io_completed(result.map_err(io::Error::other));
        self.log.append(records, Box::new(done)).map_err(io::Error::other)
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        self.durably(|done| self.log.truncate_after(last.map(|log_id| log_id.index), done)).await
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        if let Some(state) = self.state.clone() {
            // What made the state must not go before the state is on disk. Not clamped to what is: openraft takes a
            // purge that returns as done up to `upto`, and after an installed snapshot appends right behind it, so a log
            // that kept less would have a hole. It asks only once the snapshot up to there is built or installed, and
            // both persist first; so this waits for nothing, and an error here is a broken promise that stops the node.
            off_the_runtime(move || state.persist_upto(&upto)).await.map_err(io::Error::other)??;
        }
        self.durably(|done| self.log.purge(position(&upto), done)).await
    }
}

/// The node id that a log belongs to, as the log's identity.
pub(crate) fn identity_of(node: NodeId) -> Bytes {
    seal(&node)
}
