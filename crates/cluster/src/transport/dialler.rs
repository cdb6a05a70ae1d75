use std::io;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use sessile_store::NodeId;
use tower::Service;

use super::envelope::Door;
use super::keys::Way;
use super::reach::Reach;
use super::stream::Wire;
use super::tls::{Handshake, Tls, secured};
use crate::wire::refusal::Reason;

/// What makes a channel's connections, each when it is needed, for as long as the channel is.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) reach: Reach,
    pub(super) whom: Whom,
}

/// Whom a connection is to be with.
#[derive(Clone)]
pub(super) enum Whom {
    /// That member, who is recognised by its key before anything is sent.
    Member(NodeId, Arc<Door>, Arc<Tls>),
    /// Whoever answers.
    Anybody(Arc<Stranger>),
}

/// Somebody who is known by nothing but an address. What is said to one is said on one connection: who answers on the next
/// one may be another.
pub(super) struct Stranger {
    /// How TLS is spoken with it; not at all without.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// What TLS proved, once there is a connection.
    pub(super) connected: OnceLock<Option<Handshake>>,
}

impl Stranger {
    pub(super) fn new(tls: Option<Arc<ClientConfig>>) -> Arc<Self> {
        Arc::new(Self { tls, connected: OnceLock::new() })
    }

    /// What TLS proved of who answered.
    pub(super) fn handshake(&self) -> Option<Handshake> {
        self.connected.get().copied().flatten()
    }
}

impl Dialler {
    async fn dial(self, address: String) -> io::Result<Box<dyn Wire>> {
        match self.whom {
            Whom::Member(node, door, tls) => to_member(&self.reach, node, &door, &tls, address).await,
            Whom::Anybody(stranger) => to_stranger(&self.reach, &stranger, address).await,
        }
    }
}

async fn to_member(reach: &Reach, node: NodeId, door: &Door, tls: &Tls, address: String) -> io::Result<Box<dyn Wire>> {
    let keys = match door.keys().way_to(node) {
        Way::Plain => return reach.dial(address).await,
        Way::Keys(keys) => keys,
        Way::Unknown => {
            let text = format!("node {node} is known by no key here: it is no member that this node has heard of");
            return Err(io::Error::other(text));
        }
    };
    let wire = reach.dial(address).await?;
    let secured = secured(tls.calls(), wire).await.inspect_err(|_| door.keys().forget(node));
    let (wire, handshake) = secured?;
    if handshake.key.is_some_and(|key| keys.contains(&key)) {
        return Ok(wire);
    }
    door.keys().forget(node);
    let text = format!("another key answers there than the one by which node {node} is known");
    Err(io::Error::other(door.refuse(Reason::WrongKey, &text).message()))
}

async fn to_stranger(reach: &Reach, stranger: &Stranger, address: String) -> io::Result<Box<dyn Wire>> {
    if stranger.connected.get().is_some() {
        return Err(io::Error::new(io::ErrorKind::NotConnected, "the connection has ended"));
    }
    let wire = reach.dial(address).await?;
    let (wire, handshake) = match &stranger.tls {
        Some(tls) => {
            let (wire, handshake) = secured(tls.clone(), wire).await?;
            (wire, Some(handshake))
        }
        None => (wire, None),
    };
    // Dialled once: there is one channel.
    let _ = stranger.connected.set(handshake);
    Ok(wire)
}

impl Service<Uri> for Dialler {
    type Response = TokioIo<Box<dyn Wire>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialled = self.clone().dial(uri.authority().map(ToString::to_string).unwrap_or_default());
        Box::pin(async move { dialled.await.map(TokioIo::new) })
    }
}
