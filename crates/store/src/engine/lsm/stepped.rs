//! The engine without threads, for simulations and tests: flushes, merges and the list of tables as they ship, done within
//! writes, at moments that a seed draws. The same calls come to the same tables.
//!
//! ```text
//! write ─▶ buffer, and by chance:   a flush
//!                                   a merge is chosen, and its tables are written
//!                                   a merge that was begun by an earlier write comes into the list of tables
//! ```
//!
//! So flushes, views and crashes come between the tables of a merge and the list that names them. By chance as well a merge
//! is told to stop in the middle, and the list cannot be written when a flush or a merge wants to change it.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::background::Background;
use super::engine::{LsmEngine, claim};
use super::manifest::{DRAFT, TABLES};
use super::plan::{Job, Shape, choose};
use super::runs::Edit;
use super::shared::Shared;
use super::store::Store;
use super::table::TableId;
use super::{flush, merges, writer};
use crate::engine::guard::Fault;
use crate::engine::{Batch, Engine, EngineError, EngineKind, EngineOptions, Retention, View, check_key};

/// Small, so that runs of a few dozen records have several tables.
const TABLE_BYTES: u64 = 1024;
/// So many bytes of files count as one full table where a merge is chosen. Most of a small file is not records: by
/// [`TABLE_BYTES`] each flush would lie over the limit by itself, and nothing were ever joined.
const COUNTED_BYTES: u64 = 4 * 1024;
/// As many merges may be under way as in the engine that ships.
const MERGES: usize = 2;

/// One in so many writes is followed by a flush, and so on.
const WRITES_A_FLUSH: u32 = 4;
const WRITES_A_MERGE: u32 = 3;
const WRITES_A_COMMIT: u32 = 4;
/// One in so many flushes and merges finds that the list of tables cannot be written, and one in so many merges is stopped.
const FAILS: u32 = 6;
const STOPS: u32 = 6;
/// It is stopped at one of the first so many records, if it has as many.
const STOPS_WITHIN: u64 = 24;

/// Something that such an engine did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// What was written came into tables, without being asked for.
    Flushed,
    /// The same could not be; what was written waits in memory.
    FlushFailed,
    /// Runs were joined.
    Joined,
    /// What lay over a part of the base was merged into it.
    Sunk,
    /// Tables went as a whole, because nothing in them is needed.
    Dropped,
    /// The tables of a merge were written, and the list of tables could not name them.
    MergeFailed,
    /// A merge was stopped in the middle.
    MergeStopped,
    /// It was opened, and there lay tables that were written after the list of tables.
    FoundUnlisted,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Flushed,
        Self::FlushFailed,
        Self::Joined,
        Self::Sunk,
        Self::Dropped,
        Self::MergeFailed,
        Self::MergeStopped,
        Self::FoundUnlisted,
    ];
}

/// How such an engine is opened.
#[derive(Clone)]
pub struct Stepping {
    /// What it says it is: another one that is made beside it, for a state that is received, is opened by that.
    pub kind: EngineKind,
    /// What decides when something is done. Mixed with what the directory holds.
    pub seed: u64,
    /// Hears of each step.
    pub told: Arc<dyn Fn(Step) + Send + Sync>,
}

/// Opens a store of the default engine as [`crate::engine::open`] does, but in small tables and without threads: for
/// simulations, by an [`OtherEngine`](crate::engine::OtherEngine) of their own. No configuration leads here.
///
/// # Errors
/// As [`crate::engine::open`].
pub fn open_stepped(
    dir: &Path,
    mut options: EngineOptions,
    stepping: Stepping,
) -> Result<Box<dyn Engine>, EngineError> {
    let interrupt = Arc::new(Interrupt::of(options.retention.take()));
    options.retention = Some(interrupt.clone());
    let home = claim(dir, &options)?;
    let guard = home.guard();
    let found = tables_in(&home.data().join(TABLES));
    let mut background = Background::without_threads(home, options)?;
    background.store.set_table_bytes(TABLE_BYTES);
    // Nobody is to be waited for.
    background.store.throttle.set_behind(true);
    let next = background.store.number();
    if found.into_iter().any(|table| table >= next) {
        (stepping.told)(Step::FoundUnlisted);
    }
    let background = Arc::new(background);
    // Nothing was there before.
    let _ = interrupt.interrupted.set(Arc::downgrade(&background));
    let engine = LsmEngine { shared: Arc::new(Shared::new(guard, background, Vec::new())) };
    let random = SmallRng::seed_from_u64(stepping.seed ^ next);
    let schedule = Schedule { random, interrupt, under_way: Vec::new(), told: stepping.told };
    Ok(Box::new(SteppedEngine { kind: stepping.kind, engine, schedule: Mutex::new(schedule) }))
}

/// The numbers of the files of tables.
fn tables_in(dir: &Path) -> HashSet<TableId> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

struct SteppedEngine {
    kind: EngineKind,
    engine: LsmEngine,
    /// Taken after the store's own lock of its writer.
    schedule: Mutex<Schedule>,
}

/// When what is done.
struct Schedule {
    random: SmallRng,
    interrupt: Arc<Interrupt>,
    /// Merges whose tables are written, and whose tables no list names.
    under_way: Vec<(Job, Edit)>,
    told: Arc<dyn Fn(Step) + Send + Sync>,
}

impl Schedule {
    fn step(&mut self, store: &Store) -> Result<(), Fault> {
        if self.random.random_ratio(1, WRITES_A_FLUSH) {
            self.flush(store)?;
        }
        if self.random.random_ratio(1, WRITES_A_MERGE) && self.under_way.len() < MERGES {
            self.begin_merge(store)?;
        }
        if self.random.random_ratio(1, WRITES_A_COMMIT) && !self.under_way.is_empty() {
            self.end_merge(store)?;
        }
        store.remove_one();
        Ok(())
    }

    fn flush(&mut self, store: &Store) -> Result<(), Fault> {
        let step = if !self.random.random_ratio(1, FAILS) {
            flush::flush(store)?;
            Step::Flushed
        } else if fails_without_a_list(store, || flush::flush(store).map(drop))? {
            Step::FlushFailed
        } else {
            return Ok(());
        };
        (self.told)(step);
        Ok(())
    }

    fn begin_merge(&mut self, store: &Store) -> Result<(), Fault> {
        let job = {
            let mut busy = store.busy.lock();
            let Some(job) = choose(&as_of_full_tables(store.shape()), &busy, u64::MAX) else { return Ok(()) };
            busy.add(&job);
            job
        };
        if self.random.random_ratio(1, STOPS) {
            self.interrupt.comes_after(self.random.random_range(1..=STOPS_WITHIN));
        }
        let written = merges::write(store, &job);
        self.interrupt.comes_after(0);
        store.go_on();
        match written? {
            Some(edit) => self.under_way.push((job, edit)),
            None => {
                store.busy.lock().remove(&job);
                (self.told)(Step::MergeStopped);
            }
        }
        Ok(())
    }

    fn end_merge(&mut self, store: &Store) -> Result<(), Fault> {
        let ends = self.random.random_range(0..self.under_way.len());
        let (job, edit) = self.under_way.swap_remove(ends);
        let fails = self.random.random_ratio(1, FAILS);
        let commit = || store.commit(&edit, 0);
        let step = match &job {
            _ if fails && fails_without_a_list(store, commit)? => Step::MergeFailed,
            _ if fails => return Err(Fault::Library("a list of tables was written over a directory".to_owned())),
            Job::Drop(_) => Step::Dropped,
            Job::Join(_) => Step::Joined,
            Job::Sink { .. } => Step::Sunk,
        };
        if !fails {
            store.commit(&edit, 0)?;
        }
        store.busy.lock().remove(&job);
        (self.told)(step);
        Ok(())
    }

    /// As merges end that are told to stop.
    fn stop(&mut self) {
        for (_, edit) in self.under_way.drain(..) {
            edit.tables().for_each(|table| table.retire());
        }
    }
}

/// Does something while the list of tables cannot be written. Whether it failed for that.
fn fails_without_a_list(store: &Store, work: impl FnOnce() -> Result<(), Fault>) -> Result<bool, Fault> {
    let draft = store.home().data().join(DRAFT);
    // One may lie there from before a crash.
    let _ = fs::remove_file(&draft);
    // No file can be made where a directory has its name.
    fs::create_dir(&draft)?;
    let done = work();
    fs::remove_dir(&draft)?;
    match done {
        Err(Fault::Io(error)) if error.kind() == ErrorKind::IsADirectory => Ok(true),
        done => done.map(|()| false),
    }
}

/// The same shape, of tables as large as the choice of a merge is made for.
fn as_of_full_tables(mut shape: Shape) -> Shape {
    for table in shape.runs.iter_mut().flat_map(|run| &mut run.tables) {
        table.bytes *= writer::TABLE_BYTES / COUNTED_BYTES;
        table.lapsed_bytes *= writer::TABLE_BYTES / COUNTED_BYTES;
    }
    shape
}

/// The caller's retention, which every record of a merge is asked of: a place to stop the merge at one of them.
#[derive(Debug)]
struct Interrupt {
    retention: Option<Arc<dyn Retention>>,
    /// At which of the next records; 0 for none.
    after: AtomicU64,
    interrupted: OnceLock<Weak<Background>>,
}

impl Interrupt {
    fn of(retention: Option<Arc<dyn Retention>>) -> Self {
        Self { retention, after: AtomicU64::new(0), interrupted: OnceLock::new() }
    }

    fn comes_after(&self, records: u64) {
        self.after.store(records, Ordering::Relaxed);
    }
}

impl Retention for Interrupt {
    fn may_lapse(&self, key: &[u8]) -> bool {
        let left = self.after.load(Ordering::Relaxed);
        self.after.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1
            && let Some(background) = self.interrupted.get().and_then(Weak::upgrade)
        {
            background.store.stop();
        }
        self.retention.as_ref().is_some_and(|retention| retention.may_lapse(key))
    }

    fn needed_until(&self, key: &[u8], value: &[u8]) -> u64 {
        self.retention.as_ref().map_or(u64::MAX, |retention| retention.needed_until(key, value))
    }

    fn now(&self) -> u64 {
        self.retention.as_ref().map_or(0, |retention| retention.now())
    }
}

impl Engine for SteppedEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        self.engine.get(key)
    }

    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, EngineError> {
        check_key(key)?;
        self.engine.get_in_memory(key)
    }

    fn takes_writes_at_once(&self) -> bool {
        self.engine.takes_writes_at_once()
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        let open = self.engine.shared.open()?;
        let _only_writer = open.store.writing.lock();
        self.engine.shared.guard.change("write", || {
            open.store.buffer(|buffer| buffer.add(batch));
            self.schedule.lock().step(&open.store)
        })
    }

    fn fill(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        match batch.into_ascending() {
            Ok(pairs) => {
                self.persist()?;
                self.engine.fill_tables(pairs)
            }
            Err(batch) => self.write(batch),
        }
    }

    fn persist(&self) -> Result<(), EngineError> {
        let open = self.engine.shared.open()?;
        self.engine.shared.guard.change("writing a table", || flush::flush(&open.store).map(drop))
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        self.engine.view()
    }

    fn view_since_persist(&self) -> Result<Box<dyn View>, EngineError> {
        self.engine.view_since_persist()
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        if self.engine.shared.open().is_err() {
            return Ok(());
        }
        let flushed = self.persist();
        self.schedule.lock().stop();
        self.engine.shared.close();
        flushed
    }

    fn disk_bytes(&self) -> u64 {
        self.engine.disk_bytes()
    }

    fn condemn(&self, why: &str) {
        self.engine.condemn(why);
    }

    fn removes_lapsed(&self) -> bool {
        self.engine.removes_lapsed()
    }

    fn kind(&self) -> EngineKind {
        self.kind
    }
}

#[cfg(test)]
mod tests;
