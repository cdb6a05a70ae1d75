use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::banner::Keeping;
use crate::exit::{Failure, Status};

/// Where `dev` keeps its state.
pub(super) enum Directory {
    Kept(PathBuf),
    /// Removed when this is dropped.
    Temporary(TempDir),
}

impl Directory {
    pub(super) fn of(named: Option<&Path>) -> anyhow::Result<Self> {
        let cannot_create = |error: io::Error| {
            let sentence = format!("no directory for the sessions ({error}); name another one with --data-dir");
            Failure::new(Status::CannotCreate, sentence)
        };
        match named {
            Some(path) => Ok(Self::Kept(std::path::absolute(path).map_err(cannot_create)?)),
            None => {
                Ok(Self::Temporary(tempfile::Builder::new().prefix("sessile-dev-").tempdir().map_err(cannot_create)?))
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }

    pub(super) fn keeping(&self) -> Keeping<'_> {
        match self {
            Self::Kept(path) => Keeping::Kept(path),
            Self::Temporary(directory) => Keeping::Temporary(directory.path()),
        }
    }
}
