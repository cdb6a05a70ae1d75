use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use openraft::raft::SnapshotResponse;
use parking_lot::Mutex;
use sessile_core::injected::chunks;
use sessile_store::{NodeId, SnapshotChunks, TypeConfig, Vote, encode_membership, off_the_runtime};
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::super::convert::{ballot_from_wire, ballot_to_wire, log_id_to_wire};
use super::super::envelope::Door;
use super::pace::Pace;
use crate::raft::FullSnapshot;
use crate::wire::peer_client::PeerClient;
use crate::wire::snapshot_part::Part;
use crate::wire::{SnapshotHead, SnapshotPart, SnapshotPositionRequest};

/// How long after a transfer ended or broke the log behind its snapshot is kept still, and the snapshot itself if it broke:
/// it is put in use, and then the log is asked for; or it is gone on with. Longer than a restart of a network takes, and
/// short enough that what merges put aside for the view meanwhile is little.
pub(super) const LINGER: Duration = Duration::from_secs(30);
/// How long a member may take to say what it has.
const POSITION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long before a member that has no room for the state is asked again.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(5);

/// What is on its way to others. While something is, and a while longer, the log behind it is kept.
#[derive(Clone, Default)]
pub(crate) struct Sending(Arc<Shared>);

#[derive(Default)]
struct Shared {
    now: AtomicUsize,
    ended: Mutex<Option<Instant>>,
    transfers: Mutex<BTreeMap<NodeId, Transfer>>,
}

/// One snapshot to one member, under way or broken.
struct Transfer {
    id: u64,
    /// A token for whoever sends it: the one before stops when there is another.
    attempt: Arc<()>,
    chunks: Arc<tokio::sync::Mutex<SnapshotChunks>>,
    last: Instant,
}

struct OnItsWay(Sending);

impl Sending {
    pub(crate) fn any(&self) -> bool {
        self.0.now.load(Ordering::Relaxed) > 0 || self.0.ended.lock().is_some_and(|ended| ended.elapsed() < LINGER)
    }

    /// Lets go of what broke and was not gone on with. It may take a view with it, so it is called where a thread may block.
    pub(crate) fn let_go(&self, now: Instant) {
        let gone: Vec<Transfer> = {
            let mut transfers = self.0.transfers.lock();
            // Whoever sends it has its own handle to the token.
            let broke = |transfer: &mut Transfer| Arc::strong_count(&transfer.attempt) == 1;
            transfers
                .extract_if(.., |_, transfer| broke(transfer) && now.saturating_duration_since(transfer.last) >= LINGER)
                .map(|(_, transfer)| transfer)
                .collect()
        };
        drop(gone);
    }

    /// The member has it, or nothing more can be made of it.
    fn forget(&self, to: NodeId) -> Option<Transfer> {
        self.0.transfers.lock().remove(&to)
    }

    /// The chunks of a snapshot for that member, from that number on, as far as what was sent before is still there; and the
    /// number of the first of them.
    async fn begin(&self, to: NodeId, snapshot: &FullSnapshot, next: u64) -> (u64, Attempt) {
        let id = snapshot.snapshot.id();
        let attempt = Arc::new(());
        let known = {
            let mut transfers = self.0.transfers.lock();
            let known = transfers.get_mut(&to).filter(|known| known.id == id && id != 0 && next != 0);
            known.map(|known| {
                (known.attempt, known.last) = (attempt.clone(), Instant::now());
                known.chunks.clone()
            })
        };
        if let Some(chunks) = known {
            // Behind the chunk that the attempt before is just making.
            if chunks.lock().await.go_on_from(next) {
                return (next, Attempt { sending: self.clone(), to, token: attempt, chunks });
            }
        }
        let chunks = Arc::new(tokio::sync::Mutex::new(snapshot.snapshot.chunks()));
        let transfer = Transfer { id, attempt: attempt.clone(), chunks: chunks.clone(), last: Instant::now() };
        let before = self.0.transfers.lock().insert(to, transfer);
        // It may be the last that holds a view.
        let _ = off_the_runtime(move || drop(before)).await;
        (0, Attempt { sending: self.clone(), to, token: attempt, chunks })
    }

    fn on_its_way(&self) -> OnItsWay {
        self.0.now.fetch_add(1, Ordering::Relaxed);
        OnItsWay(self.clone())
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        *self.0.0.ended.lock() = Some(Instant::now());
        self.0.0.now.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One try to send a snapshot to a member.
struct Attempt {
    sending: Sending,
    to: NodeId,
    token: Arc<()>,
    chunks: Arc<tokio::sync::Mutex<SnapshotChunks>>,
}

impl Attempt {
    /// The next chunk, unless there is none, or another attempt has taken over.
    async fn next(&self) -> Option<Result<Bytes, Status>> {
        {
            let mut transfers = self.sending.0.transfers.lock();
            let transfer = transfers.get_mut(&self.to).filter(|known| Arc::ptr_eq(&known.attempt, &self.token))?;
            transfer.last = Instant::now();
        }
        let mut chunks = self.chunks.clone().lock_owned().await;
        let made = off_the_runtime(move || chunks.next()).await.ok()?;
        Some(made?.map_err(|error| {
            self.give_up();
            Status::internal(error.to_string())
        }))
    }

    /// This snapshot is not gone on with: the next attempt begins with another one.
    fn give_up(&self) {
        let mut transfers = self.sending.0.transfers.lock();
        if transfers.get(&self.to).is_some_and(|known| Arc::ptr_eq(&known.attempt, &self.token)) {
            transfers.remove(&self.to);
        }
    }
}

/// The state as messages: what it is of, and then its chunks from `next` on, made as they are taken. `has_room` says whether
/// this node has: a transfer that began with room ends when there is none any more, because the view keeps from merging
/// what it can see.
pub(in crate::transport) async fn parts<R: Fn() -> bool + Send + Sync + 'static>(
    to: NodeId,
    vote: Option<&Vote>,
    snapshot: FullSnapshot,
    sending: &Sending,
    next: u64,
    has_room: R,
) -> impl Stream<Item = Result<SnapshotPart, Status>> + Send + use<R> + 'static {
    let on_its_way = sending.on_its_way();
    let (first, attempt) = sending.begin(to, &snapshot, next).await;
    if first > 0 {
        tracing::info!(%to, chunk = first, "the transfer of the state goes on where it broke");
    }
    let head = SnapshotHead {
        ballot: vote.map(ballot_to_wire),
        last: snapshot.meta.last_log_id.as_ref().map(log_id_to_wire),
        membership: encode_membership(&snapshot.meta.last_membership),
        id: snapshot.snapshot.id(),
        first,
    };
    // What keeps the view is what may be gone on with; a snapshot that was received goes with whoever dropped the stream.
    let begun_with_room = has_room();
    let begin = (Pace::new(Instant::now()), attempt, (on_its_way, snapshot));
    let chunks = stream::unfold(begin, move |(mut pace, attempt, held)| {
        let has_room = !begun_with_room || has_room();
        async move {
            pace.wait().await;
            if let Some(chunks) = chunks() {
                sleep(chunks.pause).await;
            }
            let chunk = if has_room {
                attempt.next().await?
            } else {
                attempt.give_up();
                Err(Status::resource_exhausted("the sender's disk is nearly full: it keeps no view of its state"))
            };
            pace.went(chunk.as_ref().map_or(0, Bytes::len), Instant::now());
            let part = chunk.map(|chunk| SnapshotPart { part: Some(Part::Chunk(chunk)) });
            Some((part, (pace, attempt, held)))
        }
    });
    stream::once(async move { Ok(SnapshotPart { part: Some(Part::Head(head)) }) }).chain(chunks)
}

/// Sends the whole state to a member that is too far behind for the log, or what it has not got of it yet.
pub(in crate::transport) async fn send(
    door: &Door,
    to: NodeId,
    mut peer: PeerClient<Channel>,
    sending: &Sending,
    vote: Vote,
    snapshot: FullSnapshot,
    has_room: impl Fn() -> bool + Send + Sync + 'static,
) -> Result<SnapshotResponse<TypeConfig>, Status> {
    let (id, live_bytes) = (snapshot.snapshot.id(), snapshot.snapshot.live_bytes());
    let asked = door.request(Some(to), SnapshotPositionRequest { id, live_bytes }, Some(POSITION_TIMEOUT));
    let asked = timeout(POSITION_TIMEOUT, peer.snapshot_position(asked)).await;
    let asked = asked.map_err(|_| Status::deadline_exceeded("it does not say what it has of the state"))?;
    let next = match door.receive(to, asked) {
        Ok(answer) => answer.next,
        // A program of before.
        Err(status) if status.code() == Code::Unimplemented => 0,
        Err(status) => {
            if status.code() == Code::ResourceExhausted {
                tracing::warn!(%to, "the member takes no state: {}", status.message());
                sleep(NO_ROOM_PAUSE).await;
            }
            return Err(status);
        }
    };
    // A stream of requests cannot carry an error: it ends early, and the receiver finds it too short.
    let parts = parts(to, Some(&vote), snapshot, sending, next, has_room).await;
    let parts = parts.take_while(|part| std::future::ready(part.is_ok()));
    let parts = parts.filter_map(|part| std::future::ready(part.ok()));
    let answer = peer.install_snapshot(door.request(Some(to), parts, None)).await;
    let answer = door.receive(to, answer)?;
    let arrived = sending.forget(to);
    // It may be the last that holds the view.
    let _ = off_the_runtime(move || drop(arrived)).await;
    Ok(SnapshotResponse::new(ballot_from_wire(answer.ballot.as_ref())?))
}
