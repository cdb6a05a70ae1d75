//! Reads of fjall's tables that do not wait for fjall.
//!
//! A read that asks it waits while its list of tables changes, which takes four fsyncs, and at a merge's end the fsync of a
//! table and what is left to write of it too (lsm-tree 3.1.10, `compaction/worker.rs`: the lock of `version_history`). It
//! would keep a thread that answers requests. So reads of sessions go by a list that is taken once for each flush.

use std::sync::Arc;

use bytes::Bytes;
use fjall::{AbstractTree, Keyspace};
use lsm_tree::SeqNo;
use lsm_tree::table::filter::standard_bloom::Builder;

use super::guard::Fault;

/// The tables of one moment. They stay for one flush more than they are needed.
#[derive(Clone)]
pub(super) struct Tables(Arc<Lookup>);

/// A closure, because lsm-tree's list of tables has no name outside of it.
type Lookup = dyn Fn(&[u8]) -> Result<Option<Bytes>, Fault> + Send + Sync;

impl Tables {
    /// As they are now. What is in a memtable is not in them.
    pub(super) fn now(keyspace: &Keyspace) -> Self {
        let version = keyspace.tree.current_version();
        // As lsm-tree does it (`tree/mod.rs`, `get_internal_entry_from_tables`): from the newest run to the oldest, and the
        // first record found is the last one written. Whatever is in a list of tables is visible.
        Self(Arc::new(move |key| {
            let hash = Builder::get_hash(key);
            let runs = version.iter_levels().flat_map(|level| level.iter());
            for table in runs.filter_map(|run| run.get_for_key(key)) {
                if let Some(found) = table.get(key, SeqNo::MAX, hash).map_err(fjall::Error::from)? {
                    return Ok((!found.is_tombstone()).then(|| found.value.into()));
                }
            }
            Ok(None)
        }))
    }

    /// The value of a key. Waits for nothing but the disk.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        (self.0)(key)
    }
}
