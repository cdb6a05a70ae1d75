use std::fmt;

use parking_lot::Mutex;

use crate::data_dir::DataDir;
use crate::log::RaftLog;
use crate::marks::{self, Former, Reservation};
use crate::state::{Owner, SessionState};
use crate::{ClusterId, NodeId, Store, StoreError, StoreOptions};

/// The disk of a node that belongs to no cluster: a log with its identity, no vote, no entry, no state. No Raft runs
/// over it.
pub struct PristineStore {
    dir: DataDir,
    options: StoreOptions,
    node: NodeId,
    log: RaftLog,
    former: Option<Former>,
    reservation: Mutex<Option<Reservation>>,
}

impl fmt::Debug for PristineStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PristineStore(node {})", self.node)
    }
}

impl PristineStore {
    pub(crate) fn new(dir: DataDir, options: &StoreOptions, node: NodeId, log: RaftLog) -> Result<Self, StoreError> {
        let (former, reservation) = (marks::former(&dir)?, marks::reservation(&dir)?);
        Ok(Self { dir, options: options.clone(), node, log, former, reservation: Mutex::new(reservation) })
    }

    pub(crate) fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// Which node this is, and stays.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The cluster that this directory once held: with it the node may join a cluster, and must never begin one.
    pub fn former(&self) -> Option<Former> {
        self.former
    }

    /// The promise in force.
    pub fn reservation(&self) -> Option<Reservation> {
        *self.reservation.lock()
    }

    /// Promises this node to a cluster that is being made, durably. The first promise stays until it is released; the
    /// one in force comes back, so the caller compares.
    ///
    /// # Errors
    /// The disk: then it is not known whether the promise will be remembered, and it must not be counted on.
    pub fn reserve(&self, wanted: Reservation) -> Result<Reservation, StoreError> {
        let mut reservation = self.reservation.lock();
        if let Some(first) = *reservation {
            return Ok(first);
        }
        // On disk before anybody hears of it: the promise outlives a crash.
        marks::set_reservation(&self.dir, wanted)?;
        *reservation = Some(wanted);
        Ok(wanted)
    }

    /// Forgets the promise, durably.
    ///
    /// # Errors
    /// The disk: the promise stays in force.
    pub fn release(&self) -> Result<(), StoreError> {
        let mut reservation = self.reservation.lock();
        marks::remove_reservation(&self.dir)?;
        *reservation = None;
        Ok(())
    }

    /// Becomes part of a cluster, for good: its mark first, then an empty state. A crash in between is recognised by
    /// the next opening, which ends what was begun. The reservation stays until the store is told that the cluster is
    /// made: whoever makes it and is stopped before that must know what it was about.
    ///
    /// # Errors
    /// The disk, or the engine. The next opening finds either this node pristine, or a member.
    pub fn adopt(self, cluster: ClusterId) -> Result<Store, StoreError> {
        let Self { dir, options, node, log, .. } = self;
        marks::set_cluster(&dir, cluster)?;
        let state = SessionState::create(&options.state_root(&dir, Owner { node, cluster }))?;
        marks::remove_clean(&dir)?;
        Ok(Store::new(dir, node, cluster, log, state))
    }
}
