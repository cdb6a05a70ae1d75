use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use openraft::ReadPolicy;
use openraft::errors::RaftError;
use sessile_store::NodeId;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use super::standing::Standing;
use crate::error::ClusterError;
use crate::raft::Raft;
use crate::transport::{Conversation, Directory, Door, Link};
use crate::wire::{ConfirmRequest, ConfirmResponse, ReadIndexRequest, ReadIndexResponse};

/// How long a leader waits for the members that answered it last before it asks the others too: twice as long as an answer
/// took last, but not less than this and no longer than two of the longest round trips. Much shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long a leader goes by Raft's heartbeats before it asks again a member whose program did not know the question.
const BY_RAFT: Duration = Duration::from_secs(1);

type Asking = Conversation<ReadIndexRequest, ReadIndexResponse>;
type Confirming = Conversation<ConfirmRequest, ConfirmResponse>;

/// Finds an index that everything acknowledged before the call is at or below (ReadIndex; Raft dissertation, 6.4).
///
/// A leader takes the last entry that anybody may have seen, and then asks members whether they still follow it. Another member
/// says that it follows the leader when it asks it for the index, which with three voters is all the proof that there has
/// to be. Neither goes by clocks, nor through Raft's own queue.
pub(crate) struct Confirmer {
    standing: Standing,
    raft: Raft,
    door: Arc<Door>,
    directory: Directory,
    /// The stream of questions to the leader that answered the last one.
    asking: Option<(NodeId, Asking)>,
    /// The same to members that are asked whether they follow this node.
    confirming: BTreeMap<NodeId, Confirming>,
    by_raft_until: Option<Instant>,
    /// How long the last answer took that a round waited for.
    took: Duration,
}

/// What came of a question to a member.
enum Heard {
    /// The term in which its vote is this node's, if it is.
    Follows(Option<u64>),
    /// It does not know the question: its program is older.
    Nothing,
    Unanswered,
}

impl Confirmer {
    pub(crate) fn new(standing: Standing, raft: Raft, door: Arc<Door>, directory: Directory) -> Self {
        let (asking, confirming, by_raft_until) = (None, BTreeMap::new(), None);
        Self { standing, raft, door, directory, asking, confirming, by_raft_until, took: Duration::ZERO }
    }

    /// An index that everything acknowledged before this call is at or below.
    pub(crate) async fn confirm(&mut self) -> Result<u64, ClusterError> {
        // Below the request's deadline, so that a leader which fell silent costs a retry and not an error.
        let (node, patience) = (self.standing.node(), self.directory.timing().read_round());
        let confirmed = match self.standing.leader() {
            Some(leader) if leader == node => timeout(patience, self.confirm_by_quorum()).await,
            Some(leader) => timeout(patience, self.ask_leader(leader)).await,
            None => Ok(Err(ClusterError::NoQuorum)),
        };
        confirmed.unwrap_or(Err(ClusterError::NoQuorum))
    }

    async fn confirm_by_quorum(&mut self) -> Result<u64, ClusterError> {
        if self.by_raft_until.is_some_and(|until| Instant::now() < until) {
            return self.confirm_by_raft().await;
        }
        // First the index, then the question: had another leader acknowledged anything before, one of a quorum would know.
        let leading = self.standing.is_leading().await.ok_or(ClusterError::NoQuorum)?;
        let mut follow = BTreeSet::from([self.standing.node()]);
        // Those that follow, and those whose answer is waited for.
        let mut counted = follow.clone();
        let mut others = self.standing.other_voters();
        // Those that answered last come last, and are taken first.
        others.sort_by_key(|member| self.confirming.contains_key(member));
        let mut asked = FuturesUnordered::new();
        let begin = Instant::now();
        let twice = 2 * self.took.min(self.directory.timing().max_rtt());
        let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE.max(twice)));
        while !self.standing.is_quorum(|member| follow.contains(&member)) {
            // No more than are needed.
            while !self.standing.is_quorum(|member| counted.contains(&member))
                && let Some(member) = others.pop()
            {
                counted.insert(member);
                asked.push(self.question(member));
            }
            tokio::select! {
                Some((member, answer)) = asked.next(), if !asked.is_empty() => match self.hear(member, answer) {
                    Heard::Follows(term) if term == Some(leading.term) => {
                        self.took = begin.elapsed();
                        follow.insert(member);
                    }
                    // One who follows another, or stops, need not be asked first again; the others may be a quorum.
                    Heard::Follows(_) => {
                        self.confirming.remove(&member);
                        counted.remove(&member);
                    }
                    Heard::Unanswered => drop(counted.remove(&member)),
                    Heard::Nothing => {
                        self.by_raft_until = Some(Instant::now() + BY_RAFT);
                        return self.confirm_by_raft().await;
                    }
                },
                // Who has not answered by now may still, and is not counted on.
                () = &mut patience, if !others.is_empty() => counted.clone_from(&follow),
                else => return Err(ClusterError::NoQuorum),
            }
        }
        Ok(leading.index)
    }

    /// The same by Raft's heartbeats, while a member's program does not know the question.
    async fn confirm_by_raft(&self) -> Result<u64, ClusterError> {
        match self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await {
            Ok(linearizer) => Ok(linearizer.read_log_id().index()),
            Err(RaftError::Fatal(_)) => Err(ClusterError::Stopping),
            Err(RaftError::APIError(_)) => Err(ClusterError::NoQuorum),
        }
    }

    async fn ask_leader(&mut self, leader: NodeId) -> Result<u64, ClusterError> {
        let follows = self.standing.follows(leader).unwrap_or(0);
        let kept = self.asking.take().filter(|(asked, _)| *asked == leader).map(|(_, asking)| asking);
        let (door, directory) = (self.door.clone(), self.directory.clone());
        let call = |questions| async move {
            let mut peer = Link::new(leader, directory, String::new()).peer()?;
            let answers = peer.read_index(door.request(Some(leader), questions, None)).await;
            door.receive(leader, answers)
        };
        let question = Conversation::go_on(kept, call, ReadIndexRequest { follows });
        let answer = tokio::select! {
            answer = question => answer,
            // A frozen leader answers nobody; its successor does.
            () = self.standing.another_leads(leader) => return Err(ClusterError::NoQuorum),
        };
        let (answer, asking) = answer.map_err(|_| ClusterError::NoQuorum)?;
        self.asking = Some((leader, asking));
        self.standing.leader_refuses_writes(answer.refuses_writes);
        answer.index.ok_or(ClusterError::NoQuorum)
    }

    fn hear(&mut self, member: NodeId, answer: Result<(ConfirmResponse, Confirming), Status>) -> Heard {
        match answer {
            Ok((ConfirmResponse { follows }, confirming)) => {
                self.confirming.insert(member, confirming);
                Heard::Follows((follows > 0).then_some(follows))
            }
            Err(status) if status.code() == Code::Unimplemented => Heard::Nothing,
            Err(_) => Heard::Unanswered,
        }
    }

    /// Asks a member whether it follows this node, on the stream on which it answered last, if there is one. An answer that
    /// is not waited for takes the stream with it.
    fn question(
        &mut self,
        member: NodeId,
    ) -> impl Future<Output = (NodeId, Result<(ConfirmResponse, Confirming), Status>)> + use<> {
        let kept = self.confirming.remove(&member);
        let (door, directory) = (self.door.clone(), self.directory.clone());
        let call = move |questions| async move {
            let mut peer = Link::new(member, directory, String::new()).peer()?;
            let answers = peer.confirm(door.request(Some(member), questions, None)).await;
            door.receive(member, answers)
        };
        async move { (member, Conversation::go_on(kept, call, ConfirmRequest {}).await) }
    }
}
