//! A cluster whose majority is lost for ever goes on as a new one with the data of one node that is left.

use std::path::PathBuf;

use sessile_core::{LogTime, RulesVersion};

use crate::alone::{Act, make_alone};
use crate::data_dir::DataDir;
use crate::log::RaftLog;
use crate::log_tail::{newest_membership, newest_stamp};
use crate::state::{EngineDir, Owner, SessionState};
use crate::{ClusterId, KeyFile, Member, Moment, NodeId, Opening, Store, StoreError, StoreOptions, marks};

/// The data of a node that does not run, about to be made a cluster of one. Dropped before that, the node is as after a crash;
/// [`Rescue::leave`] leaves it as after a clean stop.
pub struct Rescue {
    store: Store,
    options: StoreOptions,
}

/// What there is to be rescued, and what a person must know before it is done.
#[derive(Debug, Clone)]
pub struct RescuePlan {
    /// The node whose data it is.
    pub node: NodeId,
    /// What the membership says of it.
    pub member: Option<Member>,
    /// The cluster that it belongs to, and that ends.
    pub cluster: ClusterId,
    /// The voters, this one among them if it is one: who was needed for a majority.
    pub voters: Vec<(NodeId, Member)>,
    /// The other members.
    pub learners: Vec<(NodeId, Member)>,
    /// The last entry of its log. All entries up to it are kept: whatever a majority that it was part of had acknowledged is
    /// among them. What others acknowledged behind it is missing.
    pub last_index: u64,
    /// The term of that entry.
    pub last_term: u64,
    /// The time of the newest entry that has one.
    pub last_at: LogTime,
    /// Sessions that are counted in the state, as far as it is applied.
    pub sessions: u64,
    /// How far that is.
    pub applied: u64,
    /// When the node last noted that it ran, by what the replicated clock showed.
    pub last_ran: Option<Moment>,
}

impl Rescue {
    /// Opens the data of a node that does not run.
    ///
    /// # Errors
    /// A node that runs, or has no data, or whose state is lost; the disk; [`StoreError::CutShort`] where a rescue was begun.
    pub fn open(dir: DataDir, options: &StoreOptions) -> Result<Self, StoreError> {
        let path = dir.path().to_owned();
        let refused = |what: String| Err(StoreError::Unsuited { dir: path.clone(), what });
        match Opening::open(dir, options)? {
            Opening::Member(store, _) => Ok(Self { store, options: options.clone() }),
            Opening::Pristine(_) => refused("there is no node with data; a rescue needs one that is left".into()),
            Opening::Recovering(lost) => refused(format!(
                "its session state is lost or damaged ({}); restore a backup under its log first, with `sessile restore \
                 FILE --data-dir {}`",
                lost.reason(),
                path.display()
            )),
        }
    }

    /// Ends a rescue that was cut short; `None` where none was begun.
    ///
    /// # Errors
    /// The disk; then it is to be ended again.
    pub fn end_what_was_begun(
        dir: &DataDir,
        options: &StoreOptions,
        who: &str,
    ) -> Result<Option<ClusterId>, StoreError> {
        let Some(cluster) = marks::rescuing(dir)? else { return Ok(None) };
        carry_out(dir, options, cluster, who)?;
        Ok(Some(cluster))
    }

    /// Where this node's secret key is kept.
    pub fn key_file(&self) -> KeyFile {
        KeyFile::new(self.store.dir())
    }

    /// What there is, and what would be lost.
    pub fn plan(&self) -> RescuePlan {
        let (state, log) = (self.store.state(), &self.store.log);
        let (applied, membership) = state.applied();
        let node = self.store.node();
        let membership = newest_membership(log).unwrap_or_else(|| membership.membership().clone());
        let is_voter = |node: &NodeId| membership.voter_ids().any(|voter| voter == *node);
        let nodes = || membership.nodes().map(|(node, member)| (*node, member.clone()));
        let last = log.last();
        RescuePlan {
            node,
            member: membership.get_node(&node).cloned(),
            cluster: self.store.cluster(),
            voters: nodes().filter(|(node, _)| is_voter(node)).collect(),
            learners: nodes().filter(|(node, _)| !is_voter(node)).collect(),
            last_index: last.map_or(0, |last| last.index),
            last_term: last.map_or(0, |last| last.term),
            last_at: newest_stamp(log).unwrap_or_default().max(state.clock()),
            sessions: state.sessions(),
            applied: applied.map_or(0, |applied| applied.index),
            last_ran: self.store.notes().last_ran(),
        }
    }

    /// Leaves everything as it was.
    ///
    /// # Errors
    /// The disk.
    pub fn leave(self) -> Result<(), StoreError> {
        self.store.close()
    }

    /// Makes this node the only member of a new cluster, with all that its log and its state hold. What is asked of it by
    /// members of the old one is refused from then on, whoever they are.
    ///
    /// # Errors
    /// The disk: [`Rescue::end_what_was_begun`] goes on with it, and no node starts there before that.
    pub fn carry_out(self, who: &str) -> Result<ClusterId, StoreError> {
        let path: PathBuf = self.store.dir().path().into();
        let options = self.options;
        self.store.close()?;
        let dir = DataDir::open(path)?;
        let cluster = ClusterId::random();
        marks::begin_rescuing(&dir, cluster)?;
        carry_out(&dir, &options, cluster, who)?;
        Ok(cluster)
    }
}

/// Each step may be done again: what was cut short is begun again from the first one.
fn carry_out(dir: &DataDir, options: &StoreOptions, cluster: ClusterId, who: &str) -> Result<(), StoreError> {
    let current = EngineDir::open(&dir.state(), options.engine, options.of_the_engine())?;
    let state = SessionState::load(current.ok_or_else(|| dir.disagreement("its session state is gone"))?)?;
    let Owner { node, cluster: old } = state.current().owner()?;
    state.current().set_owner(Owner { node, cluster })?;
    let (membership, at, rules) = (state.applied().1, state.clock(), state.rules());
    state.close()?;
    drop(state);
    marks::set_cluster(dir, cluster)?;
    let log = RaftLog::open(&dir.log(), options.log.clone())?;
    let membership = newest_membership(&log).unwrap_or_else(|| membership.membership().clone());
    let member = membership.get_node(&node).cloned().unwrap_or_default();
    let what = format!("rescue {node} out of cluster {old}");
    let result = format!("it is the only member of the new cluster {cluster}");
    let act = Act { who, what: &what, result: &result, at, is_noted: rules >= RulesVersion::HISTORY };
    make_alone(dir, &log, (node, member), &act)?;
    log.close()?;
    marks::end_rescuing(dir)
}
