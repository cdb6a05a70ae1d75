use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// Who comes first to a command that waits: whoever takes it on its way to the log, or its deadline. Both hold one of these,
/// and exactly one of them gets it; so a command that its client was told of as not sent is never sent later.
#[derive(Clone, Default)]
pub(super) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Whether the caller is the first to ask.
    pub(super) fn get(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Why a command has no answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Whoever was to answer dropped it.
    Dropped,
    /// Its queue ended with it inside: nobody takes it any more.
    QueueEnded,
    /// Nobody took it by its deadline, and nobody will.
    Waiting,
    /// It was taken, and its deadline passed.
    Taken,
}

/// Waits for what became of a command that was put into a queue, until its deadline.
///
/// A command that is sent in the very moment in which the receiver of its queue is dropped stays in the queue as long as
/// there are senders: the channel drops what it holds when it closes, and nothing that comes after that. Its answer would
/// never be dropped, so the end of the queue is waited for, too.
pub(super) async fn wait_for_answer<T, Q>(
    mut told: oneshot::Receiver<T>,
    queue: &mpsc::Sender<Q>,
    claim: &Claim,
    deadline: Instant,
) -> Result<T, Unanswered> {
    let answered = async {
        tokio::select! {
            biased;
            told = &mut told => return told.map_err(|_| Unanswered::Dropped),
            () = queue.closed() => {}
        }
        if claim.get() {
            return Err(Unanswered::QueueEnded);
        }
        told.await.map_err(|_| Unanswered::Dropped)
    };
    match timeout_at(deadline, answered).await {
        Ok(answered) => answered,
        Err(_) if claim.get() => Err(Unanswered::Waiting),
        Err(_) => Err(Unanswered::Taken),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_command_that_is_sent_while_its_queue_ends_is_not_waited_for_until_its_deadline() {
        let (queue, receiver) = mpsc::channel(1);
        let deadline = Instant::now() + Duration::from_secs(2);
        let place = queue.reserve().await.unwrap();
        drop(receiver);
        let (tell, told) = oneshot::channel::<()>();
        place.send(tell);
        assert_eq!(wait_for_answer(told, &queue, &Claim::default(), deadline).await, Err(Unanswered::QueueEnded));
        assert!(Instant::now() < deadline);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_was_taken_before_its_queue_ended_waits_for_its_answer() {
        let (queue, mut receiver) = mpsc::channel(1);
        let (tell, told) = oneshot::channel();
        queue.send(tell).await.unwrap();
        let claim = Claim::default();
        let tell = receiver.recv().await.unwrap();
        assert!(claim.get());
        drop(receiver);
        let deadline = Instant::now() + Duration::from_secs(2);
        let answering = async {
            tokio::task::yield_now().await;
            tell.send("done").unwrap();
        };
        let (answered, ()) = tokio::join!(wait_for_answer(told, &queue, &claim, deadline), answering);
        assert_eq!(answered, Ok("done"));
    }

    #[test]
    fn one_of_two_gets_it() {
        let taker = Claim::default();
        let waiter = taker.clone();
        assert!(taker.get());
        assert!(!waiter.get() && !taker.get());
    }
}
