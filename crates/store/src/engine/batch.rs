//! What is written at once.

use std::collections::HashMap;

use bytes::Bytes;

use super::{EngineError, MAX_BATCH_BYTES, MAX_VALUE_BYTES, check_key};

/// One change to one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// The key has this value from now on.
    Put(Bytes),
    /// The key is gone; removing an absent key is no error.
    Remove,
}

/// Puts and removes that happen together, in order: the last operation on a key wins.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    operations: Vec<(Bytes, Operation)>,
    bytes: usize,
}

impl Batch {
    /// An empty batch; writing one does nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets `key` to `value`. Bounds are checked by [`super::Engine::write`].
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.push(key.into(), Operation::Put(value.into()));
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: impl Into<Bytes>) {
        self.push(key.into(), Operation::Remove);
    }

    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is done, in order.
    pub fn operations(&self) -> &[(Bytes, Operation)] {
        &self.operations
    }

    /// What is done, in order.
    pub(super) fn into_operations(self) -> Vec<(Bytes, Operation)> {
        self.operations
    }

    fn push(&mut self, key: Bytes, operation: Operation) {
        let value_bytes = match &operation {
            Operation::Put(value) => value.len(),
            Operation::Remove => 0,
        };
        self.bytes = self.bytes.saturating_add(key.len()).saturating_add(value_bytes);
        self.operations.push((key, operation));
    }

    /// Whether an engine can take it; a refused batch leaves no trace.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        if self.bytes > MAX_BATCH_BYTES {
            return Err(EngineError::OutOfBounds { what: "a batch", bytes: self.bytes, limit: MAX_BATCH_BYTES });
        }
        for (key, operation) in &self.operations {
            check_key(key)?;
            if let Operation::Put(value) = operation
                && value.len() > MAX_VALUE_BYTES
            {
                return Err(EngineError::OutOfBounds { what: "a value", bytes: value.len(), limit: MAX_VALUE_BYTES });
            }
        }
        Ok(())
    }

    /// Its puts, if they are in ascending order and there is nothing else in it.
    pub(super) fn into_ascending(self) -> Result<impl Iterator<Item = (Bytes, Bytes)>, Self> {
        let only_puts = self.operations.iter().all(|(_, operation)| matches!(operation, Operation::Put(_)));
        if !only_puts || !self.operations.is_sorted_by(|(one, _), (next, _)| one < next) {
            return Err(self);
        }
        Ok(self.operations.into_iter().filter_map(|(key, operation)| match operation {
            Operation::Put(value) => Some((key, value)),
            Operation::Remove => None,
        }))
    }

    /// The last operation on each key. All entries of a fjall batch bear one sequence number, so which of two writes to
    /// the same key wins there is an accident of its memtable; here it is decided.
    pub(super) fn into_last_per_key(self) -> Vec<(Bytes, Operation)> {
        let mut place_of: HashMap<Bytes, usize> = HashMap::with_capacity(self.operations.len());
        let mut last: Vec<(Bytes, Operation)> = Vec::with_capacity(self.operations.len());
        for (key, operation) in self.operations {
            match place_of.get(&key) {
                Some(&place) => last[place].1 = operation,
                None => {
                    place_of.insert(key.clone(), last.len());
                    last.push((key, operation));
                }
            }
        }
        last
    }
}
