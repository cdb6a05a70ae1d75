//! What a member looks at for as long as it runs: who belongs to the cluster, who leads it, and whether Raft still runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use sessile_store::NodeId;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::cluster::Inner;

/// How often it is looked whether Raft still runs.
const RAFT_WATCH: Duration = Duration::from_millis(50);

/// Whoever is a member is found at the address that the membership says.
pub(crate) fn follow_membership(inner: &Inner) {
    let membership = inner.membership();
    let addresses: BTreeMap<NodeId, String> =
        membership.membership().nodes().map(|(node, member)| (*node, member.address.clone())).collect();
    inner.members.retain(|member| addresses.contains_key(&member));
    inner.local.directory.replace(addresses);
}

/// Follows the membership, and tells of every new leader.
pub(crate) async fn membership(inner: Arc<Inner>, stop: CancellationToken) {
    let mut server = inner.server.clone();
    let mut leader = None;
    loop {
        let (now, term) = {
            let server = server.borrow_and_update();
            (server.current_leader, server.vote.leader_id.term)
        };
        follow_membership(&inner);
        if now != leader
            && let Some(now) = now
        {
            inner.leader_changes.fetch_add(1, Ordering::Relaxed);
            info!(leader = inner.name_of(now), term, "a new leader is known");
        }
        leader = now;
        if !matches!(stop.run_until_cancelled(server.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

/// Raft ends itself on a fault of the storage under it; then so does the node. Looked at now and then instead of at every
/// change: these metrics change with every entry.
pub(crate) async fn raft(inner: Arc<Inner>, stop: CancellationToken) {
    let metrics = inner.raft.metrics();
    let mut server = inner.server.clone();
    loop {
        if let Err(fatal) = &metrics.borrow_watched().running_state
            && !stop.is_cancelled()
        {
            stop_with(&inner, fatal);
            return;
        }
        let ended = tokio::select! {
            changed = server.changed() => changed.is_err(),
            () = tokio::time::sleep(RAFT_WATCH) => false,
            () = stop.cancelled() => return,
        };
        if ended {
            // Its last words are there when it is gone.
            match &metrics.borrow_watched().running_state {
                Err(fatal) => stop_with(&inner, fatal),
                Ok(()) => stop_with(&inner, &"Raft ended without a word; this is a defect"),
            }
            return;
        }
    }
}

/// What Raft says last may be that the state machine is gone, and not why (openraft 0.10.0-alpha.37): the state knows.
fn stop_with(inner: &Inner, last_words: &dyn std::fmt::Display) {
    match inner.state.ended() {
        Some(why) => inner.stop_for(&why),
        None => inner.stop_for(last_words),
    };
}
