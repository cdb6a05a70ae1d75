use std::fmt;
use std::sync::Arc;

use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};

use super::CurrentState;
use super::session_state::{SessionState, Writer};
use super::stored::{APPLIED_KEY, Applied, OWNER_KEY};
use crate::engine::{Batch, View};
use crate::{StoreError, TypeConfig};

/// How many bytes are copied into a fresh state at a time.
const COPY_BATCH_BYTES: usize = 4 * 1024 * 1024;

/// The whole state at one place of the log, as a consistent view: nothing is copied until somebody reads it, and
/// writes go on meanwhile.
pub struct Snapshot {
    view: Box<dyn View>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

pub(super) type SnapshotMeta = SnapshotMetaOf<TypeConfig>;

impl SessionState {
    /// A view of now, durable before it is handed out: openraft purges the log up to its place.
    pub(super) fn snapshot(&self) -> Result<SnapshotOf<TypeConfig, Snapshot>, StoreError> {
        let (view, applied) = {
            // The view and the place it stands for are taken together, between two batches.
            let writer = self.inner().writer.lock();
            writer.assert_going()?;
            (self.current().engine.view()?, writer.applied.clone())
        };
        self.persist()?;
        let meta = SnapshotMeta { last_log_id: applied.log_id, last_membership: applied.membership };
        Ok(openraft::Snapshot { meta, snapshot: Snapshot { view } })
    }

    /// Builds a fresh state from a snapshot beside the one in use, makes it durable, and puts it in its place in one
    /// step. What is interrupted leaves the old one in use.
    pub(super) fn install(&self, meta: &SnapshotMeta, snapshot: &Snapshot) -> Result<(), StoreError> {
        let old = self.current();
        let fresh = CurrentState::stage(&old.root, old.engine.kind(), old.options, old.owner()?)?;
        let mut batch = Batch::new();
        for pair in snapshot.view.scan_prefix(&[]) {
            let (key, value) = pair?;
            if key == OWNER_KEY {
                continue;
            }
            batch.put(key, value);
            if batch.bytes() >= COPY_BATCH_BYTES {
                fresh.engine.write(std::mem::take(&mut batch))?;
            }
        }
        let applied = Applied { log_id: meta.last_log_id, membership: meta.last_membership.clone() };
        batch.put(APPLIED_KEY, applied.encode());
        fresh.engine.write(batch)?;
        fresh.engine.persist()?;
        let loaded = Writer::load(&fresh)?;
        let mut writer = self.inner().writer.lock();
        fresh.put_in_use()?;
        self.show(*loaded.state.horizon());
        *writer = loaded;
        *self.inner().current.write() = Arc::new(fresh);
        drop(writer);
        self.persist()?;
        old.engine.shutdown()?;
        std::fs::remove_dir_all(&old.dir).map_err(StoreError::io("remove", &old.dir))
    }
}
