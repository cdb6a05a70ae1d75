//! How the bytes of a conversation get from one node to another.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use http::Uri;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpListener;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic::transport::{Channel, Endpoint};
use tower::Service;

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
    pub(crate) fn accepted(self) -> BoxStream<'static, io::Result<Accepted>> {
        match self {
            Self::Tcp(listener) => {
                let accepted = TcpIncoming::from(listener).with_nodelay(Some(true));
                accepted.map(|stream| stream.map(|stream| Accepted(Box::new(stream)))).boxed()
            }
            Self::Through(accepted) => accepted.map(|wire| wire.map(Accepted)).boxed(),
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
pub(crate) struct Accepted(Box<dyn Wire>);

impl Connected for Accepted {
    type ConnectInfo = Option<SocketAddr>;

    fn connect_info(&self) -> Self::ConnectInfo {
        // Who is who is said by the envelope; an address proves nothing.
        None
    }
}

impl AsyncRead for Accepted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
}
