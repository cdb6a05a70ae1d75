use std::fmt;

use bytes::Bytes;

use super::builder::{FILL_BATCH_BYTES, StateBuilder};
use super::snapshot::Snapshot;
use super::snapshot_reader::SnapshotReader;
use super::snapshot_wire::Item;
use super::state_root::StateRoot;
use super::stored::{encode_record, encode_row, record_key, row_key};
use crate::engine::Batch;
use crate::{ClusterId, SnapshotMeta, StoreError};

/// Builds a state from a snapshot, while it comes, in a directory of its own. Nothing of it is in use before it is whole,
/// verified and installed. Dropped before that, it removes what it built.
///
/// A transfer that broke between two chunks goes on with the next chunk of the same snapshot. After an error of its own it
/// takes nothing more, and the transfer begins again with another receiver.
pub struct SnapshotReceiver {
    builder: StateBuilder,
    root: StateRoot,
    batch: Batch,
    reader: SnapshotReader,
    /// The cluster whose state it must be.
    of: ClusterId,
}

impl fmt::Debug for SnapshotReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotReceiver({} chunks)", self.next_chunk())
    }
}

impl SnapshotReceiver {
    /// Of another member's state.
    pub(crate) fn new(root: &StateRoot) -> Result<Self, StoreError> {
        Self::of(root, root.owner.cluster)
    }

    /// Of the state of that cluster, whoever is to have it.
    pub(crate) fn of(root: &StateRoot, of: ClusterId) -> Result<Self, StoreError> {
        let builder = StateBuilder::new(root)?;
        Ok(Self { builder, root: root.clone(), batch: Batch::new(), reader: SnapshotReader::default(), of })
    }

    /// Which chunk is the next one: so many were taken.
    pub fn next_chunk(&self) -> u64 {
        self.reader.next_chunk()
    }

    /// Bytes that were taken.
    pub fn bytes(&self) -> u64 {
        self.reader.bytes()
    }

    /// Whether the last chunk was taken.
    pub fn has_all(&self) -> bool {
        self.reader.has_all()
    }

    /// What was taken so far.
    pub(crate) fn reader(&self) -> &SnapshotReader {
        &self.reader
    }

    /// Takes the next chunk. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Transfer`] for a chunk that is damaged, not the next one, or of a newer program; the disk.
    pub fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        for item in self.reader.take(chunk)? {
            match item {
                Item::Row(key, row) => self.batch.put(row_key(&key), encode_row(&key, &row)),
                Item::Record(namespace, key, record) => {
                    let stored_key = record_key(namespace, &key);
                    let stored = encode_record(&stored_key, &record);
                    self.batch.put(stored_key, stored);
                }
            }
        }
        if self.batch.bytes() >= FILL_BATCH_BYTES {
            let filled = self.builder.fill(std::mem::take(&mut self.batch));
            if filled.is_err() {
                self.reader.fail();
            }
            filled?;
        }
        Ok(())
    }

    /// Ends the transfer: holds what came against the totals and the counts, and makes it durable. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Transfer`] if anything is missing, too much or of another place than `meta` says; the disk.
    pub fn finish(mut self, meta: SnapshotMeta) -> Result<Snapshot, StoreError> {
        self.reader.assert_whole(self.of, meta.last_log_id.as_ref())?;
        let batch = std::mem::take(&mut self.batch);
        let Self { builder, root, reader, .. } = self;
        let built = builder.seal(batch, &meta)?;
        // Read back: what the engine holds is what the counts were held against.
        if built.writer.state != *reader.state() {
            return Err(StoreError::damaged_state(&root.path, &"what was received is not what is stored"));
        }
        Ok(Snapshot::received(built, meta, root.path))
    }
}
