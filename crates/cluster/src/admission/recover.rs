//! A member whose state is lost or damaged fetches another one's before Raft starts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sessile_store::{NodeId, RecoveringStore, Store, StoreError, off_the_runtime};
use tracing::{info, warn};

use super::newcomer::Newcomer;
use crate::error::StartError;
use crate::transport::{Fetching, Link, cluster_from_wire, fetch, why_silent};

/// How long before the members are asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// Waits for a member that can give a state, which must hold what this node's log had committed. While none can it waits
/// and says so: a node with a whole log never throws it away.
pub(crate) async fn recover(newcomer: &Newcomer, recovering: RecoveringStore) -> Result<Store, StartError> {
    newcomer.this.door().enter(recovering.cluster());
    let named = recovering.members();
    newcomer.this.door().members_are(named.iter().map(|(node, member)| (node, member)));
    warn!(
        reason = recovering.reason(),
        aside = %recovering.aside().map(|aside| aside.display().to_string()).unwrap_or_default(),
        "the state of this node is lost or damaged: another member's is fetched; id, vote and log are kept"
    );
    let mut recovering = Arc::new(recovering);
    // What came of a transfer that broke: the same member goes on with it.
    let mut fetching = Fetching::default();
    loop {
        let mut failures = Vec::new();
        for (node, address) in members(newcomer, &recovering).await {
            let link = Link::new(node, newcomer.this.directory().clone(), address.clone());
            let Ok(peer) = link.peer() else { continue };
            let (receiving, reach) = (recovering.clone(), recovering.must_reach());
            let fetched =
                fetch(newcomer.this.door(), node, peer, reach, &mut fetching, move || receiving.receive()).await;
            let (meta, snapshot) = match fetched {
                Ok(fetched) => fetched,
                Err(error) => {
                    failures.push(format!("node {node} at {address} gives none: {error}"));
                    continue;
                }
            };
            // Nobody else holds it: what received is done.
            let owned = Arc::try_unwrap(recovering)
                .map_err(|_| StartError::Raft("a state is still being received; this is a defect".into()))?;
            let index = meta.last_log_id.map_or(0, |last| last.index);
            let completed = off_the_runtime(move || owned.complete(snapshot, &meta)).await;
            let completed =
                completed.map_err(|_| StartError::Raft("the storage engine gave up on a fetched state".into()))?;
            match completed {
                Ok(store) => {
                    info!(from = %node, index, "the state of another member is in use");
                    return Ok(store);
                }
                Err(refused) => {
                    let (back, error) = *refused;
                    // A disk that failed here fails whatever another member gives.
                    if !matches!(error, StoreError::Transfer { .. }) {
                        return Err(error.into());
                    }
                    failures.push(format!("what node {node} gave is not used: {error}"));
                    recovering = Arc::new(back);
                }
            }
        }
        let mut waiting = vec![format!(
            "for a state that holds entry {}: this node's own is lost or damaged ({}), its log is whole and kept; if \
             no member has one, restore a backup",
            recovering.must_reach(),
            recovering.reason()
        )];
        waiting.extend(failures);
        let text = waiting.join("; ");
        if newcomer.lobby.wait_for(waiting) {
            warn!("this node waits {text}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The other members as far as they can be found: those that the log names, and whoever answers at a seed's address as
/// a node of the same cluster.
async fn members(newcomer: &Newcomer, recovering: &RecoveringStore) -> BTreeMap<NodeId, String> {
    let named = recovering.members().into_iter().map(|(node, member)| (node, member.address));
    let mut members: BTreeMap<NodeId, String> = named.collect();
    let seeds = newcomer.config.peers.as_ref().map(|peers| peers.seeds.clone()).unwrap_or_default();
    for seed in seeds.iter().filter(|seed| *seed != newcomer.this.address()) {
        match newcomer.probe(seed).await {
            Ok(found) if cluster_from_wire(&found.identity.cluster) == Some(recovering.cluster()) => {
                members.insert(found.node, seed.clone());
            }
            Ok(_) => {}
            Err(status) => info!("seed {seed} {}", why_silent(&status)),
        }
    }
    members.remove(&recovering.node());
    members.retain(|_, address| !address.is_empty());
    members
}
