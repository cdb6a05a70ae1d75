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
pub(super) struct Tables {
    lookup: Arc<Lookup>,
    /// How many runs were yet to be merged when that was looked at last.
    pub(super) unmerged_runs: usize,
}

/// Looks for a record in tables, and waits for nothing but the disk.
pub(super) type Lookup = dyn Fn(&[u8]) -> Result<Option<Bytes>, Fault> + Send + Sync;

impl Tables {
    /// As they are now. What is in a memtable is not in them.
    pub(super) fn now(keyspace: &Keyspace) -> Self {
        let version = keyspace.tree.current_version();
        let unmerged_runs = version.l0().run_count();
        // As lsm-tree does it (`tree/mod.rs`, `get_internal_entry_from_tables`): from the newest run to the oldest, and the
        // first record found is the last one written. Whatever is in a list of tables is visible.
        let lookup = move |key: &[u8]| {
            let hash = Builder::get_hash(key);
            let runs = version.iter_levels().flat_map(|level| level.iter());
            for table in runs.filter_map(|run| run.get_for_key(key)) {
                if let Some(found) = table.get(key, SeqNo::MAX, hash).map_err(fjall::Error::from)? {
                    return Ok((!found.is_tombstone()).then(|| found.value.into()));
                }
            }
            Ok(None)
        };
        Self { lookup: Arc::new(lookup), unmerged_runs }
    }

    pub(super) fn lookup(&self) -> Arc<Lookup> {
        self.lookup.clone()
    }
}
