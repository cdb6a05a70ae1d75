use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use openraft::ReadPolicy;
use openraft::errors::RaftError;
use sessile_store::NodeId;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use crate::ClusterError;
use crate::node::Raft;
use crate::standing::Standing;
use crate::transport::{Conversation, Directory, Door, Link};
use crate::wire::{ConfirmRequest, ConfirmResponse, ReadIndexRequest, ReadIndexResponse};

/// How long one round may take before those that wait in it are told to try again. Below the request's deadline, so
/// that a leader which fell silent costs a retry and not an error.
const ROUND_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a leader waits for the members that answered it last before it asks the others too: much longer than an answer
/// takes, much shorter than anybody's patience.
const PATIENCE: Duration = Duration::from_millis(10);

/// How long a leader goes by Raft's heartbeats before it asks again a member whose program did not know the question.
const BY_RAFT: Duration = Duration::from_secs(1);

type Asking = Conversation<ReadIndexRequest, ReadIndexResponse>;
type Confirming = Conversation<ConfirmRequest, ConfirmResponse>;

/// Finds an index that everything acknowledged before the call is at or below (ReadIndex; Raft dissertation, 6.4).
///
/// A leader takes the last entry that it has applied, and then asks members whether they still follow it. Another member
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
}

/// What came of a question to a member.
enum Heard {
    /// Its vote is still this node's, in that term.
    Follows(u64),
    /// It does not know the question: its program is older.
    Nothing,
    Unanswered,
}

impl Confirmer {
    pub(crate) fn new(standing: Standing, raft: Raft, door: Arc<Door>, directory: Directory) -> Self {
        Self { standing, raft, door, directory, asking: None, confirming: BTreeMap::new(), by_raft_until: None }
    }

    /// An index that everything acknowledged before this call is at or below.
    pub(crate) async fn confirm(&mut self) -> Result<u64, ClusterError> {
        let node = self.standing.node();
        let confirmed = match self.standing.leader() {
            Some(leader) if leader == node => timeout(ROUND_TIMEOUT, self.confirm_by_quorum()).await,
            Some(leader) => timeout(ROUND_TIMEOUT, self.ask_leader(leader)).await,
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
        let mut waiting = self.standing.other_voters();
        // Those that answered last come last, and are taken first.
        waiting.sort_by_key(|member| self.confirming.contains_key(member));
        let mut asked = FuturesUnordered::new();
        let mut patience = std::pin::pin!(tokio::time::sleep(PATIENCE));
        let mut asks = BTreeSet::from([self.standing.node()]);
        loop {
            if self.standing.is_quorum(|member| follow.contains(&member)) {
                return Ok(leading.index);
            }
            while !self.standing.is_quorum(|member| asks.contains(&member))
                && let Some(member) = waiting.pop()
            {
                asks.insert(member);
                asked.push(self.question(member));
            }
            tokio::select! {
                Some((member, answer)) = asked.next(), if !asked.is_empty() => match self.hear(member, answer) {
                    Heard::Follows(term) if term == leading.term => drop(follow.insert(member)),
                    Heard::Nothing => {
                        self.by_raft_until = Some(Instant::now() + BY_RAFT);
                        return self.confirm_by_raft().await;
                    }
                    // One who follows another, or stops, need not be asked first again; the others may be a quorum.
                    Heard::Follows(_) => {
                        self.confirming.remove(&member);
                        asks.remove(&member);
                    }
                    Heard::Unanswered => drop(asks.remove(&member)),
                },
                () = &mut patience, if !waiting.is_empty() => {
                    for member in waiting.drain(..) {
                        asks.insert(member);
                        asked.push(self.question(member));
                    }
                }
                else => return Err(ClusterError::NoQuorum),
            }
        }
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
        let follows = self.standing.follows(leader);
        let asking = self.asking.take().filter(|(asked, _)| *asked == leader).map(|(_, asking)| asking);
        let question = async {
            let asking = match asking {
                Some(asking) => asking,
                None => {
                    Conversation::begin(|questions| async {
                        let mut peer = Link::new(leader, self.directory.clone(), String::new()).peer()?;
                        let answers = peer.read_index(self.door.request(Some(leader), questions, None)).await;
                        self.door.receive(leader, answers)
                    })
                    .await?
                }
            };
            asking.ask(ReadIndexRequest { follows }).await
        };
        let answer = tokio::select! {
            answer = question => answer,
            // A frozen leader answers nobody; its successor does.
            () = self.standing.another_leads(leader) => return Err(ClusterError::NoQuorum),
        };
        let (answer, asking) = answer.map_err(|_| ClusterError::NoQuorum)?;
        self.asking = Some((leader, asking));
        answer.index.ok_or(ClusterError::NoQuorum)
    }

    fn hear(&mut self, member: NodeId, answer: Result<(ConfirmResponse, Confirming), Status>) -> Heard {
        match answer {
            Ok((ConfirmResponse { follows }, confirming)) => {
                self.confirming.insert(member, confirming);
                Heard::Follows(follows)
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
        let confirming = self.confirming.remove(&member);
        let (door, directory) = (self.door.clone(), self.directory.clone());
        async move {
            let confirming = match confirming {
                Some(confirming) => Ok(confirming),
                None => {
                    Conversation::begin(|questions| async move {
                        let mut peer = Link::new(member, directory, String::new()).peer()?;
                        let answers = peer.confirm(door.request(Some(member), questions, None)).await;
                        door.receive(member, answers)
                    })
                    .await
                }
            };
            let answer = match confirming {
                Ok(confirming) => confirming.ask(ConfirmRequest {}).await,
                Err(status) => Err(status),
            };
            (member, answer)
        }
    }
}
