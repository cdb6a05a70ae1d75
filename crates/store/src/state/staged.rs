use super::facts::Persisted;
use super::session_state::Writer;
use super::snapshot::SnapshotMeta;
use super::stored::{APPLIED_KEY, Applied};
use super::{CurrentState, StateHome};
use crate::StoreError;
use crate::engine::{Batch, Engine};

/// A fresh state that is being filled, in a directory that nobody else finds. Dropped, it takes the directory with it.
pub(super) struct Staging {
    /// `None` once it is somebody else's.
    current: Option<CurrentState>,
}

impl Staging {
    pub(super) fn new(home: &StateHome) -> Result<Self, StoreError> {
        Ok(Self { current: Some(CurrentState::stage(home)?) })
    }

    /// Adds what comes in ascending order of its keys.
    pub(super) fn fill(&self, batch: Batch) -> Result<(), StoreError> {
        Ok(self.current()?.engine.fill(batch)?)
    }

    /// Ends the filling: the place in the log that it stands for is noted, and all of it is made durable.
    pub(super) fn seal(mut self, last: Batch, meta: &SnapshotMeta) -> Result<Staged, StoreError> {
        let applied = Applied { log_id: meta.last_log_id, membership: meta.last_membership.clone() };
        self.fill(last)?;
        let mut batch = Batch::new();
        batch.put(APPLIED_KEY, applied.encode());
        let writer = {
            let current = self.current()?;
            current.engine.write(batch)?;
            current.engine.persist()?;
            Writer::load(current)?
        };
        Ok(Staged { staging: Self { current: self.current.take() }, writer })
    }

    fn current(&self) -> Result<&CurrentState, StoreError> {
        self.current.as_ref().ok_or_else(|| StoreError::Ended { reason: "it was put in use".into() })
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        let Some(CurrentState { dir, engine, .. }) = self.current.take() else { return };
        drop(engine);
        // What cannot be removed now is removed by the next opening.
        let _ = std::fs::remove_dir_all(dir);
    }
}

/// A fresh state, whole and durable, that is not in use yet.
pub(crate) struct Staged {
    staging: Staging,
    /// What is loaded from it already, so that putting it in use is all that is left to do.
    pub(super) writer: Writer,
}

impl Staged {
    pub(super) fn engine(&self) -> Result<&dyn Engine, StoreError> {
        Ok(&*self.staging.current()?.engine)
    }

    /// Makes it the state in use, in one durable step.
    pub(super) fn put_in_use(mut self) -> Result<(CurrentState, Writer, Persisted), StoreError> {
        // From here on the directory stays, whatever happens: it may be the one that is named.
        let current = self.staging.current.take();
        let current = current.ok_or_else(|| StoreError::Ended { reason: "it was put in use".into() })?;
        current.put_in_use()?;
        // All of it was made durable before.
        let persisted = Persisted { log_id: self.writer.applied.log_id, horizon: *self.writer.state.horizon() };
        Ok((current, self.writer, persisted))
    }
}
