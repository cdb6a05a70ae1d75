use std::collections::HashMap;

use bytes::Bytes;
use sessile_core::{NamespaceId, Record, Records, SessionKey};

use super::stored::{decode_record, encode_record, record_key};
use crate::StoreError;
use crate::engine::{Batch, Engine};

/// The records as the entries of one batch see them: what earlier entries of the batch wrote, over what is stored.
pub(super) struct Overlay<'engine> {
    engine: &'engine dyn Engine,
    dir: &'engine std::path::Path,
    /// What was looked up before the batch began.
    stored: HashMap<Bytes, Option<Bytes>>,
    written: HashMap<Bytes, Option<Record>>,
}

impl<'engine> Overlay<'engine> {
    pub(super) fn new(
        engine: &'engine dyn Engine,
        dir: &'engine std::path::Path,
        stored: HashMap<Bytes, Option<Bytes>>,
    ) -> Self {
        Self { engine, dir, stored, written: HashMap::new() }
    }

    /// What the entries wrote, for the engine.
    pub(super) fn into_batch(self) -> Batch {
        let mut batch = Batch::new();
        for (key, record) in self.written {
            match record {
                Some(record) => {
                    let stored = encode_record(&key, &record);
                    batch.put(key, stored);
                }
                None => batch.remove(key),
            }
        }
        batch
    }
}

impl Records for Overlay<'_> {
    type Error = StoreError;

    fn get(&mut self, namespace: NamespaceId, key: &SessionKey) -> Result<Option<Record>, StoreError> {
        let stored_key = record_key(namespace, key);
        if let Some(record) = self.written.get(&stored_key) {
            return Ok(record.clone());
        }
        let looked_up;
        let stored = match self.stored.get(&stored_key) {
            Some(stored) => stored,
            None => {
                looked_up = self.engine.get(&stored_key)?;
                &looked_up
            }
        };
        let record = stored.as_ref().map(|bytes| decode_record(&stored_key, bytes)).transpose();
        record.map_err(|error| StoreError::damaged_state(self.dir, &error))
    }

    fn put(&mut self, namespace: NamespaceId, key: &SessionKey, record: Record) {
        self.written.insert(record_key(namespace, key), Some(record));
    }

    fn remove(&mut self, namespace: NamespaceId, key: &SessionKey) {
        self.written.insert(record_key(namespace, key), None);
    }
}
