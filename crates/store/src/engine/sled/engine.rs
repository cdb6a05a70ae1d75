//! The session state on sled 0.34: for small stores, and for `kill -9` rather than the power cord.
//!
//! Read in its source (0.34.7), and why this adapter does more than pass calls on:
//!
//! - Its iterators are no snapshots: a view keeps aside what writes replace (see `view`).
//! - Its flush is `sync_file_range`, which moves neither metadata nor the disk's own cache, and values of over a quarter
//!   of a segment lie in files that are never synced. `persist` fsyncs both itself. What is left: sled reuses segments on its own
//!   schedule, without a barrier, so a power cut may still tear what a persist covered.
//! - Its flusher thread is the only place that collects garbage, so it stays on. It flushes too, which makes more
//!   durable, never less: the log is recovered to its last whole message in order, and a batch whole or not at all. Its
//!   failed fsyncs are only logged, so `persist` uses a descriptor held from the start, which the kernel tells of every
//!   failed write-back since.
//! - It panics on some damage: on the caller's thread that is caught. In its own IO threads it cannot be; sled then
//!   refuses all work in the whole process, also for other stores.
//! - It can wait for itself for ever. A writer that needs a new segment waits, with the lock of all segments in its hand,
//!   until the file is cut where it was cut short before (`SegmentAccountant::bump_tip`). That is a task for one of the
//!   process's IO threads, of which there are seven and no more while all are busy (`threadpool.rs`: its count of the waiting
//!   ones wraps below zero); if each of them has just written a segment and wants that lock to say so, nothing goes on. So
//!   segments are larger here than by default, and a write waits for the disk before seven of them are under way.
//! - A start that is killed leaves what the next one takes for damage: see `unfinished`.
//! - Its threads may keep the file lock for a moment after the last handle is dropped: `shutdown` and a drop wait for it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::overlay::Overlays;
use super::shared::{Open, Shared, get};
use super::unfinished::remove_unfinished;
use super::view::SledView;
use crate::engine::guard::Fault;
use crate::engine::home::{self, Home, sync_dir};
use crate::engine::{Batch, Engine, EngineError, EngineKind, EngineOptions, Operation, View, check_key};

/// How often sled's thread flushes and collects garbage: its own default. More often makes more, emptier segments.
const FLUSH_MS: u64 = 500;
/// sled's mode that rewrites segments from half empty on, for the smaller file.
const MODE: sled::Mode = sled::Mode::LowSpace;
/// A segment of a new store: of sled's own default, 512 KiB, seven are soon under way (see above). A store keeps what it was
/// made with.
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;
/// The most that all live views of one store keep aside, in bytes. A small store is a few hundred MB; a view that
/// outlives so many replaced bytes gives up, so that the node does not run out of memory.
pub(super) const VIEWS_MAX_BYTES: usize = 256 * 1024 * 1024;
/// After the last handle is dropped sled's threads finish what they write: milliseconds on a healthy disk.
const RELEASE_DEADLINE: Duration = Duration::from_secs(30);
/// How often a shutdown looks whether they have.
const RELEASE_POLL: Duration = Duration::from_millis(1);

/// [`Engine`] on sled.
pub(in crate::engine) struct SledEngine {
    shared: Arc<Shared>,
    /// One persist at a time, and none while shutting down: it works without `Shared::open`, so that writes go on. Holds
    /// the names of the large values' files that are on disk.
    persisting: Mutex<HashSet<OsString>>,
}

impl Drop for SledEngine {
    /// sled flushes when it is dropped, and panics where the disk fails then. Whoever drops it has its own error to tell,
    /// and may open the directory again.
    fn drop(&mut self) {
        if let Some(Open { database, home, .. }) = self.shared.open.write().take() {
            drop(self.shared.guard.read("dropping", || let_go(database, &home)));
        }
    }
}

impl SledEngine {
    pub(in crate::engine) fn open(dir: &Path, options: &EngineOptions) -> Result<Self, EngineError> {
        Self::open_with(dir, options, VIEWS_MAX_BYTES)
    }

    /// As `open`, with a bound for views that a test can reach.
    pub(in crate::engine) fn open_with(
        dir: &Path,
        options: &EngineOptions,
        views_max_bytes: usize,
    ) -> Result<Self, EngineError> {
        let mut home = Home::claim(EngineKind::Sled, dir)?;
        let guard = home.guard();
        let is_new = home.is_new();
        let (database, file, segment_bytes) = guard.read("opening", || {
            if !is_new {
                require_files(&home.data())?;
                remove_unfinished(&home.data())?;
            }
            let segment_bytes = if is_new { SEGMENT_BYTES } else { segment_bytes(&home.data())? };
            let database = sled::Config::new()
                .path(home.data())
                .segment_size(segment_bytes)
                .cache_capacity(options.cache_bytes)
                .mode(MODE)
                .flush_every_ms(Some(FLUSH_MS))
                .open()?;
            if is_new {
                database.flush()?;
            }
            let file = File::options().read(true).write(true).open(home.data().join("db"))?;
            file.sync_all()?;
            File::open(home.data().join("conf"))?.sync_all()?;
            Ok::<_, Fault>((database, file, segment_bytes))
        })?;
        home.created()?;
        let shared = Shared {
            guard,
            open: RwLock::new(Some(Open { database, segment_bytes, unflushed_bytes: 0, file, home })),
            overlays: Overlays::new(views_max_bytes),
        };
        Ok(Self { shared: Arc::new(shared), persisting: Mutex::default() })
    }
}

#[cfg(test)]
impl SledEngine {
    /// Bytes kept aside for all live views.
    pub(in crate::engine) fn held_aside(&self) -> usize {
        self.shared.overlays.held_bytes()
    }
}

impl Engine for SledEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(key)?;
        let open = self.shared.open.read();
        let open = open.as_ref().ok_or_else(|| self.shared.guard.closed())?;
        self.shared.guard.read("get", || get(&open.database, key))
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        let mut open = self.shared.open.write();
        let open = open.as_mut().ok_or_else(|| self.shared.guard.closed())?;
        self.shared.guard.change("write", || {
            open.unflushed_bytes += batch.bytes();
            let operations = batch.into_last_per_key();
            let keys = operations.iter().map(|(key, _)| key);
            self.shared.overlays.keep_aside(keys, |key| get(&open.database, key))?;
            let mut write = sled::Batch::default();
            for (key, operation) in operations {
                match operation {
                    Operation::Put(value) => write.insert(&*key, &*value),
                    Operation::Remove => write.remove(&*key),
                }
            }
            open.database.apply_batch(write)?;
            if open.unflushed_bytes >= open.segment_bytes {
                open.database.flush()?;
                open.unflushed_bytes = 0;
            }
            Ok::<_, Fault>(())
        })
    }

    fn persist(&self) -> Result<(), EngineError> {
        let mut synced = self.persisting.lock();
        let (database, file, data) = {
            let open = self.shared.open.read();
            let open = open.as_ref().ok_or_else(|| self.shared.guard.closed())?;
            let file = open.file.try_clone().map_err(|error| self.shared.guard.error("persist", error.into()))?;
            (open.database.clone(), file, open.home.data())
        };
        self.shared.guard.change("persist", || {
            database.flush()?;
            sync_large_values(&data.join("blobs"), &mut synced)?;
            file.sync_all().map_err(Fault::from)
        })
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        // Shared, and so never between a write's keeping aside and its applying.
        let open = self.shared.open.read();
        if open.is_none() {
            return Err(self.shared.guard.closed());
        }
        Ok(Box::new(SledView::new(Arc::clone(&self.shared))))
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        let persisted = match self.persist() {
            Err(EngineError::Closed { .. }) => return Ok(()),
            result => result,
        };
        let _no_persist = self.persisting.lock();
        let Some(Open { database, file, home, .. }) = self.shared.open.write().take() else { return Ok(()) };
        let released = self.shared.guard.read("closing", || {
            let released = let_go(database, &home);
            // Dropping flushed once more and wrote sled's own snapshot.
            file.sync_all()?;
            released
        });
        persisted.and(released)
    }

    fn disk_bytes(&self) -> u64 {
        self.shared.open.read().as_ref().map_or(0, |open| home::disk_bytes(&open.home.data()))
    }

    fn kind(&self) -> EngineKind {
        EngineKind::Sled
    }
}

/// The files without which sled would begin an empty store instead of reporting a loss.
fn require_files(data: &Path) -> Result<(), Fault> {
    for name in ["conf", "db"] {
        if !data.join(name).try_exists()? {
            return Err(Fault::Library(format!("{} is missing", data.join(name).display())));
        }
    }
    Ok(())
}

/// How large the segments of a store are, as the store itself says.
fn segment_bytes(data: &Path) -> Result<usize, Fault> {
    let path = data.join("conf");
    let conf = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    let bytes = conf.lines().find_map(|line| line.strip_prefix("segment_size: ")?.parse().ok());
    bytes.ok_or_else(|| Fault::Library(format!("{} does not say how large its segments are", path.display())))
}

/// Fsyncs the files of large values that were not yet. `synced` is replaced by what is there now, so it is bounded by
/// the number of these files, each of which is over a quarter of a segment.
fn sync_large_values(dir: &Path, synced: &mut HashSet<OsString>) -> Result<(), Fault> {
    let mut present = HashSet::new();
    let mut is_changed = false;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if !synced.contains(&name) {
            match File::open(entry.path()) {
                Ok(file) => file.sync_all()?,
                // Replaced by a newer value meanwhile.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            }
            is_changed = true;
        }
        present.insert(name);
    }
    if is_changed {
        sync_dir(dir)?;
    }
    *synced = present;
    Ok(())
}

/// Drops the store, and returns when sled's threads have let go of the file's lock.
fn let_go(database: sled::Db, home: &Home) -> Result<(), Fault> {
    drop(database);
    let begin = Instant::now();
    let file = File::open(home.data().join("db"))?;
    loop {
        match file.try_lock() {
            Ok(()) => return file.unlock().map_err(Fault::from),
            Err(TryLockError::Error(error)) => return Err(error.into()),
            Err(TryLockError::WouldBlock) if begin.elapsed() > RELEASE_DEADLINE => {
                return Err(Fault::Library(format!("its threads kept the file for {RELEASE_DEADLINE:?}")));
            }
            Err(TryLockError::WouldBlock) => thread::sleep(RELEASE_POLL),
        }
    }
}
