use std::sync::Arc;
use std::time::Duration;

use sessile_core::{NamespaceId, SessionKey};
use sessile_store::{Durations, LiveRecord, NodeId};
use sessile_trace::{Kind, begin};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::confirmation::Confirmer;
use super::rounds::ReadRounds;
use super::standing::Standing;
use crate::error::ClusterError;
use crate::group::Group;
use crate::transport::{Directory, Door, Told};

/// The reads of one group.
pub(crate) struct Reads {
    group: Arc<Group>,
    pub(super) standing: Standing,
    pub(super) rounds: ReadRounds,
}

impl Reads {
    /// The handle, and the task that runs the rounds until it is cancelled.
    pub(crate) fn new(
        group: Arc<Group>,
        door: Arc<Door>,
        directory: Directory,
        told: Told,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (server, log) = (group.server.clone(), group.log.clone());
        let standing = Standing::new(group.node, server, log, told, &group.state, stop.clone());
        let confirmer = Confirmer::new(standing.clone(), group.raft.clone(), door, directory);
        let (rounds, running) = ReadRounds::new(standing.clone(), confirmer, stop);
        (Self { group, standing, rounds }, running)
    }

    /// The live record of a key: at least as new as everything acknowledged before the call.
    pub(crate) async fn read(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<Option<LiveRecord>, ClusterError> {
        self.confirm(deadline).await?;
        self.look_up(namespace, key, deadline).await
    }

    /// The live record of a key as this node knows it, and how old that knowledge is at most.
    pub(crate) async fn read_local(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<(Option<LiveRecord>, Duration), ClusterError> {
        // Asked before the record is read: the record may be newer than that, never older.
        let age = self.rounds.age().ok_or(ClusterError::NoQuorum)?;
        let found = self.look_up(namespace, key, deadline).await?;
        Ok((found, age))
    }

    /// Returns when the applied state holds everything that was acknowledged before the call.
    pub(crate) async fn prove(&self, deadline: Instant) -> Result<(), ClusterError> {
        self.rounds.join(deadline).await
    }

    /// The same, unless the state was found to be current so lately: who asks again and again would make readers wait for a
    /// round that is under way, and far from the leader a round is long.
    pub(crate) async fn prove_again(&self, deadline: Instant) -> Result<(), ClusterError> {
        let is_fresh = self.rounds.age().is_some_and(|age| age < self.group.timing.read_round());
        if is_fresh { Ok(()) } else { self.prove(deadline).await }
    }

    /// How long ago the state was proved to be current; `None` if it never was.
    pub(crate) fn proven_ago(&self) -> Option<Duration> {
        self.rounds.age()
    }

    /// How long the confirmation of rounds took.
    pub(crate) fn rounds_took(&self) -> &Durations {
        self.rounds.took()
    }

    /// Whether the leader takes writes: this node itself, if it leads, or what the leader said when it was last asked.
    pub(crate) fn leader_takes_writes(&self) -> bool {
        if self.group.leads() { self.group.takes_writes() } else { self.standing.leader_takes_writes() }
    }

    /// The log index that a read at that member must have applied, which follows this node in that term; nothing if this
    /// node does not lead.
    pub(crate) async fn index(&self, member: NodeId, term: u64) -> Option<u64> {
        self.rounds.index(member, term, Instant::now() + self.group.timing.read_round()).await
    }

    /// The term in which this node's vote is that node's, if it is, and if this node does not stop.
    pub(crate) fn follows(&self, leader: NodeId) -> Option<u64> {
        self.standing.follows(leader)
    }

    /// Returns when the applied state holds everything that was acknowledged before the call; waits for the next leader, if
    /// there is none.
    pub(crate) async fn confirm(&self, deadline: Instant) -> Result<(), ClusterError> {
        let _traced = begin("round of reads", Kind::Internal);
        loop {
            match self.rounds.join(deadline).await {
                Err(ClusterError::NoQuorum) => self.group.await_leader(deadline, false).await?,
                confirmed => return confirmed,
            }
        }
    }

    /// The live record of a key, from memory or from the disk. A disk that does not answer by the deadline is one that is
    /// asked for more than it can give.
    async fn look_up(
        &self,
        namespace: NamespaceId,
        key: &SessionKey,
        deadline: Instant,
    ) -> Result<Option<LiveRecord>, ClusterError> {
        let state = &self.group.state;
        let found = match state.read_in_memory(namespace, key) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => {
                let read = timeout_at(deadline, state.read_from_disk(namespace, key)).await;
                read.map_err(|_| ClusterError::Overloaded)?
            }
            Err(error) => Err(error),
        };
        found.map_err(|error| self.group.stop_for(&error))
    }
}
