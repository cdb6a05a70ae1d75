use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream::{self, Stream, StreamExt};
use parking_lot::Mutex;
use sessile_store::NodeId;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Streaming;

use super::convert::append_from_wire;
use crate::byte_room::ByteRoom;
use crate::wire::AppendRequest;

/// The appends of one stream that came and have no answer yet. openraft takes up to 64 of them ahead, whatever their size:
/// on a follower that catches up these would be 256 MiB.
///
/// Answers come in the order of the appends, one for each, so the room of the oldest is given back with the next answer.
#[derive(Clone)]
pub(super) struct Appends {
    room: ByteRoom,
    unanswered: Arc<Mutex<VecDeque<OwnedSemaphorePermit>>>,
}

type Append = openraft::raft::AppendEntriesRequest<sessile_store::TypeConfig>;

impl Appends {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { room: ByteRoom::new(max_bytes), unanswered: Arc::default() }
    }

    /// Those of the stream, each once there is room for it. A broken or unreadable message ends the stream; the leader
    /// begins another one.
    pub(super) fn of(&self, from: NodeId, incoming: Streaming<AppendRequest>) -> impl Stream<Item = Append> + use<> {
        stream::unfold((incoming, self.clone()), move |(mut incoming, appends)| async move {
            let append = incoming.message().await.ok()??;
            appends.begin(append.entries.iter().map(|entry| entry.entry.len()).sum()).await;
            match append_from_wire(append) {
                Ok(append) => Some((append, (incoming, appends))),
                Err(status) => {
                    tracing::warn!(%from, "an append is refused: {}", status.message());
                    None
                }
            }
        })
    }

    /// The answers as they come.
    pub(super) fn answered<T>(self, answers: impl Stream<Item = T>) -> impl Stream<Item = T> {
        answers.inspect(move |_| self.end())
    }

    async fn begin(&self, bytes: usize) {
        let room = self.room.take(bytes).await;
        self.unanswered.lock().push_back(room);
    }

    fn end(&self) {
        self.unanswered.lock().pop_front();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn appends_wait_for_the_answers_to_those_before_them_and_heartbeats_take_no_room() {
        let appends = Appends::new(100);
        appends.begin(60).await;
        appends.begin(0).await;
        appends.begin(40).await;
        appends.begin(0).await;
        let mut next = std::pin::pin!(appends.begin(50));
        assert!(next.as_mut().now_or_never().is_none());
        let answers = appends.clone().answered(stream::iter([(); 1]));
        answers.collect::<Vec<_>>().await;
        next.await;
        assert_eq!(appends.room.free(), 10);
        for _ in 0..4 {
            appends.end();
        }
        assert_eq!(appends.room.free(), 100);
    }
}
