//! The simulated network, as the nodes and clients use it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use sessile_cluster::{Dial, Incoming, Wire};
use turmoil::net::{TcpListener, TcpStream};

/// Where a node listens for others.
pub(super) const PEER_PORT: u16 = 7081;

pub(super) struct Simulated;

impl Dial for Simulated {
    fn dial(&self, address: String) -> BoxFuture<'static, io::Result<Box<dyn Wire>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Wire>)
        })
    }
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
