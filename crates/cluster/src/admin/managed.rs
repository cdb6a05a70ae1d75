use std::sync::Arc;

use super::backup::Backups;
use super::first_namespaces::OwnNamespaces;
use crate::disk::Disk;
use crate::group::Group;
use crate::health::{ClusterHealth, Readiness};
use crate::membership::MembershipChanges;
use crate::reads::Reads;
use crate::writes::Writes;

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
