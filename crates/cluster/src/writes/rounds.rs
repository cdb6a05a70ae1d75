use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::errors::{ClientWriteError, Fatal};
use openraft::raft::WriteResult;
use sessile_core::LogTime;
use sessile_store::{Proposal, TypeConfig};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::claim::{Claim, Unanswered, wait_for_answer};
use super::tried::Tried;
use crate::batches::Batches;
use crate::byte_room::ByteRoom;
use crate::group::Group;

/// How many commands wait for a round, and within how many bytes says the configuration. Whoever finds no room waits outside.
const MAX_WAITING: usize = 1_024;
/// How many bytes one round takes, beyond its first command. A round of one value of a megabyte costs as much waiting as one
/// of many; this is what a disk and a link carry in tens of milliseconds.
const ROUND_BYTES: usize = 8 * 1024 * 1024;
/// How many rounds are under way where each takes no longer than [`OVERLAP`]. With one, all commands that come while it is on
/// its way to the disks and the members are
/// the next. Two made smaller rounds, each of which costs an fsync and two messages for each member whatever its size: a
/// tenth more processor time for every request of the mix, and no less waiting.
const UNDER_WAY: usize = 1;
/// A round that takes longer is on its way to members that are far, or to slow disks, and the next one need not wait for it.
const OVERLAP: Duration = Duration::from_millis(20);
/// How many rounds are under way at the most: twice as many as begin within the longest round trip.
const MOST_UNDER_WAY: usize = 40;
/// So many commands begin a round at once: about as many as cost together what a round costs whatever is in it
/// (docs/performance.md).
const ENOUGH: usize = 16;
/// Fewer wait until the last round that was shared began so long ago, for others to share that price with. Who writes alone,
/// one command after the other, waits for nobody.
const PACE: Duration = Duration::from_millis(2);

/// Puts commands into the log of this node, if it leads, many at a time: a command joins the next round, which begins when
/// the one before it has been applied or is long under way, and at once if there are many or none was lately.
#[derive(Clone)]
pub(crate) struct WriteRounds {
    waiting: mpsc::Sender<Waiting>,
    room: ByteRoom,
    /// How many rounds have ended.
    ended: Arc<AtomicU64>,
}

struct Waiting {
    proposal: Proposal,
    /// It goes into no round after that.
    deadline: Instant,
    claim: Claim,
    answer: Answer,
}

/// Where what became of a command goes, and the room that it takes until that is known.
struct Answer {
    tried: oneshot::Sender<Tried>,
    _room: OwnedSemaphorePermit,
}

impl WriteRounds {
    /// The handle, and the task that runs the rounds until it is cancelled. So many bytes of commands may wait or be in a
    /// round.
    pub(crate) fn new(
        group: Arc<Group>,
        max_bytes: usize,
        stop: CancellationToken,
    ) -> (Self, impl Future<Output = ()>) {
        let (waiting, queue) = mpsc::channel(MAX_WAITING);
        let queue = Batches::new(queue, ROUND_BYTES, |waiting: &Waiting| waiting.proposal.command.len());
        let ended = Arc::<AtomicU64>::default();
        let running = run(group, queue, ended.clone(), stop);
        (Self { waiting, room: ByteRoom::new(max_bytes), ended }, running)
    }

    /// How many bytes of commands wait or are in a round, and how many may.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        self.room.taken()
    }

    /// Waits for room for a command of so many bytes.
    pub(crate) async fn room(&self, bytes: usize) -> OwnedSemaphorePermit {
        self.room.take(bytes).await
    }

    /// Puts a command into the log, and waits for what it did. One that is in no round by its deadline reaches no log.
    pub(crate) async fn join(
        &self,
        stamp: LogTime,
        command: Bytes,
        room: OwnedSemaphorePermit,
        deadline: Instant,
    ) -> Tried {
        let (tried, receiver) = oneshot::channel();
        let (answer, claim) = (Answer { tried, _room: room }, Claim::default());
        let waiting = Waiting { proposal: Proposal { stamp, command }, deadline, claim: claim.clone(), answer };
        let ended = || self.ended.load(Ordering::Relaxed);
        let before = ended();
        // Where rounds end there is a quorum, and too much to do.
        let too_late = || if ended() > before { Tried::NoRoom } else { Tried::NotSent };
        match timeout_at(deadline, self.waiting.send(waiting)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Tried::Ended,
            Err(_) => return too_late(),
        }
        match wait_for_answer(receiver, &self.waiting, &claim, deadline).await {
            Ok(tried) => tried,
            // What is dropped with its round may be in the log.
            Err(Unanswered::Dropped | Unanswered::Taken) => Tried::Unknown,
            Err(Unanswered::QueueEnded) => Tried::Ended,
            Err(Unanswered::Waiting) => too_late(),
        }
    }
}

async fn run(group: Arc<Group>, mut queue: Batches<Waiting>, ended: Arc<AtomicU64>, stop: CancellationToken) {
    let mut server = group.server.clone();
    // As lately as heartbeats can tell.
    let lately = 2 * group.timing.heartbeat() + group.timing.max_rtt();
    let mut under_way = FuturesUnordered::new();
    let mut at_once_from = Instant::now();
    let (mut overlaps, mut overlaps_from) = (false, Instant::now());
    loop {
        let may_begin = under_way.len() < UNDER_WAY || overlaps;
        tokio::select! {
            () = tokio::time::sleep_until(overlaps_from), if !may_begin && under_way.len() < MOST_UNDER_WAY => {
                // Of a quorum that is silent every round would be one more of which nobody knows what became of it.
                overlaps = !group.is_alone() && group.is_followed_within(lately);
                overlaps_from = Instant::now() + OVERLAP;
            }
            round = queue.next_of(ENOUGH, at_once_from), if may_begin => {
                let Some(round) = round else { return };
                (overlaps, overlaps_from) = (false, Instant::now() + OVERLAP);
                if round.len() > 1 {
                    at_once_from = Instant::now() + PACE;
                }
                let (proposals, answers) = in_time(round);
                if proposals.is_empty() {
                    continue;
                }
                match group.raft.client_write_many(proposals).await {
                    Ok(results) => under_way.push(tell(results, answers)),
                    Err(_) => tell_all(answers, || Tried::Ended),
                }
            }
            Some(()) = under_way.next(), if !under_way.is_empty() => {
                ended.fetch_add(1, Ordering::Relaxed);
            }
            // The rounds of a leader that was deposed may take long to end, and nobody is to wait for them who can go to
            // the new one.
            changed = server.changed() => {
                if changed.is_err() {
                    break;
                }
                if server.borrow_and_update().current_leader != Some(group.node) {
                    tell_all(queue.drain().map(|waiting| waiting.answer), || Tried::NotSent);
                }
            }
            () = stop.cancelled() => break,
        }
    }
    tell_all(queue.end().map(|waiting| waiting.answer), || Tried::Ended);
}

/// The commands of a round whose clients still wait for them. Whoever was told that a command reached no log must not find
/// its effect later.
fn in_time(round: Vec<Waiting>) -> (Vec<Proposal>, Vec<Answer>) {
    let now = Instant::now();
    let is_wanted =
        |waiting: &Waiting| now < waiting.deadline && !waiting.answer.tried.is_closed() && waiting.claim.get();
    let (wanted, late): (Vec<_>, Vec<_>) = round.into_iter().partition(is_wanted);
    tell_all(late.into_iter().map(|waiting| waiting.answer), || Tried::NotSent);
    wanted.into_iter().map(|waiting| (waiting.proposal, waiting.answer)).unzip()
}

/// Tells each command of a round what became of it.
async fn tell(
    results: impl Stream<Item = Result<WriteResult<TypeConfig>, Fatal<TypeConfig>>> + Unpin,
    answers: Vec<Answer>,
) {
    // It ends early when Raft does, and may not be asked again then.
    let mut results = results.fuse();
    for answer in answers {
        let tried = match results.next().await {
            // A command always has an outcome.
            Some(Ok(Ok(written))) => written.response.map_or(Tried::Unknown, Tried::Done),
            // Said before anything is appended only.
            Some(Ok(Err(ClientWriteError::ForwardToLeader(_)))) => Tried::NotSent,
            Some(Ok(Err(ClientWriteError::LogEntryDiscarded(_)))) => Tried::Discarded,
            // Neither is asked for here.
            Some(Ok(Err(ClientWriteError::ChangeMembershipError(_) | ClientWriteError::PreconditionFailed(_)))) => {
                Tried::NotSent
            }
            Some(Err(_)) | None => Tried::Unknown,
        };
        // Whoever gave up does not want it.
        let _ = answer.tried.send(tried);
    }
}

fn tell_all(answers: impl IntoIterator<Item = Answer>, tried: fn() -> Tried) {
    for answer in answers {
        let _ = answer.tried.send(tried());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use sessile_core::{Action, Condition, NamespaceId, Put, SessionKey, Ttl};
    use sessile_store::{DataDir, Opening, StoreOptions};

    use super::*;
    use crate::{ClusterError, Node, NodeConfig, QueueBytes};

    #[tokio::test]
    async fn a_command_that_finds_no_room_by_its_deadline_is_refused_and_one_that_gets_some_gives_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let opening = Opening::open(DataDir::open(&path).unwrap(), &StoreOptions::default()).unwrap();
        let queues = QueueBytes { proposals: 1_000, ..QueueBytes::default() };
        let node = Node::start(opening, NodeConfig { queues, ..NodeConfig::new(path) }, None).await.unwrap();
        let put = |bytes: usize, deadline| {
            let put = Put { value: vec![b'v'; bytes].into(), ttl: Ttl::FOREVER, condition: Condition::None };
            let key = SessionKey::new("key").unwrap();
            node.cluster().write(NamespaceId::SESSIONS, key, Action::Put(put), deadline)
        };
        let soon = || Instant::now() + Duration::from_secs(60);
        put(10, soon()).await.unwrap();
        let rounds = &node.cluster().parts.writes.rounds;
        let others = rounds.room(990).await;
        let deadline = Instant::now() + Duration::from_millis(50);
        assert_eq!(put(10, deadline).await.err(), Some(ClusterError::Overloaded));
        drop(others);
        // Larger than all the room, many at a time: one after the other.
        let puts = (0..16).map(|number| put(5_000 + number, soon()));
        for written in futures_util::future::join_all(puts).await {
            written.unwrap();
        }
        assert_eq!(rounds.room.free(), 1_000);
        node.stop().await.unwrap();
    }

    #[tokio::test]
    async fn when_raft_ends_in_the_middle_of_a_round_nobody_is_left_waiting() {
        let room = ByteRoom::new(3);
        let (mut answers, mut receivers) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (tried, receiver) = oneshot::channel();
            answers.push(Answer { tried, _room: room.take(1).await });
            receivers.push(receiver);
        }
        assert_eq!(room.free(), 0);
        // As Raft's own: it may not be asked again once it has ended.
        tell(Box::pin(stream::unfold((), async |()| None)), answers).await;
        assert_eq!(room.free(), 3, "the room is given back");
        for receiver in receivers {
            assert!(matches!(receiver.await, Ok(Tried::Unknown)));
        }
    }
}
