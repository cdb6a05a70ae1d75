//! The session state on fjall 3: a log-structured tree with a journal.
//!
//! It is used for its tables alone: what is written waits in memory ([`super::pending`]), and goes into tables as one
//! ingestion, which fjall fsyncs and then shows as a whole, before a crash and after it. Neither its journal nor its
//! memtables ever hold anything.
//!
//! Read in its source (3.1.13, lsm-tree 3.1.10), and why this adapter does more than pass calls on:
//!
//! - Earlier programs of ours wrote through the journal, and a crash left what it holds. fjall replays of it what is newer
//!   than all tables, into a memtable, which goes into a table before the first ingestion does. `fjall_journal` looks at it
//!   before, because its recovery takes damage for the end and a torn tail for damage. A clean stop empties it.
//! - A recovery that misses a file begins an empty store, and one that reads a damaged list of tables may abort the
//!   process. So `fjall_files` looks at both before fjall may.
//! - The compaction options are stored with the keyspace: another choice here is one for new directories.
//! - A read that asks fjall waits while the list of tables changes. So reads of sessions go by one of their own
//!   (`fjall_tables`).

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, PinningPolicy,
};
use fjall::{AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use lsm_tree::SeqNo;
use parking_lot::{MappedRwLockReadGuard, Mutex, MutexGuard, RwLock, RwLockReadGuard};

use super::background::{Hurry, OneAtATime, go_to_background, in_background};
use super::fjall_files::{TABLES, check_files};
use super::fjall_journal::Journals;
use super::fjall_tables::Tables;
use super::fjall_view::FjallView;
use super::guard::{Fault, Guard};
use super::home::{self, Home};
use super::pending::{Pending, merged};
use super::writeback::Writeback;
use super::{Batch, Engine, EngineError, EngineKind, EngineOptions, Operation, View, check_key};

/// The only keyspace.
const KEYSPACE: &str = "state";
/// Two values of the usual 1.8 KB: a point read fetches little besides what was asked for, and the cache holds sessions
/// rather than their neighbours. A value of 1 MiB makes a block of its own.
const BLOCK_BYTES: u32 = 4 * 1024;
/// Bits a key in the filters of every level, the last one too: a new session's first write asks for a key that is
/// nowhere, and 10 bits let one in a hundred of these reach the disk.
const FILTER_BITS: f32 = 10.0;
/// The newest tables are asked first by every read, so their filters may cost twice as much.
const FILTER_BITS_NEWEST: f32 = 20.0;
/// All journals together, which hold nothing. fjall takes no less.
const JOURNAL_BYTES: u64 = 64 * 1024 * 1024;
/// One thread compacts. The others take what is asked for meanwhile: with two, the first puts such a message back and takes
/// it out again for as long as the second one compacts (fjall, `worker_tick`).
const WORKERS: usize = 3;
/// Open table files, well below the usual limit of 1,024 descriptors a process, which sockets need too.
const OPEN_FILES: usize = 512;
/// So many bytes that are in no table yet begin to be written into one, however far the next `persist` is: what a node
/// holds in memory, and what it applies again after a crash. Larger tables are fewer to merge.
const FLUSH_BYTES: usize = 64 * 1024 * 1024;
/// A write waits while so many bytes are in no table yet: tables are written more slowly than that fills up only on a disk
/// that is overloaded.
const PENDING_MAX_BYTES: usize = 3 * FLUSH_BYTES;
/// From so many runs on, or with so much that waits for a flush behind the one under way, what is in the background does not
/// rest.
const HURRY_RUNS: usize = 8;
const HURRY_BYTES: usize = 2 * FLUSH_BYTES;
/// Nothing is written into tables while so many runs are yet to be merged, each of which every read may have to look at.
const UNMERGED_RUNS_MAX: usize = 20;
/// How often a waiting write looks again: a fraction of the flush it waits for.
const ROOM_POLL: Duration = Duration::from_millis(1);
/// The merges that a flush waits for, and the flush that a write waits for, take seconds on a slow disk. After so many looks
/// without one, 20 s or more, the disk is at fault. Looks, and not time: a process that was frozen has had none.
const ROOM_LOOKS: u32 = 20_000;

pub(super) struct Open {
    layers: RwLock<Layers>,
    /// One writer at a time, also if the caller forgets.
    writing: Mutex<()>,
    /// One table at a time is made of what was written.
    flushing: Mutex<()>,
    // The keyspace first: its handle holds the library's lock, and the database's drop waits for the worker threads.
    pub(super) keyspace: Keyspace,
    database: Database,
    journals: Journals,
    home: Home,
}

/// The state: what was written lately, over the tables. All reads go through both of one moment.
struct Layers {
    pending: Pending,
    tables: Tables,
    /// How many runs were yet to be merged when the last flush began.
    unmerged_runs: usize,
}

pub(super) struct Shared {
    pub(super) guard: Guard,
    /// Written only by `shutdown` and at the end; everything else reads.
    open: RwLock<Option<Open>>,
    /// Makes a table of what was written, while writes go on.
    flusher: OneAtATime,
    writeback: Arc<Writeback>,
    hurry: Hurry,
}

impl Shared {
    pub(super) fn open(&self) -> Result<MappedRwLockReadGuard<'_, Open>, EngineError> {
        RwLockReadGuard::try_map(self.open.read(), Option::as_ref).map_err(|_| self.guard.closed())
    }

    /// Writes everything that was written before the call into tables, durably: fjall fsyncs each table, their list, and
    /// the directories of both (lsm-tree, `table/writer` and `version/persist.rs`).
    fn flush(&self) -> Result<(), EngineError> {
        let open = self.open()?;
        let flushing = open.flushing.lock();
        self.flush_all(&open, &flushing)
    }

    fn flush_all(&self, open: &Open, _one_at_a_time: &MutexGuard<'_, ()>) -> Result<(), EngineError> {
        let unmerged_runs = open.keyspace.tree.l0_run_count();
        let layers = {
            let mut layers = open.layers.write();
            layers.unmerged_runs = unmerged_runs;
            layers.pending.seal()
        };
        if layers.is_empty() {
            return Ok(());
        }
        self.guard.change("writing a table", || {
            wait_until(&open.database, || open.keyspace.tree.l0_run_count() < UNMERGED_RUNS_MAX)?;
            self.writeback.begin();
            let mut table = open.keyspace.start_ingestion()?;
            let mut stretches = self.hurry.stretches();
            for (key, operation) in merged(&layers, Bound::Unbounded, Bound::Unbounded) {
                stretches.rest();
                match operation {
                    Operation::Put(value) => table.write(key.clone(), value.clone())?,
                    Operation::Remove => table.write_tombstone(key.clone())?,
                }
            }
            // All of it from one moment on, also after a crash.
            table.finish()?;
            open.show(layers.len());
            Ok::<_, Fault>(())
        })
    }

    /// Begins to flush, on a thread of its own, unless one is at it.
    fn begin_to_flush(self: &Arc<Self>) {
        let shared = self.clone();
        self.flusher.begin("flush", move || {
            go_to_background();
            // What it runs into is told to whoever changes anything next.
            let _ = shared.flush();
        });
    }
}

impl Open {
    /// Lets all reads see the tables as they are now, and lets go of the oldest layers of what was written, which are in
    /// them.
    fn show(&self, settled: usize) {
        let tables = Tables::now(&self.keyspace);
        let _before = {
            let mut layers = self.layers.write();
            (layers.pending.settled(settled), std::mem::replace(&mut layers.tables, tables))
        };
    }
}

/// [`Engine`] on fjall.
pub(super) struct FjallEngine {
    shared: Arc<Shared>,
}

impl Drop for FjallEngine {
    fn drop(&mut self) {
        // A flush that is under way ends first, so that the directory is free.
        drop(self.shared.open.write().take());
        self.shared.writeback.end();
    }
}

impl FjallEngine {
    pub(super) fn open(dir: &Path, options: EngineOptions) -> Result<Self, EngineError> {
        let mut home = Home::claim(EngineKind::Fjall, dir)?;
        let guard = home.guard();
        let is_new = home.is_new();
        let journals = Journals::new(dir, &home.data());
        let hurry = Hurry::default();
        let (database, keyspace) = guard.read("opening", || {
            if !is_new {
                check_files(&home.data())?;
                journals.check()?;
            }
            // The library's threads are as far in the background as the one that starts them.
            let database = in_background(|| {
                Database::builder(home.data())
                    .cache_size(options.cache_bytes)
                    .max_journaling_size(JOURNAL_BYTES)
                    .max_cached_files(Some(OPEN_FILES))
                    .worker_threads(WORKERS)
                    .with_compaction_filter_factories(Arc::new({
                        let hurry = hurry.clone();
                        move |_| Some(Arc::new(hurry.clone()))
                    }))
                    .open()
            })?;
            if !is_new && !database.keyspace_exists(KEYSPACE) {
                return Err(Fault::Library("the keyspace is gone".to_owned()));
            }
            let keyspace = database.keyspace(KEYSPACE, keyspace_options)?;
            Ok((database, keyspace))
        })?;
        home.created()?;
        let writeback = Writeback::new(keyspace.path().join(TABLES), guard.clone());
        guard.change("flushing at the start", || flush_memtable(&keyspace))?;
        let tables = Tables::now(&keyspace);
        let layers = RwLock::new(Layers { pending: Pending::default(), tables, unmerged_runs: 0 });
        let (writing, flushing) = (Mutex::new(()), Mutex::new(()));
        let open = RwLock::new(Some(Open { layers, writing, flushing, keyspace, database, journals, home }));
        Ok(Self { shared: Arc::new(Shared { guard, open, flusher: OneAtATime::default(), writeback, hurry }) })
    }
}

fn keyspace_options() -> KeyspaceCreateOptions {
    let bloom = |bits| FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(bits));
    KeyspaceCreateOptions::default()
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        .filter_policy(FilterPolicy::new([bloom(FILTER_BITS_NEWEST), bloom(FILTER_BITS)]))
        .expect_point_read_hits(false)
        // The upper levels' filters and indexes stay in memory: a few MB, asked by every read.
        .filter_block_pinning_policy(PinningPolicy::new([true, true, false]))
        .index_block_pinning_policy(PinningPolicy::new([true, true, false]))
        // Sessions arrive serialised, often compressed; a second try costs CPU on the apply path and saves little.
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        .index_block_compression_policy(CompressionPolicy::all(CompressionType::None))
        // Values of 1.8 KB die young: most are overwritten before a merge moves them a second time, so a value log
        // would trade little write amplification for a second read, a second collector and a second file format.
        .with_kv_separation(None)
}

impl Engine for FjallEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(key)?;
        let open = self.shared.open()?;
        let tables = {
            let layers = open.layers.read();
            match layers.pending.get(key) {
                Some(Operation::Put(value)) => return Ok(Some(value.clone())),
                Some(Operation::Remove) => return Ok(None),
                None => layers.tables.clone(),
            }
        };
        self.shared.guard.read("get", || tables.get(key))
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        let open = self.shared.open()?;
        let _only_writer = open.writing.lock();
        let has_room = || open.layers.read().pending.bytes() < PENDING_MAX_BYTES;
        self.shared.guard.change("write", || wait_until(&open.database, has_room))?;
        let (pending_bytes, unmerged_runs) = {
            let mut layers = open.layers.write();
            layers.pending.add(batch);
            (layers.pending.bytes(), layers.unmerged_runs)
        };
        self.shared.hurry.set(pending_bytes >= HURRY_BYTES || unmerged_runs >= HURRY_RUNS);
        if pending_bytes >= FLUSH_BYTES {
            self.shared.begin_to_flush();
        }
        Ok(())
    }

    fn fill(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        let pairs = match batch.into_ascending() {
            Ok(pairs) => pairs,
            Err(batch) => return self.write(batch),
        };
        let open = self.shared.open()?;
        let _only_writer = open.writing.lock();
        // First what was written before, so a crash leaves that and then this.
        let flushing = open.flushing.lock();
        self.shared.flush_all(&open, &flushing)?;
        self.shared.guard.change("fill", || {
            self.shared.writeback.begin();
            let mut tables = open.keyspace.start_ingestion()?;
            for (key, value) in pairs {
                tables.write(key, value)?;
            }
            tables.finish()?;
            open.show(0);
            Ok::<_, Fault>(())
        })
    }

    fn persist(&self) -> Result<(), EngineError> {
        in_background(|| self.shared.flush())
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        let open = self.shared.open()?;
        let (pending, tables) = {
            let mut layers = open.layers.write();
            // Tables that are newer than those in use have in them what is in the layers too.
            (layers.pending.seal(), open.database.snapshot())
        };
        Ok(Box::new(FjallView::new(pending, tables, self.shared.clone())))
    }

    /// What is in tables: nothing is sealed for it.
    fn view_since_persist(&self) -> Result<Box<dyn View>, EngineError> {
        let tables = self.shared.open()?.database.snapshot();
        Ok(Box::new(FjallView::new(Vec::new(), tables, self.shared.clone())))
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        // Whatever is written or merged now, somebody waits for.
        self.shared.hurry.set(true);
        let flushed = match self.shared.flush() {
            Err(EngineError::Closed { .. }) => return Ok(()),
            flushed => flushed,
        };
        let Some(open) = self.shared.open.write().take() else { return Ok(()) };
        let guard = &self.shared.guard;
        self.shared.writeback.end();
        let Open { layers, keyspace, database, journals, home, .. } = open;
        let released = guard.read("closing", || {
            drop(layers);
            drop(keyspace);
            drop(database);
            Ok::<_, Fault>(())
        });
        flushed?;
        released?;
        // Still under the directory's lock.
        let emptied = guard.change("emptying the journal", || journals.empty());
        drop(home);
        emptied
    }

    fn disk_bytes(&self) -> u64 {
        self.shared.open().map_or(0, |open| home::disk_bytes(&open.home.data()))
    }

    fn kind(&self) -> EngineKind {
        EngineKind::Fjall
    }
}

/// What a journal of an earlier program left goes into tables, so that the journal holds nothing that is not also there.
fn flush_memtable(keyspace: &Keyspace) -> Result<(), Fault> {
    const KEEP_ALL: SeqNo = 0;
    keyspace.tree.flush_active_memtable(KEEP_ALL).map_err(|error| fjall::Error::from(error).into())
}

fn wait_until(database: &Database, done: impl Fn() -> bool) -> Result<(), Fault> {
    for _ in 0..ROOM_LOOKS {
        if done() {
            return Ok(());
        }
        // Only asks whether one of its threads has failed.
        database.persist(PersistMode::Buffer)?;
        thread::sleep(ROOM_POLL);
    }
    Err(Fault::Library(format!("nothing was flushed or merged for {} s", (ROOM_POLL * ROOM_LOOKS).as_secs())))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    /// Longer than any load can make two reads and a write take.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn opened() -> (tempfile::TempDir, FjallEngine) {
        let dir = tempfile::tempdir().unwrap();
        let engine = FjallEngine::open(&dir.path().join("engine"), EngineOptions::default()).unwrap();
        (dir, engine)
    }

    #[test]
    fn a_view_since_the_last_persist_leaves_what_was_written_in_one_layer() {
        let (_dir, engine) = opened();
        for turn in 0..10_u8 {
            let mut batch = Batch::new();
            batch.put(vec![turn], "1");
            engine.write(batch).unwrap();
            engine.view_since_persist().unwrap();
        }
        assert_eq!(engine.shared.open().unwrap().layers.write().pending.seal().len(), 1);
    }

    #[test]
    fn neither_a_read_nor_a_write_waits_while_the_list_of_tables_changes() {
        let (_dir, engine) = opened();
        let engine = Arc::new(engine);
        let mut batch = Batch::new();
        batch.put("present", "1");
        batch.put("gone", "1");
        engine.write(batch).unwrap();
        engine.persist().unwrap();
        let mut batch = Batch::new();
        batch.remove("gone");
        engine.write(batch).unwrap();
        engine.persist().unwrap();

        let open = engine.shared.open().unwrap();
        let changing = open.keyspace.tree.get_version_history_lock();
        let (done, is_done) = sync_channel(1);
        let other = engine.clone();
        let asking = thread::spawn(move || {
            let mut batch = Batch::new();
            batch.put("new", "1");
            other.write(batch).unwrap();
            done.send(["present", "gone", "absent", "new"].map(|key| other.get(key.as_bytes()).unwrap())).unwrap();
        });
        let found = is_done.recv_timeout(PATIENCE);
        drop(changing);
        asking.join().unwrap();
        assert_eq!(found.unwrap(), [Some("1".into()), None, None, Some("1".into())]);
    }
}
