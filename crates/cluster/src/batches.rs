use tokio::sync::mpsc;

/// A queue from which as much is taken at a time as waits, within bounds.
pub(crate) struct Batches<T> {
    queue: mpsc::Receiver<T>,
    bytes_of: fn(&T) -> usize,
    left_over: Option<T>,
}

/// How many one batch takes.
const MAX_COUNT: usize = 256;
/// How many bytes one batch takes, beyond its first item.
const MAX_BYTES: usize = 1024 * 1024;

impl<T> Batches<T> {
    pub(crate) fn new(queue: mpsc::Receiver<T>, bytes_of: fn(&T) -> usize) -> Self {
        Self { queue, bytes_of, left_over: None }
    }

    /// Waits for the first, and takes what waits by then; `None` at the end of the queue. Nothing is lost when it is
    /// cancelled.
    pub(crate) async fn next(&mut self) -> Option<Vec<T>> {
        let first = match self.left_over.take() {
            Some(first) => first,
            None => self.queue.recv().await?,
        };
        let mut bytes = (self.bytes_of)(&first);
        let mut batch = vec![first];
        while batch.len() < MAX_COUNT
            && let Ok(next) = self.queue.try_recv()
        {
            bytes += (self.bytes_of)(&next);
            if bytes > MAX_BYTES {
                self.left_over = Some(next);
                break;
            }
            batch.push(next);
        }
        Some(batch)
    }

    /// Takes nothing more in, and gives back what waits.
    pub(crate) fn end(&mut self) -> impl Iterator<Item = T> {
        self.queue.close();
        self.drain()
    }

    /// Gives back what waits.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.left_over.take().into_iter().chain(std::iter::from_fn(|| self.queue.try_recv().ok()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_batch_is_what_waits_within_bounds_and_nothing_is_lost() {
        let (sender, queue) = mpsc::channel(1_000);
        let mut batches = Batches::new(queue, |bytes: &usize| *bytes);
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
