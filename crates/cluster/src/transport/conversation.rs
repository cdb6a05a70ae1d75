use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::stream::{self, Stream, StreamExt};
use openraft::base::BoxStream;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

/// What comes back on a stream.
pub(crate) type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// What is put into a queue, as a stream that ends with the queue.
pub(crate) struct FromQueue<T>(pub(crate) mpsc::Receiver<T>);

impl<T> Stream for FromQueue<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

/// One question, one answer, again and again, on a stream that stays: a call of its own for each would cost several times
/// as much.
pub(crate) struct Conversation<Q, A> {
    questions: mpsc::Sender<Q>,
    answers: Streaming<A>,
}

impl<Q, A> Conversation<Q, A> {
    /// Asks on the conversation that was kept, or on a new one if none was. The call that begins one takes the questions as a
    /// stream, and the first does not wait until the stream was accepted: that would cost a round trip more.
    pub(crate) async fn go_on<C>(
        kept: Option<Self>,
        call: impl FnOnce(FromQueue<Q>) -> C,
        question: Q,
    ) -> Result<(A, Self), Status>
    where
        C: Future<Output = Result<Streaming<A>, Status>>,
    {
        let gone = || Status::unavailable("the other side has ended the stream");
        let mut conversation = match kept {
            Some(kept) => {
                kept.questions.send(question).await.map_err(|_| gone())?;
                kept
            }
            None => {
                let (questions, queue) = mpsc::channel(1);
                questions.send(question).await.map_err(|_| gone())?;
                Self { questions, answers: call(FromQueue(queue)).await? }
            }
        };
        // One that is given up meanwhile ends: it would leave an answer behind that is nobody's.
        let answer = conversation.answers.message().await?.ok_or_else(gone)?;
        Ok((answer, conversation))
    }
}

/// An answer to each question, in their order, for as long as there are questions.
pub(crate) fn one_by_one<Q: Send + 'static, A: Send + 'static, F: Future<Output = A> + Send + 'static>(
    questions: Streaming<Q>,
    answer: impl FnMut(Q) -> F + Send + 'static,
) -> Answers<A> {
    stream::unfold((questions, answer), |(mut questions, mut answer)| async move {
        let question = questions.message().await.ok()??;
        Some((Ok(answer(question).await), (questions, answer)))
    })
    .boxed()
}
