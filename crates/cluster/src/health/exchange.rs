use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{join, join_all};
use sessile_store::{Member, NodeId};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::cluster_health::ClusterHealth;
use super::search;
use crate::transport::why_silent;

/// How often members tell each other how they are.
const EVERY: Duration = Duration::from_secs(1);
/// How soon again while somebody has not answered.
const SOON: Duration = Duration::from_millis(250);
/// How long one may take to answer. Shorter than the deadline of a request.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Exchanges reports with every other member, for ever, and knocks at the address of those that do not answer: a node
/// that was reimaged hears of its cluster there. Looks for them at the seeds too.
pub(crate) async fn run(health: Arc<ClusterHealth>, seeds: Vec<String>, stop: CancellationToken) {
    let group = &*health.group;
    let mut is_somebody_silent = false;
    // Who had left when that was last looked at. It takes the whole history to tell, and changes with the membership.
    let mut left = None;
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
        // At the same time: whoever answers must hear of this member as often as ever.
        let search = async {
            if is_somebody_silent {
                search::at_seeds(&health, &seeds).await;
            }
        };
        let Some((all, ())) = stop.run_until_cancelled(join(exchange, search)).await else { return };
        let now = (group.state.removed(), *group.membership().log_id());
        if left.as_ref() != Some(&now) {
            let (removed, replaced) = (now.0.clone(), group.replaced());
            if removed.contains(&group.node) {
                if replaced.contains(&group.node) && health.this.rejoins() {
                    group.stop_because_replaced();
                } else {
                    group.stop_because_removed();
                }
                return;
            }
            // First who may come back: none of them is to be told that it may not.
            health.this.door().may_rejoin(replaced);
            health.this.door().keep_out(removed);
            left = Some(now);
        }
        is_somebody_silent = all.contains(&false);
        let pause = tokio::time::sleep(if is_somebody_silent { SOON } else { EVERY });
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
            // Found elsewhere it says nothing of who is where the membership has it.
            if health.this.directory().address(node).as_ref() == Some(&member.address) {
                health.noticed.answers(node);
            }
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
            health.group.stops_if_told_to(&status, health.this.rejoins());
            if health.members.missed(node, health.group.clock.wall()) {
                warn!(%node, "{} {}", health.group.name_of(node), why_silent(&status));
            }
            search::knock(health, node).await;
            false
        }
    }
}
