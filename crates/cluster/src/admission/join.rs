use std::collections::BTreeSet;
use std::time::Duration;

use sessile_store::{ClusterId, Member};
use tokio::time::timeout;
use tonic::Status;

use super::service::{client, why_silent};
use crate::local::Local;
use crate::transport::{cluster_from_wire, id_to_wire};
use crate::wire::{JoinRequest, JoinResponse};

/// How long the leader may take to admit a node: one entry of the log, and perhaps an election before it.
const JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often one is sent on from one member to another before it counts as no answer.
const MAX_REDIRECTS: usize = 3;

/// Asks the members that are reached at these addresses to admit this node. Says to which cluster, or why nobody did.
pub(super) async fn join(local: &Local, via: &BTreeSet<String>) -> Result<ClusterId, BTreeSet<String>> {
    // Several may have sent this node on to the same one.
    let mut failures = BTreeSet::new();
    for first in via.iter().filter(|address| *address != local.address()) {
        let mut address = first.clone();
        for _ in 0..MAX_REDIRECTS {
            match ask(local, &address).await {
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

/// Tells the leader how this member is reached and what it can follow, if the membership says otherwise.
pub(crate) async fn announce(local: &Local, leader_address: &str) -> Result<(), Status> {
    match ask(local, leader_address).await? {
        JoinResponse { cluster, .. } if !cluster.is_empty() => Ok(()),
        JoinResponse { .. } => Err(Status::unavailable("it does not lead any more")),
    }
}

async fn ask(local: &Local, address: &str) -> Result<JoinResponse, Status> {
    let Member { name, address: own_address, rules_supported } = local.as_member();
    let request = JoinRequest {
        join_token: local.join_token().to_owned(),
        node: id_to_wire(local.node()),
        name,
        address: own_address,
        rules_supported: rules_supported.number(),
    };
    let mut client = client(local, address)?;
    let answer = timeout(JOIN_TIMEOUT, client.join(local.door.request(None, request, Some(JOIN_TIMEOUT)))).await;
    let answer = answer.map_err(|_| Status::deadline_exceeded("it does not answer in time"))?;
    local.door.receive_stranger(answer).map(|(_, answer)| answer)
}
