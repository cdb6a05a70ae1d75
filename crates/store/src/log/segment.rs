//! One segment file, open for reading and writing, and how it comes into being.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::LogError;
use super::checkpoint::Checkpoint;
use super::disk::Disk;
use super::frame::{FRAME_HEADER_BYTES, Salt, frame_bytes};
use super::header::{HEADER_BYTES, SegmentHeader};
use super::summary::{size_with_summary, summary_at};

/// The name a segment has until it is whole and durable. A crash leaves it behind; opening removes it.
pub(super) const UNFINISHED_NAME: &str = "unfinished.tmp";

/// Space kept free behind every batch: for its marker, for the frame that seals the segment, and for that one's marker.
pub(super) const RESERVED_BYTES: usize = 3 * FRAME_HEADER_BYTES;

/// Zeros are written in pieces of this size: few calls, and no buffer of a whole segment.
const ZERO_BYTES: usize = 1 << 20;

/// A segment file.
#[derive(Debug)]
pub(super) struct SegmentFile {
    pub(super) number: u32,
    pub(super) size: u32,
    pub(super) salt: Salt,
    pub(super) path: PathBuf,
    /// Held open while the segment is written to. An older one is opened by each reader: a long log has more segments
    /// than a process may have open files.
    file: Mutex<Option<Arc<File>>>,
}

/// The path of segment `number`.
pub(super) fn segment_path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:010}.seg"))
}

/// The path that segment `number` has while it waits to be used again.
pub(super) fn spare_path(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{number:010}.spare"))
}

/// Writes zeros over `from..to`: real blocks, so that syncing data written there later moves no metadata.
pub(super) fn write_zeros(disk: &Disk, file: &File, path: &Path, from: u64, to: u64) -> Result<(), LogError> {
    let zeros = vec![0; ZERO_BYTES.min(usize::try_from(to.saturating_sub(from)).unwrap_or(ZERO_BYTES))];
    let mut at = from;
    while at < to {
        let piece = usize::try_from(to - at).map_or(zeros.len(), |left| left.min(zeros.len()));
        disk.write(file, path, &zeros[..piece], at)?;
        at += piece as u64;
    }
    Ok(())
}

impl SegmentFile {
    /// One that is open.
    pub(super) fn opened(number: u32, size: u32, salt: Salt, path: PathBuf, file: File) -> SegmentFile {
        SegmentFile { number, size, salt, path, file: Mutex::new(Some(Arc::new(file))) }
    }

    /// The file, which is opened if it is not.
    pub(super) fn file(&self) -> Result<Arc<File>, LogError> {
        let held = self.file.lock().clone();
        held.map_or_else(|| Disk::open(&self.path).map(Arc::new), Ok)
    }

    /// Nothing is written to it any more.
    pub(super) fn release(&self) {
        self.file.lock().take();
    }

    /// Makes segment `number`, out of `spare` if there is one (which must be `size` bytes long). It bears its name only
    /// once header and length are durable, so a file of that name with a bad header is damage and never a crash.
    /// Durable, name included, when it returns.
    pub(super) fn create(
        disk: &Disk,
        directory: &Path,
        number: u32,
        size: u32,
        checkpoint: &Checkpoint,
        spare: Option<PathBuf>,
    ) -> Result<SegmentFile, LogError> {
        let header = SegmentHeader { number, size, salt: Salt::random(), checkpoint: checkpoint.clone() };
        let (unfinished, file) = match spare {
            Some(spare) => {
                let file = Disk::open(&spare)?;
                (spare, file)
            }
            None => {
                let unfinished = directory.join(UNFINISHED_NAME);
                let file = disk.create(&unfinished)?;
                let filled = write_zeros(disk, &file, &unfinished, HEADER_BYTES as u64, u64::from(size));
                if let Err(error) = filled {
                    // On a full disk, what was filled so far is room that others need.
                    let _ = disk.remove(&unfinished);
                    return Err(error);
                }
                (unfinished, file)
            }
        };
        disk.write(&file, &unfinished, &header.encode(), 0)?;
        disk.sync_all(&file, &unfinished)?;
        let path = segment_path(directory, number);
        disk.rename(&unfinished, &path)?;
        disk.sync_directory(directory)?;
        Ok(SegmentFile::opened(number, size, header.salt, path, file))
    }
}

/// The size of a segment that has room for a frame with a body of `body_bytes`, and at least `wanted` bytes.
pub(super) fn segment_size(wanted: u32, body_bytes: usize) -> u32 {
    let needed = HEADER_BYTES + frame_bytes(body_bytes) + RESERVED_BYTES;
    u32::try_from(needed)
        .map_or(u32::MAX, |needed| if needed <= summary_at(wanted) { wanted } else { size_with_summary(needed) })
}
