//! Where members are that do not answer: at the address that the membership says, where they say themselves, or at a seed.
//! All of them may have come back at other addresses at once, and then nobody leads who could be told.

use futures_util::future::join_all;
use sessile_store::NodeId;
use tracing::{info, warn};

use super::cluster_health::ClusterHealth;
use crate::transport::{Found, cluster_from_wire};

/// Shows this member's cluster to whoever answers at the address of a member that does not, and looks where that member said
/// that it is when it called.
pub(super) async fn knock(health: &ClusterHealth, node: NodeId) {
    let Some(said) = health.group.address_of(node).filter(|address| !address.is_empty()) else { return };
    let calls_from = health.members.address(node).filter(|address| !address.is_empty() && *address != said);
    join_all([Some(said), calls_from].iter().flatten().map(|address| ask(health, address, Some(node)))).await;
}

/// Looks for members at the seeds at which none is known.
pub(super) async fn at_seeds(health: &ClusterHealth, seeds: &[String]) {
    let is_open = |seed: &&String| *seed != health.this.address() && !health.this.directory().knows(seed);
    join_all(seeds.iter().filter(is_open).map(|seed| ask(health, seed, None))).await;
}

/// Asks who answers there, in the place of that member if one is meant.
async fn ask(health: &ClusterHealth, address: &str, meant: Option<NodeId>) {
    // Whoever answers there hears of this cluster, and what it makes of that is its own business.
    let Found { node: answered, identity, .. } = match health.this.probe(address).await {
        Ok(found) => found,
        Err(status) => {
            health.group.stops_if_told_to(&status, health.this.rejoins());
            return;
        }
    };
    match cluster_from_wire(&identity.cluster) {
        Some(cluster) if cluster == health.group.cluster => {
            // One that answers is where it is: behind a name that stands for several nodes anybody may answer.
            let is_lost = Some(answered) == meant || !health.is_well(answered);
            let is_at = if identity.address.is_empty() { address } else { &identity.address };
            if answered != health.group.node && is_lost && health.this.directory().is_at(answered, is_at) {
                info!(node = %answered, "{} is found at {is_at}", health.group.name_of(answered));
            }
        }
        Some(other) => {
            let Some(node) = meant else { return };
            let text = format!(
                "at {address}, the address of {}, a node of cluster {other} answers: the addresses of two clusters are \
                 mixed up",
                health.group.name_of(node)
            );
            if health.noticed.stranger_answers(node, &text) {
                warn!("{text}");
            }
        }
        None => {}
    }
}
