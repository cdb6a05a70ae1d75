//! The storage engines of the session state, behind one small trait.
//!
//! An engine is an ordered keyspace of bytes with atomic batches and consistent views. It does **not** know what a key
//! or a value means, what expires, what Raft is, or who calls: the caller prefixes its keys by purpose and writes its
//! applied index in the same batch as the data that index covers.
//!
//! What an engine promises, each held by the conformance suite in `tests/` for both kinds:
//!
//! 1. A batch is atomic: for every reader while it is written, and across `kill -9`.
//! 2. A crash leaves a prefix of the writes, in their order, and at least what the last [`Engine::persist`] covered.
//! 3. A [`View`] is the state at its creation, whatever is written meanwhile, and a scan of it never holds up a write.
//! 4. A directory belongs to one engine and one process; anything else is refused and left as it is.
//! 5. What the library reports or panics about reaches the caller as an [`EngineError`], and an engine that failed to
//!    write refuses every write from then on.
//!
//! What an engine does not promise: to notice every flipped bit. A later layer hashes values and counts records.

mod batch;
mod cached;
mod error;
mod figures;
mod guard;
mod home;
mod kind;
mod lsm;
mod open;
mod retention;
mod sled;
#[cfg(test)]
pub(crate) mod tests;

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

pub use batch::{Batch, Operation};
pub use error::EngineError;
pub use figures::EngineFigures;
pub use kind::{EngineKind, OpenEngine, OtherEngine, UnknownEngine};
pub use lsm::{Step, Stepping, open_stepped};
pub use open::{open, open_cached};
pub use retention::Retention;

/// The longest key, in bytes: a session key of 1,024 with its prefix (namespace, generation, purpose) fits four times.
/// fjall writes a key's length as 16 bits and would cut a longer one without a word.
pub const MAX_KEY_BYTES: usize = 4096;

/// The longest value, in bytes: a session value is 1 MiB at most by default and configurable; the counters and outcome
/// windows beside it stay far below. fjall's journal allocates what a length field says, so the field has a roof.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// The most a batch may hold, in bytes of keys and values: two such batches fill a memtable of either engine's write
/// path, and a batch is in memory three times while it is written.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// What `scan` yields: pairs in ascending byte order of their keys. Ends after the first error.
pub type Scan<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes), EngineError>> + Send + 'a>;

/// One ordered keyspace of byte keys; the caller prefixes keys by purpose.
///
/// One writer at a time (the caller serialises `write`), any number of readers. Every call may block on the disk: call
/// it from a thread that may. An error other than `OutOfBounds`, `Closed`, `NoRoom` and `ViewOverflow` is a fault of
/// this node's disk or of its data: the replica stops.
pub trait Engine: Send + Sync {
    /// The newest value of `key`, or `None`. Never half a batch: whoever sees one key of a batch sees, in a later
    /// call, all of it, so "the clock first and the record after it" is a consistent read.
    ///
    /// # Errors
    /// `Io`, `Backend` (a damaged block among them), `OutOfBounds`, `Closed`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// What [`Engine::get`] would answer, if that can be told without waiting for the disk or for a write: `None` if it
    /// cannot. Called where nothing may wait.
    ///
    /// # Errors
    /// As [`Engine::get`].
    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, EngineError> {
        let _ = key;
        Ok(None)
    }

    /// Whether a batch of a few MiB, written now, would go into memory at once: without waiting for the disk, for room, or
    /// for another write. An engine that cannot tell says no, and is written to where it may wait.
    fn takes_writes_at_once(&self) -> bool {
        false
    }

    /// Applies `batch` whole or not at all. Visible when it returns, crash-durable only after [`Engine::persist`].
    /// After a crash the state is some prefix of the writes, in order, at least up to the last persist.
    ///
    /// # Errors
    /// `OutOfBounds` (nothing was written), `Closed`; `Io` and `Backend` mean that this engine writes no more.
    fn write(&self, batch: Batch) -> Result<(), EngineError>;

    /// Writes as [`Engine::write`] does, for a store that is being filled: puts in ascending order of their keys, and many
    /// of them. fjall makes tables of them at once, without its journal, and never merges them if batch after batch goes
    /// on in that order; a batch in another order, or that removes, is written as any other.
    ///
    /// # Errors
    /// As [`Engine::write`].
    fn fill(&self, batch: Batch) -> Result<(), EngineError> {
        self.write(batch)
    }

    /// Returns when everything written before the call is on disk (fsync). Reads and, as far as the library allows,
    /// writes go on meanwhile.
    ///
    /// # Errors
    /// `Io`, `Backend`: fatal and never retried, because a second fsync may claim what the first one lost. `NoRoom`: nothing
    /// is lost, and what was asked for may come later.
    fn persist(&self) -> Result<(), EngineError>;

    /// A consistent snapshot of now. Cheap to take; it costs while it lives (fjall: disk, because compaction keeps what
    /// it can see; sled: memory, see [`EngineError::ViewOverflow`]), so drop it when done.
    ///
    /// # Errors
    /// `Backend`, `Closed`.
    fn view(&self) -> Result<Box<dyn View>, EngineError>;

    /// A consistent snapshot of some moment since the last [`Engine::persist`], for those who ask often and need not know
    /// the newest: where writes wait in memory, each [`Engine::view`] makes one more layer of them for every read to look
    /// at.
    ///
    /// # Errors
    /// As [`Engine::view`].
    fn view_since_persist(&self) -> Result<Box<dyn View>, EngineError> {
        self.view()
    }

    /// A clean stop: everything is on disk, nothing depends on a journal, and the directory's lock is free when it
    /// returns, so the same process may open it at once. Views that still live answer `Closed` from then on. A second
    /// call does nothing. Dropping an engine without this call is an unclean stop.
    ///
    /// # Errors
    /// `Io`, `Backend`: the directory is released all the same.
    fn shutdown(&self) -> Result<(), EngineError>;

    /// Bytes this engine takes on disk, as its files report them (a preallocated journal counts by its blocks).
    /// 0 after `shutdown`, and for what cannot be read.
    fn disk_bytes(&self) -> u64;

    /// Bytes of disk that must be free for this engine to go on as it should: what its largest merge and a flush may
    /// need while what they read is still there. 0 where that is unknown, and after `shutdown`. It changes with what is stored. Cheap, and without the disk.
    fn reserve_bytes(&self) -> u64 {
        0
    }

    /// What it holds was found to be damaged: the next opening refuses it, however whole it looks.
    fn condemn(&self, why: &str) {
        let _ = why;
    }

    /// Whether it removes by itself what its [`Retention`] does not need any more.
    fn removes_lapsed(&self) -> bool {
        false
    }

    /// Whether the file system refused this engine room lately (ENOSPC, EDQUOT) and has given none since. A quota shows
    /// itself in no other way than that. Cheap, and without the disk.
    fn is_out_of_space(&self) -> bool {
        false
    }

    /// Whether the file system refuses room, and what waits in memory for it has taken most of what it may: another write
    /// may soon have to wait until there is room. Cheap, and without the disk.
    fn is_exhausted(&self) -> bool {
        false
    }

    /// What it is made of, if it can tell without the disk and without waiting for a write. Cheap.
    fn figures(&self) -> Option<EngineFigures> {
        None
    }

    /// Says that much has to be written at once from now on, or no longer: what can wait until then may.
    fn set_catches_up(&self, catches_up: bool) {
        let _ = catches_up;
    }

    /// Which engine this is.
    fn kind(&self) -> EngineKind;
}

/// The state of an engine at one moment.
pub trait View: Send + Sync {
    /// The value `key` had when this view was taken.
    ///
    /// # Errors
    /// As [`Engine::get`], and `ViewOverflow`.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError>;

    /// All pairs between two bounds, in ascending byte order. No lock is held between two items, so a scan may pause as
    /// long as it likes. An empty or inverted range is an empty scan.
    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_>;

    /// All pairs whose key begins with `prefix`, in ascending byte order; an empty prefix is everything.
    fn scan_prefix(&self, prefix: &[u8]) -> Scan<'_> {
        match prefix_end(prefix) {
            Some(end) => self.scan(Bound::Included(prefix), Bound::Excluded(&end)),
            None => self.scan(Bound::Included(prefix), Bound::Unbounded),
        }
    }
}

/// What an operator may choose about an engine.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Memory for what was read and written lately, in bytes. Raised to 8 MiB if less: below that the index alone would be
    /// evicted all the time.
    pub cache_bytes: u64,
    /// Memory for what was written and is in no table yet, in bytes: all buffers together.
    pub write_buffer_bytes: u64,
    /// How many table files may be open at a time.
    pub open_files: usize,
    /// What is needed for how long; everything for ever without one.
    pub retention: Option<Arc<dyn Retention>>,
    /// Whether to open what was [condemned](Engine::condemn) too: for who wants to save what it still says.
    pub even_condemned: bool,
}

impl EngineOptions {
    /// Three buffers of 64 MiB: larger tables are fewer to merge; smaller ones are less to hold in memory and to apply again
    /// after a crash.
    pub const DEFAULT_WRITE_BUFFER_BYTES: u64 = 192 * 1024 * 1024;
    /// Well below the usual limit of 1,024 descriptors a process, which sockets need too.
    pub const DEFAULT_OPEN_FILES: usize = 512;

    /// With a cache of so many bytes, and the defaults for the rest.
    #[must_use]
    pub const fn with_cache(cache_bytes: u64) -> Self {
        Self {
            cache_bytes,
            write_buffer_bytes: Self::DEFAULT_WRITE_BUFFER_BYTES,
            open_files: Self::DEFAULT_OPEN_FILES,
            retention: None,
            even_condemned: false,
        }
    }
}

impl Default for EngineOptions {
    /// With the smallest cache.
    fn default() -> Self {
        Self::with_cache(MIN_CACHE_BYTES)
    }
}

/// The smallest cache that still holds the upper index blocks of a store of a few GB.
const MIN_CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// The smallest key above all keys that begin with `prefix`; `None` if there is none.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|&byte| byte != u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// Whether no key can lie between the bounds. The libraries panic on an inverted range instead of finding it empty.
fn is_empty_range(from: Bound<&[u8]>, to: Bound<&[u8]>) -> bool {
    match (from, to) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(to)) => from > to,
        (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
    }
}

/// A key the engines can hold.
fn check_key(key: &[u8]) -> Result<(), EngineError> {
    match key.len() {
        0 => Err(EngineError::OutOfBounds { what: "an empty key", bytes: 0, limit: MAX_KEY_BYTES }),
        bytes if bytes > MAX_KEY_BYTES => Err(EngineError::OutOfBounds { what: "a key", bytes, limit: MAX_KEY_BYTES }),
        _ => Ok(()),
    }
}
