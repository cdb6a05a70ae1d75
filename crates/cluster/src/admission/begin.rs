use std::collections::BTreeMap;
use std::time::Duration;

use sessile_store::{Member, NodeId, Reservation, Store};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::Status;

use super::enter::{ask_seeds, reserve};
use super::identity::reservation_from;
use super::newcomer::Newcomer;
use crate::config::PeersConfig;
use crate::error::StartError;
use crate::raft::Raft;
use crate::transport::Found;

/// How long between two tries to end the making of a cluster that was cut short.
const FINISH_AGAIN: Duration = Duration::from_millis(250);

/// Makes the cluster, if that is this node's part. One that is a cluster of one campaigns at once instead of waiting for
/// a leader that cannot be.
pub(crate) async fn begin(
    newcomer: &Newcomer,
    store: &Store,
    raft: &Raft,
    first: Option<BTreeMap<NodeId, Member>>,
    (tasks, stop): (&TaskTracker, &CancellationToken),
) -> Result<(), StartError> {
    let failed = |error: &dyn std::fmt::Display| StartError::Raft(error.to_string());
    let id = store.node();
    if raft.is_initialized().await.map_err(|error| failed(&error))? {
        store.settle()?;
        let voters: Vec<NodeId> = raft.voter_ids().collect();
        if newcomer.config.peers.is_none() && voters.iter().any(|voter| *voter != id) {
            let what = "its log names other members, but its configuration has no `cluster` block: add it again";
            return Err(StartError::Raft(what.into()));
        }
        if voters == [id] {
            raft.trigger().elect(false).await.map_err(|error| failed(&error))?;
        }
        return Ok(());
    }
    if let Some(first) = first {
        // The reservation stays until a start finds the first entry on the disk: it need not be there yet.
        return raft.initialize(first).await.map_err(|error| failed(&error));
    }
    let reservation = store.reservation()?;
    match (&newcomer.config.peers, reservation) {
        // It was stopped before it had made its cluster of one.
        (None, Some(own)) if own.initiator == id => {
            raft.initialize(BTreeMap::from([(id, newcomer.this.as_member())])).await.map_err(|error| failed(&error))
        }
        // It was stopped as the one who makes the cluster, before it had.
        (Some(peers), Some(own)) if own.initiator == id => {
            let (newcomer, raft, peers, stop) = (newcomer.clone(), raft.clone(), peers.clone(), stop.clone());
            tasks.spawn(async move {
                let finishing = async {
                    while !raft.is_initialized().await.unwrap_or(true) {
                        if let Some(first) = first_members(&newcomer, &peers, own).await {
                            // Somebody else may have been first, who asked it to join.
                            let _ = raft.initialize(first).await;
                        }
                        tokio::time::sleep(FINISH_AGAIN).await;
                    }
                };
                stop.run_until_cancelled(finishing).await;
            });
            Ok(())
        }
        (None, _) => {
            let what = "it was joining a cluster: add the `cluster` block to its configuration again";
            Err(StartError::Raft(what.into()))
        }
        // The leader will call.
        (Some(_), _) => Ok(()),
    }
}

/// The first members for a node that adopted its cluster as the one who makes it, and was stopped before it had: the same
/// seeds, as they are now. `None` while that cannot be told; then it is asked again.
async fn first_members(newcomer: &Newcomer, peers: &PeersConfig, own: Reservation) -> Option<BTreeMap<NodeId, Member>> {
    let found = ask_seeds(newcomer, peers).await;
    let waits_for_us = |answer: &Result<Found, Status>| {
        let reserved = |Found { identity, .. }: &Found| reservation_from(&identity.reserved, &identity.initiator);
        answer.as_ref().is_ok_and(|seed| reserved(seed) == Some(own))
    };
    // Nobody waits for a cluster that an operator made of this node alone.
    if !found.values().any(waits_for_us) {
        return None;
    }
    let mut first = BTreeMap::from([(newcomer.this.node(), newcomer.this.as_member())]);
    for (address, answer) in &found {
        let found = answer.as_ref().ok()?;
        reserve(newcomer, address, found.node, own).await.ok()?;
        first.insert(found.node, found.as_member(address));
    }
    Some(first)
}
