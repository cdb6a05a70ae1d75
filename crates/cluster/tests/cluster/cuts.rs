//! Connections that break again and again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sessile_cluster::{Dial, NodeConfig, Reach, Wire};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::support::*;

/// After so many bytes a connection breaks: a good way into the state, and far from its end.
const CUT_AFTER: usize = 3 << 20;
/// So many values of so many bytes make a state that no one connection carries.
const VALUES: usize = 100;
const VALUE: &[u8] = &[7; 100_000];

/// Dials by TCP, and cuts what was dialed.
struct Cutting;

impl Dial for Cutting {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(Cut { stream, left: CUT_AFTER }) as Box<dyn Wire>)
        }
        .boxed()
    }
}

/// A connection that breaks once it has carried so many bytes more.
struct Cut {
    stream: TcpStream,
    left: usize,
}

impl AsyncRead for Cut {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let most = buf.len().min(self.left);
        let written = Pin::new(&mut self.stream).poll_write(cx, &buf[..most]);
        if let Poll::Ready(Ok(written)) = &written {
            self.left -= written;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_no_one_connection_carries_arrives_because_each_goes_on_where_the_last_one_broke() {
    let mut cast = Cast::new(3, 2);
    let cutting = |config: &mut NodeConfig| {
        config.reach = Reach::Through(Arc::new(Cutting));
        (config.persist_after, config.keep_entries) = (Duration::from_millis(100), 1);
        config.keep_log_for = Duration::ZERO;
    };
    ["n1", "n2"].into_iter().for_each(|name| cast.start_with(name, cutting));
    cast.until("n1", "two voters", |status| voters(status).len() == 2 && !status.leader.is_empty()).await;
    let cluster = cast.cluster("n1").await;
    for number in 0..VALUES {
        write(&cluster, key(number), put(VALUE)).await;
    }
    let kept = (CUT_AFTER / 2) as u64;
    eventually("what the newcomer needs is not in the log", async || cluster.status().log_bytes < kept).await;

    cast.start("n3");
    cast.until("n1", "n3 is a voter", |status| voters(status).len() == 3).await;
    let newcomer = cast.cluster("n3").await;
    for number in [0, VALUES / 2, VALUES - 1] {
        assert_eq!(read(&newcomer, &key(number)).await.as_deref(), Some(VALUE));
    }
    for name in ["n1", "n2", "n3"] {
        cast.stop(name).await;
    }
}
