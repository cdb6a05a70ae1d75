use std::collections::BTreeSet;

use sessile_store::ClusterId;

use super::newcomer::Newcomer;
use crate::transport::{cluster_from_wire, why_silent};
use crate::wire::JoinResponse;

/// How often one is sent on from one member to another before it counts as no answer.
const MAX_REDIRECTS: usize = 3;

/// Asks the members that are reached at these addresses to admit this node. Says to which cluster, or why nobody did.
pub(super) async fn join(newcomer: &Newcomer, via: &BTreeSet<String>) -> Result<ClusterId, BTreeSet<String>> {
    // Several may have sent this node on to the same one.
    let mut failures = BTreeSet::new();
    for first in via.iter().filter(|address| *address != newcomer.this.address()) {
        let mut address = first.clone();
        for _ in 0..MAX_REDIRECTS {
            match newcomer.this.ask_to_join(&address).await {
                Ok(JoinResponse { cluster, .. }) if !cluster.is_empty() => match cluster_from_wire(&cluster) {
                    Some(cluster) => return Ok(cluster),
                    None => drop(failures.insert(format!("member {address} names no readable cluster"))),
                },
                Ok(JoinResponse { leader_address, .. }) if !leader_address.is_empty() && leader_address != address => {
                    address = leader_address;
                    continue;
                }
                Ok(_) => drop(failures.insert(format!("member {address} knows no leader of its cluster now"))),
                Err(status) => drop(failures.insert(format!("member {address} {}", why_silent(&status)))),
            }
            break;
        }
    }
    if failures.is_empty() {
        failures.insert("no member of its cluster is known".into());
    }
    Err(failures)
}
