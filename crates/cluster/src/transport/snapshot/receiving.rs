use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sessile_store::{SnapshotReceiver, off_the_runtime};
use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::sending::LINGER;

/// How long a transfer that another one takes the place of may take to stop: it writes what it has into a table.
const GIVE_WAY: Duration = Duration::from_secs(4);
/// Shows that nothing is received.
const NONE: u64 = u64::MAX;

/// What this member receives, or has of a snapshot whose transfer broke: one at a time, because its disk must hold it beside
/// the state in use.
#[derive(Default)]
pub(crate) struct Receiving {
    part: Arc<tokio::sync::Mutex<Option<Partial>>>,
    /// The transfer under way.
    under_way: Mutex<Option<UnderWay>>,
    progress: Arc<Progress>,
}

struct UnderWay {
    id: u64,
    gives_way: CancellationToken,
}

/// Bytes so far.
pub(crate) struct Progress(AtomicU64);

impl Default for Progress {
    fn default() -> Self {
        Self(AtomicU64::new(NONE))
    }
}

/// What is here of a snapshot. It is there from the first chunk on: whoever takes the chunks of a connection is dropped with
/// it, at any moment, and what came is to stay.
pub(crate) struct Partial {
    pub(super) id: u64,
    came: Arc<Mutex<Came>>,
}

/// What came of it, and when the last of that did.
pub(super) struct Came {
    pub(super) receiver: SnapshotReceiver,
    pub(super) since: Instant,
}

impl Partial {
    pub(super) fn begin(id: u64, receiver: SnapshotReceiver) -> Self {
        Self { id, came: Arc::new(Mutex::new(Came { receiver, since: Instant::now() })) }
    }

    /// What came; whoever writes a chunk locks it meanwhile.
    pub(super) fn came(&self) -> Arc<Mutex<Came>> {
        self.came.clone()
    }

    /// Which chunk is needed next. Blocks on a write that is under way.
    pub(super) fn next_chunk(&self) -> u64 {
        self.came.lock().receiver.next_chunk()
    }

    /// All that came, for whoever is the last to hold it.
    pub(super) fn into_receiver(self) -> Option<SnapshotReceiver> {
        Arc::into_inner(self.came).map(|came| came.into_inner().receiver)
    }
}

/// The right to receive. Dropped, it lets others, and what was left in it stays for the next attempt.
pub(crate) struct Turn {
    pub(in crate::transport) part: OwnedMutexGuard<Option<Partial>>,
    pub(in crate::transport) gives_way: CancellationToken,
    progress: Arc<Progress>,
}

impl Turn {
    /// Where it is noted how much came.
    pub(in crate::transport) fn progress(&self) -> Arc<Progress> {
        self.progress.clone()
    }
}

impl Progress {
    /// So many bytes came so far.
    pub(in crate::transport) fn has(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.progress.0.store(NONE, Ordering::Relaxed);
    }
}

impl Receiving {
    /// Bytes that came of the snapshot that is being received.
    pub(crate) fn bytes(&self) -> Option<u64> {
        Some(self.progress.0.load(Ordering::Relaxed)).filter(|bytes| *bytes != NONE)
    }

    /// Which chunk of that snapshot is needed next. An attempt before this one, of whose end nobody has heard, gives way.
    pub(crate) async fn position(&self, id: u64) -> u64 {
        if id == 0 {
            return 0;
        }
        if let Some(under_way) = self.under_way.lock().as_ref().filter(|under_way| under_way.id == id) {
            under_way.gives_way.cancel();
        }
        let Ok(part) = timeout(GIVE_WAY, self.part.lock()).await else { return 0 };
        let Some(came) = part.as_ref().filter(|part| part.id == id).map(Partial::came) else { return 0 };
        // A chunk may still be on its way to the disk, from a connection that is gone.
        let next = off_the_runtime(move || {
            let mut came = came.lock();
            // It is asked for, so it is not let go of before the next attempt begins.
            came.since = Instant::now();
            came.receiver.next_chunk()
        });
        next.await.unwrap_or(0)
    }

    /// Begins to receive that snapshot; whatever else is under way gives way. `None` if it does not within a few seconds.
    pub(crate) async fn begin(&self, id: u64) -> Option<Turn> {
        if let Some(under_way) = self.under_way.lock().as_ref() {
            under_way.gives_way.cancel();
        }
        let part = timeout(GIVE_WAY, self.part.clone().lock_owned()).await.ok()?;
        let gives_way = CancellationToken::new();
        *self.under_way.lock() = Some(UnderWay { id, gives_way: gives_way.clone() });
        self.progress.0.store(0, Ordering::Relaxed);
        Some(Turn { part, gives_way, progress: self.progress.clone() })
    }

    /// Lets go of what broke and was not gone on with: a directory goes with it, so it is called where a thread may block.
    pub(crate) fn let_go(&self, now: Instant) {
        let Ok(mut part) = self.part.try_lock() else { return };
        let is_old = |part: &mut Partial| now.saturating_duration_since(part.came.lock().since) >= LINGER;
        let gone = part.take_if(is_old);
        drop(part);
        drop(gone);
    }
}
