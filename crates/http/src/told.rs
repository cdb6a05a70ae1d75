use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;

use crate::connection::{Connection, Unanswered};

/// How much of an answer is given away at once. That it is gone is progress.
const PART: usize = 16 << 10;

/// One answer, from its head to its last byte.
struct Answer {
    connection: Arc<Connection>,
    number: u64,
    _stream: Option<OwnedSemaphorePermit>,
}

impl Answer {
    fn new(connection: Arc<Connection>, stream: Option<OwnedSemaphorePermit>) -> Arc<Self> {
        let number = connection.unsent.begin(connection.now());
        Arc::new(Self { connection, number, _stream: stream })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Quiet from now on, and not since the answer began.
        self.connection.mark_quiet();
        self.connection.unsent.end(self.number);
    }
}

/// A part of an answer, until it is with the system.
struct Part {
    bytes: Bytes,
    answer: Arc<Answer>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.answer.connection.unsent.note(self.answer.number, self.answer.connection.now());
    }
}

/// An answer's body that tells its connection how far it has come.
pub(crate) struct Told {
    body: Body,
    /// What the body gave and was not passed on.
    rest: Bytes,
    protocol: Protocol,
}

enum Protocol {
    Http1 { _unanswered: Unanswered },
    Http2(Arc<Answer>),
}

impl Told {
    pub(crate) fn http1(body: Body, connection: &Arc<Connection>) -> Self {
        Self { body, rest: Bytes::new(), protocol: Protocol::Http1 { _unanswered: connection.answer() } }
    }

    /// The stream's place is kept until the answer is gone.
    pub(crate) fn http2(body: Body, connection: &Arc<Connection>, stream: Option<OwnedSemaphorePermit>) -> Self {
        let answer = Answer::new(Arc::clone(connection), stream);
        Self { body, rest: Bytes::new(), protocol: Protocol::Http2(answer) }
    }
}

impl http_body::Body for Told {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let me = &mut *self;
        let Protocol::Http2(answer) = &me.protocol else { return Pin::new(&mut me.body).poll_frame(cx) };
        if me.rest.is_empty() {
            match ready!(Pin::new(&mut me.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => me.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        let bytes = me.rest.split_to(me.rest.len().min(PART));
        let part = Part { bytes, answer: Arc::clone(answer) };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (hint, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(hint.lower() + rest);
        if let Some(upper) = hint.upper() {
            whole.set_upper(upper + rest);
        }
        whole
    }
}
