use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::Connection;

/// How an HTTP/2 connection begins; as an HTTP/1 method this is reserved (RFC 9113, 3.4).
const HTTP2_PREFACE_START: &[u8] = b"PRI";
/// For how many bytes what a refused client still sends is swallowed after the answer. To close on unread bytes resets
/// the connection, and the answer is lost on its way.
const LINGER_BYTES: usize = 16 << 20;

/// A client's socket that notes on its [`Connection`] what deadlines depend on: when bytes come, when an answer is not
/// taken, when only the rest of a refused body is awaited.
pub(crate) struct Paced<IO> {
    io: IO,
    connection: Arc<Connection>,
    /// How much more is swallowed.
    linger_bytes: usize,
}

impl<IO> Paced<IO> {
    pub(crate) fn new(io: IO, connection: Arc<Connection>) -> Self {
        Self { io, connection, linger_bytes: LINGER_BYTES }
    }

    fn note_write(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.connection.note_write(written.is_ready());
        written
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Paced<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            self.connection.note_read(bytes.starts_with(HTTP2_PREFACE_START));
        }
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
        Pin::new(&mut self.io).poll_flush(cx)
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
