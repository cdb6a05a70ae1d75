use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, statvfs};

use crate::access;

/// In the store's own directory, beside that of the tables.
const BALLAST: &str = "BALLAST";
/// It takes no more of what is free than this part: a small disk is not filled with it.
const SHARE_OF_FREE: u64 = 16;
/// What it takes in a store that is smaller than the largest flush: enough for what such a store writes between two.
const SMALL_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes of disk that a flush of so many bytes may take: indices, filters and the list of tables included.
pub(super) fn flush_bytes(buffered: usize) -> u64 {
    let buffered = buffered as u64;
    buffered + buffered / 4 + SMALL_BYTES
}

/// A file that holds room on the disk. When somebody fills the disk to the last byte, it goes, and what was written lately
/// still comes into tables, so that the log behind it can be reused.
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    /// Room for what one flush of a buffer of so many bytes takes, list and indices included.
    pub(super) fn new(dir: &Path, buffer_bytes: u64) -> Self {
        Self { path: dir.join(BALLAST), bytes: buffer_bytes + buffer_bytes / 4 }
    }

    /// Takes the room that a store with so many bytes in its tables needs, if there is plenty.
    pub(super) fn fill(&self, table_bytes: u64) {
        let bytes = if table_bytes < self.bytes { SMALL_BYTES.min(self.bytes) } else { self.bytes };
        let taken = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if taken >= bytes || self.free_bytes() / SHARE_OF_FREE < bytes {
            return;
        }
        let filled = access::create(&self.path)
            .and_then(|file| fallocate(&file, FallocateFlags::empty(), 0, bytes).map_err(Into::into));
        if filled.is_err() {
            // Where the file system cannot do it, there is none.
            self.release();
        }
    }

    /// Gives the room away.
    pub(super) fn release(&self) {
        // If there is none, there is nothing to give.
        let _ = fs::remove_file(&self.path);
    }

    /// How many bytes a merge may write while so many wait to be flushed, which goes before.
    pub(super) fn room_for_merges(&self, buffered: usize) -> u64 {
        self.free_bytes().saturating_sub(flush_bytes(buffered))
    }

    fn free_bytes(&self) -> u64 {
        let dir = self.path.parent().unwrap_or(&self.path);
        // One that cannot be asked has what is tried.
        statvfs(dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}
