use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Progress, StoreError};

/// How many reads may wait for the disk at a time, each on a thread of the blocking pool. A disk of today reaches its full
/// speed with as many under way; and one that stalls takes no more threads than these away from apply and snapshots.
const COLD_READS: usize = 32;

/// The places of reads that wait for the disk. Each is watched by itself, so that one read that does not come back is seen
/// among others that do.
pub(super) struct ColdReads {
    free: Arc<Semaphore>,
    places: Vec<Progress>,
    idle: Arc<Mutex<Vec<Progress>>>,
}

/// A place, until it is dropped.
pub(super) struct Place {
    progress: Option<Progress>,
    idle: Arc<Mutex<Vec<Progress>>>,
    _permit: OwnedSemaphorePermit,
}

impl ColdReads {
    pub(super) fn new() -> Self {
        let places: Vec<Progress> = (0..COLD_READS).map(|_| Progress::default()).collect();
        Self { free: Arc::new(Semaphore::new(COLD_READS)), idle: Arc::new(Mutex::new(places.clone())), places }
    }

    /// How each place goes on.
    pub(super) fn progress(&self) -> impl Iterator<Item = &Progress> {
        self.places.iter()
    }

    /// Waits for a place.
    pub(super) async fn enter(&self) -> Result<Place, StoreError> {
        let permit = self.free.clone().acquire_owned().await;
        let permit = permit.map_err(|error| StoreError::Ended { reason: error.to_string() })?;
        // There are as many as permits.
        let progress = self.idle.lock().pop();
        Ok(Place { progress, idle: self.idle.clone(), _permit: permit })
    }
}

impl Place {
    /// Reads, under the eye of whoever watches.
    pub(super) fn read<T>(&self, read: impl FnOnce() -> T) -> T {
        let _step = self.progress.as_ref().map(Progress::begin);
        read()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.idle.lock().extend(self.progress.take());
    }
}
