use std::io::Read;

use bytes::Bytes;

use super::file::{Frames, unusable};
use super::head::BackupHead;
use super::summary::BackupSummary;
use crate::StoreError;
use crate::state::SnapshotReader;

/// A backup that is being read: what it is of, and then its chunks.
pub(super) struct BackupChunks<R> {
    frames: Frames<R>,
    pub(super) head: BackupHead,
}

impl<R: Read> BackupChunks<R> {
    pub(super) fn open(input: R) -> Result<Self, StoreError> {
        let mut frames = Frames::new(input)?;
        let head = frames.next()?.ok_or_else(|| unusable("it ends behind its first line: it was cut short"))?;
        Ok(Self { frames, head: BackupHead::decode(head)? })
    }

    /// Bytes of the file that were read.
    pub(super) fn read(&self) -> u64 {
        self.frames.read()
    }

    /// The next chunk; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        self.frames.next()
    }
}

/// Reads a whole backup and says what it holds. `progress` is told after each chunk how many bytes were read. Nothing is
/// written anywhere.
///
/// # Errors
/// [`StoreError::Backup`] if it is damaged, cut short, or of a newer program.
pub fn verify(input: impl Read, mut progress: impl FnMut(u64)) -> Result<BackupSummary, StoreError> {
    let mut chunks = BackupChunks::open(input)?;
    let mut reader = SnapshotReader::default();
    while let Some(chunk) = chunks.next()? {
        reader.take(chunk).map_err(unusable_because)?;
        progress(chunks.read());
    }
    let head = &chunks.head;
    reader.assert_whole(head.cluster, head.meta.last_log_id.as_ref()).map_err(unusable_because)?;
    Ok(BackupSummary::of(head.clone(), &reader, chunks.read()))
}

/// What is wrong with a snapshot, where it comes from a file and cannot be fetched again.
pub(super) fn unusable_because(error: StoreError) -> StoreError {
    match error {
        StoreError::Transfer { what } => unusable(what),
        other => other,
    }
}
