//! How a data directory is found, and what that makes of the node.
//!
//! ```text
//! log    CLUSTER  state                        →
//! no     no       no                           a new node: Pristine
//! empty  no       no                           Pristine
//! empty  yes      no                           Member: an adoption that was cut short is ended
//! yes    yes      whole                        Member
//! yes    yes      lost or damaged              Member, if the log reaches back to its beginning and makes it again;
//!                                              Stateless, if it does not
//! anything else: something is lost that nobody can make again, or ids disagree: refused
//! ```

use std::path::PathBuf;

use crate::codec::unseal;
use crate::data_dir::DataDir;
use crate::engine::EngineOptions;
use crate::log::{LogError, RaftLog};
use crate::log_store::{identity_of, position};
use crate::marks;
use crate::pristine::create_state;
use crate::state::{CurrentState, Owner, SessionState};
use crate::{ClusterId, LogId, NodeId, Opened, PristineStore, StatelessStore, Store, StoreError, StoreOptions};

pub(crate) const LOG_DIR: &str = "log";
pub(crate) const STATE_DIR: &str = "state";

/// What a data directory makes of the node.
pub enum Opening {
    /// It belongs to no cluster.
    Pristine(PristineStore),
    /// It belongs to one, and goes on.
    Member(Store, Opened),
    /// It belongs to one, with its log, and needs a state from another member before Raft may run.
    Stateless(StatelessStore),
}

/// A directory with a whole log and the mark of its cluster.
struct Found {
    dir: DataDir,
    node: NodeId,
    cluster: ClusterId,
    log: RaftLog,
    clean: Option<Option<LogId>>,
}

impl Opening {
    /// Opens what is there, or makes a new node. After an unclean stop the state is checked before this returns.
    ///
    /// # Errors
    /// The disk; and what cannot be gone on with without a guess, by name. Then nothing in the directory was changed.
    pub fn open(dir: DataDir, options: &StoreOptions) -> Result<Self, StoreError> {
        let (clean, cluster) = (marks::clean(&dir)?, marks::cluster(&dir)?);
        let path = dir.path().join(LOG_DIR);
        let has_state = CurrentState::exists(&dir.path().join(STATE_DIR));
        if !RaftLog::exists(&path).map_err(log_error)? {
            if cluster.is_some() || has_state {
                let what = "its Raft log, with this node's identity and vote, is lost";
                return Err(StoreError::disagree(&dir, what));
            }
            let node = NodeId::random();
            let log = RaftLog::create(&path, &identity_of(node), options.log.clone())?;
            return PristineStore::new(dir, options, node, log).map(Self::Pristine);
        }
        let log = RaftLog::open(&path, options.log.clone()).map_err(log_error)?;
        let node = unseal(&log.identity())
            .map_err(|error| StoreError::disagree(&dir, format!("the node id in the log: {error}")))?;
        let is_untouched = !has_state && log.last().is_none() && log.vote().is_none();
        match cluster {
            Some(cluster) => Found { dir, node, cluster, log, clean }.open(options, is_untouched),
            None if is_untouched => PristineStore::new(dir, options, node, log).map(Self::Pristine),
            None => Err(StoreError::disagree(&dir, format!("{}, which names its cluster, is lost", marks::CLUSTER))),
        }
    }
}

impl Found {
    fn open(self, options: &StoreOptions, is_untouched: bool) -> Result<Opening, StoreError> {
        let owner = Owner { node: self.node, cluster: self.cluster };
        let root = self.dir.path().join(STATE_DIR);
        let create = |found: &Self| create_state(&found.dir, options, owner);
        let (state, opened) = match self.open_state(options, owner) {
            Ok(Some((state, opened))) => (state, opened),
            Ok(None) if is_untouched => (create(&self)?, Opened::New),
            Ok(None) => {
                let reason = "there is none".to_owned();
                if !self.log_is_whole() {
                    return self.stateless(options, reason, None);
                }
                (create(&self)?, Opened::Rebuilt { reason, aside: None })
            }
            Err(error) if error.is_damaged_state() => {
                let (aside, reason) = (Some(CurrentState::set_aside(&root)?), error.to_string());
                if !self.log_is_whole() {
                    return self.stateless(options, reason, aside);
                }
                (create(&self)?, Opened::Rebuilt { reason, aside })
            }
            Err(error) => return Err(error),
        };
        self.assert_log_reaches(&state)?;
        state.persist()?;
        let Self { dir, node, cluster, log, .. } = self;
        // Gone before anything is applied, and only now: a start that is refused changes nothing.
        marks::remove_clean(&dir)?;
        Ok(Opening::Member(Store::new(dir, node, cluster, log, state), opened))
    }

    /// The state in use, checked unless a clean stop left it just so and the engine would notice damage since.
    fn open_state(&self, options: &StoreOptions, owner: Owner) -> Result<Option<(SessionState, Opened)>, StoreError> {
        let root = self.dir.path().join(STATE_DIR);
        let Some(current) = CurrentState::open(&root, options.engine, engine_options(options))? else {
            return Ok(None);
        };
        let found = current.owner()?;
        if found != owner {
            let of = |owner: Owner| format!("node {} of cluster {}", owner.node, owner.cluster);
            let what = format!("its state is of {}, its log of {}", of(found), of(owner));
            return Err(StoreError::disagree(&self.dir, what));
        }
        let state = SessionState::load(current)?;
        let as_it_was_left = self.clean.is_some_and(|applied| applied == state.applied().0);
        if as_it_was_left && options.engine.reports_damage() {
            return Ok(Some((state, Opened::Clean)));
        }
        let report = state.check()?;
        Ok(Some((state, Opened::Checked(report))))
    }

    fn stateless(self, options: &StoreOptions, reason: String, aside: Option<PathBuf>) -> Result<Opening, StoreError> {
        let Self { dir, node, cluster, log, .. } = self;
        marks::remove_clean(&dir)?;
        StatelessStore::new(dir, options, Owner { node, cluster }, log, reason, aside).map(Opening::Stateless)
    }

    /// Whether the log holds everything since the first start, so that it can make the state again.
    fn log_is_whole(&self) -> bool {
        self.log.purged().is_none()
    }

    /// The state may be behind the log, which then makes it again, but not behind where the log begins.
    fn assert_log_reaches(&self, state: &SessionState) -> Result<(), StoreError> {
        let Self { dir, log, .. } = self;
        let (applied, _) = state.applied();
        match log.purged() {
            Some(purged) if applied.is_none_or(|applied| applied.index < purged.index) => {
                let applied = applied.map_or(0, |applied| applied.index);
                let begins = purged.index + 1;
                let what = format!("its state ends at entry {applied}, but its log begins at entry {begins}");
                Err(StoreError::disagree(dir, what))
            }
            _ => match applied.and_then(|applied| log.position_of(applied.index).map(|kept| (applied, kept))) {
                Some((applied, kept)) if position(&applied) != kept => {
                    let what = format!("entry {} is of another term in its state than in its log", kept.index);
                    Err(StoreError::disagree(dir, what))
                }
                _ => Ok(()),
            },
        }
    }
}

pub(crate) fn engine_options(options: &StoreOptions) -> EngineOptions {
    EngineOptions { cache_bytes: options.cache_bytes }
}

/// A log that is damaged or lost names the one way on.
fn log_error(error: LogError) -> StoreError {
    match error {
        LogError::Damaged { .. } | LogError::Missing { .. } => StoreError::LogLost { error },
        other => StoreError::Log(other),
    }
}
