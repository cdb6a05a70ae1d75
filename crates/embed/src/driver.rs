//! What runs a node from its start to its end. Whoever owns it gives orders, and hears how far it is.

use std::time::Duration;

use sessile_cluster::{Incoming, Node as Running};
use sessile_store::engine::EngineKind;
use sessile_store::{Opening, StoreError};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::config::Config;
use crate::error::Error;
use crate::namespaces;
use crate::opening;
use crate::stage::{Stage, Teller};
use crate::watchdog::{Watch, Watchdog};

/// How long giving leadership away may take when this node leaves: a healthy voter takes it within a heartbeat.
const HAND_OVER: Duration = Duration::from_secs(2);

/// What a node is told to do at its end. Each is said once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Orders {
    /// Not to be ready any more, and to give leadership away.
    pub(crate) leave: CancellationToken,
    /// It is said here when that is done.
    pub(crate) left: CancellationToken,
    /// To stop; it leaves first, if it has not.
    pub(crate) stop: CancellationToken,
}

/// What a node is made of.
pub(crate) struct Means {
    pub(crate) config: Config,
    /// Where other members come in.
    pub(crate) peers: Option<TcpListener>,
    pub(crate) watch: Watch,
    /// Removed when the node has ended.
    pub(crate) temporary: Option<TempDir>,
}

/// Runs a node until it is told to stop or has a fault. If it is told before it is a member, what it had begun is as after a
/// crash, and the next start deals with it.
pub(crate) async fn drive(means: Means, orders: Orders, teller: Teller) -> Result<(), Error> {
    let ended = live(means, &orders, &teller).await;
    teller.is_at(Stage::Ended(ended.as_ref().err().map(ToString::to_string)));
    orders.left.cancel();
    ended
}

async fn live(means: Means, orders: &Orders, teller: &Teller) -> Result<(), Error> {
    let Means { config, peers, watch, temporary: _temporary } = means;
    let (hangs, hung) = oneshot::channel();
    let watchdog = Watchdog::start(&config.data_dir, watch, move |sentence| {
        // Nobody hears it when the node has just ended.
        let _ = hangs.send(sentence);
    });
    let watchdog = watchdog.map_err(Error::Watchdog)?;
    let start = Box::pin(start(&config, peers, teller));
    let Some(node) = orders.stop.run_until_cancelled(start).await.transpose()? else { return Ok(()) };
    watchdog.watch(node.cluster().work());
    namespaces::settle(&config, node.cluster()).await;
    teller.is_at(Stage::Member(node.cluster().clone()));
    let fault = tokio::select! {
        () = leave(&node, orders) => None,
        fault = node.faulted() => Some(Error::Fault(fault)),
        Ok(sentence) = hung => Some(Error::Hung(sentence)),
    };
    // To close a large store may take longer than what it waits for.
    drop(watchdog);
    match fault {
        None => node.stop().await.map_err(Error::Stop),
        Some(fault) => {
            node.abandon().await;
            Err(fault)
        }
    }
}

async fn start(config: &Config, peers: Option<TcpListener>, teller: &Teller) -> Result<Running, Error> {
    let listens = peers.as_ref().and_then(|listener| listener.local_addr().ok());
    let node_config = config.node_config(listens);
    let opening = open(config).await?;
    teller.is_at(Stage::Opened);
    Running::start(opening, node_config, peers.map(Incoming::Tcp)).await.map_err(Error::Start)
}

/// Leaves when it is told to, and returns when it is to stop.
async fn leave(node: &Running, orders: &Orders) {
    tokio::select! {
        () = orders.leave.cancelled() => {}
        () = orders.stop.cancelled() => {}
    }
    node.hand_over(HAND_OVER).await;
    orders.left.cancel();
    orders.stop.cancelled().await;
}

async fn open(config: &Config) -> Result<Opening, Error> {
    let (data_dir, old, options) = (config.data_dir.clone(), config.old_data, config.store_options());
    let is_alone = config.member.is_none();
    let opened = tokio::task::spawn_blocking(move || {
        let opening = opening::open(&data_dir, old, &options)?;
        if is_alone { opening::refuse_alone(opening, &data_dir) } else { Ok(opening) }
    })
    .await;
    // What the panic said stays unsaid: it may hold what was stored.
    let opening = opened.map_err(|_| Error::EngineGaveUp(config.data_dir.clone()))?.map_err(|error| match error {
        StoreError::Io { .. } => Error::Disk(error),
        other => Error::Store(other),
    })?;
    opening::tell(&opening);
    if config.engine == EngineKind::Sled {
        warn!(
            "storage.engine is sled: what is acknowledged outlives a crash of the process; the state is for small stores"
        );
    }
    Ok(opening)
}
