//! Engines with a defect.

use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sessile_store::engine::{Batch, Engine, EngineError, EngineKind, EngineOptions, Retention, Scan, View};

use super::defect::Defect;

/// By how much an engine's clock is ahead of what a crash would find: more than lies between two times that a state is made
/// durable.
const AHEAD_MS: u64 = 10_000;
/// What the keys under which proposers are stored begin with.
const PROPOSERS: [u8; 2] = [2, 2];

/// Opens an engine with a defect, if it is one of engines.
pub(in crate::simulation) fn open_planted(
    defect: Defect,
    dir: &Path,
    options: EngineOptions,
    open: impl FnOnce(&Path, EngineOptions) -> Result<Box<dyn Engine>, EngineError>,
) -> Result<Box<dyn Engine>, EngineError> {
    match defect {
        Defect::ReapedByUnpersistedClock => {
            let ahead = |retention| Arc::new(Ahead(retention)) as Arc<dyn Retention>;
            open(dir, EngineOptions { retention: options.retention.map(ahead), ..options })
        }
        Defect::PurgeAheadOfPersist | Defect::OutcomesLostInSnapshot | Defect::SnapshotMissesTheLastWrite => {
            let engine = open(dir, options)?;
            Ok(Box::new(PlantedEngine { engine, defect, earlier: Mutex::default(), persists: AtomicU64::new(0) }))
        }
        _ => open(dir, options),
    }
}

/// A clock that shows what the state does not hold.
#[derive(Debug)]
struct Ahead(Arc<dyn Retention>);

impl Retention for Ahead {
    fn may_lapse(&self, key: &[u8]) -> bool {
        self.0.may_lapse(key)
    }

    fn needed_until(&self, key: &[u8], value: &[u8]) -> u64 {
        self.0.needed_until(key, value)
    }

    fn now(&self) -> u64 {
        self.0.now() + AHEAD_MS
    }
}

struct PlantedEngine {
    engine: Box<dyn Engine>,
    defect: Defect,
    /// The view that was taken last.
    earlier: Mutex<Option<Arc<dyn View>>>,
    /// How often its state was to be made durable.
    persists: AtomicU64,
}

impl PlantedEngine {
    fn earlier(&self) -> MutexGuard<'_, Option<Arc<dyn View>>> {
        self.earlier.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for PlantedEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(key)
    }

    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, EngineError> {
        self.engine.get_in_memory(key)
    }

    fn takes_writes_at_once(&self) -> bool {
        self.engine.takes_writes_at_once()
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.engine.write(batch)
    }

    fn fill(&self, batch: Batch) -> Result<(), EngineError> {
        self.engine.fill(batch)
    }

    fn persist(&self) -> Result<(), EngineError> {
        // Every other time it only says so, and what made the state is purged.
        let nth = self.persists.fetch_add(1, Ordering::Relaxed);
        if self.defect == Defect::PurgeAheadOfPersist && !nth.is_multiple_of(2) {
            return Ok(());
        }
        self.engine.persist()
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        let now: Arc<dyn View> = self.engine.view()?.into();
        let earlier = self.earlier().replace(now.clone());
        let sent: Arc<dyn View> = match self.defect {
            Defect::OutcomesLostInSnapshot => Arc::new(WithoutProposers(now.clone())),
            Defect::SnapshotMissesTheLastWrite => earlier.unwrap_or_else(|| now.clone()),
            _ => now.clone(),
        };
        Ok(Box::new(PlantedView { now, sent }))
    }

    fn view_since_persist(&self) -> Result<Box<dyn View>, EngineError> {
        self.engine.view_since_persist()
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        self.earlier().take();
        self.engine.shutdown()
    }

    fn disk_bytes(&self) -> u64 {
        self.engine.disk_bytes()
    }

    fn reserve_bytes(&self) -> u64 {
        self.engine.reserve_bytes()
    }

    fn condemn(&self, why: &str) {
        self.engine.condemn(why);
    }

    fn removes_lapsed(&self) -> bool {
        self.engine.removes_lapsed()
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

/// A view that shows another one to whoever sends a snapshot of it. Nobody else scans without an end: a start reads the rows,
/// and a check the records.
struct PlantedView {
    now: Arc<dyn View>,
    sent: Arc<dyn View>,
}

impl View for PlantedView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.now.get(key)
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        if matches!(to, Bound::Unbounded) { self.sent.scan(from, to) } else { self.now.scan(from, to) }
    }
}

/// A view that shows nothing of what is remembered of proposers.
struct WithoutProposers(Arc<dyn View>);

impl View for WithoutProposers {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.0.get(key)
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        let is_of_a_proposer = |(key, _): &(Bytes, Bytes)| key.starts_with(&PROPOSERS);
        Box::new(self.0.scan(from, to).filter(move |pair| !pair.as_ref().is_ok_and(is_of_a_proposer)))
    }
}
