//! Snapshots of the session state: taken, received, and put in the place of the state in use.

use std::sync::Arc;

use openraft::type_config::alias::SnapshotOf;

use super::offer::Offer;
use super::session_state::SessionState;
use super::snapshot::Snapshot;
use super::snapshot_receiver::SnapshotReceiver;
use super::status::StateStatus;
use super::writer::Writer;
use crate::engine::{EngineError, View};
use crate::{SnapshotMeta, StoreError, TypeConfig};

impl SessionState {
    /// A view of now, durable before it is handed out: openraft purges the log up to its place.
    pub(super) fn snapshot(&self) -> Result<SnapshotOf<TypeConfig, Snapshot>, StoreError> {
        let (view, applied, dir, live_bytes) = {
            // The view and the place it stands for are taken together, between two batches.
            let writer = self.inner().writer.lock();
            self.assert_going()?;
            let current = self.current();
            let live_bytes = writer.state.namespaces().iter().map(|(id, _)| writer.state.total(id).bytes).sum();
            (current.engine.view()?, writer.applied.clone(), current.dir.clone(), live_bytes)
        };
        let (view, applied) = match self.persist() {
            Ok(()) => (view, applied),
            // Of what is durable already, then: the log stays behind it until there is room.
            Err(StoreError::Engine(EngineError::NoRoom { .. })) => {
                let current = self.current();
                let durable = current.engine.view_since_persist()?;
                let Writer { state, applied, .. } = Writer::load_from(&*durable, &current)?;
                // Which may be more than the last persist made: the engine writes tables when its buffer is full, too.
                self.is_durable(&current, applied.log_id, state.horizons());
                (durable, applied)
            }
            Err(error) => return Err(error),
        };
        let view: Arc<dyn View> = Arc::from(view);
        let meta = SnapshotMeta { last_log_id: applied.log_id, last_membership: applied.membership };
        let id = rand::random::<u64>().max(1);
        Ok(Snapshot::offered(Arc::new(Offer { id, view, dir, meta, live_bytes })))
    }

    /// The snapshot that is under way to somebody, or may be gone on with, if it holds that entry; otherwise one of now,
    /// which others get from then on.
    ///
    /// # Errors
    /// The disk, or the engine.
    pub fn snapshot_to_send(&self, reach: u64) -> Result<SnapshotOf<TypeConfig, Snapshot>, StoreError> {
        let known = self.inner().offered.lock().upgrade();
        let holds = |offer: &Arc<Offer>| offer.meta.last_log_id.is_some_and(|last| last.index >= reach);
        if let Some(offer) = known.filter(holds) {
            return Ok(Snapshot::offered(offer));
        }
        let snapshot = self.snapshot()?;
        if let Some(offer) = snapshot.snapshot.offer() {
            *self.inner().offered.lock() = Arc::downgrade(offer);
        }
        Ok(snapshot)
    }

    /// Begins to receive a snapshot, beside the state in use and beside others that are being received.
    ///
    /// # Errors
    /// The disk, or the engine.
    pub fn receive(&self) -> Result<SnapshotReceiver, StoreError> {
        SnapshotReceiver::new(&self.current().root()?)
    }

    /// Puts a snapshot's state in the place of the one in use, in one step. What is interrupted leaves the old one in
    /// use.
    pub(super) fn install(&self, meta: &SnapshotMeta, snapshot: Snapshot) -> Result<(), StoreError> {
        let built = snapshot.into_built(&self.current().root()?, meta)?;
        let (old, _loaded_before) = {
            let mut writer = self.inner().writer.lock();
            self.assert_going()?;
            writer.assert_not_ahead_of(meta.last_log_id)?;
            let (fresh, loaded, persisted) = built.put_in_use()?;
            let horizons = loaded.state.horizons().clone();
            let mut status = StateStatus::of(&loaded);
            status.persisted = persisted;
            // The records first and the clock after them, as with every batch: a reader that judged an old record by the
            // new clock would miss a session that was renewed in between.
            let old = std::mem::replace(&mut *self.inner().engine.write(), Arc::new(fresh));
            *self.inner().status.write() = status;
            self.show(&horizons, meta.last_log_id);
            (old, std::mem::replace(&mut *writer, loaded))
        };
        old.engine.shutdown()?;
        // The new state is in use; what stays of the old one is removed by the next start.
        if let Err(error) = std::fs::remove_dir_all(&old.dir) {
            tracing::warn!(dir = %old.dir.display(), %error, "a state that is no longer in use cannot be removed");
        }
        Ok(())
    }
}
