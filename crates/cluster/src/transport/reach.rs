//! How the bytes of a conversation get from one node to another.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint};
use tower::Service;
use tracing::{debug, warn};

use super::connections::{Connections, OpenConnection, Place};

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

/// A connection's bytes, in both directions.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Where connections of others come in.
pub enum Incoming {
    /// By TCP.
    Tcp(TcpListener),
    /// By a network of a test's own.
    Through(BoxStream<'static, io::Result<Box<dyn Wire>>>),
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
    /// A channel that connects with the first call, and again after it broke.
    pub(super) fn connect_lazy(&self, endpoint: &Endpoint) -> Channel {
        match self {
            Self::Tcp => endpoint.connect_lazy(),
            Self::Through(dial) => endpoint.connect_with_connector_lazy(Dialer(dial.clone())),
        }
    }

    /// A channel that is connected.
    pub(crate) async fn connect(&self, endpoint: &Endpoint) -> Result<Channel, tonic::transport::Error> {
        match self {
            Self::Tcp => endpoint.connect().await,
            Self::Through(dial) => endpoint.connect_with_connector(Dialer(dial.clone())).await,
        }
    }
}

impl Incoming {
    /// Every connection for which there is a place.
    pub(crate) fn accepted(self, connections: Arc<Connections>) -> BoxStream<'static, io::Result<Accepted>> {
        match self {
            Self::Tcp(listener) => stream::unfold((listener, connections), |(listener, connections)| async move {
                let accepted = accept(|| listener.accept(), &connections).await;
                Some((Ok(accepted), (listener, connections)))
            })
            .boxed(),
            Self::Through(accepted) => accepted
                .filter_map(move |wire| {
                    let connections = connections.clone();
                    async move {
                        match wire {
                            Ok(wire) => connections.place().await.map(|place| Ok(Accepted { wire, place })),
                            Err(error) => Some(Err(error)),
                        }
                    }
                })
                .boxed(),
        }
    }
}

/// The next connection for which there is a place, of those that come by `next`.
async fn accept<F>(next: impl Fn() -> F, connections: &Arc<Connections>) -> Accepted
where
    F: Future<Output = io::Result<(TcpStream, SocketAddr)>>,
{
    loop {
        match next().await {
            Ok((stream, from)) => {
                // One that has ended already has no options any more.
                if stream.set_nodelay(true).is_err() {
                    continue;
                }
                let Some(place) = connections.place().await else {
                    debug!("a connection is turned away: members use every place");
                    continue;
                };
                place.connection().comes_from(from);
                return Accepted { wire: Box::new(stream), place };
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

#[derive(Clone)]
struct Dialer(Arc<dyn Dial>);

impl Service<Uri> for Dialer {
    type Response = TokioIo<Box<dyn Wire>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialled = self.0.dial(uri.authority().map(ToString::to_string).unwrap_or_default());
        Box::pin(async move { dialled.await.map(TokioIo::new) })
    }
}

/// One that came in.
pub(crate) struct Accepted {
    wire: Box<dyn Wire>,
    place: Place,
}

impl Connected for Accepted {
    // Who is who is said by the envelope; an address proves nothing.
    type ConnectInfo = Arc<OpenConnection>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.place.connection().clone()
    }
}

impl Accepted {
    /// An error once it was told to end; else the task is woken when it is.
    fn goes_on(&self, cx: &Context<'_>) -> io::Result<()> {
        let connection = self.place.connection();
        connection.wakes(cx.waker());
        if connection.is_ended() { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.goes_on(cx)?;
        Pin::new(&mut self.wire).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.goes_on(cx)?;
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.goes_on(cx)?;
        Pin::new(&mut self.wire).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
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
