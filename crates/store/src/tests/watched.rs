//! An engine that a test watches, and that says what the test wants.

use std::cell::Cell;
use std::path::Path;

use bytes::Bytes;

use crate::engine::{self, Batch, Engine, EngineError, EngineKind, EngineOptions, OtherEngine, View};

pub(super) const WATCHED: EngineKind = EngineKind::Other(OtherEngine { name: "watched", open: open_watched });

thread_local! {
    /// How often this thread asked the engine under the cache for a value.
    pub(super) static ASKED: Cell<u64> = const { Cell::new(0) };
    /// Whether that engine takes writes at once.
    pub(super) static AT_ONCE: Cell<bool> = const { Cell::new(true) };
    /// Whether it finds room when it is asked to be durable. Tables that were written before are there all the same.
    pub(super) static HAS_ROOM: Cell<bool> = const { Cell::new(true) };
}

/// fjall, how often it is asked, and what it is to say.
struct Watched(Box<dyn Engine>);

fn open_watched(dir: &Path, options: EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    Ok(Box::new(Watched(engine::open(EngineKind::Fjall, dir, options)?)))
}

impl Engine for Watched {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        ASKED.set(ASKED.get() + 1);
        self.0.get(key)
    }

    fn takes_writes_at_once(&self) -> bool {
        AT_ONCE.get()
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        self.0.write(batch)
    }

    fn persist(&self) -> Result<(), EngineError> {
        self.0.persist()?;
        if HAS_ROOM.get() {
            return Ok(());
        }
        Err(EngineError::NoRoom { dir: "the disk".into(), reason: "it is full".into() })
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        self.0.view()
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        self.0.shutdown()
    }

    fn disk_bytes(&self) -> u64 {
        self.0.disk_bytes()
    }

    fn kind(&self) -> EngineKind {
        WATCHED
    }
}
