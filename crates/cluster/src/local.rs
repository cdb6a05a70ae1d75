use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use sessile_store::NodeId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::NodeConfig;
use crate::admission::Lobby;
use crate::cluster::Inner;
use crate::transport::{Directory, Door};

/// What there is of a node from its first moment on, before it belongs to a cluster: what the gRPC services share.
pub(crate) struct Local {
    pub(crate) door: Arc<Door>,
    pub(crate) config: NodeConfig,
    pub(crate) directory: Directory,
    pub(crate) lobby: Lobby,
    /// Random: a new one tells the others that this node has started anew.
    pub(crate) start_id: u64,
    pub(crate) started: Instant,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
    leaving: AtomicBool,
    inner: OnceLock<Arc<Inner>>,
}

impl Local {
    pub(crate) fn new(node: NodeId, config: NodeConfig, lobby: Lobby) -> Self {
        Self {
            door: Arc::new(Door::new(node)),
            config,
            directory: Directory::default(),
            lobby,
            start_id: rand::random(),
            started: Instant::now(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            leaving: AtomicBool::new(false),
            inner: OnceLock::new(),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.door.node()
    }

    /// The member that this node is, once it is one.
    pub(crate) fn member(&self) -> Option<&Arc<Inner>> {
        self.inner.get()
    }

    /// From now on it is one.
    pub(crate) fn becomes(&self, member: Arc<Inner>) {
        // There is one start; a second call would change nothing.
        let _ = self.inner.set(member);
    }

    /// From now on this node says that it is not ready; what comes all the same is still done.
    pub(crate) fn leaves(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// `host:port` at which the others reach this node; empty in a cluster of one.
    pub(crate) fn address(&self) -> &str {
        self.config.peers.as_ref().map_or("", |peers| &peers.advertise)
    }
}
