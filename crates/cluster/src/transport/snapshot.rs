use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use openraft::raft::SnapshotResponse;
use parking_lot::Mutex;
use sessile_store::{
    GaveUp, LogId, NodeId, Snapshot, SnapshotReceiver, StoreError, StoredMembership, TypeConfig, Vote,
    decode_membership, encode_membership, off_the_runtime,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::Door;
use super::convert::{ballot_from_wire, ballot_to_wire, log_id_from_wire, log_id_to_wire};
use crate::wire::peer_client::PeerClient;
use crate::wire::snapshot_part::Part;
use crate::wire::{FetchSnapshotRequest, SnapshotHead, SnapshotPart};

/// How many chunks are received ahead of the disk.
const CHUNKS_AHEAD: usize = 8;
/// How much of a state leaves a node in a second, at most: a gigabyte in a minute and a half. Sending and building it take
/// a tenth of a processor each then; at more than twice the pace they take a quarter, and on a busy machine requests wait
/// for that.
const PACE_BYTES: u32 = 12 * 1024 * 1024;
/// How long a transfer may stand still before it is given up and begun again.
const STALLED: Duration = Duration::from_secs(20);

pub(crate) type SnapshotMeta = openraft::type_config::alias::SnapshotMetaOf<TypeConfig>;
pub(super) type FullSnapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Snapshot>;

/// How long after the last chunk the log behind a snapshot is kept still: it is put in use, and then the log is asked for.
const LINGER: Duration = Duration::from_secs(30);

/// How many snapshots are on their way to others. While one is, and a while longer, the log behind it is kept.
#[derive(Clone, Default)]
pub(crate) struct Sending(Arc<Counted>);

#[derive(Default)]
struct Counted {
    now: AtomicUsize,
    ended: Mutex<Option<Instant>>,
}

struct OnItsWay(Sending);

impl Sending {
    pub(crate) fn any(&self) -> bool {
        self.0.now.load(Ordering::Relaxed) > 0 || self.0.ended.lock().is_some_and(|ended| ended.elapsed() < LINGER)
    }

    fn begin(&self) -> OnItsWay {
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

/// When the next chunk of a transfer may go.
struct Pace(Instant);

impl Pace {
    /// So many bytes go now. A transfer that stood still does not make up for it.
    fn went(&mut self, bytes: usize, now: Instant) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.0 = self.0.max(now) + Duration::from_secs(1) * bytes / PACE_BYTES;
    }
}

/// The state as messages: what it is of, and then its chunks, made as they are taken.
pub(super) fn parts(
    vote: Option<&Vote>,
    snapshot: FullSnapshot,
    sending: &Sending,
) -> impl Stream<Item = Result<SnapshotPart, Status>> + Send + use<> {
    let head = SnapshotHead {
        ballot: vote.map(ballot_to_wire),
        last: snapshot.meta.last_log_id.as_ref().map(log_id_to_wire),
        membership: encode_membership(&snapshot.meta.last_membership),
    };
    let begin = (snapshot.snapshot.chunks(), Pace(Instant::now()), (sending.begin(), snapshot));
    let chunks = stream::unfold(begin, |(mut chunks, mut pace, held)| async move {
        sleep_until(pace.0).await;
        let made = off_the_runtime(move || (chunks.next(), chunks)).await;
        let (chunk, chunks) = made.ok()?;
        let chunk = chunk?;
        pace.went(chunk.as_ref().map_or(0, Bytes::len), Instant::now());
        let part = chunk.map(|chunk| SnapshotPart { part: Some(Part::Chunk(chunk)) });
        Some((part.map_err(|error| Status::internal(error.to_string())), (chunks, pace, held)))
    });
    stream::once(async move { Ok(SnapshotPart { part: Some(Part::Head(head)) }) }).chain(chunks)
}

/// Sends the whole state to a member that is too far behind for the log.
pub(super) async fn send(
    door: &Door,
    to: NodeId,
    mut peer: PeerClient<Channel>,
    sending: &Sending,
    vote: Vote,
    snapshot: FullSnapshot,
) -> Result<SnapshotResponse<TypeConfig>, Status> {
    // A stream of requests cannot carry an error: it ends early, and the receiver finds it too short.
    let parts = parts(Some(&vote), snapshot, sending).take_while(|part| std::future::ready(part.is_ok()));
    let parts = parts.filter_map(|part| std::future::ready(part.ok()));
    let answer = peer.install_snapshot(door.request(Some(to), parts, None)).await;
    let answer = door.receive(to, answer)?;
    Ok(SnapshotResponse::new(ballot_from_wire(answer.ballot.as_ref())?))
}

/// Why what comes in is not written.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
}

/// What a transfer came to.
pub(super) struct Received {
    pub(super) vote: Option<Vote>,
    pub(super) meta: SnapshotMeta,
    pub(super) snapshot: Snapshot,
}

/// Builds a state beside the one in use from what comes in. Nothing is put in use here.
pub(super) async fn receive(
    mut parts: Streaming<SnapshotPart>,
    receiver: impl FnOnce() -> Result<SnapshotReceiver, StoreError> + Send + 'static,
) -> Result<Received, Status> {
    let Some(Part::Head(head)) = next(&mut parts).await? else {
        return Err(Status::invalid_argument("the transfer does not say what it is of"));
    };
    let vote = head.ballot.as_ref().map(|ballot| ballot_from_wire(Some(ballot))).transpose()?;
    let membership: StoredMembership = decode_membership(head.membership)
        .map_err(|error| Status::invalid_argument(format!("the membership cannot be read: {error}")))?;
    let last_log_id: Option<LogId> = head.last.as_ref().map(log_id_from_wire);
    let meta = SnapshotMeta { last_log_id, last_membership: membership };

    let (sender, mut chunks) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
    let finished = meta.clone();
    let writing = async move {
        let mut receiver = off_the_runtime(receiver).await??;
        while let Some(chunk) = chunks.recv().await {
            receiver = off_the_runtime(move || receiver.write(chunk).map(|()| receiver)).await??;
        }
        off_the_runtime(move || receiver.finish(finished)).await?.map_err(Broken::from)
    };
    let coming_in = async move {
        while let Some(part) = next(&mut parts).await? {
            let Part::Chunk(chunk) = part else {
                return Err(Status::invalid_argument("the transfer begins twice"));
            };
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    // Together, so that the next chunk comes in while one is written.
    let (came_in, snapshot) = tokio::join!(coming_in, writing);
    came_in?;
    let snapshot = snapshot.map_err(|error| Status::data_loss(error.to_string()))?;
    Ok(Received { vote, meta, snapshot })
}

async fn next(parts: &mut Streaming<SnapshotPart>) -> Result<Option<Part>, Status> {
    let part = tokio::time::timeout(STALLED, parts.message()).await;
    let part = part.map_err(|_| Status::deadline_exceeded("the transfer stands still"))??;
    Ok(part.and_then(|part| part.part))
}

/// Why a member gave no state.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FetchError(String);

/// Fetches a state that holds an index at least from a member.
pub(crate) async fn fetch(
    door: &Door,
    from: NodeId,
    mut peer: PeerClient<Channel>,
    reach: u64,
    receiver: impl FnOnce() -> Result<SnapshotReceiver, StoreError> + Send + 'static,
) -> Result<(SnapshotMeta, Snapshot), FetchError> {
    let failed = |status: Status| FetchError(status.message().to_owned());
    let asking = peer.fetch_snapshot(door.request(Some(from), FetchSnapshotRequest { reach }, None));
    let answer = tokio::time::timeout(STALLED, asking).await;
    let answer = answer.map_err(|_| FetchError("it does not answer in time".into()))?;
    let parts = door.receive(from, answer).map_err(failed)?;
    let received = receive(parts, receiver).await.map_err(failed)?;
    Ok((received.meta, received.snapshot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_keeps_its_pace_and_does_not_make_up_for_a_standstill() {
        let begin = Instant::now();
        let mut pace = Pace(begin);
        let quarter = PACE_BYTES as usize / 4;
        (0..4).for_each(|_| pace.went(quarter, begin));
        assert_eq!(pace.0, begin + Duration::from_secs(1));
        let late = begin + Duration::from_secs(9);
        pace.went(quarter, late);
        assert_eq!(pace.0, late + Duration::from_millis(250));
    }
}
