use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// A queue from which as much is taken at a time as waits, within bounds.
pub(crate) struct Batches<T> {
    queue: mpsc::Receiver<T>,
    bytes_of: fn(&T) -> usize,
    /// How many bytes one batch takes, beyond its first item.
    max_bytes: usize,
    /// What is taken from the queue for the next batch, and how many bytes that are.
    gathered: Vec<T>,
    bytes: usize,
}

/// How many one batch takes.
const MAX_COUNT: usize = 256;

impl<T> Batches<T> {
    pub(crate) fn new(queue: mpsc::Receiver<T>, max_bytes: usize, bytes_of: fn(&T) -> usize) -> Self {
        Self { queue, bytes_of, max_bytes, gathered: Vec::new(), bytes: 0 }
    }

    /// Waits for the first, and takes what waits by then; `None` at the end of the queue. Nothing is lost when it is
    /// cancelled.
    pub(crate) async fn next(&mut self) -> Option<Vec<T>> {
        self.next_of(1, Instant::now()).await
    }

    /// The same, but waits for so many, until then.
    pub(crate) async fn next_of(&mut self, enough: usize, until: Instant) -> Option<Vec<T>> {
        while self.gathered.len() < MAX_COUNT {
            let next = match self.queue.try_recv() {
                Ok(next) => next,
                Err(_) if self.gathered.is_empty() => self.queue.recv().await?,
                // Looked at here too: a timer goes by whole milliseconds.
                Err(_) if self.gathered.len() >= enough || Instant::now() >= until => break,
                Err(_) => match timeout_at(until, self.queue.recv()).await {
                    Ok(Some(next)) => next,
                    // It is time, or the end.
                    Err(_) | Ok(None) => break,
                },
            };
            let bytes = (self.bytes_of)(&next);
            if !self.gathered.is_empty() && self.bytes + bytes > self.max_bytes {
                self.bytes = bytes;
                return Some(std::mem::replace(&mut self.gathered, vec![next]));
            }
            self.bytes += bytes;
            self.gathered.push(next);
        }
        self.bytes = 0;
        Some(std::mem::take(&mut self.gathered))
    }

    /// Takes nothing more in, and gives back what waits.
    pub(crate) fn end(&mut self) -> impl Iterator<Item = T> {
        self.queue.close();
        self.drain()
    }

    /// Gives back what waits.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.bytes = 0;
        std::mem::take(&mut self.gathered).into_iter().chain(std::iter::from_fn(|| self.queue.try_recv().ok()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    const MAX_BYTES: usize = 1024 * 1024;

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_is_to_be_larger_waits_for_more_but_no_longer_than_it_may_and_loses_nothing() {
        let (sender, queue) = mpsc::channel(1_000);
        let mut batches = Batches::new(queue, MAX_BYTES, |bytes: &usize| *bytes);
        let begin = Instant::now();
        let (soon, later) = (begin + Duration::from_secs(1), begin + Duration::from_secs(2));
        for number in 1..=2 {
            sender.try_send(number).unwrap();
        }
        assert_eq!(batches.next_of(3, later).now_or_never(), None, "there are two, and it is not time yet");
        assert_eq!(batches.next_of(2, later).await.unwrap(), [1, 2], "what was gathered before is in it");
        sender.try_send(3).unwrap();
        assert_eq!(batches.next_of(3, soon).await.unwrap(), [3]);
        assert!((soon..later).contains(&Instant::now()), "it waited for company, and none came");
        let sending = async {
            sender.send(4).await.unwrap();
            sender.send(5).await.unwrap();
        };
        let (batch, ()) = tokio::join!(batches.next_of(2, later), sending);
        assert_eq!(batch.unwrap(), [4, 5]);
        assert!(Instant::now() < later, "there were enough");
        sender.try_send(6).unwrap();
        assert_eq!(batches.next_of(2, later).now_or_never(), None);
        assert_eq!(batches.drain().collect::<Vec<_>>(), [6]);
        sender.try_send(7).unwrap();
        drop(sender);
        assert_eq!(batches.next_of(2, later).await.unwrap(), [7], "the end, and nobody to wait for");
        assert_eq!(batches.next_of(2, later).await, None);
    }

    #[tokio::test]
    async fn a_batch_is_what_waits_within_bounds_and_nothing_is_lost() {
        let (sender, queue) = mpsc::channel(1_000);
        let mut batches = Batches::new(queue, MAX_BYTES, |bytes: &usize| *bytes);
        let sizes = [1, 2, MAX_BYTES - 3, 1, MAX_BYTES * 2, 1, 1];
        for size in sizes {
            sender.try_send(size).unwrap();
        }
        assert_eq!(batches.next().await.unwrap(), sizes[..3]);
        assert_eq!(batches.next().await.unwrap(), sizes[3..4]);
        assert_eq!(batches.next().await.unwrap(), sizes[4..5], "one that is too large goes alone");
        assert_eq!(batches.next().await.unwrap(), sizes[5..]);
        for _ in 0..=MAX_COUNT {
            sender.try_send(1).unwrap();
        }
        assert_eq!(batches.next().await.unwrap().len(), MAX_COUNT);
        assert_eq!(batches.end().count(), 1);
        assert_eq!(batches.next().await, None);
    }
}
