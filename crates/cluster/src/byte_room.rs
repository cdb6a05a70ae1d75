use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Room for so many bytes in a queue, given first come, first served. What is larger than all of it has all of it.
#[derive(Clone)]
pub(crate) struct ByteRoom {
    free: Arc<Semaphore>,
    max: u32,
}

impl ByteRoom {
    pub(crate) fn new(bytes: usize) -> Self {
        // What one may ask for is counted in 32 bits.
        let max = u32::try_from(bytes.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { free: Arc::new(Semaphore::new(max as usize)), max }
    }

    /// Waits for so many bytes of it; they are given back when the permit is dropped.
    pub(crate) async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.max);
        match self.free.clone().acquire_many_owned(permits).await {
            Ok(permit) => permit,
            Err(_) => unreachable!("it is never closed"),
        }
    }

    /// How many bytes are free.
    #[cfg(test)]
    pub(crate) fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// How many bytes are taken, and how many there are.
    pub(crate) fn taken(&self) -> (u64, u64) {
        let free = u64::try_from(self.free.available_permits()).unwrap_or(u64::MAX);
        (u64::from(self.max).saturating_sub(free), self.max.into())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_is_larger_than_all_the_room_has_all_of_it_and_nobody_is_overtaken() {
        let room = ByteRoom::new(100);
        let small = room.take(1).await;
        let mut large = std::pin::pin!(room.take(1_000));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(room.take(1).now_or_never().is_none(), "it came later");
        drop(small);
        let large = large.await;
        assert_eq!((room.free(), room.taken()), (0, (100, 100)));
        drop(large);
        assert_eq!(room.free(), 100);
    }
}
