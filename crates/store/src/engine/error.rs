//! What can go wrong with an engine.

use std::io;
use std::path::PathBuf;

/// Why an engine did not do what it was asked. No message holds a key or a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The disk or the file system refused. Fatal for this replica.
    #[error("{engine} store in {}: {operation} failed: {source}", .dir.display())]
    Io {
        /// The name of the engine whose store it is.
        engine: &'static str,
        /// What was being done.
        operation: &'static str,
        /// Where.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The library refused, found damage or panicked. Fatal for this replica.
    #[error("{engine} store in {}: {operation} failed: {reason}", .dir.display())]
    Backend {
        /// The name of the engine whose store it is.
        engine: &'static str,
        /// What was being done.
        operation: &'static str,
        /// Where.
        dir: PathBuf,
        /// The library's words. fjall and sled put file offsets and ids in theirs, never keys or values.
        reason: String,
    },
    /// The directory is another engine's.
    #[error(
        "{} holds a {found} store, but storage.engine is {wanted}: set storage.engine: {found}, or move the directory \
         away and let this node fetch its state anew",
        .dir.display()
    )]
    WrongEngine {
        /// Where.
        dir: PathBuf,
        /// The name of the engine whose it is.
        found: &'static str,
        /// The name of the engine that was asked for.
        wanted: &'static str,
    },
    /// The directory was written by a newer version.
    #[error(
        "{} holds a store of format {found}; this version reads formats up to {supported}: start a newer version, or \
         move the directory away",
        .dir.display()
    )]
    NewerFormat {
        /// Where.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest one known here.
        supported: u32,
    },
    /// The directory holds something that is no store of ours, or a mark that cannot be read.
    #[error("{} is not a store of this program: {reason}; nothing in it was changed", .dir.display())]
    Foreign {
        /// Where.
        dir: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The store is open already.
    #[error("{} is in use by another process (or opened twice by this one)", .dir.display())]
    Locked {
        /// Where.
        dir: PathBuf,
    },
    /// Writes replaced more than a view on sled may keep aside. The view is lost, the engine is well: take a new view
    /// when there is less to write, or use fjall.
    #[error(
        "a view on the sled store in {} failed: writes replaced more than {limit_bytes} bytes while it was open",
        .dir.display()
    )]
    ViewOverflow {
        /// Where.
        dir: PathBuf,
        /// The bound, in bytes.
        limit_bytes: usize,
    },
    /// A key, value or batch beyond what an engine takes. A mistake of the caller; nothing was written.
    #[error("{what} of {bytes} bytes does not fit a storage engine (limit {limit})")]
    OutOfBounds {
        /// Which of them.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// There is no room for a table: on the disk, in a quota, among the inodes or for one more open file. What was written
    /// waits in memory, nothing is lost, and it is tried again until there is room.
    #[error(
        "the store in {} has no room to make durable what was written ({reason}); it waits in memory: free some room",
        .dir.display()
    )]
    NoRoom {
        /// Where.
        dir: PathBuf,
        /// What the operating system said.
        reason: String,
    },
    /// The engine was shut down.
    #[error("the store in {} is shut down", .dir.display())]
    Closed {
        /// Where.
        dir: PathBuf,
    },
}
