use std::fmt;
use std::path::{Path, PathBuf};

use crate::data_dir::DataDir;
use crate::log::{LogPosition, RaftLog};
use crate::log_tail::{newest_membership, vote_for_itself, voted_term};
use crate::state::{BuiltState, Owner, SessionState, Snapshot, SnapshotReceiver, StateRoot};
use crate::types::{log_id_at, position};
use crate::{ClusterId, LogId, Member, Membership, NodeId, SnapshotMeta, Store, StoreError, StoreOptions};
use sessile_core::injected::decisions;

/// What became of a state that was lost or is damaged.
pub(crate) struct LostState {
    pub(crate) reason: String,
    pub(crate) aside: Option<PathBuf>,
    /// Who was a member by what it could still say.
    pub(crate) members: Vec<(NodeId, Member)>,
}

/// The disk of a member whose state is lost or damaged and whose log, whole, no longer reaches back to the beginning:
/// still the same node, with its id, its vote and its log. No Raft runs over it before another member has given it a
/// state.
///
/// What marks it is that no state is in use. A crash at any point of `complete` leaves either that, and it begins
/// again, or the new state in use over a log that fits it.
pub struct RecoveringStore {
    dir: DataDir,
    root: StateRoot,
    log: RaftLog,
    lost: LostState,
}

impl fmt::Debug for RecoveringStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveringStore(node {}, {})", self.node(), self.lost.reason)
    }
}

impl RecoveringStore {
    pub(crate) fn new(
        dir: DataDir,
        options: &StoreOptions,
        owner: Owner,
        log: RaftLog,
        lost: LostState,
    ) -> Result<Self, StoreError> {
        let root = options.state_root(&dir, owner);
        root.prepare()?;
        Ok(Self { dir, root, log, lost })
    }

    pub(crate) fn dir(&self) -> &DataDir {
        &self.dir
    }

    /// Which node this is.
    pub fn node(&self) -> NodeId {
        self.root.owner.node
    }

    /// Which cluster it belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.root.owner.cluster
    }

    /// What was wrong with the state.
    pub fn reason(&self) -> &str {
        &self.lost.reason
    }

    /// Where the damaged state is kept; `None` if there was none.
    pub fn aside(&self) -> Option<&Path> {
        self.lost.aside.as_deref()
    }

    /// The log index that a snapshot must reach: what was purged of the log, and what was known to be committed.
    pub fn must_reach(&self) -> u64 {
        self.floor().map_or(0, |floor| floor.index)
    }

    fn floor(&self) -> Option<LogPosition> {
        [self.log.purged(), self.log.committed()].into_iter().flatten().max_by_key(|position| position.index)
    }

    /// The members by the newest membership entry that the log still has; without one, by what the lost state could
    /// still say. None if neither knows.
    pub fn members(&self) -> Vec<(NodeId, Member)> {
        let of = |membership: Membership| membership.nodes().map(|(node, member)| (*node, member.clone())).collect();
        newest_membership(&self.log).map_or_else(|| self.lost.members.clone(), of)
    }

    /// Begins to receive a snapshot.
    ///
    /// # Errors
    /// The disk, or the engine.
    pub fn receive(&self) -> Result<SnapshotReceiver, StoreError> {
        SnapshotReceiver::new(&self.root)
    }

    /// Begins to receive a backup of that cluster.
    pub(crate) fn receive_of(&self, cluster: ClusterId) -> Result<SnapshotReceiver, StoreError> {
        SnapshotReceiver::of(&self.root, cluster)
    }

    /// Whether this log, replayed on top of a state of that place, makes a state again that lacks nothing.
    pub(crate) fn reaches_back_to(&self, applied: &LogId) -> bool {
        let wanted = position(applied);
        self.log.position_of(wanted.index) == Some(wanted) || self.log.purged() == Some(wanted)
    }

    /// Fits the log to a snapshot, and puts its state in use. If the log holds exactly the snapshot's last id, what
    /// stands behind it stays; otherwise the log up to it and whatever follows goes: it is older than what a majority
    /// has, or was never committed. The vote is raised to at least the snapshot's term.
    ///
    /// # Errors
    /// A snapshot that does not reach what this log had committed, or is of another history: nothing was changed, and
    /// another may be tried. A failed disk: the next start begins again.
    pub fn complete(self, snapshot: Snapshot, meta: &SnapshotMeta) -> Result<Store, Box<(Self, StoreError)>> {
        match self.put_in_use(snapshot, meta) {
            Ok(state) => Ok(self.with(state)),
            Err(error) => Err(Box::new((self, error))),
        }
    }

    /// The same with a backup: also one that ends before what this log had committed, if the log, replayed on top of it,
    /// makes up for that.
    pub(crate) fn complete_with_backup(self, snapshot: Snapshot, meta: &SnapshotMeta) -> Result<Store, StoreError> {
        let under_the_log = meta.last_log_id.as_ref().is_some_and(|last| self.reaches_back_to(last));
        let state = if under_the_log {
            self.put_under_the_log(snapshot.into_built(&self.root, meta)?)
        } else {
            self.put_in_use(snapshot, meta)
        };
        state.map(|state| self.with(state))
    }

    fn with(self, state: SessionState) -> Store {
        let Self { dir, root: StateRoot { owner, .. }, log, .. } = self;
        Store::new(dir, owner.node, owner.cluster, log, state)
    }

    fn put_in_use(&self, snapshot: Snapshot, meta: &SnapshotMeta) -> Result<SessionState, StoreError> {
        let last = self.assert_reaches(meta)?;
        let built = snapshot.into_built(&self.root, meta)?;
        // The log first: as long as no state is in use, the next start is at this point again, whatever was done to
        // the log. The other way round it could find a state behind which the log has a hole, or another history.
        self.raise_vote(last)?;
        let conflicts = self.log.position_of(last.index) != Some(last);
        if conflicts && decisions().state_replaces_another_history {
            self.replace_log(last)?;
        }
        self.put_under_the_log(built)
    }

    /// Puts a state in use whose log, as it is on the disk, goes on from it.
    fn put_under_the_log(&self, built: BuiltState) -> Result<SessionState, StoreError> {
        self.log.sync()?;
        let state = SessionState::of(built)?;
        state.persist()?;
        Ok(state)
    }

    fn assert_reaches(&self, meta: &SnapshotMeta) -> Result<LogPosition, StoreError> {
        let refused = |what: String| StoreError::Transfer { what };
        let (wanted, last) = (self.must_reach(), meta.last_log_id.as_ref().map(position));
        let Some(last) = last.filter(|last| last.index >= wanted) else {
            let reached = last.map_or(0, |last| last.index);
            return Err(refused(format!("it ends at entry {reached}, but entry {wanted} was committed here")));
        };
        match self.floor().filter(|floor| floor.index == last.index && floor.term != last.term) {
            Some(floor) => Err(refused(format!(
                "its entry {} is of term {}, but here it was committed in term {}: it is of another history",
                last.index, last.term, floor.term
            ))),
            None => Ok(last),
        }
    }

    pub(crate) fn raise_vote(&self, last: LogPosition) -> Result<(), StoreError> {
        if voted_term(&self.dir, &self.log)? >= last.term {
            return Ok(());
        }
        // For itself: the term has its leader, who is told by its own word, so nobody else may be voted for in it.
        vote_for_itself(&self.log, last.term, self.node())
    }

    pub(crate) fn replace_log(&self, last: LogPosition) -> Result<(), StoreError> {
        // Whatever stands at or behind the snapshot's place goes first: a purge would keep what stands behind it.
        let before = last.index.checked_sub(1);
        if self.log.last().is_some_and(|newest| newest.index >= last.index) {
            self.log.durably(|done| self.log.truncate_after(before, done))?;
        }
        Ok(self.log.durably(|done| self.log.purge(last, done))?)
    }

    /// The last entry of the log.
    pub fn last(&self) -> Option<LogId> {
        self.log.last().map(log_id_at)
    }

    #[cfg(test)]
    pub(crate) fn close_log(&self) {
        drop(self.log.close());
    }

    #[cfg(test)]
    pub(crate) fn log_store(&self) -> crate::LogStore {
        crate::LogStore::new(self.log.clone(), None)
    }
}
