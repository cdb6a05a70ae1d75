use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Connection;
use crate::messages::Messages;

/// How an HTTP/2 connection begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// For how many bytes what a refused client still sends is swallowed after the answer. To close on unread bytes resets
/// the connection, and the answer is lost on its way.
const LINGER_BYTES: usize = 16 << 20;

/// A client's socket that notes on its [`Connection`] what deadlines depend on: when bytes of a header come, when an
/// answer is not taken, when the client has closed its half, when only the rest of a refused body is awaited.
pub(crate) struct Paced<IO> {
    io: IO,
    connection: Arc<Connection>,
    protocol: Protocol,
    messages: Messages,
    /// What was read of the requests behind the one under way.
    ahead: BytesMut,
    /// Of so many requests this has seen the header.
    begun: u64,
    /// The answers to so many are with the system.
    settled: u64,
    /// The client has closed its half, and hyper is not told before it has answered.
    hides_end: bool,
    /// How much more is swallowed.
    linger_bytes: usize,
}

/// What the client speaks.
enum Protocol {
    /// So many bytes were those of the preface.
    Undecided(usize),
    Http1,
    Http2,
}

impl<IO> Paced<IO> {
    pub(crate) fn new(io: IO, connection: Arc<Connection>) -> Self {
        Self {
            io,
            connection,
            protocol: Protocol::Undecided(0),
            messages: Messages::new(),
            ahead: BytesMut::new(),
            begun: 0,
            settled: 0,
            hides_end: false,
            linger_bytes: LINGER_BYTES,
        }
    }

    /// Learns what hyper made of the header that was whole.
    fn catch_up(&mut self) {
        if self.messages.is_at_head_end() {
            let requests = self.connection.requests();
            let is_taken = requests > self.begun;
            self.messages.head_is_taken(is_taken.then(|| self.connection.framing()));
            self.begun = requests;
        }
    }

    /// How many of these bytes hyper may have now.
    fn look(&mut self, bytes: &[u8]) -> usize {
        if let Protocol::Undecided(matched) = self.protocol {
            let expected = &PREFACE[matched..PREFACE.len().min(matched + bytes.len())];
            self.protocol = if !bytes.starts_with(expected) {
                self.messages.take(&PREFACE[..matched]);
                Protocol::Http1
            } else if matched + expected.len() == PREFACE.len() {
                self.connection.note_http2();
                Protocol::Http2
            } else {
                Protocol::Undecided(matched + bytes.len())
            };
        }
        match self.protocol {
            Protocol::Http2 => bytes.len(),
            Protocol::Undecided(_) => {
                self.connection.note_head();
                bytes.len()
            }
            Protocol::Http1 => {
                if self.messages.is_in_head() {
                    self.connection.note_head();
                }
                let taken = self.messages.take(bytes);
                if self.messages.take_fragment() {
                    self.connection.note_fragment();
                }
                taken
            }
        }
    }

    /// The client has closed its half. Whether hyper is told now: it takes that for the end of the connection, and a
    /// client may still want its answer.
    fn tells_end(&mut self) -> bool {
        let is_waited_for = matches!(self.protocol, Protocol::Http1)
            && self.messages.is_between()
            && self.settled < self.connection.requests();
        if is_waited_for {
            self.hides_end = true;
            self.connection.note_leaving();
        }
        !is_waited_for
    }

    fn note_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Ready(taken) => self.connection.note_taken(*taken.as_ref().unwrap_or(&0)),
            Poll::Pending => self.connection.note_stall(),
        }
        written
    }

    /// hyper has sent all that it has.
    fn note_flushed(&mut self, cx: &Context<'_>) {
        self.connection.note_flushed();
        if matches!(self.protocol, Protocol::Http1) && self.connection.has_answered() {
            self.settled = self.connection.requests();
            if std::mem::take(&mut self.hides_end) {
                // It looks for the end once more.
                cx.waker().wake_by_ref();
            }
        }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Paced<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = &mut *self;
        me.catch_up();
        if !me.ahead.is_empty() {
            let mut ahead = std::mem::take(&mut me.ahead);
            let taken = me.look(&ahead[..ahead.len().min(buf.remaining())]);
            buf.put_slice(&ahead[..taken]);
            ahead.advance(taken);
            me.ahead = ahead;
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut me.io).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        if bytes.is_empty() {
            return if me.tells_end() { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        let taken = me.look(bytes);
        me.ahead.extend_from_slice(&bytes[taken..]);
        buf.set_filled(before + taken);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Paced<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note_write(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note_write(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        match &flushed {
            Poll::Ready(Ok(())) => self.note_flushed(cx),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.connection.note_stall(),
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        if !self.connection.has_unread_body() {
            return Poll::Ready(Ok(()));
        }
        self.connection.note_linger();
        let mut swallowed = [0; 8192];
        loop {
            let mut buf = ReadBuf::new(&mut swallowed);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            if buf.filled().is_empty() || self.linger_bytes == 0 {
                return Poll::Ready(Ok(()));
            }
            self.linger_bytes = self.linger_bytes.saturating_sub(buf.filled().len());
        }
    }
}
