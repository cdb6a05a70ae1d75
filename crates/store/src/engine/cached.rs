//! Whole values in memory, in front of an engine.
//!
//! A session is read again, or renewed, soon after it was written. Then a value from here costs a twentieth of a search
//! through memtables, filters and blocks, and every renewal on every replica begins with such a search.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::{Batch, Engine, EngineError, EngineFigures, EngineKind, Operation, View};

/// Readers of different keys seldom meet at one lock.
const SHARDS: usize = 16;
/// What an entry costs besides its key and its value: two handles to them, and its place.
const ENTRY_BYTES: u64 = 128;
/// A session's usual size, by which a cache estimates how many there will be.
const USUAL_BYTES: u64 = 1_800;

/// An [`Engine`] that keeps the values that were last written or read.
///
/// What keeps the engine's promises, with readers that never wait for a write:
/// - While a batch is written, none of its keys is in the cache, so all readers see what the engine shows: nothing of it,
///   or all of it.
/// - A value that a reader found in the engine is kept only if no write has begun since before it was looked up, which is
///   judged under the lock that the write needs to take the key out.
pub(super) struct Cached {
    engine: Box<dyn Engine>,
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    /// Odd while a batch is written.
    writes: AtomicU64,
    /// One writer at a time, also if the caller forgets.
    writing: Mutex<()>,
}

type Shard = Cache<Bytes, Bytes, Size>;

#[derive(Clone)]
struct Size;

impl Weighter<Bytes, Bytes> for Size {
    fn weight(&self, key: &Bytes, value: &Bytes) -> u64 {
        key.len() as u64 + value.len() as u64 + ENTRY_BYTES
    }
}

impl Cached {
    pub(super) fn new(engine: Box<dyn Engine>, bytes: u64) -> Self {
        let hasher = RandomState::new();
        let bytes = bytes / SHARDS as u64;
        let items = usize::try_from(bytes / USUAL_BYTES).unwrap_or(usize::MAX);
        let shard = || Mutex::new(Cache::with(items, bytes, Size, RandomState::new(), Default::default()));
        let shards = (0..SHARDS).map(|_| shard()).collect();
        Self { engine, shards, hasher, writes: AtomicU64::new(0), writing: Mutex::new(()) }
    }

    fn shard(&self, key: &[u8]) -> &Mutex<Shard> {
        let at = self.hasher.hash_one(key) % SHARDS as u64;
        #[expect(clippy::cast_possible_truncation, reason = "below the number of shards")]
        &self.shards[at as usize]
    }

    /// Writes with the keys of the batch out of the cache. What is to be kept of it comes into the cache afterwards.
    fn change(
        &self,
        batch: Batch,
        keep: bool,
        write: impl FnOnce(&dyn Engine, Batch) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let _only_writer = self.writing.lock();
        let changes = batch.operations().to_vec();
        self.writes.fetch_add(1, Ordering::SeqCst);
        for (key, _) in &changes {
            self.shard(key).lock().remove(&**key);
        }
        let written = write(&*self.engine, batch);
        if keep && written.is_ok() {
            for (key, operation) in changes {
                let mut shard = self.shard(&key).lock();
                match operation {
                    Operation::Put(value) => shard.insert(key, value),
                    Operation::Remove => drop(shard.remove(&*key)),
                }
            }
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        written
    }
}

impl Engine for Cached {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let shard = self.shard(key);
        if let Some(value) = shard.lock().get(key) {
            return Ok(Some(value.clone()));
        }
        let writes = self.writes.load(Ordering::SeqCst);
        let found = self.engine.get(key)?;
        if let Some(value) = &found
            && writes.is_multiple_of(2)
        {
            // Copied: what a library hands out may hold on to a whole block.
            let kept = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
            let mut shard = shard.lock();
            if self.writes.load(Ordering::SeqCst) == writes {
                shard.insert(kept.0, kept.1);
            }
        }
        Ok(found)
    }

    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, EngineError> {
        let kept = self.shard(key).lock().get(key).cloned();
        kept.map_or_else(|| self.engine.get_in_memory(key), |value| Ok(Some(Some(value))))
    }

    fn takes_writes_at_once(&self) -> bool {
        !self.writing.is_locked() && self.engine.takes_writes_at_once()
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.change(batch, true, |engine, batch| engine.write(batch))
    }

    fn fill(&self, batch: Batch) -> Result<(), EngineError> {
        // Much more than fits, and nobody reads it yet.
        self.change(batch, false, |engine, batch| engine.fill(batch))
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.engine.persist()
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        self.engine.view()
    }

    fn view_since_persist(&self) -> Result<Box<dyn View>, EngineError> {
        self.engine.view_since_persist()
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        let _only_writer = self.writing.lock();
        let ended = self.engine.shutdown();
        // From here on the engine finds nothing that could be kept.
        self.writes.fetch_add(2, Ordering::SeqCst);
        self.shards.iter().for_each(|shard| shard.lock().clear());
        ended
    }

    fn disk_bytes(&self) -> u64 {
        self.engine.disk_bytes()
    }

    fn reserve_bytes(&self) -> u64 {
        self.engine.reserve_bytes()
    }

    fn figures(&self) -> Option<EngineFigures> {
        self.engine.figures()
    }

    fn set_catches_up(&self, catches_up: bool) {
        self.engine.set_catches_up(catches_up);
    }

    fn removes_lapsed(&self) -> bool {
        self.engine.removes_lapsed()
    }

    fn condemn(&self, why: &str) {
        self.engine.condemn(why);
    }

    fn is_out_of_space(&self) -> bool {
        self.engine.is_out_of_space()
    }

    fn is_exhausted(&self) -> bool {
        self.engine.is_exhausted()
    }

    fn kind(&self) -> EngineKind {
        self.engine.kind()
    }
}
