//! How a data directory is found, and what that makes of the node.
//!
//! ```text
//! log    CLUSTER  state                        →
//! no     no       no                           a new node: Pristine
//! empty  no       no                           Pristine
//! empty  yes      no                           Member: an adoption that was cut short is ended
//! yes    yes      whole                        Member
//! yes    yes      lost, damaged or too old     Member, if the log reaches back to its beginning and makes it again;
//!                                              Recovering, if it does not
//! anything else: something is lost that nobody can make again, or ids disagree, or a restore or rescue was cut short: refused
//! ```
//!
//! The node's secret key ([`KeyFile`]) is a matter of its own. A new node makes one, and so does a member for which the
//! membership names none, as after an upgrade from a program without keys. A member that has lost a key which the
//! membership names does not start: nobody would know it by another one.

use std::path::Path;

use crate::codec::unseal;
use crate::data_dir::DataDir;
use crate::engine::EngineOptions;
use crate::log::{LogError, RaftLog};
use crate::log_store::identity_of;
use crate::marks;
use crate::recovering::{LostState, RecoveringStore};
use crate::state::{EngineDir, Owner, SessionState, StateRoot};
use crate::types::position;
use crate::{
    ClusterId, KeyFile, KeyHash, LogId, Member, NodeId, Opened, PristineStore, Store, StoreError, StoreOptions,
};

/// What a data directory makes of the node.
pub enum Opening {
    /// It belongs to no cluster.
    Pristine(PristineStore),
    /// It belongs to one, and goes on.
    Member(Store, Opened),
    /// It belongs to one, with its log, and needs a state from another member before Raft may run.
    Recovering(RecoveringStore),
}

impl Opening {
    /// Where this node's secret key is kept.
    pub fn key_file(&self) -> KeyFile {
        KeyFile::new(match self {
            Self::Pristine(store) => store.dir(),
            Self::Member(store, _) => store.dir(),
            Self::Recovering(store) => store.dir(),
        })
    }

    /// The keys by which the membership recognises this node, as far as this directory knows; none if it names none.
    pub fn named_keys(&self) -> Vec<KeyHash> {
        let named = |mut members: Vec<(NodeId, Member)>, own: NodeId| {
            members.retain(|(node, _)| *node == own);
            members.pop().map(|(_, member)| member.keys).unwrap_or_default()
        };
        match self {
            Self::Pristine(_) => Vec::new(),
            Self::Member(store, _) => {
                let (_, membership) = store.state().applied();
                membership.membership().get_node(&store.node()).map(|member| member.keys.clone()).unwrap_or_default()
            }
            Self::Recovering(store) => named(store.members(), store.node()),
        }
    }
}

/// A directory with a whole log and the mark of its cluster.
struct MemberDir {
    dir: DataDir,
    node: NodeId,
    cluster: ClusterId,
    log: RaftLog,
    clean: Option<Option<LogId>>,
}

impl Opening {
    /// Opens what is there, or makes a new node. After an unclean stop the state is checked before this returns, unless its
    /// engine verifies what is read.
    ///
    /// # Errors
    /// The disk; and what cannot be gone on with without a guess, by name. Then nothing in the directory was changed.
    pub fn open(dir: DataDir, options: &StoreOptions) -> Result<Self, StoreError> {
        marks::assert_finished(&dir)?;
        let (clean, cluster) = (marks::clean(&dir)?, marks::cluster(&dir)?);
        if marks::is_removed(&dir)? {
            return Err(StoreError::Removed { dir: dir.path().into() });
        }
        if marks::is_replaced(&dir)? {
            return Err(StoreError::Replaced { dir: dir.path().into() });
        }
        let path = dir.log();
        let has_state = StateRoot::has_state(&dir.state());
        if !RaftLog::exists(&path).map_err(log_error)? {
            if cluster.is_some() || has_state {
                let what = "its Raft log, with this node's identity and vote, is lost";
                return Err(dir.disagreement(what));
            }
            let node = NodeId::random();
            let log = RaftLog::create(&path, &identity_of(node), options.log.clone())?;
            return PristineStore::new(dir, options, node, log).map(Self::Pristine);
        }
        let log = RaftLog::open(&path, options.log.clone()).map_err(log_error)?;
        let node =
            unseal(&log.identity()).map_err(|error| dir.disagreement(format!("the node id in the log: {error}")))?;
        let is_untouched = !has_state && log.last().is_none() && log.vote().is_none();
        match cluster {
            Some(cluster) => MemberDir { dir, node, cluster, log, clean }.open(options, is_untouched),
            None if is_untouched => PristineStore::new(dir, options, node, log).map(Self::Pristine),
            None => Err(dir.disagreement(format!("{}, which names its cluster, is lost", marks::CLUSTER))),
        }
    }
}

impl MemberDir {
    fn open(self, options: &StoreOptions, is_untouched: bool) -> Result<Opening, StoreError> {
        let owner = Owner { node: self.node, cluster: self.cluster };
        let root = self.dir.state();
        let create = |dir: &DataDir| SessionState::create(&options.state_root(dir, owner));
        let opened =
            if marks::is_condemned(&self.dir)? { Err(condemned(&root)) } else { self.open_state(options, owner) };
        let (state, opened) = match opened {
            Ok(Some((state, opened))) => (state, opened),
            Ok(None) if is_untouched => (create(&self.dir)?, Opened::New),
            Ok(None) => {
                let reason = "there is none".to_owned();
                if !self.log_is_whole() {
                    return self.stateless(options, LostState { reason, aside: None, members: Vec::new() });
                }
                (create(&self.dir)?, Opened::Rebuilt { reason, aside: None })
            }
            Err(error) if error.is_damaged_state() => {
                let (reason, members) = (error.to_string(), self.members_of_the_state(options));
                let aside = Some(StateRoot::set_aside(&root)?);
                marks::remove_condemned(&self.dir)?;
                if !self.log_is_whole() {
                    return self.stateless(options, LostState { reason, aside, members });
                }
                (create(&self.dir)?, Opened::Rebuilt { reason, aside })
            }
            Err(error) => return Err(error),
        };
        if let Some(reason) = self.hole_before_the_log(&state) {
            let members = state.current().members();
            drop(state);
            let aside = Some(StateRoot::set_aside(&root)?);
            return self.stateless(options, LostState { reason, aside, members });
        }
        self.assert_log_agrees(&state)?;
        state.persist()?;
        let Self { dir, node, cluster, log, .. } = self;
        // Gone before anything is applied, and only now: a start that is refused changes nothing.
        marks::remove_clean(&dir)?;
        Ok(Opening::Member(Store::new(dir, node, cluster, log, state), opened))
    }

    /// The state in use, checked unless a clean stop left it just so and the engine would notice damage since, or the engine
    /// verifies whatever is read.
    fn open_state(&self, options: &StoreOptions, owner: Owner) -> Result<Option<(SessionState, Opened)>, StoreError> {
        let root = self.dir.state();
        let Some(current) = EngineDir::open(&root, options.engine, options.of_the_engine())? else {
            return Ok(None);
        };
        let found = current.owner()?;
        if found != owner {
            let of = |owner: Owner| format!("node {} of cluster {}", owner.node, owner.cluster);
            let what = format!("its state is of {}, its log of {}", of(found), of(owner));
            return Err(self.dir.disagreement(what));
        }
        let state = SessionState::load(current)?;
        let as_it_was_left = self.clean.is_some_and(|applied| applied == state.applied().0);
        if as_it_was_left && options.engine.reports_damage() {
            return Ok(Some((state, Opened::Clean)));
        }
        if options.engine.verifies_reads() {
            return Ok(Some((state, Opened::Unchecked)));
        }
        let report = state.check()?;
        Ok(Some((state, Opened::Checked(report))))
    }

    fn stateless(self, options: &StoreOptions, lost: LostState) -> Result<Opening, StoreError> {
        let Self { dir, node, cluster, log, .. } = self;
        marks::remove_clean(&dir)?;
        RecoveringStore::new(dir, options, Owner { node, cluster }, log, lost).map(Opening::Recovering)
    }

    /// As far as a damaged state can still say.
    fn members_of_the_state(&self, options: &StoreOptions) -> Vec<(NodeId, Member)> {
        let root = self.dir.state();
        let even_condemned = EngineOptions { even_condemned: true, ..options.of_the_engine() };
        let current = EngineDir::open(&root, options.engine, even_condemned);
        current.ok().flatten().map(|current| current.members()).unwrap_or_default()
    }

    /// Whether the log holds everything since the first start, so that it can make the state again. One that knows of
    /// more that was committed than it holds was killed right after a snapshot was installed, before its purge.
    fn log_is_whole(&self) -> bool {
        let held = self.log.last().map(|last| last.index);
        self.log.purged().is_none() && self.log.committed().is_none_or(|committed| Some(committed.index) <= held)
    }

    /// Why the state is as good as lost: it may be behind the log, which then makes it again, but not behind where the
    /// log begins.
    fn hole_before_the_log(&self, state: &SessionState) -> Option<String> {
        let applied = state.applied().0.map_or(0, |applied| applied.index);
        let purged = self.log.purged().filter(|purged| applied < purged.index)?;
        Some(format!("it ends at entry {applied}, but the log begins at entry {}", purged.index + 1))
    }

    /// An error if state and log are of different histories.
    fn assert_log_agrees(&self, state: &SessionState) -> Result<(), StoreError> {
        let Some(applied) = state.applied().0 else { return Ok(()) };
        match self.log.position_of(applied.index) {
            Some(kept) if position(&applied) != kept => {
                let what = format!("entry {} is of another term in its state than in its log", kept.index);
                Err(self.dir.disagreement(what))
            }
            _ => Ok(()),
        }
    }
}

/// However whole it looks: two members that agree have another one.
fn condemned(root: &Path) -> StoreError {
    StoreError::Damaged {
        dir: root.into(),
        what: "it differs from that of two other members".into(),
        remedy: "it is set aside, and made anew by the log or another member",
    }
}

/// A log that is damaged or lost names the one way on.
fn log_error(error: LogError) -> StoreError {
    match error {
        LogError::Damaged { .. } | LogError::Missing { .. } => StoreError::LogLost { error },
        other => StoreError::Log(other),
    }
}
