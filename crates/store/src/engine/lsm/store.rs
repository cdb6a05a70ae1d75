use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use lsm_tree::{Cache, DescriptorTable};
use parking_lot::{Mutex, RwLock};

use super::buffer::{Buffer, Changes};
use super::import;
use super::lapses::FOREVER;
use super::manifest::{Listed, Manifest, TABLES};
use super::pace::Pace;
use super::plan::{Busy, RunShape, Shape, TableShape};
use super::runs::{Edit, Runs};
use super::table::{Table, TableContext};
use super::throttle::Throttle;
use super::writer::{Numbers, RunWriter, TABLE_BYTES};
use crate::access;
use crate::engine::guard::Fault;
use crate::engine::home::Home;
use crate::engine::{EngineFigures, EngineOptions, Operation, Retention};

/// What an open store has in memory and on disk.
///
/// Its locks, in the order in which a thread may take them; whoever holds one takes none that stands before it:
///
/// 1. `writing`: one writer at a time. Held while a write waits for room.
/// 2. `flushing`: one flush at a time. Held while its tables are written.
/// 3. `busy`: what is being merged. Held while a merge is chosen, and no longer.
/// 4. `manifest`: the list of tables. Held while it changes, its fsyncs included.
/// 5. `layers`: what reads go by. Held for a few instructions; nobody waits for a disk under it.
/// 6. `gone`: what is to be removed. Held for a few instructions.
pub(super) struct Store {
    pub(super) writing: Mutex<()>,
    pub(super) flushing: Mutex<()>,
    pub(super) busy: Mutex<Busy>,
    manifest: Mutex<Manifest>,
    layers: RwLock<Layers>,
    /// Tables that no list names any more. Their files go with the last handle, and the last one is here: a reader that let
    /// go of it would have to wait until a file system has freed its blocks.
    gone: Mutex<Vec<Arc<Table>>>,
    context: TableContext,
    numbers: Numbers,
    retention: Option<Arc<dyn Retention>>,
    pub(super) throttle: Throttle,
    pub(super) pace: Pace,
    /// Whoever works in the background ends.
    stopping: AtomicBool,
    home: Home,
}

/// What lapses as a whole within so long is not worth a merge, however young it is: it would be on the disk twice meanwhile.
const SOON_MS: u64 = 3 * 60 * 1_000;

/// What was written lately, over the tables. All reads go through both of one moment.
struct Layers {
    buffer: Buffer,
    runs: Arc<Runs>,
}

impl Store {
    /// Opens what is in a directory, or makes it.
    pub(super) fn open(mut home: Home, options: EngineOptions) -> Result<Self, Fault> {
        let data = home.data();
        let dir = data.join(TABLES);
        let manifest = Manifest::new(&data);
        if !manifest.exists()? {
            home.upgrade()?;
            if home.is_new() {
                access::create_dir_all(&dir)?;
                manifest.draft(&Listed::default())?;
                manifest.put_in_place()?;
            } else {
                import::import(&data, &manifest)?;
            }
        }
        import::clean(&data)?;
        let context = TableContext {
            dir,
            cache: Arc::new(Cache::with_capacity_bytes(options.cache_bytes)),
            descriptors: Arc::new(DescriptorTable::new(options.open_files)),
            table_bytes: TABLE_BYTES,
        };
        let (runs, next) = manifest.load(&context)?;
        let store = Self {
            writing: Mutex::new(()),
            flushing: Mutex::new(()),
            busy: Mutex::new(Busy::default()),
            manifest: Mutex::new(manifest),
            layers: RwLock::new(Layers { buffer: Buffer::default(), runs: Arc::new(runs) }),
            gone: Mutex::default(),
            context,
            numbers: Arc::new(AtomicU64::new(next)),
            retention: options.retention,
            throttle: Throttle::default(),
            pace: Pace::new(options.write_buffer_bytes),
            stopping: AtomicBool::new(false),
            home,
        };
        store.pace.set_shape(&store.shape());
        Ok(store)
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    pub(super) fn home_mut(&mut self) -> &mut Home {
        &mut self.home
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Takes that back: for simulations, which let one merge stop and go on with others.
    pub(super) fn go_on(&self) {
        self.stopping.store(false, Ordering::Release);
    }

    /// The newest value of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let runs = {
            let layers = self.layers.read();
            match layers.buffer.get(key) {
                Some(Operation::Put(value)) => return Ok(Some(value.clone())),
                Some(Operation::Remove) => return Ok(None),
                None => layers.runs.clone(),
            }
        };
        runs.get(key)
    }

    /// The newest value of a key, if that can be told without the disk.
    pub(super) fn get_in_memory(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, Fault> {
        let runs = {
            let layers = self.layers.read();
            match layers.buffer.get(key) {
                Some(Operation::Put(value)) => return Ok(Some(Some(value.clone()))),
                Some(Operation::Remove) => return Ok(Some(None)),
                None => layers.runs.clone(),
            }
        };
        Ok(runs.is_absent(key)?.then_some(None))
    }

    /// Lets a change of what was written lately be seen. Bytes in no table yet come back.
    pub(super) fn buffer<T>(&self, change: impl FnOnce(&mut Buffer) -> T) -> (T, usize) {
        let mut layers = self.layers.write();
        let changed = change(&mut layers.buffer);
        (changed, layers.buffer.bytes())
    }

    pub(super) fn buffered_bytes(&self) -> usize {
        self.layers.read().buffer.bytes()
    }

    /// Everything at this moment: what was written lately, oldest first, and the tables under it.
    pub(super) fn seal(&self) -> (Vec<Arc<Changes>>, Arc<Runs>) {
        let mut layers = self.layers.write();
        (layers.buffer.seal(), layers.runs.clone())
    }

    /// What is in tables.
    pub(super) fn runs(&self) -> Arc<Runs> {
        self.layers.read().runs.clone()
    }

    /// A writer of tables.
    pub(super) fn writer(&self) -> RunWriter<'_> {
        RunWriter::new(&self.context, &self.numbers, self.retention())
    }

    /// A writer of tables that leaves the disk to others.
    pub(super) fn merge_writer(&self) -> RunWriter<'_> {
        self.writer().giving_way()
    }

    /// What is needed for how long.
    pub(super) fn retention(&self) -> Option<&dyn Retention> {
        self.retention.as_deref()
    }

    /// The next number of a run.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Changes the list of tables: first on the disk, then for readers; then the tables that went are removed. With it the
    /// oldest layers of what was written go, which are in tables now. Tables that come are removed if it cannot be.
    pub(super) fn commit(&self, edit: &Edit, settled: usize) -> Result<(), Fault> {
        let manifest = self.manifest.lock();
        let drafted = self.runs().edited(edit).and_then(|(runs, gone)| {
            manifest.draft(&Listed::of(&runs, self.numbers.load(Ordering::Relaxed)))?;
            Ok((runs, gone))
        });
        let (runs, gone) = match drafted {
            Ok(drafted) => drafted,
            Err(fault) => {
                edit.tables().for_each(|table| table.retire());
                return Err(fault);
            }
        };
        // From here on the new list may count, whatever is said.
        manifest.put_in_place()?;
        let before = {
            let mut layers = self.layers.write();
            (layers.buffer.settled(settled), std::mem::replace(&mut layers.runs, Arc::new(runs)))
        };
        gone.iter().for_each(|table| table.retire());
        self.gone.lock().extend(gone);
        self.pace.set_shape(&self.shape());
        // Dropped outside of all locks that readers take: files may go with it.
        drop(before);
        Ok(())
    }

    /// Removes the next file that nobody reads any more. Whether there was one.
    pub(super) fn remove_one(&self) -> bool {
        let next = {
            let mut gone = self.gone.lock();
            // Nobody can come by another handle: the list that readers go by does not name it.
            let next = gone.iter().position(|table| Arc::strong_count(table) == 1);
            next.map(|next| gone.swap_remove(next))
        };
        next.is_some()
    }

    /// Whether files wait to be removed.
    pub(super) fn has_gone(&self) -> bool {
        !self.gone.lock().is_empty()
    }

    /// For simulations and tests, whose stores are small.
    pub(super) fn set_table_bytes(&mut self, table_bytes: u64) {
        self.context.table_bytes = table_bytes;
    }

    /// Bytes of all tables.
    pub(super) fn table_bytes(&self) -> u64 {
        self.runs().tables().map(|table| table.bytes).sum()
    }

    /// What there is, for people.
    pub(super) fn figures(&self) -> EngineFigures {
        let (runs, buffered) = {
            let layers = self.layers.read();
            (layers.runs.clone(), layers.buffer.bytes())
        };
        let unmerged = runs.0.split_last().map_or(&[][..], |(_, over)| over);
        EngineFigures {
            tables: runs.tables().count() as u64,
            unmerged_runs: unmerged.len() as u64,
            unmerged_bytes: unmerged.iter().flat_map(|run| run.tables.iter()).map(|table| table.bytes).sum(),
            buffered_bytes: buffered as u64,
        }
    }

    /// The tables as the choice of a merge sees them.
    pub(super) fn shape(&self) -> Shape {
        let now = self.retention().map_or(0, Retention::now);
        let table = |table: &Arc<Table>| {
            let end = table.lapses.end();
            let (before, behind) = (end.saturating_sub(now), now.saturating_sub(table.written_at));
            TableShape {
                id: table.id,
                min: table.min().clone(),
                max: table.max().clone(),
                bytes: table.bytes,
                lapsed_bytes: table.lapses.lapsed_bytes(now),
                is_over: table.lapses.is_over(now),
                // A clock that was not known yet says nothing of a table's age.
                is_short_lived: table.written_at > 0 && end != FOREVER && before > 0 && before < behind.max(SOON_MS),
            }
        };
        let runs = self.runs();
        let run = |run: &super::runs::Run| RunShape { id: run.id, tables: run.tables.iter().map(table).collect() };
        Shape { runs: runs.0.iter().map(run).collect(), allowed_bytes: self.pace.allowed_bytes() }
    }
}
