//! The border to the libraries: their errors and panics become [`EngineError`]s here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use super::{EngineError, EngineKind};

/// How a library's error reads at the border.
pub(super) enum Fault {
    /// The operating system said no.
    Io(std::io::Error),
    /// The library said no, in its words.
    Library(String),
}

/// Whose calls are guarded, and whether one of them has failed for good.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    engine: EngineKind,
    dir: Arc<Path>,
    /// What failed first, in words.
    failed: Arc<OnceLock<String>>,
}

impl Guard {
    pub(super) fn new(engine: EngineKind, dir: &Path) -> Self {
        Self { engine, dir: dir.into(), failed: Arc::default() }
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.dir.to_path_buf()
    }

    pub(super) fn closed(&self) -> EngineError {
        EngineError::Closed { dir: self.dir() }
    }

    pub(super) fn error(&self, operation: &'static str, fault: Fault) -> EngineError {
        let (engine, dir) = (self.engine, self.dir());
        match fault {
            Fault::Io(source) => EngineError::Io { engine, operation, dir, source },
            Fault::Library(reason) => EngineError::Backend { engine, operation, dir, reason },
        }
    }

    /// Runs a call that only reads. A panic in it is an error to the caller: both libraries assert on damaged bytes in
    /// places, and a damaged record must stop this replica in good order, not by unwinding through Raft.
    pub(super) fn read<T, E: Into<Fault>>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, EngineError> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.error(operation, error.into())),
            Err(panic) => Err(self.error(operation, Fault::Library(format!("it panicked: {}", words(&*panic))))),
        }
    }

    /// Runs a call that changes the store. After the first failure there is no second: what a failed write or fsync
    /// left behind is unknown, and a later success would cover it up. Whoever comes later is told of the first, which may
    /// have happened on a thread that nobody waits for.
    pub(super) fn change<T, E: Into<Fault>>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, EngineError> {
        if let Some(first) = self.failed.get() {
            return Err(self.error(operation, Fault::Library(format!("an earlier write or fsync failed: {first}"))));
        }
        self.read(operation, call).inspect_err(|error| {
            // The first stays.
            let _ = self.failed.set(error.to_string());
        })
    }
}

/// The message of a panic, if it has one.
fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<fjall::Error> for Fault {
    fn from(error: fjall::Error) -> Self {
        match error {
            fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => Self::Io(error),
            fjall::Error::Poisoned => {
                Self::Library("it stopped after a failed write, flush or compaction (poisoned)".to_owned())
            }
            other => Self::Library(other.to_string()),
        }
    }
}

impl From<sled::Error> for Fault {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => Self::Io(error),
            other => Self::Library(other.to_string()),
        }
    }
}
