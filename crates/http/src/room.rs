use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::metrics::RoomMetrics;

/// How long a request waits for room. A burst is over by then, if the log takes what it brings; a client that waits
/// longer keeps a place that another one's answer would free.
const WAITS: Duration = Duration::from_millis(250);

/// Room for so many bytes, of bodies or of answers, over all connections.
///
/// Invariant: what is held together is never more than all of it, [`Room::held`] by name. One that is larger than all of
/// it has all of it.
pub(crate) struct Room {
    free: Arc<Semaphore>,
    max: usize,
    held: AtomicUsize,
    peak: AtomicUsize,
    metrics: Option<RoomMetrics>,
}

/// A part of a [`Room`], for as long as it is held.
pub(crate) struct Held {
    room: Arc<Room>,
    permit: OwnedSemaphorePermit,
}

impl Room {
    pub(crate) fn new(bytes: usize, metrics: RoomMetrics) -> Arc<Self> {
        let max = Self::max(bytes);
        metrics.max.set(signed(max));
        Self::with(max, Some(metrics))
    }

    /// One of many, which shows no figures.
    pub(crate) fn unmeasured(bytes: usize) -> Arc<Self> {
        Self::with(Self::max(bytes), None)
    }

    /// What one request may ask for is counted in 32 bits.
    fn max(bytes: usize) -> usize {
        bytes.clamp(1, (u32::MAX as usize).min(Semaphore::MAX_PERMITS))
    }

    fn with(max: usize, metrics: Option<RoomMetrics>) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(max));
        Arc::new(Self { free, max, held: AtomicUsize::new(0), peak: AtomicUsize::new(0), metrics })
    }

    /// One part in so many of all of it.
    pub(crate) fn part(&self, of: usize) -> usize {
        self.max / of
    }

    /// So many bytes of it, first come, first served; `None` if there is not that much within a short wait.
    pub(crate) async fn take(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let permits = u32::try_from(bytes.min(self.max)).unwrap_or(u32::MAX);
        let free = Arc::clone(&self.free);
        let permit = match Arc::clone(&free).try_acquire_many_owned(permits) {
            Ok(permit) => Some(permit),
            Err(_) => timeout(WAITS, free.acquire_many_owned(permits)).await.ok().and_then(Result::ok),
        };
        let Some(permit) = permit else {
            self.metrics.iter().for_each(|metrics| metrics.overloaded.inc());
            return None;
        };
        self.note(permit.num_permits());
        Some(Held { room: Arc::clone(self), permit })
    }

    /// Counted after it is taken and before it is given back: never more than there is.
    fn note(&self, bytes: usize) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let Some(metrics) = &self.metrics else { return };
        metrics.held.set(signed(held));
        if held > self.peak.load(Ordering::Relaxed) {
            let before = self.peak.fetch_max(held, Ordering::Relaxed);
            metrics.peak.set(signed(before.max(held)));
        }
    }

    fn give_back(&self, bytes: usize) {
        let held = self.held.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        self.metrics.iter().for_each(|metrics| metrics.held.set(signed(held)));
    }
}

impl Held {
    /// Gives back what is beyond so many bytes.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let beyond = self.permit.num_permits().saturating_sub(bytes);
        if beyond > 0 {
            self.room.give_back(beyond);
            drop(self.permit.split(beyond));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.give_back(self.permit.num_permits());
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
