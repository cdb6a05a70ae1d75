use std::fmt;

use bytes::Bytes;
use prost::Message;
use sessile_core::{Recount, RestoreError, State};
use xxhash_rust::xxh3::Xxh3;

use super::builder::{FILL_BATCH_BYTES, StateBuilder};
use super::snapshot::Snapshot;
use super::snapshot_wire::{Item, decode_chunk};
use super::state_root::StateRoot;
use super::stored::{encode_record, encode_row, record_key, row_key};
use crate::engine::Batch;
use crate::types::position;
use crate::{SnapshotMeta, StoreError, wire};

/// Builds a state from another member's snapshot, while it comes, in a directory of its own. Nothing of it is in use
/// before it is whole, verified and installed. Dropped before that, it removes what it built.
///
/// A transfer that broke between two chunks goes on with the next chunk of the same snapshot. After an error of its own it
/// takes nothing more, and the transfer begins again with another receiver.
pub struct SnapshotReceiver {
    builder: StateBuilder,
    root: StateRoot,
    batch: Batch,
    /// The rows so far, and the records so far counted by them.
    state: State,
    recount: Recount,
    sequence: u64,
    records: u64,
    bytes: u64,
    hasher: Xxh3,
    totals: Option<wire::SnapshotTotals>,
    failed: bool,
}

impl fmt::Debug for SnapshotReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotReceiver({} chunks)", self.sequence)
    }
}

fn refused(what: impl Into<String>) -> StoreError {
    StoreError::Transfer { what: what.into() }
}

impl SnapshotReceiver {
    pub(crate) fn new(root: &StateRoot) -> Result<Self, StoreError> {
        Ok(Self {
            builder: StateBuilder::new(root)?,
            root: root.clone(),
            batch: Batch::new(),
            state: State::default(),
            recount: Recount::default(),
            sequence: 0,
            records: 0,
            bytes: 0,
            hasher: Xxh3::new(),
            totals: None,
            failed: false,
        })
    }

    /// Which chunk is the next one: so many were taken.
    pub fn next_chunk(&self) -> u64 {
        self.sequence
    }

    /// Bytes that were taken.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether the last chunk was taken.
    pub fn has_all(&self) -> bool {
        self.totals.is_some()
    }

    /// Takes the next chunk. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Transfer`] for a chunk that is damaged, not the next one, or of a newer program; the disk.
    pub fn write(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if self.failed {
            return Err(refused("a chunk before was refused"));
        }
        let taken = self.take(chunk);
        self.failed = taken.is_err();
        taken
    }

    fn take(&mut self, chunk: Bytes) -> Result<(), StoreError> {
        if self.totals.is_some() {
            return Err(refused("a chunk came after the last one"));
        }
        let body = decode_chunk(self.sequence, chunk).map_err(refused)?;
        let damaged = |_| refused(format!("chunk {} does not decode", self.sequence));
        let wire::SnapshotBody { items, totals } = wire::SnapshotBody::decode(body.clone()).map_err(damaged)?;
        self.sequence += 1;
        match totals {
            Some(_) if !items.is_empty() => return Err(refused("the last chunk has items")),
            Some(totals) => self.totals = Some(totals),
            None => {
                self.hasher.update(&body);
                self.bytes += body.len() as u64;
            }
        }
        for item in items {
            self.store(Item::from_wire(item).map_err(|error| refused(error.to_string()))?)?;
        }
        if self.batch.bytes() >= FILL_BATCH_BYTES {
            self.builder.fill(std::mem::take(&mut self.batch))?;
        }
        Ok(())
    }

    fn store(&mut self, item: Item) -> Result<(), StoreError> {
        match item {
            Item::Row(..) if self.records > 0 => return Err(refused("a row came after the records")),
            Item::Row(key, row) => {
                self.batch.put(row_key(&key), encode_row(&key, &row));
                self.state.restore(key, row).map_err(|error: RestoreError| refused(error.to_string()))?;
            }
            Item::Record(namespace, key, record) => {
                self.recount.add(&self.state, namespace, &key, &record.header);
                self.records += 1;
                let stored_key = record_key(namespace, &key);
                let stored = encode_record(&stored_key, &record);
                self.batch.put(stored_key, stored);
            }
        }
        Ok(())
    }

    /// Ends the transfer: holds what came against the totals and the counts, and makes it durable. Blocks on the disk.
    ///
    /// # Errors
    /// [`StoreError::Transfer`] if anything is missing, too much or of another place than `meta` says; the disk.
    pub fn finish(mut self, meta: SnapshotMeta) -> Result<Snapshot, StoreError> {
        self.assert_whole(&meta)?;
        let batch = std::mem::take(&mut self.batch);
        let Self { builder, root, state, .. } = self;
        let built = builder.seal(batch, &meta)?;
        // Read back: what the engine holds is what the counts were held against.
        if built.writer.state != state {
            return Err(StoreError::damaged_state(&root.path, &"what was received is not what is stored"));
        }
        Ok(Snapshot::received(built, meta, root.path))
    }

    fn assert_whole(&self, meta: &SnapshotMeta) -> Result<(), StoreError> {
        if self.failed {
            return Err(refused("a chunk before was refused"));
        }
        let totals = self.totals.as_ref().ok_or_else(|| refused("its last chunk did not come"))?;
        let found = (self.records, self.bytes, self.hasher.digest());
        if found != (totals.records, totals.bytes, totals.xxh3) {
            return Err(refused("it is not as much, or not the same, as was sent"));
        }
        if *totals.cluster != self.root.owner.cluster.to_bytes() {
            return Err(refused("it is of another cluster"));
        }
        let applied = totals.applied.as_ref().map(|applied| (applied.term, applied.index));
        let stands_for = meta.last_log_id.as_ref().map(|id| (position(id).term, id.index));
        if applied != stands_for {
            return Err(refused("it is of another place in the log than was said"));
        }
        match self.recount.difference(&self.state) {
            Some((namespace, group, ..)) => {
                Err(refused(format!("the records of group {group:?} of {namespace} are not those that it counts")))
            }
            None => Ok(()),
        }
    }
}
