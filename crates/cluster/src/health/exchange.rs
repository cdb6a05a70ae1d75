use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sessile_store::{Member, NodeId};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cluster_health::ClusterHealth;
use crate::transport::{cluster_from_wire, refusal_of, why_silent};
use crate::wire::refusal::Reason;

/// How often members tell each other how they are.
const EVERY: Duration = Duration::from_secs(1);
/// How soon again while somebody has not answered.
const SOON: Duration = Duration::from_millis(250);
/// How long one may take to answer. Shorter than the deadline of a request.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Exchanges reports with every other member, for ever, and knocks at the address of those that do not answer: a node
/// that was reimaged hears of its cluster there.
pub(crate) async fn run(health: Arc<ClusterHealth>, stop: CancellationToken) {
    let group = &*health.group;
    loop {
        let membership = group.membership();
        let others: Vec<(NodeId, Member)> = membership
            .membership()
            .nodes()
            .filter(|(node, _)| **node != group.node)
            .map(|(node, member)| (*node, member.clone()))
            .collect();
        let voters: BTreeSet<NodeId> = membership.membership().voter_ids().collect();
        health.distances.retain(|node| voters.contains(&node) && voters.contains(&group.node));
        let exchange =
            join_all(others.iter().map(|(node, member)| report_to(&health, *node, member, voters.contains(node))));
        let Some(all) = stop.run_until_cancelled(exchange).await else { return };
        if group.state.is_removed(group.node) {
            group.stop_because_removed();
            return;
        }
        health.this.door().keep_out(group.state.removed());
        let all = all.into_iter().all(|answered| answered);
        let pause = tokio::time::sleep(if all { EVERY } else { SOON });
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Tells one member how this one is, and hears how it is. Says whether it answered.
async fn report_to(health: &ClusterHealth, node: NodeId, member: &Member, is_voter: bool) -> bool {
    let begin = Instant::now();
    let answer = async {
        let mut peer = health.this.directory().kept(node, &member.address)?;
        let request = health.this.door().request(Some(node), health.report(), Some(REPORT_TIMEOUT));
        let answer = timeout(REPORT_TIMEOUT, peer.report(request)).await;
        let answer = answer.map_err(|_| tonic::Status::deadline_exceeded("it does not answer in time"))?;
        health.this.door().receive(node, answer)
    };
    match answer.await {
        Ok(report) => {
            health.noticed.answers(node);
            if is_voter {
                let (took, name, own) = (begin.elapsed(), health.group.name_of(node), health.group.timing);
                for news in health.distances.answered(node, &name, took, report.max_rtt_ms, own) {
                    warn!("{news}");
                }
            }
            health.heard_of(node, report);
            true
        }
        Err(status) => {
            if let Some((Reason::Removed, text)) = refusal_of(&status) {
                info!("node {node} says: {text}");
                health.group.stop_because_removed();
            }
            if health.members.missed(node, health.group.clock.wall()) {
                warn!(%node, "{} {}", health.group.name_of(node), why_silent(&status));
            }
            knock(health, node).await;
            false
        }
    }
}

/// Shows this member's cluster to whoever answers at the address of a member that does not.
async fn knock(health: &ClusterHealth, node: NodeId) {
    let Some(address) = health.group.address_of(node).filter(|address| !address.is_empty()) else { return };
    // Who answers there, and what it makes of it, is its own business.
    let found = match health.this.probe(&address).await {
        Ok(found) => found,
        Err(status) => {
            if let Some((Reason::Removed, text)) = refusal_of(&status) {
                info!("at {address} is said: {text}");
                health.group.stop_because_removed();
            }
            return;
        }
    };
    let other = cluster_from_wire(&found.identity.cluster).filter(|other| *other != health.group.cluster);
    if let Some(other) = other.filter(|_| found.node != node) {
        let text = format!(
            "at {address}, the address of {}, a node of cluster {other} answers: the addresses of two clusters are mixed up",
            health.group.name_of(node)
        );
        if health.noticed.stranger_answers(node, &text) {
            warn!("{text}");
        }
    }
}
