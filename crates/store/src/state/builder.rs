use super::engine_dir::EngineDir;
use super::state_root::StateRoot;
use super::status::Persisted;
use super::stored::{APPLIED_KEY, Applied};
use super::writer::Writer;
use crate::engine::{Batch, Engine};
use crate::{SnapshotMeta, StoreError};

/// How many bytes are written into a fresh state at a time: with fjall a table, and its fsync.
pub(super) const FILL_BATCH_BYTES: usize = 32 * 1024 * 1024;

/// A fresh state that is being filled, in a directory that nobody else finds. Dropped, it takes the directory with it.
pub(super) struct StateBuilder {
    /// `None` once it is somebody else's.
    engine: Option<EngineDir>,
}

impl StateBuilder {
    pub(super) fn new(root: &StateRoot) -> Result<Self, StoreError> {
        Ok(Self { engine: Some(EngineDir::make(root)?) })
    }

    /// Adds what comes in ascending order of its keys.
    pub(super) fn fill(&self, batch: Batch) -> Result<(), StoreError> {
        Ok(self.dir()?.engine.fill(batch)?)
    }

    /// Ends the filling: the place in the log that it stands for is noted, and all of it is made durable.
    pub(super) fn seal(mut self, last: Batch, meta: &SnapshotMeta) -> Result<BuiltState, StoreError> {
        let applied = Applied { log_id: meta.last_log_id, membership: meta.last_membership.clone() };
        self.fill(last)?;
        let mut batch = Batch::new();
        batch.put(APPLIED_KEY, applied.encode());
        let writer = {
            let dir = self.dir()?;
            dir.engine.write(batch)?;
            dir.engine.persist()?;
            Writer::load(dir)?
        };
        Ok(BuiltState { builder: Self { engine: self.engine.take() }, writer })
    }

    fn dir(&self) -> Result<&EngineDir, StoreError> {
        self.engine.as_ref().ok_or_else(|| StoreError::Ended { reason: "it was put in use".into() })
    }
}

impl Drop for StateBuilder {
    fn drop(&mut self) {
        let Some(EngineDir { dir, engine, .. }) = self.engine.take() else { return };
        drop(engine);
        // What cannot be removed now is removed by the next opening.
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// A fresh state, whole and durable, that is not in use yet.
pub(crate) struct BuiltState {
    builder: StateBuilder,
    /// What is loaded from it already, so that putting it in use is all that is left to do.
    pub(super) writer: Writer,
}

impl BuiltState {
    pub(super) fn engine(&self) -> Result<&dyn Engine, StoreError> {
        Ok(&*self.builder.dir()?.engine)
    }

    /// Makes it the state in use, in one durable step.
    pub(super) fn put_in_use(mut self) -> Result<(EngineDir, Writer, Persisted), StoreError> {
        // From here on the directory stays, whatever happens: it may be the one that is named.
        let dir = self.builder.engine.take();
        let dir = dir.ok_or_else(|| StoreError::Ended { reason: "it was put in use".into() })?;
        dir.put_in_use()?;
        // All of it was made durable before.
        let Writer { state, applied, .. } = &self.writer;
        let persisted = Persisted { log_id: applied.log_id, horizons: state.horizons().clone() };
        Ok((dir, self.writer, persisted))
    }
}
