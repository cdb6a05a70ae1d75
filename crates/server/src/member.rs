//! This process as a member of its cluster: how its data is opened, how it starts, what it tells of itself and how it
//! leaves. The one file that wires what `sessile-store` opens to what `sessile-cluster` runs.

use std::time::Duration;

use sessile_cluster::admin::{MemberStatus, Role, StatusResponse};
use sessile_cluster::{Cluster, ClusterError, Found, Node, NodeConfig};
use sessile_core::{NamespaceId, SessionKey};
use sessile_store::{DataDir, Opened, Store, StoreError, StoreOptions};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Config;
use crate::exit::{Failure, Status};

/// What the data directory held.
pub(crate) type Opening = (Store, Opened);

/// What becomes of what a former life left on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldData {
    /// It is gone on with.
    Keep,
    /// It is set aside, and this is a new node that may only join.
    SetAside,
}

/// This version runs a single node, and says so before it touches anything.
pub(crate) fn refuse_peers(config: &Config) -> anyhow::Result<()> {
    match config.cluster {
        None => Ok(()),
        Some(_) => Err(Failure::new(Status::Usage, "this version runs a single node; remove `cluster`").into()),
    }
}

/// Opens the data directory, which may take as long as reading all of it. Blocks.
pub(crate) fn open(dir: DataDir, old: OldData, options: &StoreOptions) -> Result<Opening, StoreError> {
    debug_assert_eq!(old, OldData::Keep, "refused before");
    Store::open(dir, options)
}

/// Tells how it was found.
pub(crate) fn tell((store, opened): &Opening) {
    match opened {
        Opened::New => info!(node = %store.node(), cluster = %store.cluster(), "this is a new node"),
        Opened::Clean => info!("the last stop was clean"),
        Opened::Checked(report) => {
            info!(records = report.records, bytes = report.bytes, "the state was checked and is whole");
        }
        Opened::Rebuilt { reason, aside } => {
            let aside = aside.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
            warn!(reason, aside, "the state was lost or damaged; the log, which is whole, makes it again");
        }
    }
}

/// Starts it, and returns once it is a member of a cluster.
pub(crate) async fn start(
    (store, _): Opening,
    config: NodeConfig,
    _listener: Option<TcpListener>,
) -> anyhow::Result<Node> {
    Ok(Node::start(store, config).await?)
}

/// What this node knows of a key, and how old that is at most.
pub(crate) async fn read_local(
    cluster: &Cluster,
    namespace: NamespaceId,
    key: &SessionKey,
    deadline: Instant,
) -> Result<(Option<Found>, Duration), ClusterError> {
    Ok((cluster.read(namespace, key, deadline).await?, Duration::ZERO))
}

/// Gives leadership away, if it has it and there is somebody to have it.
pub(crate) async fn hand_over(_node: &Node, _within: Duration) {}

/// What it knows of its cluster.
pub(crate) async fn status(cluster: &Cluster) -> StatusResponse {
    let status = cluster.status();
    let id = status.node.to_string();
    let leader_id = if status.is_leader { id.clone() } else { String::new() };
    StatusResponse {
        cluster_id: status.cluster.to_string(),
        node_id: id.clone(),
        leader_id,
        term: status.term,
        ready: status.is_leader,
        members: vec![MemberStatus {
            id,
            role: if status.is_leader { Role::Leader } else { Role::Follower }.into(),
            voter: true,
            term: status.term,
            applied: status.applied.unwrap_or(0),
            last_contact_ms: Some(0),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            reachable: true,
            disk_free_bytes: status.disk_free_bytes,
            ..MemberStatus::default()
        }],
        version: env!("CARGO_PKG_VERSION").to_owned(),
        clock_ms: status.clock.as_millis(),
        ..StatusResponse::default()
    }
}
