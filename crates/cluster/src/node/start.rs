use std::time::Duration;

use openraft::base::BoxFuture;
use sessile_store::{Opened, Opening, RecoveringStore, Store, off_the_runtime};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::cluster::{Cluster, Parts};
use super::member::start_member;
use super::own_key::own_key;
use super::starting::Starting;
use crate::admission::{Entered, Lobby, enter, recover};
use crate::config::NodeConfig;
use crate::error::StartError;
use crate::group::voters;
use crate::membership::hand_over;
use crate::transport::{Incoming, LocalSocket};

/// How long Raft may take to end on a node that has a fault. It ends between two steps, if its disk lets it.
const LEAVING_RAFT: Duration = Duration::from_secs(1);

/// A running member. Whoever holds it stops it.
pub struct Node {
    store: Store,
    cluster: Cluster,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Whatever becomes of this value, nothing goes on without it.
    _stops: DropGuard,
}

impl Node {
    /// Starts a node, and returns once it is a member with Raft running; there need not be a leader yet, requests wait for
    /// one. A pristine node first finds or makes its cluster, and one that lost its state first fetches another one's:
    /// that may take for ever, and ends when this future is dropped. Meanwhile what comes in is answered:  probes and operators.
    ///
    /// The futures of a node are boxed: the body of an `async fn` is compiled by the crate that awaits it, and the program
    /// would compile most of this crate, and openraft, a second time.
    pub fn start(
        opening: Opening,
        config: NodeConfig,
        incoming: Option<Incoming>,
    ) -> BoxFuture<'static, Result<Self, StartError>> {
        Box::pin(Self::start_unboxed(opening, config, incoming))
    }

    async fn start_unboxed(
        opening: Opening,
        config: NodeConfig,
        incoming: Option<Incoming>,
    ) -> Result<Self, StartError> {
        let key = own_key(&opening).await?;
        let (node, lobby, known) = match opening {
            Opening::Pristine(store) => (store.node(), Lobby::pristine(store), Known::Nothing),
            Opening::Member(store, opened) => {
                (store.node(), Lobby::default(), Known::All(store, opened == Opened::Unchecked))
            }
            Opening::Recovering(store) => (store.node(), Lobby::default(), Known::Log(store)),
        };
        let starting = Starting::new(node, key, lobby, config)?;
        let stops = starting.stop.clone().drop_guard();
        let local = local_socket(&starting.newcomer.config).await;
        if incoming.is_some() || local.is_some() {
            starting.tasks.spawn(starting.services().serve(incoming, local));
        }
        let (store, first, unchecked) = match known {
            Known::All(store, unchecked) => (store, None, unchecked),
            Known::Log(store) => (recover(&starting.newcomer, store).await?, None, false),
            Known::Nothing => {
                let Entered { store, first } = enter(&starting.newcomer).await?;
                (store, first, false)
            }
        };
        let cluster = Box::pin(start_member(&starting, &store, first, unchecked)).await?;
        let Starting { tasks, stop, .. } = starting;
        Ok(Self { store, cluster, tasks, stop, _stops: stops })
    }

    /// The handle through which requests go.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns when this node must stop because of a fault of its own, and says which.
    pub async fn faulted(&self) -> String {
        self.cluster.parts.group.fault.told().await
    }

    /// Tells balancers to look elsewhere, and gives leadership to another voter, if this node leads and there is one that
    /// answers. Returns when it no longer leads, or nobody can take over, or the time is up.
    pub fn hand_over(&self, within: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.hand_over_unboxed(within))
    }

    async fn hand_over_unboxed(&self, within: Duration) {
        let Parts { group, health, readiness, .. } = &*self.cluster.parts;
        readiness.leaves();
        if !group.leads() || voters(&group.membership()).len() < 2 {
            return;
        }
        match hand_over(group, health, None, within).await {
            Ok(successor) => info!(leader = group.name_of(successor), "leadership was handed over"),
            Err(status) => warn!("leadership was not handed over: {}", status.message()),
        }
    }

    /// Lets go of a node that has a fault, and touches its disk no more: its store is not closed, and stays taken for as long
    /// as the process lives. Requests are told that it stops.
    pub fn abandon(self) -> BoxFuture<'static, ()> {
        Box::pin(self.abandon_unboxed())
    }

    async fn abandon_unboxed(self) {
        let Self { store, cluster, stop, .. } = self;
        // Not dropped: a destructor would write to the disk that has just failed, and sled's panics there.
        std::mem::forget(store);
        stop.cancel();
        // Nobody is to stay behind who leads or campaigns. Raft may wait for the disk for ever.
        let _ = tokio::time::timeout(LEAVING_RAFT, cluster.parts.group.raft.shutdown()).await;
    }

    /// Ends cleanly: what is acknowledged is durable, and the next start need not check the state. Requests must have
    /// ended before.
    pub fn stop(self) -> BoxFuture<'static, Result<(), StartError>> {
        Box::pin(self.stop_unboxed())
    }

    async fn stop_unboxed(self) -> Result<(), StartError> {
        self.stop.cancel();
        self.tasks.wait().await;
        self.cluster.parts.group.raft.shutdown().await.map_err(|error| StartError::Raft(error.to_string()))?;
        let closed = off_the_runtime(move || self.store.close()).await;
        Ok(closed.map_err(|_| StartError::Raft("the storage engine gave up while it was closed".into()))??)
    }
}

/// Where operators on this machine come in, if that was asked for. A node whose disk holds no sockets goes without.
async fn local_socket(config: &NodeConfig) -> Option<LocalSocket> {
    if !config.admin_socket {
        return None;
    }
    let dir = config.data_dir.clone();
    let bound = off_the_runtime(move || LocalSocket::bind(&dir)).await.ok()?;
    let told = bound.inspect(|socket| info!(path = %socket.path().display(), "answering operators on this machine"));
    let warned = told.inspect_err(|error| {
        let dir = config.data_dir.display();
        warn!(%error, "no socket in {dir} for operators on this machine; the node goes on without it");
    });
    warned.ok()
}

/// What a node's disk holds when it starts.
enum Known {
    Nothing,
    Log(RecoveringStore),
    /// With a state whose counts are yet to be checked, or not.
    All(Store, bool),
}
