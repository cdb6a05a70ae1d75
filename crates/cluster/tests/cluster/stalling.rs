//! An engine whose disk stalls, or has too little room, when a test says so, and goes on when it says so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use sessile_store::engine::{self, Batch, Engine, EngineError, EngineKind, EngineOptions, OtherEngine, View};

/// fjall, behind the gates of its data directory.
pub(crate) const STALLING: EngineKind = EngineKind::Other(OtherEngine { name: "stalling", open });

static DISKS: Mutex<Vec<(PathBuf, Arc<Disk>)>> = Mutex::new(Vec::new());

/// The disk under a data directory.
#[derive(Default)]
struct Disk {
    stalled: Mutex<Stalled>,
    goes_on: Condvar,
    room: Mutex<Need>,
}

/// What the engine says of its room.
#[derive(Default, Clone, Copy)]
pub(crate) struct Need {
    /// What its largest merge needs.
    pub(crate) reserve_bytes: u64,
    /// Whether it was refused room.
    pub(crate) is_refused: bool,
    /// Whether little more can wait in memory until it is not.
    pub(crate) is_exhausted: bool,
}

impl Need {
    /// The engines below that directory say so from now on.
    pub(crate) fn is_of(self, data_dir: &Path) {
        *disk_of(data_dir).room.lock() = self;
    }
}

#[derive(Default)]
struct Stalled {
    reads: bool,
    writes: bool,
    fills: bool,
    /// How many wait for it.
    waiting: usize,
}

/// A disk stalls until this is dropped, also by a test that fails.
pub(crate) struct Stall(Arc<Disk>);

impl Stall {
    /// Whatever reads from the engines below that directory waits from now on.
    pub(crate) fn of_reads(data_dir: &Path) -> Self {
        Self::of(data_dir, |stalled| stalled.reads = true)
    }

    /// Whatever writes.
    pub(crate) fn of_writes(data_dir: &Path) -> Self {
        Self::of(data_dir, |stalled| stalled.writes = true)
    }

    /// Whatever is filled: a state that comes from another member.
    pub(crate) fn of_fills(data_dir: &Path) -> Self {
        Self::of(data_dir, |stalled| stalled.fills = true)
    }

    fn of(data_dir: &Path, stall: impl FnOnce(&mut Stalled)) -> Self {
        let disk = disk_of(data_dir);
        stall(&mut disk.stalled.lock());
        Self(disk)
    }

    /// How many wait for the disk.
    pub(crate) fn waiting(&self) -> usize {
        self.0.stalled.lock().waiting
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        let mut stalled = self.0.stalled.lock();
        (stalled.reads, stalled.writes, stalled.fills) = (false, false, false);
        self.0.goes_on.notify_all();
    }
}

impl Disk {
    fn wait(&self, is_stalled: impl Fn(&Stalled) -> bool) {
        let mut stalled = self.stalled.lock();
        stalled.waiting += 1;
        while is_stalled(&stalled) {
            self.goes_on.wait(&mut stalled);
        }
        stalled.waiting -= 1;
    }
}

fn disk_of(data_dir: &Path) -> Arc<Disk> {
    let mut disks = DISKS.lock();
    if let Some((_, disk)) = disks.iter().find(|(below, _)| data_dir.starts_with(below)) {
        return disk.clone();
    }
    let disk = Arc::new(Disk::default());
    disks.push((data_dir.to_owned(), disk.clone()));
    disk
}

fn open(dir: &Path, options: EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    // The engine's directory is `state/N` below the data directory.
    let data_dir = dir.ancestors().nth(2).unwrap_or(dir);
    Ok(Box::new(Stalling { engine: engine::open(EngineKind::Fjall, dir, options)?, disk: disk_of(data_dir) }))
}

struct Stalling {
    engine: Box<dyn Engine>,
    disk: Arc<Disk>,
}

impl Engine for Stalling {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.disk.wait(|stalled| stalled.reads);
        self.engine.get(key)
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.disk.wait(|stalled| stalled.writes);
        self.engine.write(batch)
    }

    fn fill(&self, batch: Batch) -> Result<(), EngineError> {
        self.disk.wait(|stalled| stalled.fills);
        self.engine.fill(batch)
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.disk.wait(|stalled| stalled.writes);
        self.engine.persist()
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        self.engine.view()
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        self.engine.shutdown()
    }

    fn disk_bytes(&self) -> u64 {
        self.engine.disk_bytes()
    }

    fn reserve_bytes(&self) -> u64 {
        self.disk.room.lock().reserve_bytes
    }

    fn is_out_of_space(&self) -> bool {
        self.disk.room.lock().is_refused
    }

    fn is_exhausted(&self) -> bool {
        self.disk.room.lock().is_exhausted
    }

    fn kind(&self) -> EngineKind {
        STALLING
    }
}
