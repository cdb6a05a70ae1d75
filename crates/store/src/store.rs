use std::path::PathBuf;

use crate::codec::{seal, unseal};
use crate::data_dir::DataDir;
use crate::engine::{EngineKind, EngineOptions};
use crate::log::{LogOptions, RaftLog};
use crate::log_store::{identity_of, log_id, position};
use crate::state::{CheckReport, CurrentState, SessionState};
use crate::{ClusterId, LogId, LogStore, NodeId, StateMachine, StoreError};

const LOG_DIR: &str = "log";
const STATE_DIR: &str = "state";
const CLUSTER_FILE: &str = "CLUSTER";
const CLEAN_FILE: &str = "CLEAN";

/// What an operator chooses about storage.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Which engine keeps the session state. A directory keeps the one that it was made with.
    pub engine: EngineKind,
    /// Bytes of memory for the engine's cache.
    pub cache_bytes: u64,
    /// How the Raft log lays itself out.
    pub log: LogOptions,
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
    /// The state was lost or damaged; it begins anew, and the log, which is whole, makes it again.
    Rebuilt {
        /// Why.
        reason: String,
        /// Where the damaged one is kept; `None` if there was none.
        aside: Option<PathBuf>,
    },
}

/// Everything that a node keeps on its disk.
pub struct Store {
    dir: DataDir,
    node: NodeId,
    cluster: ClusterId,
    pub(crate) log: RaftLog,
    state: SessionState,
}

impl Store {
    /// Opens what is there, or makes a new node. After an unclean stop the state is checked before this returns.
    pub fn open(dir: DataDir, options: &StoreOptions) -> Result<(Self, Opened), StoreError> {
        let clean = clean_mark(&dir)?;
        let (log, cluster, is_new) = open_log(&dir, options)?;
        let node =
            unseal(&log.identity()).map_err(|error| disagree(&dir, format!("the node id in the log: {error}")))?;
        let owner = crate::state::Owner { node, cluster };
        let root = dir.path().join(STATE_DIR);
        let (state, opened) = match open_state(&dir, options, owner, clean) {
            Ok(Some((state, opened))) => (state, opened),
            Ok(None) if is_new => (create_state(&root, options, owner)?, Opened::New),
            Ok(None) => {
                let reason = "there is none".to_owned();
                only_with_whole_log(&dir, &log, &reason)?;
                (create_state(&root, options, owner)?, Opened::Rebuilt { reason, aside: None })
            }
            Err(error) if error.is_damaged_state() && log_is_whole(&log) => {
                let aside = Some(CurrentState::set_aside(&root)?);
                let reason = error.to_string();
                (create_state(&root, options, owner)?, Opened::Rebuilt { reason, aside })
            }
            Err(error) => return Err(error),
        };
        assert_log_reaches_state(&dir, &log, &state)?;
        state.persist()?;
        // Gone before anything is applied, and only now: a start that is refused changes nothing.
        dir.remove_durably(CLEAN_FILE)?;
        Ok((Self { dir, node, cluster, log, state }, opened))
    }

    /// Which node this is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Which cluster it belongs to.
    pub fn cluster(&self) -> ClusterId {
        self.cluster
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
        self.dir.write_durably(CLEAN_FILE, &seal(&applied.map(|id| (position(&id).term, id.index))))
    }
}

/// What the last clean stop left: how far the state was applied.
fn clean_mark(dir: &DataDir) -> Result<Option<Option<LogId>>, StoreError> {
    let Some(bytes) = dir.read(CLEAN_FILE)? else { return Ok(None) };
    // A mark that cannot be read is no mark: then the state is checked.
    let applied = unseal::<Option<(u64, u64)>>(&bytes).ok();
    Ok(applied.map(|applied| applied.map(|(term, index)| log_id(crate::log::LogPosition { term, index }))))
}

/// The log, the cluster, and whether this is a new node. A new one is made in an order in which a crash at any point
/// leaves something that the next start recognises: log, cluster mark, state.
fn open_log(dir: &DataDir, options: &StoreOptions) -> Result<(RaftLog, ClusterId, bool), StoreError> {
    let path = dir.path().join(LOG_DIR);
    let mark = dir.read(CLUSTER_FILE)?;
    let mark = mark.map(|bytes| unseal(&bytes)).transpose();
    let mark: Option<ClusterId> =
        mark.map_err(|error| disagree(dir, format!("{CLUSTER_FILE} cannot be read: {error}")))?;
    let has_state = CurrentState::exists(&dir.path().join(STATE_DIR));
    if !RaftLog::exists(&path)? {
        if mark.is_some() || has_state {
            return Err(disagree(dir, "its Raft log, with this node's identity and vote, is lost".into()));
        }
        let log = RaftLog::create(&path, &identity_of(NodeId::random()), options.log.clone())?;
        return Ok((log, mark_cluster(dir)?, true));
    }
    let log = RaftLog::open(&path, options.log.clone())?;
    let is_pristine = !has_state && log.last().is_none() && log.vote().is_none();
    match mark {
        Some(cluster) => Ok((log, cluster, is_pristine)),
        None if is_pristine => Ok((log, mark_cluster(dir)?, true)),
        None => Err(disagree(dir, format!("{CLUSTER_FILE}, which names its cluster, is lost"))),
    }
}

fn mark_cluster(dir: &DataDir) -> Result<ClusterId, StoreError> {
    let cluster = ClusterId::random();
    dir.write_durably(CLUSTER_FILE, &seal(&cluster))?;
    Ok(cluster)
}

/// The state in use, checked unless a clean stop left it just so and the engine would notice damage since.
fn open_state(
    dir: &DataDir,
    options: &StoreOptions,
    owner: crate::state::Owner,
    clean: Option<Option<LogId>>,
) -> Result<Option<(SessionState, Opened)>, StoreError> {
    let root = dir.path().join(STATE_DIR);
    let Some(current) = CurrentState::open(&root, options.engine, engine_options(options))? else { return Ok(None) };
    let found = current.owner()?;
    if found != owner {
        let of = |owner: crate::state::Owner| format!("node {} of cluster {}", owner.node, owner.cluster);
        return Err(disagree(dir, format!("its state is of {}, its log of {}", of(found), of(owner))));
    }
    let state = SessionState::load(current)?;
    let as_it_was_left = clean.is_some_and(|applied| applied == state.applied().0);
    if as_it_was_left && options.engine.reports_damage() {
        return Ok(Some((state, Opened::Clean)));
    }
    let report = state.check()?;
    Ok(Some((state, Opened::Checked(report))))
}

fn create_state(
    root: &std::path::Path,
    options: &StoreOptions,
    owner: crate::state::Owner,
) -> Result<SessionState, StoreError> {
    SessionState::load(CurrentState::create(root, options.engine, engine_options(options), owner)?)
}

fn engine_options(options: &StoreOptions) -> EngineOptions {
    EngineOptions { cache_bytes: options.cache_bytes }
}

/// Whether the log holds everything since the first start, so that it can make the state again.
fn log_is_whole(log: &RaftLog) -> bool {
    log.purged().is_none()
}

fn only_with_whole_log(dir: &DataDir, log: &RaftLog, reason: &str) -> Result<(), StoreError> {
    if log_is_whole(log) {
        return Ok(());
    }
    Err(disagree(dir, format!("its state is lost ({reason}), and its log no longer reaches back to the beginning")))
}

/// The state may be behind the log, which then makes it again, but not behind where the log begins.
fn assert_log_reaches_state(dir: &DataDir, log: &RaftLog, state: &SessionState) -> Result<(), StoreError> {
    let (applied, _) = state.applied();
    match log.purged() {
        Some(purged) if applied.is_none_or(|applied| applied.index < purged.index) => {
            let applied = applied.map_or(0, |applied| applied.index);
            let begins = purged.index + 1;
            Err(disagree(dir, format!("its state ends at entry {applied}, but its log begins at entry {begins}")))
        }
        _ => match applied.and_then(|applied| log.position_of(applied.index).map(|kept| (applied, kept))) {
            Some((applied, kept)) if position(&applied) != kept => {
                let what = format!("entry {} is of another term in its state than in its log", kept.index);
                Err(disagree(dir, what))
            }
            _ => Ok(()),
        },
    }
}

fn disagree(dir: &DataDir, what: String) -> StoreError {
    StoreError::Disagree { dir: dir.path().into(), what }
}
