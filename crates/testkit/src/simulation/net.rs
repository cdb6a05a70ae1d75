//! The simulated network, as the nodes and clients use it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sessile_cluster::{Dial, Incoming, Wire};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use turmoil::net::{TcpListener, TcpStream};

use super::lock::lock;

/// Where a node listens for others.
pub(super) const PEER_PORT: u16 = 7081;
/// By how much later than the first what comes twice may come the second time, in milliseconds.
const LATER_MS: std::ops::RangeInclusive<u64> = 0..=600;
/// How many writes may wait to be sent the second time; beyond them the rest of the connection comes once.
const WAITING: usize = 4_096;

/// How nodes and operators reach nodes.
pub(super) struct Simulated {
    /// Which connections are double; `None` if none is.
    pub(super) doubles: Option<Arc<Doubles>>,
}

/// Connections on which everything that is sent arrives twice, the second time later and on a connection of its own: what a
/// proxy makes of requests that it tries again. TCP alone never does.
pub(super) struct Doubles {
    of_a_hundred: u32,
    rng: Mutex<SmallRng>,
}

impl Doubles {
    pub(super) fn new(of_a_hundred: u32, seed: u64) -> Self {
        Self { of_a_hundred, rng: Mutex::new(SmallRng::seed_from_u64(seed)) }
    }

    /// How much later the second time is on the next connection, if it is double.
    fn next(&self) -> Option<Duration> {
        if self.of_a_hundred == 0 {
            return None;
        }
        let mut rng = lock(&self.rng);
        rng.random_ratio(self.of_a_hundred, 100).then(|| Duration::from_millis(rng.random_range(LATER_MS)))
    }
}

impl Dial for Simulated {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        let later = self.doubles.as_ref().and_then(|doubles| doubles.next());
        Box::pin(async move {
            let stream = TcpStream::connect(address.as_str()).await?;
            let Some(later) = later else { return Ok(Box::new(stream) as Box<dyn Wire>) };
            let (again, sent) = mpsc::channel(WAITING);
            #[expect(clippy::disallowed_methods, reason = "it ends with the machine on which it runs")]
            tokio::spawn(send_again(address, sent, later));
            Ok(Box::new(Double { stream, again: Some(again) }) as Box<dyn Wire>)
        })
    }
}

type Sent = (Instant, Bytes);

/// A connection whose bytes are sent on another one as well.
struct Double {
    stream: TcpStream,
    again: Option<mpsc::Sender<Sent>>,
}

impl AsyncRead for Double {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Double {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = written {
            let sent = (Instant::now(), Bytes::copy_from_slice(&bytes[..written]));
            if self.again.as_ref().is_some_and(|again| again.try_send(sent).is_err()) {
                self.again = None;
            }
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Sends everything again on a connection of its own, so much later, and takes no notice of the answers.
async fn send_again(address: String, mut sent: mpsc::Receiver<Sent>, later: Duration) {
    let Ok(stream) = TcpStream::connect(address.as_str()).await else { return };
    let (mut answers, mut again) = tokio::io::split(stream);
    let sending = async {
        while let Some((at, bytes)) = sent.recv().await {
            sleep_until(at + later).await;
            if again.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // Whoever receives it learns as late that nothing more comes.
        let _ = again.shutdown().await;
    };
    let ignoring = async {
        let mut ignored = vec![0; 4_096];
        while let Ok(1..) = answers.read(&mut ignored).await {}
    };
    tokio::join!(sending, ignoring);
}

pub(super) async fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), port)).await
}

pub(super) fn incoming(listener: TcpListener) -> Incoming {
    let accepted = stream::unfold(listener, |listener| async move {
        let accepted = listener.accept().await.map(|(stream, _)| Box::new(stream) as Box<dyn Wire>);
        Some((accepted, listener))
    });
    Incoming::Through(accepted.boxed())
}
