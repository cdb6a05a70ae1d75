//! What is written and in no table yet, in memory.
//!
//! The Raft log holds every write durably before the engine hears of it, and is kept until the engine's `persist` has
//! returned. A journal of the engine's own would write all of it a second time, and its memtables would be flushed and
//! merged with every version of a session in them. Here a session that is renewed again and again is one entry, which
//! becomes part of a table when the state is made durable.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::merge::{Entry, Source};
use crate::engine::{Batch, Operation};

/// What an entry costs besides its key and its value: its place in the map and in the order, and two handles.
const ENTRY_BYTES: usize = 128;

/// The last operation on each key, of a layer that does not change any more.
///
/// A map by hash and not by order: each write looks for what was there before, each read looks here first, and both mostly
/// find nothing. The order is needed once, when a flush or a scan comes.
pub(super) struct Changes {
    operations: HashMap<Bytes, Operation>,
    ascending: OnceLock<Vec<Bytes>>,
}

impl Changes {
    fn new(operations: HashMap<Bytes, Operation>) -> Self {
        Self { operations, ascending: OnceLock::new() }
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Operation> {
        self.operations.get(key)
    }

    /// Its keys in ascending order. The first call sorts them: milliseconds for a full layer, outside of all locks.
    fn ascending(&self) -> &[Bytes] {
        self.ascending.get_or_init(|| {
            let mut keys: Vec<Bytes> = self.operations.keys().cloned().collect();
            keys.sort_unstable();
            keys
        })
    }
}

/// Layers of changes, each over those before it.
///
/// Invariants: a batch is in one layer, whole; a sealed layer never changes, and goes from the oldest on, once all of it is
/// in tables.
#[derive(Default)]
pub(super) struct Buffer {
    fresh: HashMap<Bytes, Operation>,
    fresh_bytes: usize,
    /// Oldest first.
    sealed: Vec<(Arc<Changes>, usize)>,
}

impl Buffer {
    pub(super) fn add(&mut self, batch: Batch) {
        for (key, operation) in batch.into_operations() {
            self.fresh_bytes += key.len() + size_of_value(&operation) + ENTRY_BYTES;
            let key_bytes = key.len();
            // A key that was read may hold on to all of a block.
            let key = if matches!(operation, Operation::Remove) { Bytes::copy_from_slice(&key) } else { key };
            if let Some(before) = self.fresh.insert(key, operation) {
                self.fresh_bytes -= key_bytes + size_of_value(&before) + ENTRY_BYTES;
            }
        }
    }

    /// The last operation on a key, if it is here.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Operation> {
        let sealed = || self.sealed.iter().rev().find_map(|(layer, _)| layer.get(key));
        self.fresh.get(key).or_else(sealed)
    }

    /// Memory that all of it takes, in bytes, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.fresh_bytes + self.sealed.iter().map(|(_, bytes)| bytes).sum::<usize>()
    }

    /// Memory that what was written since the last [`Self::seal`] takes, in bytes, roughly.
    pub(super) fn fresh_bytes(&self) -> usize {
        self.fresh_bytes
    }

    /// Everything that was written up to now, as layers that stay as they are, oldest first.
    pub(super) fn seal(&mut self) -> Vec<Arc<Changes>> {
        if !self.fresh.is_empty() {
            let bytes = std::mem::take(&mut self.fresh_bytes);
            // The next layer becomes as large, and whoever writes shall not wait while it grows step by step.
            let next = HashMap::with_capacity(self.fresh.len());
            self.sealed.push((Arc::new(Changes::new(std::mem::replace(&mut self.fresh, next))), bytes));
        }
        self.sealed.iter().map(|(layer, _)| layer.clone()).collect()
    }

    /// Lets the oldest layers go, which are in tables now. They come back to be dropped outside a lock.
    pub(super) fn settled(&mut self, layers: usize) -> Vec<(Arc<Changes>, usize)> {
        self.sealed.drain(..layers).collect()
    }
}

fn size_of_value(operation: &Operation) -> usize {
    match operation {
        Operation::Put(value) => value.len(),
        Operation::Remove => 0,
    }
}

/// What a layer has between two bounds, in ascending order.
pub(super) fn source<'a>(layer: &'a Changes, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Source<'a> {
    let keys = layer.ascending();
    let begin = match from {
        Bound::Unbounded => 0,
        Bound::Included(from) => keys.partition_point(|key| key < from),
        Bound::Excluded(from) => keys.partition_point(|key| key <= from),
    };
    let end = match to {
        Bound::Unbounded => keys.len(),
        Bound::Included(to) => keys.partition_point(|key| key <= to),
        Bound::Excluded(to) => keys.partition_point(|key| key < to),
    };
    let keys = keys.get(begin..end).unwrap_or_default();
    Box::new(keys.iter().map(|key| {
        let value = match layer.get(key) {
            Some(Operation::Put(value)) => Some(value.clone().into()),
            Some(Operation::Remove) | None => None,
        };
        Ok(Entry { key: key.clone().into(), value })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(changes: &[(&'static str, Option<&'static str>)]) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in changes {
            match value {
                Some(value) => batch.put(*key, *value),
                None => batch.remove(*key),
            }
        }
        batch
    }

    #[test]
    fn the_newest_layer_decides_and_what_is_in_tables_goes_from_the_oldest_on() {
        let mut buffer = Buffer::default();
        buffer.add(batch(&[("a", Some("1")), ("b", Some("1")), ("a", Some("2"))]));
        let first = buffer.seal();
        buffer.add(batch(&[("b", None), ("c", Some("3"))]));
        let both = buffer.seal();
        buffer.add(batch(&[("c", None)]));
        let shown = |buffer: &Buffer, key: &str| buffer.get(key.as_bytes()).cloned();
        assert_eq!(shown(&buffer, "a"), Some(Operation::Put("2".into())));
        assert_eq!(shown(&buffer, "b"), Some(Operation::Remove));
        assert_eq!(shown(&buffer, "c"), Some(Operation::Remove));
        assert_eq!(shown(&buffer, "d"), None);
        assert_eq!((first.len(), both.len()), (1, 2));
        let keys = |layer: &Changes, from, to| -> Vec<(Bytes, bool)> {
            source(layer, from, to).flatten().map(|entry| (entry.key.into(), entry.value.is_some())).collect()
        };
        assert_eq!(keys(&both[1], Bound::Unbounded, Bound::Unbounded), [("b".into(), false), ("c".into(), true)]);
        assert_eq!(keys(&both[0], Bound::Excluded(b"a"), Bound::Excluded(b"c")), [("b".into(), true)]);
        buffer.settled(1);
        assert_eq!(shown(&buffer, "a"), None, "it is in a table");
        assert_eq!(shown(&buffer, "b"), Some(Operation::Remove));
    }

    #[test]
    fn what_is_written_again_takes_no_more_memory() {
        let mut buffer = Buffer::default();
        buffer.add(batch(&[("a", Some("value")), ("b", None)]));
        let once = buffer.bytes();
        for _ in 0..10 {
            buffer.add(batch(&[("a", Some("other")), ("b", None)]));
        }
        assert_eq!(buffer.bytes(), once);
        buffer.seal();
        assert_eq!(buffer.bytes(), once);
        buffer.settled(1);
        assert_eq!(buffer.bytes(), 0);
    }
}
