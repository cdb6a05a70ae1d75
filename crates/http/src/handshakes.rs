//! TLS handshakes that are under way: so many at most, and each for so long.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::connection::Connection;
use crate::metrics::Closed;
use crate::patience::poll_until;
use crate::{Limits, Tls};

/// The most handshakes at once. What one may make this process hold is some 20 KB, and one of a client takes a few
/// milliseconds; whoever makes more of them closes the oldest, so that the next client is served however many are left
/// half open.
const MAX_HANDSHAKES: usize = 1_024;

/// The handshakes of a listener, in the order in which they began.
#[derive(Default)]
pub(crate) struct Handshakes {
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
}

/// One of them.
struct Open<'a> {
    handshakes: &'a Handshakes,
    number: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.handshakes.open().remove(&self.number);
    }
}

impl Handshakes {
    fn open(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, number: u64, connection: &Arc<Connection>) -> Open<'_> {
        let mut open = self.open();
        open.insert(number, Arc::clone(connection));
        if open.len() > MAX_HANDSHAKES
            && let Some((_, oldest)) = open.pop_first()
        {
            oldest.evict();
        }
        Open { handshakes: self, number }
    }

    /// The server's side of a handshake, which has the time of a request's header. Without one, why the connection ends.
    pub(crate) async fn shake<IO: AsyncRead + AsyncWrite + Unpin>(
        &self,
        number: u64,
        io: IO,
        tls: &Tls,
        connection: &Arc<Connection>,
        limits: &Limits,
    ) -> Result<TlsStream<IO>, Closed> {
        let _open = self.begin(number, connection);
        let deadline = Instant::now() + limits.header_timeout;
        let mut accept = pin!(TlsAcceptor::from(tls.config()).accept(io));
        let mut patience = pin!(tokio::time::sleep_until(deadline));
        poll_fn(|cx| {
            if let Poll::Ready(accepted) = accept.as_mut().poll(cx) {
                // The error may quote what the client sent.
                return Poll::Ready(accepted.map_err(|_| Closed::HandshakeFailed));
            }
            connection.waker.register(cx.waker());
            if connection.is_told_to_finish() {
                return Poll::Ready(Err(connection.ended().unwrap_or(Closed::Done)));
            }
            if let Some(finish) = connection.finishes_at(limits)
                && poll_until(patience.as_mut(), finish.min(deadline), cx).is_ready()
            {
                return Poll::Ready(Err(Closed::Done));
            }
            poll_until(patience.as_mut(), deadline, cx).map(|()| Err(Closed::HandshakeTimeout))
        })
        .await
        .inspect(|_| connection.mark_quiet())
    }
}
