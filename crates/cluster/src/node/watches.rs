//! What a member looks at for as long as it runs: who belongs to the cluster, who leads it, and whether Raft still runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use sessile_store::NodeId;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::group::Group;
use crate::health::Members;
use crate::transport::Directory;

/// How often it is looked whether Raft still runs.
const RAFT_WATCH: Duration = Duration::from_millis(50);

/// Whoever is a member is found at the address that the membership says, and recognised by the key.
pub(super) fn follow_membership(group: &Group, members: &Members, directory: &Directory) {
    let membership = group.membership();
    directory.door().members_are(membership.membership().nodes());
    let addresses: BTreeMap<NodeId, String> =
        membership.membership().nodes().map(|(node, member)| (*node, member.address.clone())).collect();
    members.retain(|member| addresses.contains_key(&member));
    directory.replace(addresses);
}

/// Follows the membership, and tells of every new leader.
pub(super) async fn membership(
    group: Arc<Group>,
    members: Arc<Members>,
    directory: Directory,
    stop: CancellationToken,
) {
    let mut server = group.server.clone();
    // Who was known to lead last, and in which term.
    let mut last: Option<(NodeId, u64)> = None;
    loop {
        let now = {
            let server = server.borrow_and_update();
            server.current_leader.map(|leader| (leader, server.vote.leader_id.term))
        };
        follow_membership(&group, &members, &directory);
        group.note_membership();
        if let Some((leader, term)) = now.filter(|now| last != Some(*now)) {
            // The first one that a node hears of after its start has not changed.
            if last.is_some() {
                group.has_another_leader();
            }
            info!(leader = group.name_of(leader), term, "a new leader is known");
            last = now;
        }
        if !matches!(stop.run_until_cancelled(server.changed()).await, Some(Ok(()))) {
            return;
        }
    }
}

/// Raft ends itself on a fault of the storage under it; then so does the node. Looked at now and then instead of at every
/// change: these metrics change with every entry.
pub(super) async fn raft(group: Arc<Group>, stop: CancellationToken) {
    let metrics = group.raft.metrics();
    let mut server = group.server.clone();
    loop {
        if let Err(fatal) = &metrics.borrow_watched().running_state
            && !stop.is_cancelled()
        {
            stop_with(&group, fatal);
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
                Err(fatal) => stop_with(&group, fatal),
                Ok(()) => stop_with(&group, &"Raft ended without a word; this is a defect"),
            }
            return;
        }
    }
}

/// What Raft says last may be that the state machine is gone, and not why (openraft 0.10.0-alpha.37): the state knows.
fn stop_with(group: &Group, last_words: &dyn std::fmt::Display) {
    match group.state.ended() {
        Some(why) => group.stop_for(&why),
        None => group.stop_for(last_words),
    };
}
