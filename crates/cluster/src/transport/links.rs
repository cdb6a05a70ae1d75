use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sessile_store::NodeId;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::dialler::{Dialler, Stranger, Whom};
use super::envelope::Door;
use super::reach::{Made, Reach};
use super::stream::Wire;
#[cfg(test)]
use super::tls::NodeKey;
use super::tls::{Handshake, Tls, speaks_no_tls};
use crate::timing::Timing;
use crate::wire::peer_client::PeerClient;

/// The largest message, in bytes: what one read of the log hands out (4 MiB) and one entry beyond it (8 MiB), and room.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;
/// How often a silent connection is asked for a sign of life, and how long it may take: a machine that lost its power
/// says nothing.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(1);
pub(crate) const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// What may be under way to a member on one stream and on a connection, in bytes.
pub(crate) const STREAM_WINDOW: u32 = 8 * 1024 * 1024;
pub(crate) const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;

/// Where the members are reached, and how: as the membership says, unless a member was found elsewhere since. The log is told
/// of that once there is a leader, and without knowing it there may never be one.
#[derive(Clone)]
pub(crate) struct Directory {
    addresses: Arc<RwLock<BTreeMap<NodeId, String>>>,
    /// Who was found elsewhere: where the membership says, and where it is.
    found: Arc<RwLock<BTreeMap<NodeId, (String, String)>>>,
    /// The connections that members keep open to each other for short calls, with the addresses that they lead to.
    kept: Arc<Mutex<BTreeMap<NodeId, Option<Connected>>>>,
    reach: Reach,
    timing: Timing,
    door: Arc<Door>,
    tls: Arc<Tls>,
}

/// A connection, and the address that it leads to.
type Connected = (String, Channel);

impl Directory {
    pub(crate) fn new(reach: Reach, timing: Timing, door: Arc<Door>, tls: Arc<Tls>) -> Self {
        let (addresses, found, kept) = (Arc::default(), Arc::default(), Arc::default());
        Self { addresses, found, kept, reach, timing, door, tls }
    }

    /// One of a node that recognises nobody, as where there is no TLS.
    #[cfg(test)]
    pub(crate) fn without_tls() -> Self {
        let tls = Tls::new(&NodeKey::generate().unwrap()).unwrap();
        let door = Door::without_tls(NodeId::from(1));
        Self::new(Reach::Tcp, Timing::default(), Arc::new(door), Arc::new(tls))
    }

    /// Who says by which key a node is recognised.
    pub(crate) fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// How this node speaks TLS.
    pub(crate) fn tls(&self) -> &Arc<Tls> {
        &self.tls
    }

    /// How far the members are at the most, and what follows from that.
    pub(crate) fn timing(&self) -> Timing {
        self.timing
    }

    pub(crate) fn replace(&self, addresses: BTreeMap<NodeId, String>) {
        self.kept.lock().retain(|node, _| addresses.contains_key(node));
        self.found.write().retain(|node, (instead_of, _)| addresses.get(node) == Some(instead_of));
        *self.addresses.write() = addresses;
    }

    /// Where a member is reached; `None` for a node that is none.
    pub(crate) fn address(&self, node: NodeId) -> Option<String> {
        let said = self.addresses.read().get(&node).cloned()?;
        let found = self.found.read().get(&node).cloned();
        Some(found.filter(|(instead_of, _)| *instead_of == said).map_or(said, |(_, is_at)| is_at))
    }

    /// Whether somebody is reached at that address, as far as is known here.
    pub(crate) fn knows(&self, address: &str) -> bool {
        let is_there = |node: &NodeId| self.address(*node).is_some_and(|known| known == address);
        let members: Vec<NodeId> = self.addresses.read().keys().copied().collect();
        members.iter().any(is_there)
    }

    /// A member has answered at that address. Says whether it is looked for there only from now on.
    pub(crate) fn is_at(&self, node: NodeId, address: &str) -> bool {
        let Some(said) = self.addresses.read().get(&node).cloned() else { return false };
        let mut found = self.found.write();
        if said == address {
            return found.remove(&node).is_some();
        }
        let place = (said, address.to_owned());
        found.insert(node, place.clone()) != Some(place)
    }

    /// A connection to a member that comes about with the first call, and again after it broke.
    pub(crate) fn connect(&self, node: NodeId, address: &str) -> Result<Channel, Status> {
        Ok(self.endpoint(address)?.connect_with_connector_lazy(self.dialler_of(node)))
    }

    /// A connection to a member that is there, and is that member. Nothing was sent if it is not.
    pub(crate) async fn connect_now(&self, node: NodeId, address: &str) -> Result<Channel, Status> {
        let connected = self.endpoint(address)?.connect_with_connector(self.dialler_of(node)).await;
        connected.map_err(|error| not_reached(address, error))
    }

    /// A connection to whoever answers at an address, with what is proved of it; nothing, if it speaks as a program of before.
    pub(crate) async fn connect_to_anybody(&self, address: &str) -> Result<(Channel, Option<Handshake>), Status> {
        let keys = self.door.keys();
        if keys.plaintext() {
            let (channel, _) = self.connect_to_stranger(address, Stranger::new(None)).await?;
            return Ok((channel, Some(Handshake::PLAIN)));
        }
        match self.connect_to_stranger(address, Stranger::new(Some(self.tls.calls()))).await {
            Err(_) if keys.some_have_none() => self.connect_to_stranger(address, Stranger::new(None)).await,
            connected => connected,
        }
    }

    async fn connect_to_stranger(
        &self,
        address: &str,
        stranger: Arc<Stranger>,
    ) -> Result<(Channel, Option<Handshake>), Status> {
        let dialler = Dialler { reach: self.reach.clone(), whom: Whom::Anybody(stranger.clone()) };
        let connected = self.endpoint(address)?.connect_with_connector(dialler).await;
        Ok((connected.map_err(|error| not_reached(address, error))?, stranger.handshake()))
    }

    fn dialler_of(&self, node: NodeId) -> Dialler {
        Dialler { reach: self.reach.clone(), whom: Whom::Member(node, self.door.clone(), self.tls.clone()) }
    }

    /// A member, over the connection that reports keep open to it: a short call waits for no connection, and for nothing that
    /// is large.
    pub(crate) fn kept(&self, node: NodeId, fallback: &str) -> Result<PeerClient<Channel>, Status> {
        self.peer(node, fallback, self.kept.lock().entry(node).or_default())
    }

    /// A member over that connection, unless the member is elsewhere by now.
    fn peer(
        &self,
        node: NodeId,
        fallback: &str,
        connected: &mut Option<Connected>,
    ) -> Result<PeerClient<Channel>, Status> {
        let address = self.address(node).unwrap_or_else(|| fallback.to_owned());
        let channel = match connected {
            Some((known, channel)) if *known == address => channel.clone(),
            _ => {
                let channel = self.connect(node, &address)?;
                *connected = Some((address, channel.clone()));
                channel
            }
        };
        Ok(peer(channel))
    }

    fn endpoint(&self, address: &str) -> Result<Endpoint, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|_| Status::invalid_argument(format!("{address:?} is no address: it must be host:port")))?;
        Ok(endpoint
            .connect_timeout(self.timing.call())
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW))
    }
}

/// Connects an operator's program, which has no key, to whoever answers at an address, with what is proved of it; nothing,
/// if it speaks without TLS.
pub(crate) async fn connect_without_a_key(
    reach: &Reach,
    address: &str,
    within: Duration,
) -> Result<(Channel, Option<Handshake>), Status> {
    let tls = Tls::without_a_key().map_err(|error| Status::internal(error.to_string()))?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| not_reached(address, error))?.connect_timeout(within);
    let connect = async |tls| {
        let stranger = Stranger::new(tls);
        let dialler = Dialler { reach: reach.clone(), whom: Whom::Anybody(stranger.clone()) };
        endpoint.connect_with_connector(dialler).await.map(|channel| (channel, stranger.handshake()))
    };
    let connected = match connect(Some(tls)).await {
        Err(error) if speaks_no_tls(&error) => connect(None).await,
        connected => connected,
    };
    connected.map_err(|error| not_reached(address, error))
}

/// A channel over a connection that is there. It is not made again after it broke.
pub(crate) async fn connect_over(wire: Box<dyn Wire>, within: Duration) -> Result<Channel, Status> {
    /// What the calls are addressed to, at which nobody looks.
    const NODE: &str = "http://node";
    let dialler =
        Dialler { reach: Reach::Through(Arc::new(Made::new(wire))), whom: Whom::Anybody(Stranger::new(None)) };
    let connected = Endpoint::from_static(NODE).connect_timeout(within).connect_with_connector(dialler).await;
    connected.map_err(|error| not_reached("the node", error))
}

/// Why nobody could be connected to. What the cause was stays with it.
fn not_reached(address: &str, error: tonic::transport::Error) -> Status {
    let mut status = Status::unavailable(format!("{address} does not answer: {error}"));
    status.set_source(Arc::new(error));
    status
}

/// What a member is asked over a connection to it.
pub(crate) fn peer(channel: Channel) -> PeerClient<Channel> {
    PeerClient::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES).max_encoding_message_size(MAX_MESSAGE_BYTES)
}

/// A connection to one member for one purpose. It follows the member's address, and comes about when it is needed.
pub(crate) struct Link {
    node: NodeId,
    directory: Directory,
    /// Where it was last known to be.
    fallback: String,
    connected: Mutex<Option<Connected>>,
}

impl Link {
    pub(crate) fn new(node: NodeId, directory: Directory, fallback: String) -> Self {
        Self { node, directory, fallback, connected: Mutex::default() }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// One more to that member, with a connection of its own.
    pub(crate) fn another(&self) -> Self {
        Self::new(self.node, self.directory.clone(), self.fallback.clone())
    }

    pub(crate) fn peer(&self) -> Result<PeerClient<Channel>, Status> {
        self.directory.peer(self.node, &self.fallback, &mut self.connected.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_was_found_elsewhere_is_looked_for_there_until_the_membership_says_something_new() {
        let directory = Directory::without_tls();
        let (n1, n2) = (NodeId::from(1), NodeId::from(2));
        let at = |n1_at: &str| directory.replace(BTreeMap::from([(n1, n1_at.to_owned()), (n2, "b:1".to_owned())]));
        at("a:1");
        assert!(directory.is_at(n1, "a:2") && !directory.is_at(n1, "a:2"), "the second time it is no news");
        assert_eq!(directory.address(n1).as_deref(), Some("a:2"));
        assert!(directory.knows("a:2") && !directory.knows("a:1"));
        at("a:1");
        assert_eq!(directory.address(n1).as_deref(), Some("a:2"), "the membership says nothing new");
        assert!(directory.is_at(n1, "a:1"));
        assert_eq!(directory.address(n1).as_deref(), Some("a:1"), "it is back");
        assert!(directory.is_at(n1, "a:2"));
        at("a:3");
        assert_eq!(directory.address(n1).as_deref(), Some("a:3"), "the log was told, or an operator spoke");
        at("a:1");
        assert_eq!(directory.address(n1).as_deref(), Some("a:1"));
        assert!(!directory.is_at(NodeId::from(3), "c:1") && directory.address(NodeId::from(3)).is_none(), "no member");
    }
}
