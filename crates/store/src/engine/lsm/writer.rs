use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lsm_tree::config::BloomConstructionPolicy;
use lsm_tree::table::Writer;
use lsm_tree::{InternalValue, UserKey, ValueType};

use super::lapses::{FOREVER, LapseCounter};
use super::merge::Entry;
use super::table::{Facts, Table, TableContext};
use crate::engine::Retention;
use crate::engine::guard::Fault;
use crate::give_way::sync_and_rest;

/// What a table's records take at most: a merge takes some of them, and a disk has room for that.
pub(super) const TABLE_BYTES: u64 = 64 * 1024 * 1024;
/// A value of the usual 1.8 KB and its neighbour: what a read fetches besides what was asked for is little, and what each
/// block adds to the index as well. A value of 1 MiB makes a block of its own.
const BLOCK_BYTES: u32 = 2 * 1024;
/// A part of an index: a read of a record that is in no cache fetches one of these and one block.
const INDEX_PART_BYTES: u32 = 2 * 1024;
/// Bits a key in the filters, which are in memory: a new session's first write asks for a key that is nowhere, and 10 bits
/// let one in a hundred of these reach the disk. 48 million keys take 60 MB.
const FILTER_BITS: f32 = 10.0;
/// So much of a table is written to the disk at a time while it is made, and not all of it at its end, which an fdatasync of
/// the Raft log on the same disk would wait behind.
const WRITEBACK_BYTES: u64 = 4 * 1024 * 1024;

/// Where the numbers of tables and runs come from.
pub(super) type Numbers = Arc<AtomicU64>;

/// Writes entries in ascending order into the tables of a run. What it wrote goes again unless it is finished.
pub(super) struct RunWriter<'a> {
    context: &'a TableContext,
    numbers: &'a Numbers,
    retention: Option<&'a dyn Retention>,
    gives_way: bool,
    open: Option<OpenTable>,
    done: Vec<Arc<Table>>,
    is_finished: bool,
}

struct OpenTable {
    path: PathBuf,
    /// `None` once it is finished.
    writer: Option<Writer>,
    /// To sync what was written so far.
    file: File,
    lapses: LapseCounter,
    /// Whether its keys are such that may lapse.
    may_lapse: bool,
    bytes: u64,
    synced_bytes: u64,
}

impl<'a> RunWriter<'a> {
    pub(super) fn new(context: &'a TableContext, numbers: &'a Numbers, retention: Option<&'a dyn Retention>) -> Self {
        Self { context, numbers, retention, gives_way: false, open: None, done: Vec::new(), is_finished: false }
    }

    /// The same, for somebody who has time: after each sync it leaves the disk to others for as long as that took. A disk that
    /// is not busy writes on for two merges at a time; one that is has room for the syncs of the Raft log.
    pub(super) fn giving_way(mut self) -> Self {
        self.gives_way = true;
        self
    }

    /// Writes the next entry, whose key is greater than the last one's.
    pub(super) fn write(&mut self, entry: Entry) -> Result<(), Fault> {
        let Entry { key, value } = entry;
        let may_lapse = self.retention.is_some_and(|retention| retention.may_lapse(&key));
        // What never lapses would keep a whole table of what does.
        if self
            .open
            .as_ref()
            .is_some_and(|table| table.bytes >= self.context.table_bytes || table.may_lapse != may_lapse)
        {
            self.close_table()?;
        }
        if self.open.is_none() {
            self.open = Some(OpenTable::create(self.context, self.numbers, may_lapse)?);
        }
        let gives_way = self.gives_way;
        let Some(table) = &mut self.open else { return Ok(()) };
        let bytes = (key.len() + value.as_ref().map_or(0, |value| value.len())) as u64;
        let until = match (&value, self.retention) {
            (Some(value), Some(retention)) => retention.needed_until(&key, value),
            (Some(_), None) => FOREVER,
            // Who is behind it is what it is there for, and that is judged by its place.
            (None, _) => 0,
        };
        table.write(key, value, until, bytes)?;
        table.sync_in_pieces(gives_way)
    }

    /// All tables, durable; nothing names them yet.
    pub(super) fn finish(mut self) -> Result<Vec<Arc<Table>>, Fault> {
        self.close_table()?;
        self.is_finished = true;
        Ok(std::mem::take(&mut self.done))
    }

    fn close_table(&mut self) -> Result<(), Fault> {
        let Some(table) = self.open.take() else { return Ok(()) };
        let written_at = self.retention.map_or(0, Retention::now);
        self.done.extend(table.finish(self.context, written_at)?.map(Arc::new));
        Ok(())
    }
}

impl Drop for RunWriter<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.done.iter().for_each(|table| table.retire());
        }
    }
}

impl OpenTable {
    fn create(context: &TableContext, numbers: &Numbers, may_lapse: bool) -> Result<Self, Fault> {
        let id = numbers.fetch_add(1, Ordering::Relaxed);
        let path = context.path(id);
        let writer = Writer::new(path.clone(), id, 0)?
            .use_bloom_policy(BloomConstructionPolicy::BitsPerKey(FILTER_BITS))
            .use_data_block_size(BLOCK_BYTES)
            .use_partitioned_index()
            .use_meta_partition_size(INDEX_PART_BYTES);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) => {
                let _ = fs::remove_file(&path);
                return Err(error.into());
            }
        };
        let lapses = LapseCounter::default();
        Ok(Self { path, writer: Some(writer), file, lapses, may_lapse, bytes: 0, synced_bytes: 0 })
    }

    fn write(&mut self, key: UserKey, value: Option<lsm_tree::UserValue>, until: u64, bytes: u64) -> Result<(), Fault> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        writer.write(match value {
            Some(value) => InternalValue::from_components(key, value, 0, ValueType::Value),
            None => InternalValue::new_tombstone(key, 0),
        })?;
        self.lapses.add(until, bytes);
        self.bytes += bytes;
        Ok(())
    }

    /// Sends what was written to the disk once it is enough.
    fn sync_in_pieces(&mut self, gives_way: bool) -> Result<(), Fault> {
        if self.bytes - self.synced_bytes < WRITEBACK_BYTES {
            return Ok(());
        }
        if gives_way {
            sync_and_rest(|| self.file.sync_data())?;
        } else {
            self.file.sync_data()?;
        }
        self.synced_bytes = self.bytes;
        Ok(())
    }

    fn finish(mut self, context: &TableContext, written_at: u64) -> Result<Option<Table>, Fault> {
        let Some(writer) = self.writer.take() else { return Ok(None) };
        // The library syncs the table and its directory (lsm-tree, `table/writer`).
        let finished = writer.finish().map_err(Fault::from).and_then(|finished| {
            let Some((id, _)) = finished else { return Ok(None) };
            let lapses = std::mem::take(&mut self.lapses).finish();
            let facts = Facts { id, bytes: self.file.metadata()?.len(), written_at, lapses };
            Table::open(context, facts).map(Some)
        });
        if finished.is_err() {
            let _ = fs::remove_file(&self.path);
        }
        finished
    }
}

impl Drop for OpenTable {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            // What cannot be removed now is removed by the next opening: no list names it.
            let _ = fs::remove_file(&self.path);
        }
    }
}
