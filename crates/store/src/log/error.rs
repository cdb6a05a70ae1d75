//! What can go wrong with the log, and what the operator should do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the log refused. Cheap to clone, because one failed fsync answers every caller that waits.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// The operating system failed a read, a write or a sync. Never retried: after a failed fsync nobody knows what
    /// the disk holds, so a second one that succeeds would prove nothing.
    #[error("could not {operation} {file}: {source}; the node must stop; restart it once the disk is well")]
    Io {
        /// What was tried, as a verb: "write", "sync", "rename to".
        operation: &'static str,
        /// The file or directory it was tried on.
        file: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The file system has no room for another segment (no blocks, no inodes, or a quota is used up), and no spare is left.
    #[error(
        "there is no room for another file of the Raft log in {directory}, and none is left in reserve: {source}; nothing \
         that was acknowledged is lost; make room on this disk and start the node again"
    )]
    NoRoom {
        /// The log's directory.
        directory: PathBuf,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// Bytes that had been synced do not verify.
    #[error(
        "{file} is damaged at byte {offset}: {what}; nothing was changed; restore this file from the disk's own \
         redundancy, or discard this node's log and let it join again as a new node"
    )]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// Where in the file the first byte that does not verify lies.
        offset: u64,
        /// What was expected there.
        what: String,
    },
    /// A segment that the others prove to have existed is not there, or another file stands in its place.
    #[error(
        "{file} is missing or misplaced: {what}; nothing was changed; put the file back, or discard this node's log \
         and let it join again as a new node"
    )]
    Missing {
        /// The segment that should be there.
        file: PathBuf,
        /// How that is known.
        what: String,
    },
    /// There is no log in the directory.
    #[error("{directory} holds no log: create one, or name the directory that does")]
    NoLog {
        /// The directory that was to be opened.
        directory: PathBuf,
    },
    /// A log cannot be created where something is already.
    #[error("{directory} is not empty ({found}): a log is created only in a directory that is absent or empty")]
    NotEmpty {
        /// The directory that was to be created.
        directory: PathBuf,
        /// The first thing found in it.
        found: String,
    },
    /// Entries must follow each other without a hole.
    #[error("entry {found} cannot follow the log's last: the next index is {expected}")]
    NotConsecutive {
        /// The index that would have fitted.
        expected: u64,
        /// The index that came.
        found: u64,
    },
    /// A caller's value is outside its bound.
    #[error("{what} is {size}, the bound is {bound}")]
    OutOfBounds {
        /// Which value.
        what: &'static str,
        /// Its size.
        size: u64,
        /// The bound it broke.
        bound: u64,
    },
    /// The entry was purged, so it can be neither read nor truncated to.
    #[error("entry {index} was purged: the log begins after {purged}")]
    Purged {
        /// The index asked for.
        index: u64,
        /// The last index that was purged.
        purged: u64,
    },
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
    /// The writer thread ended by a panic, most likely in a caller's `Done`.
    #[error("the log's writer thread ended unexpectedly; the node must stop")]
    WriterGone,
}

impl LogError {
    /// Wraps an operating system error with what was being done to which file.
    pub(super) fn io(operation: &'static str, file: &Path) -> impl FnOnce(io::Error) -> LogError {
        let file = file.to_path_buf();
        move |source| LogError::Io { operation, file, source: Arc::new(source) }
    }

    /// The same error, or, where the operating system found no room, one that says so.
    pub(super) fn or_no_room(self, directory: &Path) -> LogError {
        match self {
            LogError::Io { source, .. }
                if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                LogError::NoRoom { directory: directory.to_path_buf(), source }
            }
            other => other,
        }
    }

    /// Damage at `offset` of `file`.
    pub(super) fn damaged(file: &Path, offset: u64, what: impl Into<String>) -> LogError {
        LogError::Damaged { file: file.to_path_buf(), offset, what: what.into() }
    }
}
