use std::path::PathBuf;

use crate::data_dir::DataDir;
use crate::engine::{EngineKind, EngineOptions};
use crate::log::{LogOptions, RaftLog};
use crate::marks;
use crate::state::{CheckReport, Owner, SessionState, StateRoot};
use crate::{ClusterId, LogStore, NodeId, Notes, Reservation, StateMachine, StoreError};

/// What an operator chooses about storage.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Which engine keeps the session state. A directory keeps the one that it was made with.
    pub engine: EngineKind,
    /// Bytes of memory for the engine's cache.
    pub cache_bytes: u64,
    /// Bytes of memory that writes may take which are not in the engine's files yet.
    pub write_buffer_bytes: u64,
    /// How many files of the engine may be open at a time.
    pub open_files: usize,
    /// How the Raft log lays itself out.
    pub log: LogOptions,
}

impl Default for StoreOptions {
    /// fjall with the smallest cache, as for a store that is small.
    fn default() -> Self {
        let EngineOptions { cache_bytes, write_buffer_bytes, open_files, .. } = EngineOptions::default();
        Self { engine: EngineKind::Fjall, cache_bytes, write_buffer_bytes, open_files, log: LogOptions::default() }
    }
}

impl StoreOptions {
    /// Those of them that are the engine's.
    pub(crate) fn of_the_engine(&self) -> EngineOptions {
        let &Self { cache_bytes, write_buffer_bytes, open_files, .. } = self;
        EngineOptions { cache_bytes, write_buffer_bytes, open_files, ..EngineOptions::default() }
    }

    /// Where states are made in a data directory, and what with.
    pub(crate) fn state_root(&self, dir: &DataDir, owner: Owner) -> StateRoot {
        StateRoot { path: dir.state(), engine: self.engine, options: self.of_the_engine(), owner }
    }
}

/// How the store was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// It was made: this is a new node.
    New,
    /// It was closed cleanly.
    Clean,
    /// It was not closed cleanly; every record was read and the counts hold.
    Checked(CheckReport),
    /// It was not closed cleanly. What is read of it is verified as it is read; that the counts hold is to be checked
    /// meanwhile ([`SessionState::check_beside`]).
    Unchecked,
    /// The state was lost or damaged; it begins anew, and the log, which is whole, makes it again.
    Rebuilt {
        /// Why.
        reason: String,
        /// Where the damaged one is kept; `None` if there was none.
        aside: Option<PathBuf>,
    },
}

/// Everything that a member keeps on its disk.
pub struct Store {
    dir: DataDir,
    node: NodeId,
    cluster: ClusterId,
    pub(crate) log: RaftLog,
    state: SessionState,
}

impl Store {
    pub(crate) fn new(dir: DataDir, node: NodeId, cluster: ClusterId, log: RaftLog, state: SessionState) -> Self {
        Self { dir, node, cluster, log, state }
    }

    pub(crate) fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// Which node this is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Which cluster it belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The reservation under which this node entered its cluster, until that is [settled](Self::settle).
    ///
    /// # Errors
    /// The disk.
    pub fn reservation(&self) -> Result<Option<Reservation>, StoreError> {
        marks::reservation(&self.dir)
    }

    /// The cluster is made, and this node is in it: forgets, durably, what was before.
    ///
    /// # Errors
    /// The disk.
    pub fn settle(&self) -> Result<(), StoreError> {
        marks::remove_what_membership_settled(&self.dir)
    }

    /// What this member may note for its next start.
    pub fn notes(&self) -> Notes {
        Notes::new(&self.dir)
    }

    /// The log, for Raft.
    pub fn log_store(&self) -> LogStore {
        LogStore::new(self.log.clone(), Some(self.state.clone()))
    }

    /// The state, for Raft.
    pub fn state_machine(&self) -> StateMachine {
        StateMachine::new(self.state.clone())
    }

    /// The state, for readers.
    pub fn state(&self) -> &SessionState {
        &self.state
    }

    /// Ends cleanly: everything is durable, and the next start need not check the state. Raft must have stopped.
    pub fn close(self) -> Result<(), StoreError> {
        let closed = self.close_in_order();
        if closed.is_err() {
            // Not dropped: a destructor would write to the disk that has just failed, and sled's panics there.
            std::mem::forget(self);
        }
        closed
    }

    fn close_in_order(&self) -> Result<(), StoreError> {
        let applied = self.state.close()?;
        self.log.close()?;
        marks::set_clean(&self.dir, applied)
    }
}
