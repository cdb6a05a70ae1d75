use std::io::{self, Write};

use bytes::Bytes;

use super::file::{write_frame, write_magic};
use super::head::BackupHead;
use super::reading::unusable_because;
use super::summary::BackupSummary;
use crate::StoreError;
use crate::state::SnapshotReader;

/// Writes a backup of the chunks that a node sends, and verifies them on their way.
#[derive(Debug)]
pub struct BackupWriter<W> {
    out: W,
    head: BackupHead,
    reader: SnapshotReader,
    bytes: u64,
}

impl<W: Write> BackupWriter<W> {
    /// Begins with what it is of.
    ///
    /// # Errors
    /// [`StoreError::Backup`] if the node's word cannot be read, or what is written to fails.
    pub fn new(mut out: W, head: Bytes) -> Result<Self, StoreError> {
        let encoded = head.clone();
        let head = BackupHead::decode(head)?;
        let magic = write_magic(&mut out).map_err(cannot_write)?;
        let bytes = magic + write_frame(&mut out, &encoded).map_err(cannot_write)?;
        Ok(Self { out, head, reader: SnapshotReader::default(), bytes })
    }

    /// What it is of.
    pub fn head(&self) -> &BackupHead {
        &self.head
    }

    /// Whether its last chunk was written.
    pub fn has_all(&self) -> bool {
        self.reader.has_all()
    }

    /// Bytes that were written.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes the next chunk.
    ///
    /// # Errors
    /// [`StoreError::Backup`] for a chunk that is not what was sent, or what is written to fails.
    pub fn chunk(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        self.bytes += write_frame(&mut self.out, &chunk).map_err(cannot_write)?;
        self.reader.take(chunk).map(drop).map_err(unusable_because)
    }

    /// Ends it. Gives back what was written to, which holds the whole backup then; it is not durable yet.
    ///
    /// # Errors
    /// [`StoreError::Backup`] if anything is missing, or what is written to fails.
    pub fn finish(self) -> Result<(W, BackupSummary), StoreError> {
        let Self { mut out, head, reader, bytes } = self;
        reader.assert_whole(head.cluster, head.meta.last_log_id.as_ref()).map_err(unusable_because)?;
        out.flush().map_err(cannot_write)?;
        Ok((out, BackupSummary::of(head, &reader, bytes)))
    }
}

fn cannot_write(error: io::Error) -> StoreError {
    StoreError::BackupUnwritable { source: error }
}
