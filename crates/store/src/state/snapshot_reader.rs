use std::fmt;

use bytes::Bytes;
use prost::Message;
use sessile_core::{Recount, RestoreError, State};
use xxhash_rust::xxh3::Xxh3;

use super::snapshot_wire::{Item, decode_chunk};
use crate::types::position;
use crate::{ClusterId, LogId, StoreError, wire};

/// Reads a snapshot chunk by chunk and holds it against its checksums, counts and totals. What stands in it goes to whoever
/// reads: a state that is built of it, or nobody.
pub(crate) struct SnapshotReader {
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

impl Default for SnapshotReader {
    fn default() -> Self {
        Self {
            state: State::default(),
            recount: Recount::default(),
            sequence: 0,
            records: 0,
            bytes: 0,
            hasher: Xxh3::new(),
            totals: None,
            failed: false,
        }
    }
}

impl fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotReader({} chunks)", self.sequence)
    }
}

fn refused(what: impl Into<String>) -> StoreError {
    StoreError::Transfer { what: what.into() }
}

impl SnapshotReader {
    /// Which chunk is the next one: so many were taken.
    pub(crate) fn next_chunk(&self) -> u64 {
        self.sequence
    }

    /// Bytes that were taken.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Records that were taken.
    pub(crate) fn records(&self) -> u64 {
        self.records
    }

    /// Whether the last chunk was taken.
    pub(crate) fn has_all(&self) -> bool {
        self.totals.is_some()
    }

    /// The replicated state by the rows that were taken.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Takes nothing more: what was taken could not be kept.
    pub(super) fn fail(&mut self) {
        self.failed = true;
    }

    /// Takes the next chunk, and tells what stands in it.
    ///
    /// # Errors
    /// [`StoreError::Transfer`] for a chunk that is damaged, not the next one, or of a newer program.
    pub(crate) fn take(&mut self, chunk: Bytes) -> Result<Vec<Item>, StoreError> {
        if self.failed {
            return Err(refused("a chunk before was refused"));
        }
        let taken = self.read(chunk);
        self.failed = taken.is_err();
        taken
    }

    fn read(&mut self, chunk: Bytes) -> Result<Vec<Item>, StoreError> {
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
        let mut read = Vec::with_capacity(items.len());
        for item in items {
            let item = Item::from_wire(item).map_err(|error| refused(error.to_string()))?;
            self.count(&item)?;
            read.push(item);
        }
        Ok(read)
    }

    fn count(&mut self, item: &Item) -> Result<(), StoreError> {
        match item {
            Item::Row(..) if self.records > 0 => return Err(refused("a row came after the records")),
            Item::Row(key, row) => {
                let restored = self.state.restore(key.clone(), row.clone());
                restored.map_err(|error: RestoreError| refused(error.to_string()))?;
            }
            Item::Record(namespace, key, record) => {
                self.recount.add(&self.state, *namespace, key, &record.header);
                self.records += 1;
            }
        }
        Ok(())
    }

    /// An error if anything is missing, too much, or of another cluster or place in the log.
    pub(crate) fn assert_whole(&self, cluster: ClusterId, last: Option<&LogId>) -> Result<(), StoreError> {
        if self.failed {
            return Err(refused("a chunk before was refused"));
        }
        let totals = self.totals.as_ref().ok_or_else(|| refused("its last chunk did not come"))?;
        let found = (self.records, self.bytes, self.hasher.digest());
        if found != (totals.records, totals.bytes, totals.xxh3) {
            return Err(refused("it is not as much, or not the same, as was sent"));
        }
        if *totals.cluster != cluster.to_bytes() {
            return Err(refused("it is of another cluster"));
        }
        let applied = totals.applied.as_ref().map(|applied| (applied.term, applied.index));
        if applied != last.map(|id| (position(id).term, id.index)) {
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
