use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::background::Background;
use super::damage::{condemn, found_before};
use super::runs::Edit;
use super::shared::Shared;
use super::view::LsmView;
use crate::engine::guard::Fault;
use crate::engine::home::{self, Home};
use crate::engine::{Batch, Engine, EngineError, EngineFigures, EngineKind, EngineOptions, View, check_key};

/// [`Engine`] of sorted tables.
pub(in crate::engine) struct LsmEngine {
    pub(super) shared: Arc<Shared>,
}

impl LsmEngine {
    pub(in crate::engine) fn open(dir: &Path, options: EngineOptions) -> Result<Self, EngineError> {
        let home = claim(dir, &options)?;
        let guard = home.guard();
        let (background, threads) = Background::open(home, options)?;
        Ok(Self { shared: Arc::new(Shared::new(guard, background, threads)) })
    }

    /// Makes tables of pairs in ascending order, at once. What was written before is in tables already.
    pub(super) fn fill_tables(&self, pairs: impl Iterator<Item = (Bytes, Bytes)>) -> Result<(), EngineError> {
        let open = self.shared.open()?;
        let _only_writer = open.store.writing.lock();
        self.shared.guard.change("fill", || {
            let store = &open.store;
            let mut writer = store.writer();
            for (key, value) in pairs {
                writer.write(super::merge::Entry { key: key.into(), value: Some(value.into()) })?;
            }
            let tables = writer.finish()?;
            let runs = store.runs();
            let overlaps = |table: &super::table::Table| {
                tables.iter().any(|new| new.min() <= table.max() && table.min() <= new.max())
            };
            // Where nothing lies, the base takes it as it is.
            let edit = match runs.0.last().filter(|_| !runs.tables().any(|table| overlaps(table))) {
                Some(base) => Edit { added: vec![(base.id, tables)], ..Edit::default() },
                None => Edit { newest: Some((store.number(), tables)), ..Edit::default() },
            };
            store.commit(&edit, 0)
        })
    }
}

/// A directory of its own, unless damage was found in it before.
pub(super) fn claim(dir: &Path, options: &EngineOptions) -> Result<Home, EngineError> {
    let home = Home::claim(EngineKind::Fjall, dir)?;
    match found_before(dir) {
        Some(why) if !options.even_condemned => {
            let why = Fault::Library(format!("it was found to be damaged: {why}"));
            Err(home.guard().error("opening", why))
        }
        _ => Ok(home),
    }
}

impl Drop for LsmEngine {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Engine for LsmEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(key)?;
        let open = self.shared.open()?;
        self.shared.read("get", || open.store.get(key))
    }

    fn get_in_memory(&self, key: &[u8]) -> Result<Option<Option<Bytes>>, EngineError> {
        check_key(key)?;
        let open = self.shared.open()?;
        self.shared.read("get", || open.store.get_in_memory(key))
    }

    fn takes_writes_at_once(&self) -> bool {
        self.shared.open().is_ok_and(|open| open.takes_writes_at_once())
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        let open = self.shared.open()?;
        let _only_writer = open.store.writing.lock();
        open.wait_for_room(batch.bytes())?;
        let (fresh, buffered) = open.store.buffer(|buffer| {
            buffer.add(batch);
            buffer.fresh_bytes()
        });
        open.set_throttle(buffered);
        if fresh >= open.store.pace.buffer_bytes() {
            open.ask_to_flush();
        }
        Ok(())
    }

    fn fill(&self, batch: Batch) -> Result<(), EngineError> {
        batch.check()?;
        let pairs = match batch.into_ascending() {
            Ok(pairs) => pairs,
            Err(batch) => return self.write(batch),
        };
        // First what was written before, so a crash leaves that and then this.
        self.persist()?;
        self.fill_tables(pairs)
    }

    fn persist(&self) -> Result<(), EngineError> {
        let open = self.shared.open()?;
        open.wait_for_flush(open.ask_to_flush())
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        let (layers, runs) = self.shared.open()?.store.seal();
        Ok(Box::new(LsmView::new(layers, runs, self.shared.clone())))
    }

    /// What is in tables: nothing is sealed for it.
    fn view_since_persist(&self) -> Result<Box<dyn View>, EngineError> {
        let runs = self.shared.open()?.store.runs();
        Ok(Box::new(LsmView::new(Vec::new(), runs, self.shared.clone())))
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        let flushed = match self.shared.open() {
            Ok(open) => {
                // Somebody waits for it.
                open.store.throttle.set_behind(true);
                open.wait_for_flush(open.ask_to_flush())
            }
            Err(_) => return Ok(()),
        };
        self.shared.close();
        flushed
    }

    fn disk_bytes(&self) -> u64 {
        self.shared.open().map_or(0, |open| home::disk_bytes(open.store.home().dir()))
    }

    fn reserve_bytes(&self) -> u64 {
        self.shared.open().map_or(0, |open| open.reserve_bytes())
    }

    fn is_out_of_space(&self) -> bool {
        self.shared.open().is_ok_and(|open| open.is_out_of_space())
    }

    fn is_exhausted(&self) -> bool {
        self.shared.open().is_ok_and(|open| open.is_exhausted())
    }

    fn condemn(&self, why: &str) {
        condemn(&self.shared.guard.dir(), why);
    }

    fn figures(&self) -> Option<EngineFigures> {
        Some(self.shared.open().ok()?.store.figures())
    }

    fn set_catches_up(&self, catches_up: bool) {
        if let Ok(open) = self.shared.open() {
            open.set_catches_up(catches_up);
        }
    }

    fn removes_lapsed(&self) -> bool {
        true
    }

    fn kind(&self) -> EngineKind {
        EngineKind::Fjall
    }
}
