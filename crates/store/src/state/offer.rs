use std::path::PathBuf;
use std::sync::Arc;

use crate::SnapshotMeta;
use crate::engine::View;

/// A view that is sent to others. Whoever sends it, or may go on with that, keeps it: meanwhile every other member that needs
/// a snapshot gets the same one, so there is one view at a time for them, and one place from which the log is kept.
pub(super) struct Offer {
    /// Random: by it, whoever has a part of it knows it again.
    pub(super) id: u64,
    pub(super) view: Arc<dyn View>,
    pub(super) dir: PathBuf,
    pub(super) meta: SnapshotMeta,
    /// Bytes of keys and values that are counted in it.
    pub(super) live_bytes: u64,
}
