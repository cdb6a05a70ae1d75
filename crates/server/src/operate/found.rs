//! What is at an address where no node answered as it does at its `cluster.listen`.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::ListenAddress;

/// Asked in HTTP/1.1, which a gRPC port does not speak and every HTTP port does.
const QUESTION: &[u8] = b"GET /livez HTTP/1.1\r\nHost: sessile\r\nConnection: close\r\n\r\n";
/// How long it may take to answer that: the process need not do anything for it.
const PATIENCE: Duration = Duration::from_secs(1);
/// Where an answer in HTTP/1 begins.
const HTTP: &[u8] = b"HTTP/1.";
/// How much of an answer is read: more than the head and the body of `/livez`.
const MOST: u64 = 4 << 10;

/// What is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// The session API of a node, or its `admin.listen`.
    HttpOfANode,
    /// Something else that speaks HTTP/1.
    Http,
    /// It accepts connections, by the system's doing, and says nothing.
    Silence,
    /// Nobody, or something that speaks something else.
    Unknown,
}

impl Found {
    /// Looks, for a second at most, and not longer than the caller would wait for an answer.
    pub(super) async fn at(address: &ListenAddress, patience: Duration) -> Self {
        let address = address.clone();
        let Ok(Ok(addresses)) = tokio::task::spawn_blocking(move || address.resolve()).await else {
            return Self::Unknown;
        };
        Self::at_one_of(&addresses, patience.min(PATIENCE)).await
    }

    async fn at_one_of(addresses: &[SocketAddr], patience: Duration) -> Self {
        let Ok(Ok(mut stream)) = timeout(patience, TcpStream::connect(addresses)).await else { return Self::Unknown };
        let mut answer = Vec::new();
        let asked = timeout(patience, async {
            stream.write_all(QUESTION).await?;
            (&mut stream).take(MOST).read_to_end(&mut answer).await
        });
        let in_time = asked.await.is_ok();
        let live = sessile_http::LIVE.as_bytes();
        if !answer.starts_with(HTTP) {
            return if answer.is_empty() && !in_time { Self::Silence } else { Self::Unknown };
        }
        if answer.windows(live.len()).any(|part| part == live) { Self::HttpOfANode } else { Self::Http }
    }

    /// What that means for whoever named the address, and what to do, in one sentence. `None` if it says nothing new.
    pub(super) fn sentence(self, address: &ListenAddress) -> Option<String> {
        match self {
            Self::HttpOfANode => Some(format!(
                "{address} is an HTTP port of a node, and commands go to its gRPC port: name the address of its \
                 cluster.listen with --server (a node without a `cluster` has none)"
            )),
            Self::Http => Some(format!(
                "{address} speaks HTTP and is no port of a node: name the address of a node's cluster.listen with --server"
            )),
            Self::Silence => {
                let sentence = "it accepts connections and says nothing, as a node does that is still opening its data, \
                                or stands still: see its log, or name another with --server";
                Some(sentence.to_owned())
            }
            Self::Unknown => None,
        }
    }
}
