use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use crate::Limits;
use crate::connection::Connection;
use crate::metrics::Closed;

/// How an HTTP/2 connection begins; as an HTTP/1 method this is reserved (RFC 9113, 3.4).
const HTTP2_PREFACE_START: &[u8] = b"PRI";
/// How long, and for how many bytes, what a refused client still sends is swallowed after the answer. To close on
/// unread bytes resets the connection, and the answer is lost on its way.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 16 << 20;

/// A client's socket that ends by itself: idle, in the middle of a header, or when the client takes no answer.
///
/// hyper's own header timeout also runs while a kept-alive connection is idle, and allocates a timer for each request.
/// Here is one timer a connection. It is moved only when it must ring earlier than set; otherwise it rings, and looks.
pub(crate) struct Paced {
    io: TcpStream,
    connection: Arc<Connection>,
    limits: Arc<Limits>,
    timer: Pin<Box<Sleep>>,
    /// When the first bytes after the last request came, and which request that was.
    header: Option<(Instant, u64)>,
    /// Since when the client has taken nothing.
    stalled: Option<Instant>,
    lingering: Option<(Instant, usize)>,
}

impl Paced {
    pub(crate) fn new(io: TcpStream, connection: Arc<Connection>, limits: Arc<Limits>) -> Self {
        let timer = Box::pin(tokio::time::sleep(limits.idle_timeout));
        Self { io, connection, limits, timer, header: None, stalled: None, lingering: None }
    }

    /// When the client has taken too long, and at what.
    fn deadline(&self) -> Option<(Instant, Closed)> {
        let writing = self.stalled.map(|since| (since + self.limits.write_timeout, Closed::WriteTimeout));
        let reading = self.connection.quiet_since().map(|quiet| match self.header {
            Some((since, after)) if after == self.connection.requests() && !self.connection.is_http2() => {
                (since + self.limits.header_timeout, Closed::HeaderTimeout)
            }
            _ => (quiet + self.limits.idle_timeout, Closed::Idle),
        });
        match (writing, reading) {
            (Some(writing), Some(reading)) => Some(if writing.0 <= reading.0 { writing } else { reading }),
            (writing, reading) => writing.or(reading),
        }
    }

    /// To be asked whenever the socket makes the connection wait; sees to it that it is asked again in time.
    fn check_deadline(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some((deadline, what)) = self.deadline() else { return Ok(()) };
        if self.wait_until(deadline, cx).is_none() {
            return Ok(());
        }
        self.connection.end(what);
        Err(io::ErrorKind::TimedOut.into())
    }

    /// `Some` once it is that late.
    fn wait_until(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Option<()> {
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= deadline {
                return Some(());
            }
            self.timer.as_mut().reset(deadline);
        }
        None
    }

    fn note_read(&mut self, bytes: &[u8]) {
        let requests = self.connection.requests();
        if requests == 0 && self.header.is_none() && bytes.starts_with(HTTP2_PREFACE_START) {
            self.connection.speaks_http2();
        }
        let known = self.header.is_some_and(|(_, after)| after == requests);
        if !bytes.is_empty() && !known && self.connection.quiet_since().is_some() {
            self.header = Some((Instant::now(), requests));
        }
    }

    fn note_write(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        self.stalled.get_or_insert_with(Instant::now);
        self.check_deadline(cx)?;
        Poll::Pending
    }
}

impl AsyncRead for Paced {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if Pin::new(&mut self.io).poll_read(cx, buf)?.is_ready() {
            self.note_read(&buf.filled()[before..]);
            return Poll::Ready(Ok(()));
        }
        self.check_deadline(cx)?;
        Poll::Pending
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note_write(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note_write(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        if !self.connection.has_unread_body() {
            return Poll::Ready(Ok(()));
        }
        let (end, mut left) = self.lingering.unwrap_or_else(|| (Instant::now() + LINGER, LINGER_BYTES));
        let mut swallowed = [0; 8192];
        loop {
            self.lingering = Some((end, left));
            let mut buf = ReadBuf::new(&mut swallowed);
            if Pin::new(&mut self.io).poll_read(cx, &mut buf)?.is_pending() {
                return self.wait_until(end, cx).map_or(Poll::Pending, |()| Poll::Ready(Ok(())));
            }
            if buf.filled().is_empty() || left == 0 {
                return Poll::Ready(Ok(()));
            }
            left = left.saturating_sub(buf.filled().len());
        }
    }
}
