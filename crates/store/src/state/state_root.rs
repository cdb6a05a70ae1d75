use std::fs;
use std::path::{Path, PathBuf};

use super::stored::Owner;
use crate::data_dir::{sync_dir, write_durably};
use crate::engine::{EngineKind, EngineOptions};
use crate::{StoreError, access};

/// Names the engine's directory that is in use, so that another can take its place in one step.
pub(super) const CURRENT_FILE: &str = "CURRENT";

/// The directory `state/`, where each state has a directory of its own with a number for its name, and what a new one is
/// made with and for whom.
#[derive(Clone)]
pub(crate) struct StateRoot {
    pub(crate) path: PathBuf,
    pub(crate) engine: EngineKind,
    pub(crate) options: EngineOptions,
    pub(crate) owner: Owner,
}

impl StateRoot {
    /// Makes the directory, durably, and removes what builds that were cut short left there.
    pub(crate) fn prepare(&self) -> Result<(), StoreError> {
        access::create_dir_all(&self.path).map_err(StoreError::io("create", &self.path))?;
        if let Some(parent) = self.path.parent() {
            sync_dir(parent)?;
        }
        Self::remove_all_but(&self.path, Self::in_use(&self.path)?)
    }

    /// Whether a state is in use there. One whose making was cut short is not.
    pub(crate) fn has_state(path: &Path) -> bool {
        path.join(CURRENT_FILE).exists()
    }

    /// The number of the state in use; `None` if there is none yet.
    pub(super) fn in_use(path: &Path) -> Result<Option<u64>, StoreError> {
        let file = path.join(CURRENT_FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) if source.kind() == std::io::ErrorKind::InvalidData => {
                return Err(StoreError::damaged_state(path, &format!("{CURRENT_FILE} is not text")));
            }
            Err(source) => return Err(StoreError::Io { action: "read", path: file, source }),
        };
        let number = text.strip_suffix('\n').and_then(|number| number.parse().ok());
        number.map(Some).ok_or_else(|| StoreError::damaged_state(path, &format!("{CURRENT_FILE} names no directory")))
    }

    /// Makes the state in one of its directories the one in use, in one durable step.
    pub(super) fn put_in_use(path: &Path, dir: &Path) -> Result<(), StoreError> {
        let number = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        write_durably(&path.join(CURRENT_FILE), format!("{number}\n").as_bytes())
    }

    /// Sets a damaged state aside, under a name that says so, and never deletes it.
    pub(crate) fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
        let free = |n: &u32| !path.with_file_name(format!("state.damaged-{n}")).exists();
        let number = (1..u32::MAX).find(free).unwrap_or(u32::MAX);
        let aside = path.with_file_name(format!("state.damaged-{number}"));
        fs::rename(path, &aside).map_err(StoreError::io("set aside", path))?;
        if let Some(parent) = path.parent() {
            sync_dir(parent)?;
        }
        Ok(aside)
    }

    /// A directory that nobody has, with a number above the one in use. Several builds may be under way at once.
    pub(super) fn claim_dir(&self) -> Result<PathBuf, StoreError> {
        let mut number = Self::in_use(&self.path)?.unwrap_or(0);
        loop {
            number += 1;
            let dir = self.path.join(number.to_string());
            match access::create_dir(&dir) {
                Ok(()) => return Ok(dir),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(StoreError::Io { action: "create", path: dir, source }),
            }
        }
    }

    /// Removes what a build that was cut short, or a switch to another state, left behind.
    pub(super) fn remove_all_but(path: &Path, in_use: Option<u64>) -> Result<(), StoreError> {
        for entry in fs::read_dir(path).map_err(StoreError::io("list", path))? {
            let entry = entry.map_err(StoreError::io("list", path))?;
            let number = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
            if number.is_some() && number != in_use {
                fs::remove_dir_all(entry.path()).map_err(StoreError::io("remove", entry.path()))?;
            }
        }
        Ok(())
    }
}
