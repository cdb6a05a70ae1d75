//! Who is left of a cluster, asked for a node that does not run.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use sessile_store::{NodeId, Rescue, off_the_runtime};

use super::own_key::find;
use super::starting::Starting;
use crate::admission::Lobby;
use crate::config::NodeConfig;
use crate::error::StartError;

/// The other members that answer at their addresses, or at those of the seeds, and prove who they are.
///
/// # Errors
/// This node's key is lost or unreadable.
pub async fn who_answers(rescue: &Rescue, config: NodeConfig) -> Result<BTreeSet<NodeId>, StartError> {
    let plan = rescue.plan();
    let members: Vec<_> = plan.voters.iter().chain(&plan.learners).collect();
    let named = plan.member.as_ref().map(|member| member.keys.clone()).unwrap_or_default();
    let (file, path) = (rescue.key_file(), rescue.key_file().path());
    let key = off_the_runtime(move || Ok::<_, StartError>((find(&file, &named)?, file))).await;
    let key = key.map_err(|_| StartError::Key { path, what: "a panic; this is a defect".into() })??;
    let starting = Starting::new(plan.node, key, Lobby::default(), config)?;
    let this = &starting.newcomer.this;
    this.door().enter(plan.cluster);
    this.door().members_are(members.iter().map(|(node, member)| (node, member)));
    let seeds = starting.newcomer.config.peers.iter().flat_map(|peers| peers.seeds.iter());
    let mut addresses: BTreeSet<&str> = members.iter().map(|(_, member)| member.address.as_str()).collect();
    addresses.extend(seeds.map(String::as_str));
    addresses.retain(|address| !address.is_empty() && *address != this.address());
    let found = join_all(addresses.into_iter().map(|address| this.probe(address))).await;
    let answering = found.into_iter().flatten().map(|found| found.node);
    Ok(answering.filter(|node| members.iter().any(|(member, _)| member == node)).collect())
}
