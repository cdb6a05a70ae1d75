//! How the bytes of a conversation get from one node to another, and how those of others come in.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::connections::{Connections, OpenConnection, Origin, Place};
use super::envelope::Door;
use super::stream::Wire;
use super::tls::{Accepting, Allowed, Tls};

/// How long to wait when the system has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a node reaches an address.
#[derive(Clone, Default)]
pub enum Reach {
    /// By TCP, on this machine's network.
    #[default]
    Tcp,
    /// By what this makes of it: a network of a test's own.
    Through(Arc<dyn Dial>),
}

/// Makes connections.
pub trait Dial: Send + Sync {
    /// A connection to `host:port`.
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Wire>>>;
}

/// Where connections of others come in.
pub enum Incoming {
    /// By TCP.
    Tcp(TcpListener),
    /// By a network of a test's own.
    Through(BoxStream<'static, io::Result<Box<dyn Wire>>>),
}

/// One connection that is there already, for whoever dials first.
pub(super) struct Made(Mutex<Option<Box<dyn Wire>>>);

impl Made {
    pub(super) fn new(wire: Box<dyn Wire>) -> Self {
        Self(Mutex::new(Some(wire)))
    }
}

impl Dial for Made {
    fn dial(&self, _: String) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        let wire = self.0.lock().take();
        Box::pin(std::future::ready(wire.ok_or_else(|| io::ErrorKind::NotConnected.into())))
    }
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "Tcp",
            Self::Through(_) => "Through(…)",
        })
    }
}

impl Reach {
    /// A connection to `host:port`.
    pub(super) async fn dial(&self, address: String) -> io::Result<Box<dyn Wire>> {
        match self {
            Self::Tcp => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Through(dial) => dial.dial(address).await,
        }
    }
}

impl Incoming {
    /// Every connection for which there is a place. What each may begin with is asked when it comes.
    pub(crate) fn accepted(self, door: Arc<Door>, tls: Arc<Tls>) -> BoxStream<'static, io::Result<Accepted>> {
        let connections = door.connections().clone();
        let accepting = move |(wire, place)| Accepted::new(wire, place, allowed(&door, &tls));
        match self {
            Self::Tcp(listener) => stream::unfold((listener, connections), |(listener, connections)| async move {
                let accepted = accept(|| next_of(&listener), &connections).await;
                Some((accepted, (listener, connections)))
            })
            .map(move |accepted| Ok(accepting(accepted)))
            .boxed(),
            Self::Through(accepted) => accepted
                .filter_map(move |wire| {
                    let (connections, accepting) = (connections.clone(), accepting.clone());
                    async move {
                        match wire {
                            Ok(wire) => connections.place().await.map(|place| Ok(accepting((wire, place)))),
                            Err(error) => Some(Err(error)),
                        }
                    }
                })
                .boxed(),
        }
    }
}

fn allowed(door: &Door, tls: &Tls) -> Allowed {
    let keys = door.keys();
    match (keys.plaintext(), keys.some_have_none()) {
        (true, _) => Allowed::Plain,
        (false, true) => Allowed::Either(tls.called()),
        (false, false) => Allowed::Tls(tls.called()),
    }
}

/// The next connection of a listener; nothing, if it has ended already.
async fn next_of(listener: &TcpListener) -> io::Result<Option<(Box<dyn Wire>, Origin)>> {
    let (stream, from) = listener.accept().await?;
    // One that has ended already has no options any more.
    let is_there = stream.set_nodelay(true).is_ok();
    Ok(is_there.then(|| (Box::new(stream) as Box<dyn Wire>, Origin::Address(from))))
}

/// The next connection for which there is a place, of those that come by `next`.
pub(super) async fn accept<F>(next: impl Fn() -> F, connections: &Arc<Connections>) -> (Box<dyn Wire>, Place)
where
    F: Future<Output = io::Result<Option<(Box<dyn Wire>, Origin)>>>,
{
    loop {
        match next().await {
            Ok(None) => {}
            Ok(Some((wire, from))) => {
                let Some(place) = connections.place().await else {
                    debug!("a connection is turned away: members use every place");
                    continue;
                };
                place.connection().comes_from(from);
                return (wire, place);
            }
            Err(error) => {
                let theirs = matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
                );
                if !theirs {
                    // It would fail again at once, for as long as there is no descriptor: an idle connection gives one up.
                    warn!(%error, "a gRPC connection cannot be accepted");
                    connections.make_room();
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// One that came in. Before anything is read or written, it becomes known how it is spoken on it.
pub(crate) struct Accepted {
    stage: Stage,
    place: Place,
}

enum Stage {
    Accepting(Box<Accepting>),
    Open(Box<dyn Wire>),
}

impl Connected for Accepted {
    // Who is who is said by the envelope and proved by the key; an address proves nothing.
    type ConnectInfo = Arc<OpenConnection>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.place.connection().clone()
    }
}

impl Accepted {
    pub(super) fn new(wire: Box<dyn Wire>, place: Place, allowed: Allowed) -> Self {
        Self { stage: Stage::Accepting(Box::new(Accepting::new(wire, allowed))), place }
    }

    /// Its bytes, once it is open. An error once it was told to end; else the task is woken when it is.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Pin<&mut dyn Wire>>> {
        let connection = self.place.connection();
        connection.wakes(cx.waker());
        if connection.is_ended() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Stage::Accepting(accepting) = &mut self.stage {
            let (wire, handshake) = ready!(accepting.poll(cx)).inspect_err(|error| {
                debug!(%error, "a connection is turned away");
            })?;
            connection.opens(handshake);
            self.stage = Stage::Open(wire);
        }
        match &mut self.stage {
            Stage::Open(wire) => Poll::Ready(Ok(Pin::new(&mut **wire))),
            Stage::Accepting(_) => Poll::Pending,
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stage {
            Stage::Open(wire) => Pin::new(&mut **wire).poll_shutdown(cx),
            Stage::Accepting(_) => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        // Of TLS as well: its records are made of all that there is.
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// EMFILE, by its number: the kind that the standard library gives it has no name yet.
    const TOO_MANY_OPEN_FILES: i32 = 24;

    #[tokio::test(start_paused = true)]
    async fn without_a_descriptor_left_accepting_pauses_and_an_idle_connection_gives_one_up() {
        let connections = Connections::new(8);
        let idle = connections.place().await.unwrap();
        let attempts = AtomicU32::new(0);
        let next = || {
            attempts.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Err(io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES)))
        };
        let accepted = tokio::time::timeout(10 * ACCEPT_PAUSE, accept(next, &connections)).await;
        assert!(accepted.is_err() && idle.connection().is_ended());
        assert!((9..=11).contains(&attempts.load(Ordering::Relaxed)), "{attempts:?}");
    }
}
