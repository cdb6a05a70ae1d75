use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_rustls::{Accept, TlsAcceptor};

use super::handshake::Handshake;
use crate::transport::stream::{Unread, Wire};

/// How long whoever connects may take to say who it is: three round trips at the longest distance, and what is lost on the
/// way. Who takes longer holds a place for nothing.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// What the first record of TLS begins with: it holds a handshake (RFC 8446, 5.1).
const TLS: u8 = 0x16;
/// What HTTP/2 without TLS begins with: `PRI * HTTP/2.0` (RFC 9113, 3.4).
const PREFACE: u8 = b'P';

/// What a connection that came in may begin with.
pub(in crate::transport) enum Allowed {
    /// TLS.
    Tls(Arc<ServerConfig>),
    /// TLS, and HTTP/2 without it, by members that have no key yet.
    Either(Arc<ServerConfig>),
    /// HTTP/2 without TLS.
    Plain,
}

/// A connection that came in, until it is known how it is spoken on it.
pub(in crate::transport) struct Accepting {
    stage: Stage,
    allowed: Allowed,
    late: Pin<Box<Sleep>>,
}

/// A connection that may be spoken on, with what TLS proved; nothing, if it is without.
type Spoken = (Box<dyn Wire>, Option<Handshake>);

enum Stage {
    /// Nothing was read.
    Silent(Box<dyn Wire>),
    Handshake(Box<Accept<Unread>>),
    Ended,
}

impl Accepting {
    pub(in crate::transport) fn new(wire: Box<dyn Wire>, allowed: Allowed) -> Self {
        Self { stage: Stage::Silent(wire), allowed, late: Box::pin(sleep(HANDSHAKE_WITHIN)) }
    }

    /// The connection that may be spoken on, with what TLS proved; nothing, if it is without.
    pub(in crate::transport) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Spoken>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Silent(mut wire) => {
                    let mut byte = [0];
                    let mut first = ReadBuf::new(&mut byte);
                    match Pin::new(&mut wire).poll_read(cx, &mut first) {
                        Poll::Ready(read) => read?,
                        Poll::Pending => {
                            self.stage = Stage::Silent(wire);
                            return self.until_late(cx);
                        }
                    }
                    let Some(&first) = first.filled().first() else {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    };
                    let unread = Unread::new(first, wire);
                    match (&self.allowed, first) {
                        (Allowed::Tls(config) | Allowed::Either(config), TLS) => {
                            let accept = TlsAcceptor::from(config.clone()).accept(unread);
                            self.stage = Stage::Handshake(Box::new(accept));
                        }
                        // What is no HTTP/2 is told so in HTTP/2: so who speaks TLS knows that it is not spoken here.
                        (Allowed::Either(_), PREFACE) | (Allowed::Plain, _) => {
                            return Poll::Ready(Ok((Box::new(unread), None)));
                        }
                        _ => return Poll::Ready(Err(refused(first))),
                    }
                }
                Stage::Handshake(mut accept) => {
                    let Poll::Ready(accepted) = Pin::new(&mut *accept).poll(cx) else {
                        self.stage = Stage::Handshake(accept);
                        return self.until_late(cx);
                    };
                    let stream = accepted?;
                    let (_, state) = stream.get_ref();
                    let export = |exporter, label: &[u8]| state.export_keying_material(exporter, label, None);
                    let handshake = Handshake::of(state, export).map_err(io::Error::other)?;
                    return Poll::Ready(Ok((Box::new(stream), Some(handshake))));
                }
                Stage::Ended => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
            }
        }
    }

    fn until_late<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.late.as_mut().poll(cx));
        self.stage = Stage::Ended;
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "it has not said in time who it is")))
    }
}

fn refused(first: u8) -> io::Error {
    let what = match first {
        PREFACE => "it speaks HTTP/2 without TLS, which this node does not take: every member has a key",
        _ => "it speaks neither TLS nor HTTP/2",
    };
    io::Error::new(io::ErrorKind::InvalidData, what)
}
