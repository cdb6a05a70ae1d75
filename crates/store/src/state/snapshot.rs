use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use openraft::type_config::alias::{SnapshotMetaOf, SnapshotOf};
use sessile_core::planted::{Defect, is_planted};

use super::StateHome;
use super::facts::Facts;
use super::session_state::{SessionState, Writer};
use super::snapshot_receiver::SnapshotReceiver;
use super::snapshot_sender::SnapshotChunks;
use super::staged::{Staged, Staging};
use super::stored::{APPLIED_KEY, OWNER_KEY};
use crate::engine::{Batch, EngineError, View};
use crate::{StoreError, TypeConfig};

/// How many bytes are written into a fresh state at a time: with fjall a table, and its fsync.
pub(super) const FILL_BATCH_BYTES: usize = 32 * 1024 * 1024;

/// The whole state at one place of the log. Dropping one may take the directory of a state that was received and not
/// installed with it, so it is dropped where a thread may block.
pub struct Snapshot {
    source: Source,
}

enum Source {
    /// A consistent view of a state in use: nothing is copied until somebody reads it, and writes go on meanwhile.
    View(Arc<Offer>),
    /// A state that came from another member, whole and durable, and waits to be put in use.
    Received { staged: Box<Staged>, meta: SnapshotMeta, dir: PathBuf },
}

/// A view that is sent to others. Whoever sends it, or may go on with that, keeps it: meanwhile every other member that needs
/// a snapshot gets the same one, so there is one view at a time for them, and one place from which the log is kept.
pub(super) struct Offer {
    /// Random: by it, whoever has a part of it knows it again.
    id: u64,
    pub(super) view: Arc<dyn View>,
    pub(super) dir: PathBuf,
    meta: SnapshotMeta,
    /// Bytes of keys and values that are counted in it.
    live_bytes: u64,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

/// The place in the log that a snapshot stands for, and who was a member there.
pub type SnapshotMeta = SnapshotMetaOf<TypeConfig>;

impl Snapshot {
    pub(super) fn received(staged: Staged, meta: SnapshotMeta, dir: PathBuf) -> Self {
        Self { source: Source::Received { staged: Box::new(staged), meta, dir } }
    }

    /// By what a member that has a part of it knows it again; 0 for one that cannot be gone on with.
    pub fn id(&self) -> u64 {
        match &self.source {
            Source::View(offer) => offer.id,
            Source::Received { .. } => 0,
        }
    }

    /// Bytes of the keys and values that are counted in it: the room that it takes at the least.
    pub fn live_bytes(&self) -> u64 {
        match &self.source {
            Source::View(offer) => offer.live_bytes,
            Source::Received { .. } => 0,
        }
    }

    /// What is sent to another member, piece by piece. Reading blocks on the disk; writes go on meanwhile.
    pub fn chunks(&self) -> SnapshotChunks {
        match &self.source {
            Source::View(offer) => SnapshotChunks::of(offer),
            Source::Received { staged, dir, .. } => {
                let view = staged.engine().and_then(|engine| Ok(Arc::from(engine.view()?)));
                SnapshotChunks::new(view, dir.clone())
            }
        }
    }

    /// A state that is ready to be put in use: the one that was received, or a copy of what is viewed.
    pub(crate) fn into_staged(self, home: &StateHome, meta: &SnapshotMeta) -> Result<Staged, StoreError> {
        match self.source {
            Source::Received { staged, meta: received, .. } if received == *meta => Ok(*staged),
            Source::Received { .. } => {
                Err(StoreError::Transfer { what: "it stands for another place in the log than it came with".into() })
            }
            Source::View(offer) => copy(&*offer.view, home, meta),
        }
    }
}

fn offered(offer: Arc<Offer>) -> SnapshotOf<TypeConfig, Snapshot> {
    openraft::Snapshot { meta: offer.meta.clone(), snapshot: Snapshot { source: Source::View(offer) } }
}

fn copy(view: &dyn View, home: &StateHome, meta: &SnapshotMeta) -> Result<Staged, StoreError> {
    let staging = Staging::new(home)?;
    let mut batch = Batch::new();
    for pair in view.scan_prefix(&[]) {
        let (key, value) = pair?;
        if key == OWNER_KEY || key == APPLIED_KEY {
            continue;
        }
        batch.put(key, value);
        if batch.bytes() >= FILL_BATCH_BYTES {
            staging.fill(std::mem::take(&mut batch))?;
        }
    }
    staging.seal(batch, meta)
}

/// For a planted defect: the view of the snapshot before this one.
fn earlier(dir: &Path, view: Arc<dyn View>) -> Arc<dyn View> {
    thread_local! {
        static TAKEN: RefCell<HashMap<PathBuf, Arc<dyn View>>> = RefCell::default();
    }
    TAKEN.with_borrow_mut(|taken| taken.insert(dir.into(), view.clone())).unwrap_or(view)
}

impl SessionState {
    /// A view of now, durable before it is handed out: openraft purges the log up to its place.
    pub(super) fn snapshot(&self) -> Result<SnapshotOf<TypeConfig, Snapshot>, StoreError> {
        let (view, applied, dir, live_bytes) = {
            // The view and the place it stands for are taken together, between two batches.
            let writer = self.inner().writer.lock();
            self.assert_going()?;
            let current = self.current();
            let live = |namespace| writer.state.total(namespace).bytes;
            let live_bytes = writer.state.namespaces().map(live).sum();
            (current.engine.view()?, writer.applied.clone(), current.dir.clone(), live_bytes)
        };
        let persisted = if is_planted(Defect::PurgeAheadOfPersist) { Ok(()) } else { self.persist() };
        let (view, applied) = match persisted {
            Ok(()) => (view, applied),
            // Of what is durable already, then: the log stays behind it until there is room.
            Err(StoreError::Engine(EngineError::NoRoom { .. })) => {
                let current = self.current();
                let durable = current.engine.view_since_persist()?;
                let Writer { state, applied, .. } = Writer::load_from(&*durable, &current)?;
                // Which may be more than the last persist made: the engine writes tables when its buffer is full, too.
                self.is_durable(&current, applied.log_id, *state.horizon());
                (durable, applied)
            }
            Err(error) => return Err(error),
        };
        let view: Arc<dyn View> = Arc::from(view);
        let view = if is_planted(Defect::SnapshotMissesTheLastWrite) { earlier(&dir, view) } else { view };
        let meta = SnapshotMeta { last_log_id: applied.log_id, last_membership: applied.membership };
        let id = rand::random::<u64>().max(1);
        Ok(offered(Arc::new(Offer { id, view, dir, meta, live_bytes })))
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
            return Ok(offered(offer));
        }
        let snapshot = self.snapshot()?;
        if let Source::View(offer) = &snapshot.snapshot.source {
            *self.inner().offered.lock() = Arc::downgrade(offer);
        }
        Ok(snapshot)
    }

    /// Begins to receive a snapshot, beside the state in use and beside others that are being received.
    ///
    /// # Errors
    /// The disk, or the engine.
    pub fn receive(&self) -> Result<SnapshotReceiver, StoreError> {
        SnapshotReceiver::new(&self.current().home()?)
    }

    /// Puts a snapshot's state in the place of the one in use, in one step. What is interrupted leaves the old one in
    /// use.
    pub(super) fn install(&self, meta: &SnapshotMeta, snapshot: Snapshot) -> Result<(), StoreError> {
        let staged = snapshot.into_staged(&self.current().home()?, meta)?;
        let (old, _loaded_before) = {
            let mut writer = self.inner().writer.lock();
            self.assert_going()?;
            writer.assert_not_ahead_of(meta.last_log_id)?;
            let (fresh, loaded, persisted) = staged.put_in_use()?;
            let horizon = *loaded.state.horizon();
            let mut facts = Facts::of(&loaded);
            facts.persisted = persisted;
            // The records first and the clock after them, as with every batch: a reader that judged an old record by the
            // new clock would miss a session that was renewed in between.
            let old = std::mem::replace(&mut *self.inner().current.write(), Arc::new(fresh));
            *self.inner().facts.write() = facts;
            self.show(horizon, meta.last_log_id);
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
