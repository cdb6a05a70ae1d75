//! The Raft log: entries, the vote and a few positions, in preallocated segment files of our own.
//!
//! It is a log and nothing else: it knows neither Raft's rules nor what an entry means, and identity and vote are bytes
//! to it. It does not lock its directory; whoever owns the data directory does.
//!
//! # Why our own
//! The rule that matters: **a flipped bit in bytes that were synced is found, and never read as the log's end**, because a
//! node that quietly forgets an acknowledged entry or a vote breaks Raft. And yet what a crash leaves of a write that was
//! not synced (torn, zeroed, rubbish) must be cut without a question. The logs at hand keep one half of that.
//!
//! # How a frame proves what was synced
//! ```text
//!  segment N                                                            segment N+1
//!  header | batch | synced | batch | synced | … | batch | sealed synced | header | batch | synced …
//!           └ written, fdatasync'ed, then its marker, then acknowledged
//! ```
//! A batch is what the writer found queued: one write, one `fdatasync`, then a marker that is written but not synced by
//! itself. Every frame holds, under its header's checksum, `proven`: the offset below which everything had been synced
//! when the frame was made. So recovery, at the first frame that does not verify, looks at all later places of the
//! file: if any frame that verifies has `proven` beyond here, these bytes were synced and are damaged; the log is refused.
//! Otherwise they are a torn write; they are cut.
//!
//! Merely finding a later frame would prove too much: after a power cut the disk may hold batch k+1 but not the unsynced
//! marker of batch k before it. The frames of k+1 prove only what ended before that marker, so this is cut too.
//!
//! Each segment's header is synced under a temporary name before the file gets its own, so a segment with a bad header
//! is damage. A segment is sealed only once the next one exists durably, and the next one is written to only once the
//! seal is synced, so a lost segment is noticed, and one made for nothing is recognised by holding no frame.
//! Frames of a file's earlier life fail, because sync word and checksums are seeded with a salt drawn for each life. For
//! the same reason a client cannot smuggle in a frame inside a payload. A cut write's frames that still verify are zeroed
//! before anything is written, lest they continue a batch that happens to end where they begin; and what verifies but is
//! not proven is written again before it is believed, because after a failed `fsync` the page cache may show what the
//! disk does not have. That holds for a seal too, until its marker or a frame in the next segment proves it. And opening
//! syncs the directory: a killed process may have left names that are only in memory.
//!
//! # How a long log opens quickly
//! A sealed segment carries a summary of itself, written once its seal is synced: where its entries are, and a fingerprint
//! of the state that the next segment's header holds whole. Opening believes one that verifies, and reads what has none:
//! the segment that was written to, what a power cut took the summary of, what an earlier program sealed. What was not
//! read cannot be lost unseen: the entries of a segment that is believed are verified when they are read, and a thread
//! reads all of it after the opening and ends the log if a bit is not what it was. Votes and positions are in the headers
//! of later segments and never read from there.
//!
//! # How it goes on when the disk is full
//! Segments are made ahead, with their blocks on disk, and purged ones come back as such before any is removed. A rotation
//! takes one of them and needs no room from the file system. [`RaftLog::reserved_bytes`] says how much is left.
//!
//! # What it cannot know
//! - The newest batch, if a power cut took its marker *and* a bit of it flips before the log is opened again: that
//!   is the picture of a torn write. Opening, the next batch and closing each end this window.
//! - A region that covers the newest batch together with its marker and reads as zeros.
//! - Everything rests on a disk that, when it rewrites a sector with the same leading bytes, keeps those bytes (SQLite
//!   calls it powersafe overwrite): a marker may share its sector with the batch before it.

mod checkpoint;
mod directory;
mod disk;
mod error;
mod fold;
mod frame;
#[cfg(any(fuzzing, test))]
pub(crate) mod fuzzing;
mod header;
mod image;
mod index;
mod lookup;
mod opening;
mod queue;
mod raft_log;
mod recovery;
mod repair;
mod segment;
mod spares;
mod summary;
mod verify;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use error::LogError;
pub use raft_log::RaftLog;

/// Longest identity, in bytes. Ids are 16 bytes each; this leaves room, and a header fits in one page.
pub const MAX_IDENTITY_BYTES: usize = 256;

/// Longest vote, in bytes: a term and a node id, and room.
pub const MAX_VOTE_BYTES: usize = 256;

/// Longest payload of an entry, in bytes: the largest value (1 MiB, configurable) with room for a batch of commands.
pub const MAX_PAYLOAD_BYTES: usize = 8 << 20;

/// Largest index of an entry, so that the one that would follow it has a number too.
pub const MAX_INDEX: u64 = u64::MAX - 1;

/// Smallest segment, in bytes: the header's page and as much again.
pub const MIN_SEGMENT_BYTES: u32 = 8 << 10;

/// Largest segment, in bytes. Opening reads at most two segments at a time into memory, and offsets are 32 bits.
pub const MAX_SEGMENT_BYTES: u32 = 1 << 30;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogPosition {
    /// The term of the leader that made the entry.
    pub term: u64,
    /// The entry's number.
    pub index: u64,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    /// Where it stands.
    pub position: LogPosition,
    /// What it says; at most [`MAX_PAYLOAD_BYTES`].
    pub payload: Bytes,
}

/// How a log uses disk and memory. May differ from one opening to the next.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Size of a new segment file, between [`MIN_SEGMENT_BYTES`] and [`MAX_SEGMENT_BYTES`]. An entry that does not fit
    /// gets a segment of its own size.
    pub segment_bytes: u32,
    /// Payloads of the newest entries kept in memory for readers, in bytes. What is not written yet counts too.
    pub cache_bytes: usize,
    /// Purged segments kept for reuse: a segment made from one needs no zeros written.
    pub recycled_segments: usize,
    /// Segments that are made ahead, by a thread, so that the log goes on for so long on a disk that is full. Not with a
    /// writer that is a task.
    pub reserved_segments: usize,
    /// How long after the opening the sealed segments are verified that the opening did not read.
    pub verify_after: Duration,
    /// Most bytes that one write and one sync take from the queue; the queue holds twice that before callers wait. An
    /// append larger than this still goes as one.
    pub max_batch_bytes: usize,
    /// Who writes.
    pub writer: LogWriter,
}

/// Who writes to the files of an open log.
#[derive(Clone, Default)]
pub enum LogWriter {
    /// A thread of the log's own.
    #[default]
    Thread,
    /// A task of the runtime on which the log is opened, which lets so much of the runtime's time pass before each batch. For
    /// a simulation, where one thread does everything and time is not the machine's.
    Task(Arc<dyn Fn() -> Duration + Send + Sync>),
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Thread => "Thread",
            Self::Task(_) => "Task(…)",
        })
    }
}

impl Default for LogOptions {
    fn default() -> LogOptions {
        LogOptions {
            segment_bytes: 64 << 20,
            cache_bytes: 32 << 20,
            recycled_segments: 2,
            reserved_segments: 0,
            // A start has better things to do with the disk.
            verify_after: Duration::from_secs(10),
            // A disk that syncs at 200 MB/s does this in 40 ms, within one heartbeat.
            max_batch_bytes: 8 << 20,
            writer: LogWriter::Thread,
        }
    }
}

/// Called once, from the log's writer thread, when a call is durable or has failed. It must not wait for this log (a
/// full queue would never empty), should be quick, and must not panic (the log ends).
pub type Done = Box<dyn FnOnce(Result<(), LogError>) + Send>;
