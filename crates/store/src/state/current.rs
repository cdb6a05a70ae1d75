use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::reap::RecordRetention;
use super::session_state::damaged;
use super::stored::{APPLIED_KEY, Applied, OWNER_KEY, Owner};
use crate::codec::{seal, unseal};
use crate::data_dir::{sync_dir, write_durably};
use crate::engine::{self, Batch, Engine, EngineKind, EngineOptions};
use crate::{Member, NodeId, StoreError};

/// Names the engine's directory that is in use, so that another can take its place in one step.
const CURRENT_FILE: &str = "CURRENT";

/// Where states are made, with which engine, and for whom.
#[derive(Clone)]
pub(crate) struct StateHome {
    pub(crate) root: PathBuf,
    pub(crate) kind: EngineKind,
    pub(crate) options: EngineOptions,
    pub(crate) owner: Owner,
}

impl StateHome {
    /// Makes the place, durably, and removes what stages that were cut short left there.
    pub(crate) fn prepare(&self) -> Result<(), StoreError> {
        fs::create_dir_all(&self.root).map_err(StoreError::io("create", &self.root))?;
        if let Some(parent) = self.root.parent() {
            sync_dir(parent)?;
        }
        remove_others(&self.root, CurrentState::number(&self.root)?)
    }
}

/// The engine that holds the state, and its directory under `state/`.
pub(crate) struct CurrentState {
    pub(crate) root: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) engine: Box<dyn Engine>,
    pub(crate) options: EngineOptions,
    /// By what the engine leaves out records in its merges.
    pub(super) retention: Arc<RecordRetention>,
}

impl CurrentState {
    /// Whether a state is in use there. One whose making was cut short is not.
    pub(crate) fn exists(root: &Path) -> bool {
        root.join(CURRENT_FILE).exists()
    }

    /// Opens the state in use; `None` if there is none yet.
    pub(crate) fn open(root: &Path, kind: EngineKind, options: EngineOptions) -> Result<Option<Self>, StoreError> {
        let Some(number) = Self::number(root)? else { return Ok(None) };
        let dir = root.join(number.to_string());
        if !dir.is_dir() {
            return Err(damaged(root, &format!("{CURRENT_FILE} names {number}, which is not there")));
        }
        let retention = Arc::<RecordRetention>::default();
        let engine = engine::open_cached(kind, &dir, retained(&options, &retention))?;
        let current = Self { root: root.into(), dir, engine, options, retention };
        remove_others(root, Some(number))?;
        Ok(Some(current))
    }

    /// Makes an empty state and puts it in use.
    pub(crate) fn create(
        root: &Path,
        kind: EngineKind,
        options: EngineOptions,
        owner: Owner,
    ) -> Result<Self, StoreError> {
        let home = StateHome { root: root.into(), kind, options, owner };
        home.prepare()?;
        let staged = Self::stage(&home)?;
        staged.put_in_use()?;
        Ok(staged)
    }

    /// Makes an empty state beside the one in use and beside others. Nobody finds it before `put_in_use`.
    pub(super) fn stage(home: &StateHome) -> Result<Self, StoreError> {
        let StateHome { root, kind, options, owner } = home;
        let dir = claim_dir(root, Self::number(root)?.unwrap_or(0))?;
        let retention = Arc::<RecordRetention>::default();
        let engine = engine::open_cached(*kind, &dir, retained(options, &retention))?;
        let mut batch = Batch::new();
        batch.put(OWNER_KEY, seal(owner));
        engine.write(batch)?;
        engine.persist()?;
        sync_dir(root)?;
        Ok(Self { root: root.clone(), dir, engine, options: options.clone(), retention })
    }

    /// Where another state would be made beside this one.
    pub(super) fn home(&self) -> Result<StateHome, StoreError> {
        let (root, kind) = (self.root.clone(), self.engine.kind());
        Ok(StateHome { root, kind, options: self.options.clone(), owner: self.owner()? })
    }

    /// Makes this the state in use, in one durable step.
    pub(super) fn put_in_use(&self) -> Result<(), StoreError> {
        let number = self.dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        write_durably(&self.root.join(CURRENT_FILE), format!("{number}\n").as_bytes())
    }

    /// Sets a damaged state aside, under a name that says so, and never deletes it.
    pub(crate) fn set_aside(root: &Path) -> Result<PathBuf, StoreError> {
        let free = |n: &u32| !root.with_file_name(format!("state.damaged-{n}")).exists();
        let number = (1..u32::MAX).find(free).unwrap_or(u32::MAX);
        let aside = root.with_file_name(format!("state.damaged-{number}"));
        fs::rename(root, &aside).map_err(StoreError::io("set aside", root))?;
        if let Some(parent) = root.parent() {
            sync_dir(parent)?;
        }
        Ok(aside)
    }

    /// Whose state it is.
    pub(crate) fn owner(&self) -> Result<Owner, StoreError> {
        let stored = self.engine.get(OWNER_KEY)?.ok_or_else(|| self.damaged(&"it does not say whose it is"))?;
        unseal(&stored).map_err(|error| self.damaged(&error))
    }

    /// Who was a member when the state was last written, as far as it can be read.
    pub(crate) fn members(&self) -> Vec<(NodeId, Member)> {
        let stored = self.engine.get(APPLIED_KEY).ok().flatten();
        let applied = stored.and_then(|bytes| Applied::decode(&bytes).ok()).unwrap_or_default();
        applied.membership.nodes().map(|(node, member)| (*node, member.clone())).collect()
    }

    /// A state that is damaged is refused by the next start, which makes another.
    pub(super) fn condemn_if_damaged(&self, error: &StoreError) {
        if error.is_damaged_state() {
            self.engine.condemn(&error.to_string());
        }
    }

    pub(super) fn damaged(&self, what: &dyn Display) -> StoreError {
        damaged(&self.dir, what)
    }

    fn number(root: &Path) -> Result<Option<u64>, StoreError> {
        let path = root.join(CURRENT_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) if source.kind() == std::io::ErrorKind::InvalidData => {
                return Err(damaged(root, &format!("{CURRENT_FILE} is not text")));
            }
            Err(source) => return Err(StoreError::Io { action: "read", path, source }),
        };
        let number = text.strip_suffix('\n').and_then(|number| number.parse().ok());
        number.map(Some).ok_or_else(|| damaged(root, &format!("{CURRENT_FILE} names no directory")))
    }
}

fn retained(options: &EngineOptions, retention: &Arc<RecordRetention>) -> EngineOptions {
    EngineOptions { retention: Some(retention.clone()), ..options.clone() }
}

/// A directory that nobody has, with a number above the one in use. Several stages may be under way at once.
fn claim_dir(root: &Path, in_use: u64) -> Result<PathBuf, StoreError> {
    let mut number = in_use;
    loop {
        number += 1;
        let dir = root.join(number.to_string());
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(StoreError::Io { action: "create", path: dir, source }),
        }
    }
}

/// Removes what a stage that was cut short, or a switch, left behind.
fn remove_others(root: &Path, in_use: Option<u64>) -> Result<(), StoreError> {
    for entry in fs::read_dir(root).map_err(StoreError::io("list", root))? {
        let entry = entry.map_err(StoreError::io("list", root))?;
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
        if number.is_some() && number != in_use {
            fs::remove_dir_all(entry.path()).map_err(StoreError::io("remove", entry.path()))?;
        }
    }
    Ok(())
}
