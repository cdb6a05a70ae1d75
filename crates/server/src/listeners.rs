use std::io;
use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket, UnixListener};

use crate::config::{ClusterConfig, Config, ListenAddress};
use crate::exit::{Failure, Status};
use crate::systemd::Sockets;
use crate::unix_socket;

/// How many connections the system accepts ahead of this process: as many as `net.core.somaxconn` allows, which cuts this.
/// Those of a burst beyond it find their first packet lost, and try again after a second.
const BACKLOG: u32 = i32::MAX as u32;

/// Every port that a node listens on. All are taken before anything on disk is touched: when one is not to be had,
/// nothing has changed.
pub(crate) struct Listeners {
    /// The session API.
    pub(crate) api: TcpListener,
    /// The same for clients on this machine.
    pub(crate) unix: Option<UnixListener>,
    /// Peers, and who administers the cluster.
    pub(crate) peers: Option<TcpListener>,
    /// Metrics, probes and the status page.
    pub(crate) admin: Option<TcpListener>,
}

impl Listeners {
    /// Those that the configuration asks for; one that was passed is used in the place of its address. The error has the code
    /// of what is unavailable, and says what to change.
    pub(crate) async fn bind(config: &Config, passed: Sockets) -> anyhow::Result<Self> {
        let peers = config.cluster.as_ref().map(|ClusterConfig { listen, .. }| listen);
        let api = match passed.http {
            Some(passed) => adopt(passed)?,
            None => bind(&config.listen, "listen_address and listen_port (dev: --listen)").await?,
        };
        Ok(Self {
            api,
            unix: match &config.listen_unix {
                Some(listen) => Some(unix_socket::bind(listen, BACKLOG).await?),
                None => None,
            },
            peers: bind_if(peers, passed.grpc, "cluster.listen").await?,
            admin: bind_if(config.admin.as_ref().map(|admin| &admin.listen), passed.admin, "admin.listen").await?,
        })
    }
}

/// What a listener is bound to, which its configuration does not tell if the port is 0 or the host a name.
pub(crate) fn address_of(listener: &TcpListener) -> anyhow::Result<SocketAddr> {
    listener.local_addr().context("the listening address cannot be told")
}

async fn bind_if(
    address: Option<&ListenAddress>,
    passed: Option<std::net::TcpListener>,
    keys: &str,
) -> anyhow::Result<Option<TcpListener>> {
    match (address, passed) {
        (Some(_), Some(passed)) => adopt(passed).map(Some),
        (Some(address), None) => bind(address, keys).await.map(Some),
        (None, None) => Ok(None),
        (None, Some(_)) => {
            let sentence = format!("a socket was passed for {keys}, which the configuration does not have; add it");
            Err(Failure::new(Status::Usage, sentence).into())
        }
    }
}

/// A socket that was opened for this process.
fn adopt(passed: std::net::TcpListener) -> anyhow::Result<TcpListener> {
    passed.set_nonblocking(true).and_then(|()| TcpListener::from_std(passed)).context("a passed socket cannot be used")
}

async fn bind(address: &ListenAddress, keys: &str) -> anyhow::Result<TcpListener> {
    let addresses = {
        let address = address.clone();
        tokio::task::spawn_blocking(move || address.resolve()).await?
    };
    let unavailable = |error: io::Error| {
        let what = "stop what uses the address, or choose another with";
        Failure::new(Status::Unavailable, format!("cannot listen on {address}: {error}; {what} {keys}"))
    };
    let addresses = addresses.map_err(unavailable)?;
    Ok(listen(&addresses).map_err(unavailable)?)
}

/// Listens on the first of these addresses that is to be had.
fn listen(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut last = io::Error::new(io::ErrorKind::InvalidInput, "the name has no address");
    for address in addresses {
        match listen_on(*address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A connection of the process before this one may not be over for the system.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    /// More than a listener's queue holds that was not asked for more.
    const BURST: usize = 1_400;
    /// The system answers at once, or never, because nobody accepts.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_burst_of_connections_waits_in_the_queue_and_is_not_turned_away() {
        let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        if most.trim().parse::<usize>().unwrap() <= BURST {
            println!("the system's queues are too short to tell: {most}");
            return;
        }
        crate::descriptors::raise_limit();
        let listener = listen(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = listener.local_addr().unwrap();
        let burst: Vec<_> = (0..BURST).map(|_| TcpStream::connect_timeout(&address, PATIENCE)).collect();
        let turned_away = burst.iter().filter(|connection| connection.is_err()).count();
        assert_eq!(turned_away, 0);
    }

    #[tokio::test]
    async fn the_first_address_that_is_to_be_had_is_taken() {
        let holds = listen(&["127.0.0.1:0".parse().unwrap()]).unwrap();
        let taken = holds.local_addr().unwrap();
        assert_eq!(listen(&[taken]).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let other = listen(&[taken, "127.0.0.1:0".parse().unwrap()]).unwrap().local_addr().unwrap();
        assert_ne!(other, taken);
        assert!(listen(&[]).is_err());
    }
}
