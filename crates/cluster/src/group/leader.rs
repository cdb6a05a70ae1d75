use openraft::async_runtime::watch::WatchReceiver as _;
use sessile_store::NodeId;

use crate::raft::ServerMetrics;

/// Returns when, by what is known here, another node leads or none does, or this one's Raft has ended.
pub(crate) async fn another_leads(mut server: ServerMetrics, leader: NodeId) {
    while server.borrow_watched().current_leader == Some(leader) && server.changed().await.is_ok() {}
}
