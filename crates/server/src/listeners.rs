use std::io;
use std::net::SocketAddr;

use anyhow::Context;
use tokio::net::TcpListener;

use crate::config::{ClusterConfig, Config, ListenAddress};
use crate::exit::{Failure, Status};
use crate::systemd::Sockets;

/// Every port that a node listens on. All are taken before anything on disk is touched: when one is not to be had,
/// nothing has changed.
pub(crate) struct Listeners {
    /// The session API.
    pub(crate) api: TcpListener,
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
            peers: bind_if(peers, passed.grpc, "cluster.listen").await?,
            admin: bind_if(config.admin_listen.as_ref(), passed.admin, "admin.listen").await?,
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
    Ok(TcpListener::bind(&addresses[..]).await.map_err(unavailable)?)
}
