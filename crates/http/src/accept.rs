use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Where connections come from.
pub(crate) trait Accept: Sized + Send + Sync {
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection; `None` in the place of one that ended before it began.
    fn next(&self) -> impl Future<Output = io::Result<Option<Self::Io>>> + Send;

    /// What waits in the queue now, without the runtime's word for it, so that what came since it last looked is there,
    /// too. Closes the listener when it is dropped.
    fn rest(self) -> impl Iterator<Item = Self::Io>;
}

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn next(&self) -> io::Result<Option<TcpStream>> {
        let (stream, _) = self.accept().await?;
        match stream.set_nodelay(true) {
            Ok(()) => Ok(Some(stream)),
            Err(error) => {
                tracing::debug!(%error, "a connection ended before it began");
                Ok(None)
            }
        }
    }

    fn rest(self) -> impl Iterator<Item = TcpStream> {
        let listener = self.into_std().ok();
        std::iter::from_fn(move || {
            let (stream, _) = listener.as_ref()?.accept().ok()?;
            stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).ok()?;
            TcpStream::from_std(stream).ok()
        })
    }
}

impl Accept for UnixListener {
    type Io = UnixStream;

    async fn next(&self) -> io::Result<Option<UnixStream>> {
        let (stream, _) = self.accept().await?;
        Ok(Some(stream))
    }

    fn rest(self) -> impl Iterator<Item = UnixStream> {
        let listener = self.into_std().ok();
        std::iter::from_fn(move || {
            let (stream, _) = listener.as_ref()?.accept().ok()?;
            stream.set_nonblocking(true).ok()?;
            UnixStream::from_std(stream).ok()
        })
    }
}
