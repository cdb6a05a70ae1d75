use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sessile_store::NodeId;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::reach::Reach;
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

/// Where the members are reached, as the membership says, and how.
#[derive(Clone)]
pub(crate) struct Directory {
    addresses: Arc<RwLock<BTreeMap<NodeId, String>>>,
    /// The connections that members keep open to each other for short calls, with the addresses that they lead to.
    kept: Arc<Mutex<BTreeMap<NodeId, Option<Connected>>>>,
    reach: Reach,
    timing: Timing,
}

/// A connection, and the address that it leads to.
type Connected = (String, Channel);

impl Directory {
    pub(crate) fn new(reach: Reach, timing: Timing) -> Self {
        Self { addresses: Arc::default(), kept: Arc::default(), reach, timing }
    }

    /// How far the members are at the most, and what follows from that.
    pub(crate) fn timing(&self) -> Timing {
        self.timing
    }

    pub(crate) fn replace(&self, addresses: BTreeMap<NodeId, String>) {
        self.kept.lock().retain(|node, _| addresses.contains_key(node));
        *self.addresses.write() = addresses;
    }

    pub(crate) fn address(&self, node: NodeId) -> Option<String> {
        self.addresses.read().get(&node).cloned()
    }

    /// A connection that comes about with the first call, and again after it broke.
    pub(crate) fn connect(&self, address: &str) -> Result<Channel, Status> {
        Ok(self.reach.connect_lazy(&self.endpoint(address)?))
    }

    /// A connection that is there, to a node that may be gone: nothing was sent if it is.
    pub(crate) async fn connect_now(&self, address: &str) -> Result<Channel, Status> {
        let connected = self.reach.connect(&self.endpoint(address)?).await;
        connected.map_err(|error| Status::unavailable(format!("{address} does not answer: {error}")))
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
                let channel = self.connect(&address)?;
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
            .tcp_nodelay(true)
            .http2_keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW))
    }
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
