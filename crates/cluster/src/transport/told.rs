use std::sync::Arc;

use parking_lot::RwLock;
use sessile_store::LogId;

/// The newest entry that another member may know to be committed, because this node has told one.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<RwLock<Option<LogId>>>);

impl Told {
    /// Another member is about to hear that everything up to an entry is committed.
    pub(crate) fn tell(&self, committed: Option<LogId>) {
        let mut told = self.0.write();
        *told = (*told).max(committed);
    }

    pub(crate) fn newest(&self) -> Option<LogId> {
        *self.0.read()
    }
}
