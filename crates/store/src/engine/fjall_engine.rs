//! The session state on fjall 3: a log-structured tree with a journal.
//!
//! Read in its source (3.1.13, lsm-tree 3.1.10), and why this adapter does more than pass calls on:
//!
//! - A plain `get` reads at the highest sequence number there is, so it sees the first half of a batch that is being
//!   written. Every read here goes through a snapshot, which ends at the last published batch.
//! - `persist` holds the journal's lock during its fsync, and every write waits. Here the buffer is handed to the
//!   kernel under that lock and the fsync is done on a descriptor of our own.
//! - A write that finds four sealed memtables waits until they are flushed, for ever if the flushing thread has died.
//!   Here a write waits before it enters, and looks at the poison flag.
//! - The journal's recovery takes a damaged tag or length for the end of the file, and a batch's sequence number is
//!   under no checksum. So a clean stop flushes everything into tables, whose blocks are all checksummed, and empties
//!   the journal.
//! - A recovery that misses a `version`, `current` or journal file begins an empty store, keyspace or count. So the
//!   files must be there before fjall may look.
//! - The compaction options are stored with the keyspace: another choice here is one for new directories.

use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry, PinningPolicy,
};
use fjall::{AbstractTree, CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Slice};
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};

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
/// A memtable is flushed at this size. Each flush fsyncs the journal under the lock that writes need, so this bounds
/// how many dirty bytes such a wait is for; smaller ones would make more tables to merge.
const MEMTABLE_BYTES: u64 = 32 * 1024 * 1024;
/// All journals together: what a start after a crash has to replay, a second or two. fjall takes no less than 64 MiB.
const JOURNAL_BYTES: u64 = 256 * 1024 * 1024;
/// One thread flushes while the other compacts; with a single one, flushes wait behind a compaction and writes behind
/// the flushes.
const WORKERS: usize = 2;
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
    // The keyspace first: its handle holds the library's lock, and the database's drop waits for the worker threads.
    keyspace: Keyspace,
    database: Database,
    home: Home,
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
        let (database, keyspace) = guard.read("opening", || {
            if !is_new {
                require_files(&home.data())?;
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
        let open = RwLock::new(Some(Open { keyspace, database, home }));
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
        self.shared.guard.read("get", || get(&open.database.snapshot(), &open.keyspace, key))
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        let open = self.shared.open()?;
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
            write.commit().map_err(Fault::from)
        })
    }

    fn persist(&self) -> Result<(), EngineError> {
        let open = self.shared.open()?;
        self.shared.guard.change("persist", || {
            // First to the kernel, then to the disk. What lies in an older journal is on disk already: fjall fsyncs a
            // journal before it makes the next.
            open.database.persist(PersistMode::Buffer)?;
            let newest = journals(&open.home.data())?.pop();
            let newest = newest.ok_or_else(|| Fault::Library("its journal is gone".to_owned()))?;
            File::open(newest.1)?.sync_all().map_err(Fault::from)
        })
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        let open = self.shared.open()?;
        let snapshot = self.shared.guard.read("view", || Ok::<_, Fault>(open.database.snapshot()))?;
        Ok(Box::new(FjallView { snapshot, shared: Arc::clone(&self.shared) }))
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        let Some(open) = self.shared.open.write().take() else { return Ok(()) };
        let guard = &self.shared.guard;
        let flushed = guard.change("flushing at shutdown", || flush_all(&open));
        let Open { keyspace, database, home } = open;
        let released = guard.read("closing", || {
            drop(keyspace);
            drop(database);
            Ok::<_, Fault>(())
        });
        flushed?;
        released?;
        // Still under the directory's lock, which `home` holds to the end of this function.
        guard.change("emptying the journal", || empty_journals(&home.data()))
    }

    fn disk_bytes(&self) -> u64 {
        self.shared.open().map_or(0, |open| home::disk_bytes(&open.home.data()))
    }

    fn kind(&self) -> EngineKind {
        EngineKind::Fjall
    }
}

struct FjallView {
    snapshot: fjall::Snapshot,
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

fn get(snapshot: &fjall::Snapshot, keyspace: &Keyspace, key: &[u8]) -> Result<Option<Bytes>, Fault> {
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

/// The files without which fjall would begin an empty store, keyspace or sequence instead of reporting a loss.
fn require_files(data: &Path) -> Result<(), Fault> {
    let missing = |file: &Path| Err(Fault::Library(format!("{} is missing", file.display())));
    let version = data.join("version");
    if !version.try_exists()? {
        return missing(&version);
    }
    if journals(data)?.is_empty() {
        return missing(&data.join("*.jnl"));
    }
    // 0 is fjall's own list of keyspaces, 1 the first and only one made here.
    for keyspace in ["0", "1"] {
        let current = data.join("keyspaces").join(keyspace).join("current");
        if !current.try_exists()? {
            return missing(&current);
        }
    }
    Ok(())
}

/// The journals by ascending number.
fn journals(data: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (true, Some(number)) = (is_journal, number) {
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals)
}

/// After a flush of everything: a batch that a flipped bit gives a higher number cannot be replayed over newer ones.
/// The files stay, because fjall takes its next sequence number from the tables only if it finds a journal.
fn empty_journals(data: &Path) -> Result<(), Fault> {
    for (_, path) in journals(data)? {
        let journal = File::options().write(true).open(path)?;
        journal.set_len(0)?;
        journal.sync_all()?;
    }
    Ok(())
}
