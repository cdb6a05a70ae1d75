//! The border to the libraries: their errors and panics become [`EngineError`]s here.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::io::Errno;

use super::{EngineError, EngineKind};

/// How a library's error reads at the border.
#[derive(Debug)]
pub(super) enum Fault {
    /// The operating system said no.
    Io(std::io::Error),
    /// The library said no, in its words.
    Library(String),
}

impl Fault {
    /// Whether there is no room (on the disk, in a quota, among the inodes or for one more open file): what was asked for
    /// may be tried again once there is.
    pub(super) fn is_want_of_room(&self) -> bool {
        self.is_want_of_space() || matches!(self.errno(), Some(Errno::MFILE | Errno::NFILE))
    }

    /// Whether there is no room on the disk or in a quota, or no inode.
    pub(super) fn is_want_of_space(&self) -> bool {
        matches!(self.errno(), Some(Errno::NOSPC | Errno::DQUOT))
    }

    fn errno(&self) -> Option<Errno> {
        match self {
            Self::Io(error) => Errno::from_io_error(error),
            Self::Library(_) => None,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Library(words) => f.write_str(words),
        }
    }
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
        let (engine, dir) = (self.engine.name(), self.dir());
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
        self.attempt(call).map_err(|fault| self.error(operation, fault))
    }

    /// Runs a call whose error its caller judges. A panic in it is one.
    pub(super) fn attempt<T, E: Into<Fault>>(&self, call: impl FnOnce() -> Result<T, E>) -> Result<T, Fault> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(done) => done.map_err(Into::into),
            Err(panic) => Err(Fault::Library(format!("it panicked: {}", words(&*panic)))),
        }
    }

    /// An error once a call that changes the store has failed.
    pub(super) fn check(&self, operation: &'static str) -> Result<(), EngineError> {
        match self.failed.get() {
            Some(first) => {
                Err(self.error(operation, Fault::Library(format!("an earlier write or fsync failed: {first}"))))
            }
            None => Ok(()),
        }
    }

    /// Takes note of a call that changes the store and has failed: there will be no second.
    pub(super) fn fail(&self, operation: &'static str, fault: Fault) -> EngineError {
        let error = self.error(operation, fault);
        // The first stays.
        let _ = self.failed.set(error.to_string());
        error
    }

    /// Runs a call that changes the store. After the first failure there is no second: what a failed write or fsync
    /// left behind is unknown, and a later success would cover it up. Whoever comes later is told of the first, which may
    /// have happened on a thread that nobody waits for.
    pub(super) fn change<T, E: Into<Fault>>(
        &self,
        operation: &'static str,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, EngineError> {
        self.check(operation)?;
        self.attempt(call).map_err(|fault| self.fail(operation, fault))
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

impl From<lsm_tree::Error> for Fault {
    fn from(error: lsm_tree::Error) -> Self {
        match error {
            lsm_tree::Error::Io(error) => Self::Io(error),
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
