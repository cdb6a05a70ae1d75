use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use sessile_core::RulesVersion;
use sessile_store::{Member, NodeId};
use tokio::sync::SetOnce;
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
    /// Weak, or none of the two would ever go: it has this one.
    inner: SetOnce<Weak<Inner>>,
}

impl Local {
    pub(crate) fn new(node: NodeId, config: NodeConfig, lobby: Lobby) -> Self {
        Self {
            door: Arc::new(Door::new(node)),
            directory: Directory::new(config.reach.clone()),
            config,
            lobby,
            start_id: rand::random(),
            started: Instant::now(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            leaving: AtomicBool::new(false),
            inner: SetOnce::new(),
        }
    }

    pub(crate) fn node(&self) -> NodeId {
        self.door.node()
    }

    /// The member that this node is, once it is one and as long as it runs.
    pub(crate) fn member(&self) -> Option<Arc<Inner>> {
        self.inner.get()?.upgrade()
    }

    /// Waits until it is one.
    pub(crate) async fn when_member(&self) {
        self.inner.wait().await;
    }

    /// From now on it is one.
    pub(crate) fn becomes(&self, member: &Arc<Inner>) {
        // There is one start; a second call would change nothing.
        let _ = self.inner.set(Arc::downgrade(member));
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

    /// What the membership is to say of this node.
    pub(crate) fn as_member(&self) -> Member {
        Member {
            name: self.config.name.clone(),
            address: self.address().to_owned(),
            rules_supported: RulesVersion::SUPPORTED,
        }
    }

    /// What proves to other nodes that this one may join, or may ask them to; empty if none is asked for.
    pub(crate) fn join_token(&self) -> &str {
        self.config.peers.as_ref().map_or("", |peers| peers.join_token.reveal())
    }

    /// Whether that proves that somebody may join, or may ask this node to. A node without peers takes nobody's word.
    pub(crate) fn admits(&self, join_token: &str) -> bool {
        self.config.peers.as_ref().is_some_and(|peers| peers.join_token.admits(join_token))
    }
}
