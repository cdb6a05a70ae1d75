use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

use super::first_namespaces::OwnNamespaces;
use crate::disk::Disk;
use crate::group::Group;
use crate::health::{ClusterHealth, Readiness};
use crate::membership::MembershipChanges;
use crate::reads::Reads;
use crate::writes::Writes;

/// The most backups that a node makes at a time: each reads all of it from the disk, and keeps what merges would remove.
const MAX_BACKUPS: usize = 1;

/// The member that operators ask, and have its cluster changed by.
pub(crate) struct ManagedMember {
    pub(crate) group: Arc<Group>,
    pub(crate) health: Arc<ClusterHealth>,
    pub(crate) reads: Arc<Reads>,
    pub(crate) readiness: Arc<Readiness>,
    pub(crate) changes: Arc<MembershipChanges>,
    pub(crate) writes: Arc<Writes>,
    pub(crate) own_namespaces: OwnNamespaces,
    pub(crate) disk: Arc<Disk>,
    pub(crate) backups: Backups,
}

/// How many backups may be made.
#[derive(Clone)]
pub(crate) struct Backups(Arc<Semaphore>);

impl Default for Backups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_BACKUPS)))
    }
}

impl Backups {
    /// A place for one, for as long as it is held.
    pub(super) fn take(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        self.0.clone().try_acquire_owned()
    }
}
