use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::record_retention::RecordRetention;
use super::state_root::{CURRENT_FILE, StateRoot};
use super::stored::{APPLIED_KEY, Applied, OWNER_KEY, Owner};
use crate::codec::{seal, unseal};
use crate::data_dir::sync_dir;
use crate::engine::{self, Batch, Engine, EngineKind, EngineOptions};
use crate::{Member, NodeId, StoreError};

/// An open engine that holds one session state, and the engine's directory `state/N`.
pub(crate) struct EngineDir {
    /// The path of `state/`.
    root: PathBuf,
    pub(crate) dir: PathBuf,
    pub(crate) engine: Box<dyn Engine>,
    options: EngineOptions,
    /// By what the engine leaves out records in its merges.
    pub(super) retention: Arc<RecordRetention>,
}

impl EngineDir {
    /// Opens the state in use; `None` if there is none yet.
    pub(crate) fn open(root: &Path, kind: EngineKind, options: EngineOptions) -> Result<Option<Self>, StoreError> {
        let Some(number) = StateRoot::in_use(root)? else { return Ok(None) };
        let dir = root.join(number.to_string());
        if !dir.is_dir() {
            return Err(StoreError::damaged_state(root, &format!("{CURRENT_FILE} names {number}, which is not there")));
        }
        let retention = Arc::<RecordRetention>::default();
        let engine = engine::open_cached(kind, &dir, retained(&options, &retention))?;
        let opened = Self { root: root.into(), dir, engine, options, retention };
        StateRoot::remove_all_but(root, Some(number))?;
        Ok(Some(opened))
    }

    /// Makes an empty state and puts it in use.
    pub(crate) fn create(root: &StateRoot) -> Result<Self, StoreError> {
        root.prepare()?;
        let made = Self::make(root)?;
        made.put_in_use()?;
        Ok(made)
    }

    /// Makes an empty state beside the one in use and beside others. Nobody finds it before `put_in_use`.
    pub(super) fn make(root: &StateRoot) -> Result<Self, StoreError> {
        let dir = root.claim_dir()?;
        let StateRoot { path, engine: kind, options, owner } = root;
        let retention = Arc::<RecordRetention>::default();
        let engine = engine::open_cached(*kind, &dir, retained(options, &retention))?;
        let mut batch = Batch::new();
        batch.put(OWNER_KEY, seal(owner));
        engine.write(batch)?;
        engine.persist()?;
        sync_dir(path)?;
        Ok(Self { root: path.clone(), dir, engine, options: options.clone(), retention })
    }

    /// Where another state would be made beside this one.
    pub(super) fn root(&self) -> Result<StateRoot, StoreError> {
        let (path, engine) = (self.root.clone(), self.engine.kind());
        Ok(StateRoot { path, engine, options: self.options.clone(), owner: self.owner()? })
    }

    /// Makes this the state in use, in one durable step.
    pub(super) fn put_in_use(&self) -> Result<(), StoreError> {
        StateRoot::put_in_use(&self.root, &self.dir)
    }

    /// Whose state it is.
    pub(crate) fn owner(&self) -> Result<Owner, StoreError> {
        let stored = self.engine.get(OWNER_KEY)?.ok_or_else(|| self.damaged(&"it does not say whose it is"))?;
        unseal(&stored).map_err(|error| self.damaged(&error))
    }

    /// Gives the state to somebody else, durably.
    pub(crate) fn set_owner(&self, owner: Owner) -> Result<(), StoreError> {
        let mut batch = Batch::new();
        batch.put(OWNER_KEY, seal(&owner));
        self.engine.write(batch)?;
        Ok(self.engine.persist()?)
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
        StoreError::damaged_state(&self.dir, what)
    }
}

fn retained(options: &EngineOptions, retention: &Arc<RecordRetention>) -> EngineOptions {
    EngineOptions { retention: Some(retention.clone()), ..options.clone() }
}
