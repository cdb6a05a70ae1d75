//! The session state on fjall 3: a log-structured tree with a journal.
//!
//! Read in its source (3.1.13, lsm-tree 3.1.10), and why this adapter does more than pass calls on:
//!
//! - A plain `get` reads at the highest sequence number there is, so it sees the first half of a batch that is being
//!   written. A snapshot may too: a flush or compaction that ends meanwhile takes the next number and publishes it, and
//!   with it all lower ones (lsm-tree, `SuperVersions::upgrade_version`). So only a write takes snapshots, after its
//!   commit, when no batch is under way, and every read goes through the last of them.
//! - `persist` holds the journal's lock during its fsync, and every write waits. Here the buffer is handed to the
//!   kernel under that lock and the fsync is done on a descriptor of our own.
//! - A write that finds four sealed memtables waits until they are flushed, for ever if the flushing thread has died.
//!   Here a write waits before it enters, and looks at the poison flag.
//! - The journal's recovery takes damage for the end and a torn tail for damage, and a batch's sequence number is under
//!   no checksum. So `fjall_journal` looks at the journals first, and a clean stop flushes everything into tables, whose
//!   blocks are all checksummed, and empties the journal.
//! - A recovery that misses a file begins an empty store, and one that reads a damaged list of tables may abort the
//!   process. So `fjall_files` looks at both before fjall may.
//! - The compaction options are stored with the keyspace: another choice here is one for new directories.

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, PinningPolicy,
};
use fjall::{
    AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice, Snapshot,
};
use parking_lot::{MappedRwLockReadGuard, Mutex, RwLock, RwLockReadGuard};

use super::fjall_files::check_files;
use super::fjall_journal::Journals;
use super::guard::{Fault, Guard};
use super::home::{self, Home};
use super::{Batch, Engine, EngineError, EngineKind, EngineOptions, Operation, Scan, View, check_key, is_empty_range};

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
/// A memtable is flushed at this size. Each flush fsyncs the journal under the lock that writes need, so this bounds how
/// many dirty bytes such a wait is for: beside an open view the longest write took 10–32 ms with 8 MiB, and 20–60 ms with
/// 32 MiB (`engine_bench`, four runs each). Still smaller ones would make more tables to merge.
const MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;
/// All journals together: what a start after a crash has to replay, a second or two. fjall takes no less than 64 MiB.
const JOURNAL_BYTES: u64 = 256 * 1024 * 1024;
/// One thread flushes while another one compacts; with a single one, flushes wait behind a compaction and writes behind
/// the flushes. The third one takes what is asked for meanwhile: with two, the first puts such a message back and takes
/// it out again for as long as the second one compacts (fjall, `worker_tick`).
const WORKERS: usize = 3;
/// Open table files, well below the usual limit of 1,024 descriptors a process, which sockets need too.
const OPEN_FILES: usize = 512;
/// A write waits while so many memtables are yet to be flushed. fjall itself waits at four, without looking whether
/// anyone still flushes.
const SEALED_MEMTABLES_MAX: usize = 2;
/// A write waits while so many runs are yet to be merged. fjall itself spins from 20 on and waits at 30.
const UNMERGED_RUNS_MAX: usize = 20;
/// How often a waiting write looks again: a fraction of the flush it waits for.
const ROOM_POLL: Duration = Duration::from_millis(1);
/// A flush of the sealed memtables takes a second on a slow disk. After so long without one, the disk is at fault.
const ROOM_DEADLINE: Duration = Duration::from_secs(60);

struct Open {
    /// The state after the last write, for all reads. It holds back the collection of garbage by one write at most.
    latest: RwLock<Snapshot>,
    /// One writer at a time, also if the caller forgets.
    writing: Mutex<()>,
    // The keyspace first: its handle holds the library's lock, and the database's drop waits for the worker threads.
    keyspace: Keyspace,
    database: Database,
    journals: Journals,
    home: Home,
}

impl Open {
    fn latest(&self) -> Snapshot {
        self.latest.read().clone()
    }

    /// Lets all reads see what was just written.
    fn show(&self) {
        let snapshot = self.database.snapshot();
        // The old one is dropped after the lock is released.
        let _before = std::mem::replace(&mut *self.latest.write(), snapshot);
    }
}

struct Shared {
    guard: Guard,
    /// Written only by `shutdown`; everything else reads.
    open: RwLock<Option<Open>>,
}

impl Shared {
    fn open(&self) -> Result<MappedRwLockReadGuard<'_, Open>, EngineError> {
        RwLockReadGuard::try_map(self.open.read(), Option::as_ref).map_err(|_| self.guard.closed())
    }
}

/// [`Engine`] on fjall.
pub(super) struct FjallEngine {
    shared: Arc<Shared>,
}

impl FjallEngine {
    pub(super) fn open(dir: &Path, options: EngineOptions) -> Result<Self, EngineError> {
        let mut home = Home::claim(EngineKind::Fjall, dir)?;
        let guard = home.guard();
        let is_new = home.is_new();
        let journals = Journals::new(dir, &home.data());
        let (database, keyspace) = guard.read("opening", || {
            if !is_new {
                check_files(&home.data())?;
                journals.check()?;
            }
            let database = Database::builder(home.data())
                .cache_size(options.cache_bytes)
                .max_journaling_size(JOURNAL_BYTES)
                .max_cached_files(Some(OPEN_FILES))
                .worker_threads(WORKERS)
                .open()?;
            if !is_new && !database.keyspace_exists(KEYSPACE) {
                return Err(Fault::Library("the keyspace is gone".to_owned()));
            }
            let keyspace = database.keyspace(KEYSPACE, keyspace_options)?;
            Ok((database, keyspace))
        })?;
        home.created()?;
        let latest = RwLock::new(database.snapshot());
        let open = RwLock::new(Some(Open { latest, writing: Mutex::new(()), keyspace, database, journals, home }));
        Ok(Self { shared: Arc::new(Shared { guard, open }) })
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
        .max_memtable_size(MEMTABLE_BYTES)
}

impl Engine for FjallEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(key)?;
        let open = self.shared.open()?;
        self.shared.guard.read("get", || get(&open.latest(), &open.keyspace, key))
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        let open = self.shared.open()?;
        let _only_writer = open.writing.lock();
        self.shared.guard.change("write", || {
            wait_for_room(&open)?;
            let mut write = open.database.batch();
            for (key, operation) in batch.into_last_per_key() {
                // Copied: a memtable that shares the caller's buffers would keep all of a message for one value in it.
                match operation {
                    Operation::Put(value) => write.insert(&open.keyspace, Slice::new(&key), Slice::new(&value)),
                    Operation::Remove => write.remove(&open.keyspace, Slice::new(&key)),
                }
            }
            write.commit()?;
            open.show();
            Ok::<_, Fault>(())
        })
    }

    fn fill(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        let pairs = match batch.into_ascending() {
            Ok(pairs) => pairs,
            Err(batch) => return self.write(batch),
        };
        let open = self.shared.open()?;
        let _only_writer = open.writing.lock();
        self.shared.guard.change("fill", || {
            // First it flushes what was written before, so a crash leaves that and then this.
            let mut tables = open.keyspace.start_ingestion()?;
            for (key, value) in pairs {
                tables.write(Slice::new(&key), Slice::new(&value))?;
            }
            tables.finish()?;
            open.show();
            Ok::<_, Fault>(())
        })
    }

    fn persist(&self) -> Result<(), EngineError> {
        let open = self.shared.open()?;
        self.shared.guard.change("persist", || {
            // First to the kernel, then to the disk.
            open.database.persist(PersistMode::Buffer)?;
            open.journals.persist()
        })
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        let open = self.shared.open()?;
        let snapshot = self.shared.guard.read("view", || Ok::<_, Fault>(open.latest()))?;
        Ok(Box::new(FjallView { snapshot, shared: Arc::clone(&self.shared) }))
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        let Some(open) = self.shared.open.write().take() else { return Ok(()) };
        let guard = &self.shared.guard;
        let flushed = guard.change("flushing at shutdown", || flush_all(&open));
        let Open { latest, keyspace, database, journals, home, .. } = open;
        let released = guard.read("closing", || {
            drop(latest);
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

struct FjallView {
    snapshot: Snapshot,
    shared: Arc<Shared>,
}

impl View for FjallView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(key)?;
        let open = self.shared.open()?;
        self.shared.guard.read("get", || get(&self.snapshot, &open.keyspace, key))
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        if is_empty_range(from, to) {
            return Box::new(std::iter::empty());
        }
        let iter = self.shared.open().and_then(|open| {
            self.shared
                .guard
                .read("scan", || Ok::<_, Fault>(self.snapshot.range::<&[u8], _>(&open.keyspace, (from, to))))
        });
        match iter {
            Ok(iter) => Box::new(FjallScan { iter: Some(iter), shared: &self.shared }),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}

struct FjallScan<'a> {
    /// `None` after the end or an error: what lies behind a damaged block is not to be taken for the next record.
    iter: Option<fjall::Iter>,
    shared: &'a Shared,
}

impl Iterator for FjallScan<'_> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let iter = self.iter.as_mut()?;
        let item = self
            .shared
            .open()
            .and_then(|_open| self.shared.guard.read("scan", || iter.next().map(fjall::Guard::into_inner).transpose()));
        match item {
            Ok(Some((key, value))) => Some(Ok((key.into(), value.into()))),
            Ok(None) => {
                self.iter = None;
                None
            }
            Err(error) => {
                self.iter = None;
                Some(Err(error))
            }
        }
    }
}

fn get(snapshot: &Snapshot, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>, Fault> {
    Ok(snapshot.get(keyspace, key)?.map(Bytes::from))
}

/// Returns when a write will not run into fjall's own waits, which do not end if a worker thread has died.
fn wait_for_room(open: &Open) -> Result<(), Fault> {
    wait_until(open, || {
        open.keyspace.tree.sealed_memtable_count() <= SEALED_MEMTABLES_MAX
            && open.keyspace.tree.l0_run_count() < UNMERGED_RUNS_MAX
    })
}

/// Everything in tables, so that the journal holds nothing that is not also there.
fn flush_all(open: &Open) -> Result<(), Fault> {
    open.keyspace.rotate_memtable()?;
    wait_until(open, || open.keyspace.tree.sealed_memtable_count() == 0)?;
    open.database.persist(PersistMode::SyncAll).map_err(Fault::from)
}

fn wait_until(open: &Open, done: impl Fn() -> bool) -> Result<(), Fault> {
    let begin = Instant::now();
    while !done() {
        // Only asks for the poison flag: the buffer is flushed by every commit.
        open.database.persist(PersistMode::Buffer)?;
        if begin.elapsed() > ROOM_DEADLINE {
            return Err(Fault::Library(format!("nothing was flushed or merged for {ROOM_DEADLINE:?}")));
        }
        thread::sleep(ROOM_POLL);
    }
    Ok(())
}
