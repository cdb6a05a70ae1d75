//! Where this node stands with its cluster: whom it follows, whether it leads, and up to where it may then answer for
//! everybody. Nothing is asked of anybody here, and nothing waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;
use sessile_store::{LogId, LogStore, NodeId, SessionState, term_of};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::group::another_leads;
use crate::raft::ServerMetrics;
use crate::transport::Told;

/// What a vote proves. A node that has voted in a later term says so from the moment on at which it told anybody of that
/// ([`LogStore::ballot`]), so whoever still has the vote of a quorum leads: nobody else can have been elected
/// (Raft dissertation, 6.4).
#[derive(Clone)]
pub(crate) struct Standing {
    node: NodeId,
    server: ServerMetrics,
    log: LogStore,
    told: Told,
    reached: watch::Receiver<Option<LogId>>,
    /// A node that stops follows nobody any more: its next start may vote while this one is still asked.
    stop: CancellationToken,
    /// What the leader said when this node last asked it.
    leader_refuses_writes: Arc<AtomicBool>,
}

/// A term in which this node leads, as far as it knows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leading {
    pub(crate) term: u64,
    /// Everything that was acknowledged, or read by anybody, is at or below it: what this node has begun to apply, or told
    /// others to be committed, who may have applied it before this node does. What leaders before this one committed is below
    /// an entry of this term.
    pub(crate) index: u64,
}

impl Standing {
    pub(crate) fn new(
        node: NodeId,
        server: ServerMetrics,
        log: LogStore,
        told: Told,
        state: &SessionState,
        stop: CancellationToken,
    ) -> Self {
        let leader_refuses_writes = Arc::default();
        Self { node, server, log, told, reached: state.reached(), stop, leader_refuses_writes }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// Who leads, as far as is known here.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.server.borrow_watched().current_leader
    }

    /// The term in which this node's vote is that node's, if it is, and if this node does not stop.
    pub(crate) fn follows(&self, leader: NodeId) -> Option<u64> {
        let ballot = self.log.ballot().filter(|ballot| ballot.leader_id.voted_for == leader);
        ballot.filter(|_| !self.stop.is_cancelled()).map(|ballot| ballot.leader_id.term)
    }

    /// Whether this node was elected since it started, and has not voted for anybody since. It may have applied nothing of
    /// that term yet, and somebody else may have been elected by others.
    fn leads_in(&self) -> Option<u64> {
        let elected = {
            let server = self.server.borrow_watched();
            (server.state == ServerState::Leader).then_some(server.vote.leader_id.term)
        };
        elected.filter(|term| self.follows(self.node) == Some(*term))
    }

    /// Up to where this node may answer for everybody, if it turns out to lead still.
    pub(crate) fn leading(&self) -> Option<Leading> {
        let term = self.leads_in()?;
        let committed = self.log.committed().max(self.told.newest());
        committed.filter(|last| term_of(last) == term).map(|last| Leading { term, index: last.index })
    }

    /// The same, once it has applied an entry of its term; `None` if it does not lead.
    pub(crate) async fn is_leading(&mut self) -> Option<Leading> {
        let term = self.leads_in()?;
        self.reached.wait_for(|reached| reached.is_some_and(|reached| term_of(&reached) >= term)).await.ok()?;
        self.leading()
    }

    /// What a leader may answer to somebody who follows it in that term and asks, if that is a quorum already.
    pub(crate) fn leading_with(&self, follower: NodeId, term: u64) -> Option<Leading> {
        let is_one = |node| node == self.node || node == follower;
        self.leading().filter(|leading| leading.term == term && self.is_quorum(is_one))
    }

    /// Whether what this node has applied is current, and nobody need be asked: it leads, and is a quorum by itself. What it
    /// is applying right now nobody but its own readers can have seen.
    pub(crate) fn is_current_alone(&self) -> bool {
        let Some(term) = self.leads_in() else { return false };
        let is_alone = self.is_quorum(|node| node == self.node);
        let reached = *self.reached.borrow();
        is_alone && reached >= self.told.newest() && reached.is_some_and(|reached| term_of(&reached) == term)
    }

    /// Whether these are a majority of the voters, of those before and after a change while one is under way.
    pub(crate) fn is_quorum(&self, is_one: impl Fn(NodeId) -> bool) -> bool {
        let server = self.server.borrow_watched();
        let configs = server.membership_config.membership().get_joint_config();
        let majority = |voters: &std::collections::BTreeSet<NodeId>| {
            voters.iter().filter(|voter| is_one(**voter)).count() > voters.len() / 2
        };
        !configs.is_empty() && configs.iter().all(majority)
    }

    /// The voters besides this node.
    pub(crate) fn other_voters(&self) -> Vec<NodeId> {
        let server = self.server.borrow_watched();
        server.membership_config.membership().voter_ids().filter(|voter| *voter != self.node).collect()
    }

    /// Waits until the state has applied an entry; for ever, if nothing is applied any more.
    pub(crate) async fn reaches(&mut self, index: u64) {
        // Its sender lives as long as the state does.
        let _ = self.reached.wait_for(|reached| reached.is_some_and(|reached| reached.index >= index)).await;
    }

    /// Whether the state has applied an entry.
    pub(crate) fn has_reached(&self, index: u64) -> bool {
        self.reached.borrow().is_some_and(|reached| reached.index >= index)
    }

    /// The leader has just said whether it takes writes.
    pub(crate) fn leader_refuses_writes(&self, refuses: bool) {
        self.leader_refuses_writes.store(refuses, Ordering::Relaxed);
    }

    /// Whether the leader takes writes, by what it said when this node last asked it.
    pub(crate) fn leader_takes_writes(&self) -> bool {
        !self.leader_refuses_writes.load(Ordering::Relaxed)
    }

    /// Returns when this node knows of another leader than that one.
    pub(crate) async fn another_leads(&self, leader: NodeId) {
        another_leads(self.server.clone(), leader).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sessile_core::{NamespaceId, SessionKey};
    use sessile_store::{DataDir, Opening, StoreOptions};
    use tokio::time::Instant;

    use crate::{ClusterError, Node, NodeConfig};

    /// Another member may have applied, and shown to a reader, what the leader was the first to know to be committed and
    /// applies later. Seen once in an hour of chaos.
    #[tokio::test]
    async fn a_leader_answers_for_what_others_may_have_applied_before_it_did() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let options = StoreOptions::default();
        let opening = Opening::open(DataDir::open(&path).unwrap(), &options).unwrap();
        let node = Node::start(opening, NodeConfig::new(path), None).await.unwrap();
        let (reads, group) = (&node.cluster().parts.reads, &node.cluster().parts.group);
        let (soon, key) = (Instant::now() + Duration::from_secs(60), SessionKey::new("key").unwrap());
        node.cluster().read(NamespaceId::SESSIONS, &key, soon).await.unwrap();
        let mut standing = reads.standing.clone();
        let leading = standing.is_leading().await.unwrap();
        assert!(standing.is_current_alone());

        let mut ahead = group.log.committed().unwrap();
        ahead.index += 1_000;
        standing.told.tell(Some(ahead));
        assert_eq!(standing.leading().map(|now| (now.term, now.index)), Some((leading.term, ahead.index)));
        assert!(!standing.is_current_alone());
        let at_once = Instant::now() + Duration::from_millis(50);
        assert_eq!(reads.rounds.join(at_once).await, Err(ClusterError::NoQuorum), "a read waits for it");
        node.stop().await.unwrap();
    }
}
