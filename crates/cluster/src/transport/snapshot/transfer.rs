use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use parking_lot::Mutex;
use sessile_store::{
    GaveUp, LogId, NodeId, Snapshot, SnapshotReceiver, StoreError, StoredMembership, Vote, decode_membership,
    off_the_runtime,
};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::transport::Channel;

use super::super::convert::{ballot_from_wire, log_id_from_wire};
use super::super::envelope::Door;
use super::receiving::{Came, Partial};
use crate::raft::SnapshotMeta;
use crate::wire::peer_client::PeerClient;
use crate::wire::snapshot_part::Part;
use crate::wire::{FetchSnapshotRequest, SnapshotPart};

/// How many chunks are received ahead of the disk.
const CHUNKS_AHEAD: usize = 8;
/// How long a transfer may stand still before it is given up and begun again.
const STALLED: Duration = Duration::from_secs(20);

/// Why what comes in is not written.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    GaveUp(#[from] GaveUp),
}

/// What comes in of a transfer.
pub(in crate::transport) trait Parts:
    Stream<Item = Result<SnapshotPart, Status>> + Send + Unpin
{
}

impl<S: Stream<Item = Result<SnapshotPart, Status>> + Send + Unpin> Parts for S {}

/// What a transfer is of, as it says itself.
pub(in crate::transport) struct Head {
    pub(in crate::transport) vote: Option<Vote>,
    pub(in crate::transport) meta: SnapshotMeta,
    pub(in crate::transport) id: u64,
    first: u64,
}

/// Reads what a transfer is of.
pub(in crate::transport) async fn head(parts: &mut impl Parts) -> Result<Head, Status> {
    let Some(Part::Head(head)) = next(parts).await? else {
        return Err(Status::invalid_argument("the transfer does not say what it is of"));
    };
    let vote = head.ballot.as_ref().map(|ballot| ballot_from_wire(Some(ballot))).transpose()?;
    let last_membership: StoredMembership = decode_membership(head.membership)
        .map_err(|error| Status::invalid_argument(format!("the membership cannot be read: {error}")))?;
    let last_log_id: Option<LogId> = head.last.as_ref().map(log_id_from_wire);
    Ok(Head { vote, meta: SnapshotMeta { last_log_id, last_membership }, id: head.id, first: head.first })
}

/// Builds a state beside the one in use from what comes in, and from what came before it breaks: that stays in `part` for
/// the next attempt. Nothing is put in use here.
pub(in crate::transport) async fn receive(
    parts: impl Parts,
    head: &Head,
    part: &mut Option<Partial>,
    gives_way: &CancellationToken,
    has: impl Fn(u64) + Send,
    has_room: impl Fn() -> bool + Send,
    receiver: impl FnOnce() -> Result<SnapshotReceiver, StoreError> + Send + 'static,
) -> Result<Snapshot, Status> {
    let goes_on = |part: &Partial| part.id == head.id && head.first != 0 && part.next_chunk() == head.first;
    if !part.as_ref().is_some_and(goes_on) {
        let other = part.take();
        if head.first != 0 {
            return Err(Status::data_loss("what came before is not here any more"));
        }
        let begun = off_the_runtime(move || {
            // A disk need not hold both.
            drop(other);
            receiver()
        });
        let begun = begun.await.map_err(Broken::from).and_then(|begun| begun.map_err(Broken::from));
        *part = Some(Partial::begin(head.id, begun.map_err(|error| lost(&error))?));
    }
    let Some(came) = part.as_ref().map(Partial::came) else { return Err(lost(&"nothing came")) };
    let (came_in, written) = fill(parts, came.clone(), gives_way, has, has_room).await;
    let has_all = came.lock().receiver.has_all();
    drop(came);
    let came_in = came_in.and_then(|()| if has_all { Ok(()) } else { Err(lost(&"it ended early")) });
    // Without room it is no use to keep it: others need the room.
    let is_kept = |status: &Status| status.code() != tonic::Code::ResourceExhausted && head.id != 0;
    if let Err(status) = &came_in
        && is_kept(status)
        && written.is_ok()
    {
        return Err(status.clone());
    }
    let ended = part.take().and_then(Partial::into_receiver);
    if let Err(error) = written.map_err(|error| lost(&error)).and(came_in) {
        let _ = off_the_runtime(move || drop(ended)).await;
        return Err(error);
    }
    let Some(receiver) = ended else { return Err(lost(&"another transfer has it")) };
    let meta = head.meta.clone();
    let finished = off_the_runtime(move || receiver.finish(meta)).await.map_err(Broken::from);
    finished.and_then(|finished| finished.map_err(Broken::from)).map_err(|error| lost(&error))
}

fn lost(error: &dyn std::fmt::Display) -> Status {
    Status::data_loss(error.to_string())
}

/// Takes chunks until there are no more. Whatever came whole is in the receiver then, also if it broke.
async fn fill(
    mut parts: impl Parts,
    came: Arc<Mutex<Came>>,
    gives_way: &CancellationToken,
    has: impl Fn(u64) + Send,
    has_room: impl Fn() -> bool + Send,
) -> (Result<(), Status>, Result<(), Broken>) {
    let (sender, mut chunks) = mpsc::channel::<Bytes>(CHUNKS_AHEAD);
    let writing = async move {
        while let Some(chunk) = chunks.recv().await {
            let came = came.clone();
            let write = move || {
                let mut came = came.lock();
                came.since = Instant::now();
                came.receiver.write(chunk).map(|()| came.receiver.bytes())
            };
            has(off_the_runtime(write).await??);
        }
        Ok(())
    };
    let coming_in = async move {
        while let Some(part) = gives_way
            .run_until_cancelled(next(&mut parts))
            .await
            .unwrap_or_else(|| Err(Status::aborted("another transfer takes its place")))?
        {
            let Part::Chunk(chunk) = part else {
                return Err(Status::invalid_argument("the transfer begins twice"));
            };
            if !has_room() {
                return Err(Status::resource_exhausted("the receiver's disk is nearly full"));
            }
            if sender.send(chunk).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    // Together, so that the next chunk comes in while one is written.
    tokio::join!(coming_in, writing)
}

async fn next(parts: &mut impl Parts) -> Result<Option<Part>, Status> {
    let part = tokio::time::timeout(STALLED, parts.next()).await;
    let part = part.map_err(|_| Status::deadline_exceeded("the transfer stands still"))?.transpose()?;
    Ok(part.and_then(|part| part.part))
}

/// Why a member gave no state.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct FetchError(String);

/// What came of a state that a member was asked for, before it broke.
#[derive(Default)]
pub(crate) struct Fetching {
    from: Option<NodeId>,
    part: Option<Partial>,
}

/// Fetches a state that holds an index at least from a member, or goes on with what broke. `fetching` stays between the
/// attempts.
pub(crate) async fn fetch(
    door: &Door,
    from: NodeId,
    mut peer: PeerClient<Channel>,
    reach: u64,
    fetching: &mut Fetching,
    receiver: impl FnOnce() -> Result<SnapshotReceiver, StoreError> + Send + 'static,
) -> Result<(SnapshotMeta, Snapshot), FetchError> {
    let failed = |status: Status| FetchError(status.message().to_owned());
    let known = fetching.part.as_ref().filter(|_| fetching.from == Some(from));
    let (id, next) = known.map_or((0, 0), |known| (known.id, known.next_chunk()));
    let asking = peer.fetch_snapshot(door.request(Some(from), FetchSnapshotRequest { reach, id, next }, None));
    let answer = tokio::time::timeout(STALLED, asking).await;
    let answer = answer.map_err(|_| FetchError("it does not answer in time".into()))?;
    let mut parts = door.receive(from, answer).map_err(failed)?;
    let head = head(&mut parts).await.map_err(failed)?;
    fetching.from = Some(from);
    // Nobody else gives it one, and it has nothing else to do with its disk.
    let never = CancellationToken::new();
    let received = receive(parts, &head, &mut fetching.part, &never, |_| {}, || true, receiver).await;
    Ok((head.meta, received.map_err(failed)?))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::{poll, stream};
    use openraft::EntryPayload;
    use openraft::storage::RaftStateMachine as _;
    use sessile_store::{ClusterId, DataDir, Entry, Opening, StoreOptions, log_id};

    use super::*;

    /// A connection that ends takes the task along that serves what came on it, at any moment.
    #[tokio::test]
    async fn what_came_of_a_state_stays_when_its_connection_takes_the_receiver_along() {
        let dir = tempfile::tempdir().unwrap();
        let opened = Opening::open(DataDir::open(dir.path()).unwrap(), &StoreOptions::default()).unwrap();
        let Opening::Pristine(store) = opened else { panic!("an empty directory") };
        let store = store.adopt(ClusterId::random()).unwrap();
        let entry = Entry { log_id: log_id(1, 0), payload: EntryPayload::Blank };
        store.state_machine().apply(stream::iter([Ok((entry, None))])).await.unwrap();
        let snapshot = store.state().snapshot_to_send(0).unwrap();
        let chunk = snapshot.snapshot.chunks().next().unwrap().unwrap();
        let came = stream::iter([Ok(SnapshotPart { part: Some(Part::Chunk(chunk)) })]);
        let head = Head { vote: None, meta: snapshot.meta, id: 7, first: 0 };
        let (state, never, mut part) = (store.state().clone(), CancellationToken::new(), None);
        {
            let parts = came.chain(stream::pending());
            let receiving = receive(parts, &head, &mut part, &never, |_| {}, || true, move || state.receive());
            let mut receiving = pin!(receiving);
            for _ in 0..4 {
                assert!(poll!(receiving.as_mut()).is_pending(), "there is more to come");
            }
        }
        assert_eq!(part.map(|part| (part.id, part.next_chunk())), Some((7, 1)));
    }
}
