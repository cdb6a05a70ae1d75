use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::stream::{Stream, StreamExt};
use openraft::base::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tonic::Status;

use super::conversation::{Answers, FromQueue};

/// So many heartbeats may have no answer before the stream is given up: three seconds of them, in which the connection under
/// it would have been found dead.
const UNANSWERED: usize = 64;

/// Heartbeats to one member, on a stream that stays when a heartbeat is given up.
///
/// openraft drops the wait for an answer after a while, and takes the answer that it gets for one to the heartbeat that it
/// sent last: by its sending time it reckons the lease. So each answer goes to its own heartbeat alone, and one that comes
/// late goes to nobody. To begin a new stream instead would cost more round trips than the answer, and then the next one is
/// late too, for ever.
pub(super) struct Heartbeats<Q, A> {
    /// Locked by nobody: it makes this value one that threads may share, as openraft wants it.
    kept: Mutex<Option<Kept<Q, A>>>,
}

/// The stream.
struct Kept<Q, A> {
    questions: mpsc::Sender<Q>,
    answers: Opening<A>,
    /// How many were sent, and how many have an answer. Answers come in the order of the heartbeats.
    sent: u64,
    answered: u64,
}

/// What comes back on a stream, before and after it was accepted.
enum Opening<A> {
    Begun(BoxFuture<'static, Result<Answers<A>, Status>>),
    Accepted(Answers<A>),
}

impl<Q, A> Heartbeats<Q, A> {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::new(None) }
    }

    /// Sends one and waits for its own answer. Dropped before that, it leaves the stream as it is. The stream ends with an
    /// answer that is the `last` one. `open` begins one that takes the heartbeats; the first does not wait until it was
    /// accepted.
    pub(super) async fn beat(
        &mut self,
        heartbeat: Q,
        open: impl FnOnce(FromQueue<Q>) -> BoxFuture<'static, Result<Answers<A>, Status>>,
        last: impl Fn(&A) -> bool,
    ) -> Result<A, Status> {
        let kept = self.kept.get_mut();
        let stream = kept.get_or_insert_with(|| {
            let (questions, queue) = mpsc::channel(UNANSWERED);
            Kept { questions, answers: Opening::Begun(open(FromQueue(queue))), sent: 0, answered: 0 }
        });
        let answer = stream.ask(heartbeat).await;
        if answer.as_ref().map_or(true, last) {
            *kept = None;
        }
        answer
    }
}

impl<Q, A> Kept<Q, A> {
    async fn ask(&mut self, heartbeat: Q) -> Result<A, Status> {
        if self.sent - self.answered >= UNANSWERED as u64 {
            return Err(Status::deadline_exceeded("it answers no heartbeats"));
        }
        self.questions.try_send(heartbeat).map_err(|_| Status::unavailable("the other side has ended the stream"))?;
        self.sent += 1;
        let own = self.sent;
        loop {
            let gone = || Status::unavailable("the other side has ended the stream");
            let answer = self.answers.next().await.ok_or_else(gone)??;
            self.answered += 1;
            if self.answered == own {
                return Ok(answer);
            }
        }
    }
}

impl<A> Stream for Opening<A> {
    type Item = Result<A, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut *self {
                Self::Begun(opening) => match ready!(opening.as_mut().poll(context)) {
                    Ok(answers) => *self = Self::Accepted(answers),
                    Err(refused) => return Poll::Ready(Some(Err(refused))),
                },
                Self::Accepted(answers) => return answers.poll_next_unpin(context),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::time::{Instant, sleep, sleep_until, timeout};

    use super::*;

    /// How far the member is that answers: further than two heartbeats are apart.
    const AWAY: Duration = Duration::from_millis(120);
    const BETWEEN: Duration = Duration::from_millis(50);

    /// A member that answers each with its number, in their order, and the first ten late.
    fn far(questions: FromQueue<u64>) -> BoxFuture<'static, Result<Answers<u64>, Status>> {
        let answer = |number| {
            let at = Instant::now() + if number <= 10 { AWAY } else { BETWEEN / 2 };
            async move {
                sleep_until(at).await;
                Ok(number)
            }
        };
        async move { Ok(questions.map(answer).buffered(UNANSWERED).boxed()) }.boxed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_that_is_given_up_leaves_the_stream_and_its_answer_goes_to_no_other() {
        let mut heartbeats = Heartbeats::new();
        let mut opens = 0;
        for number in 1..=20 {
            let open = |questions| {
                opens += 1;
                far(questions)
            };
            let next = Instant::now() + BETWEEN;
            let answer = timeout(BETWEEN, heartbeats.beat(number, open, |_| false)).await;
            match answer {
                Ok(answer) => assert_eq!(answer.unwrap(), number, "an answer to another heartbeat"),
                Err(_) => assert!(number <= 12, "{number} is answered in time, behind two that are late"),
            }
            sleep_until(next).await;
        }
        assert_eq!(opens, 1, "the stream stays");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_ends_or_is_refused_is_begun_again_and_one_without_answers_is_given_up() {
        let mut heartbeats = Heartbeats::<u64, u64>::new();
        let refused = |_| async { Err(Status::unavailable("nobody is there")) }.boxed();
        let once = |questions: FromQueue<u64>| async { Ok(questions.take(1).map(Ok).boxed()) }.boxed();
        let silent = |questions: FromQueue<u64>| {
            async { Ok(questions.filter_map(|_| async { None }).boxed()) }.boxed() as BoxFuture<'static, _>
        };
        assert!(heartbeats.beat(1, refused, |_| false).await.is_err());
        assert_eq!(heartbeats.beat(2, once, |_| false).await.unwrap(), 2);
        assert!(heartbeats.beat(3, once, |_| false).await.is_err(), "the member has ended it");
        assert_eq!(heartbeats.beat(4, once, |_| true).await.unwrap(), 4);
        assert_eq!(heartbeats.beat(5, once, |_| true).await.unwrap(), 5, "it was the last answer of that stream");
        for number in 0..UNANSWERED as u64 {
            assert!(timeout(BETWEEN, heartbeats.beat(number, silent, |_| false)).await.is_err());
        }
        sleep(BETWEEN).await;
        assert!(heartbeats.beat(6, silent, |_| false).await.is_err(), "there were too many without an answer");
        assert_eq!(heartbeats.beat(7, once, |_| false).await.unwrap(), 7);
    }
}
