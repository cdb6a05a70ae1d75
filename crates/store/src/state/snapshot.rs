use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use openraft::type_config::alias::SnapshotOf;

use super::builder::{BuiltState, FILL_BATCH_BYTES, StateBuilder};
use super::offer::Offer;
use super::snapshot_sender::SnapshotChunks;
use super::state_root::StateRoot;
use super::stored::{APPLIED_KEY, OWNER_KEY};
use crate::engine::{Batch, View};
use crate::{SnapshotMeta, StoreError, TypeConfig};

/// The whole state at one place of the log. Dropping one may take the directory of a state that was received and not
/// installed with it, so it is dropped where a thread may block.
pub struct Snapshot {
    source: Source,
}

enum Source {
    /// A consistent view of a state in use: nothing is copied until somebody reads it, and writes go on meanwhile.
    View(Arc<Offer>),
    /// A state that came from another member, whole and durable, and waits to be put in use.
    Received { built: Box<BuiltState>, meta: SnapshotMeta, dir: PathBuf },
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot")
    }
}

impl Snapshot {
    /// Of a view that is offered to others.
    pub(super) fn offered(offer: Arc<Offer>) -> SnapshotOf<TypeConfig, Self> {
        openraft::Snapshot { meta: offer.meta.clone(), snapshot: Self { source: Source::View(offer) } }
    }

    /// What is offered to others, if that is what it is of.
    pub(super) fn offer(&self) -> Option<&Arc<Offer>> {
        match &self.source {
            Source::View(offer) => Some(offer),
            Source::Received { .. } => None,
        }
    }

    /// Of a state that came from another member.
    pub(super) fn received(built: BuiltState, meta: SnapshotMeta, dir: PathBuf) -> Self {
        Self { source: Source::Received { built: Box::new(built), meta, dir } }
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
            Source::Received { built, dir, .. } => {
                let view = built.engine().and_then(|engine| Ok(Arc::from(engine.view()?)));
                SnapshotChunks::new(view, dir.clone())
            }
        }
    }

    /// A state that is ready to be put in use: the one that was received, or a copy of what is viewed.
    pub(crate) fn into_built(self, root: &StateRoot, meta: &SnapshotMeta) -> Result<BuiltState, StoreError> {
        match self.source {
            Source::Received { built, meta: received, .. } if received == *meta => Ok(*built),
            Source::Received { .. } => {
                Err(StoreError::Transfer { what: "it stands for another place in the log than it came with".into() })
            }
            Source::View(offer) => copy(&*offer.view, root, meta),
        }
    }
}

fn copy(view: &dyn View, root: &StateRoot, meta: &SnapshotMeta) -> Result<BuiltState, StoreError> {
    let builder = StateBuilder::new(root)?;
    let mut batch = Batch::new();
    for pair in view.scan_prefix(&[]) {
        let (key, value) = pair?;
        if key == OWNER_KEY || key == APPLIED_KEY {
            continue;
        }
        batch.put(key, value);
        if batch.bytes() >= FILL_BATCH_BYTES {
            builder.fill(std::mem::take(&mut batch))?;
        }
    }
    builder.seal(batch, meta)
}
