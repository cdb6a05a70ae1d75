use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use openraft::async_runtime::watch::WatchReceiver as _;
use sessile_store::{Member, NodeId};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admission::{announce, probe, why_silent};
use crate::cluster::Inner;
use crate::transport::{Link, cluster_from_wire, refusal_of};
use crate::wire::refusal::Reason;

/// How often members tell each other how they are.
const EVERY: Duration = Duration::from_secs(1);
/// How soon again while somebody has not answered.
const SOON: Duration = Duration::from_millis(250);
/// How long one may take to answer. Shorter than the deadline of a request.
const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// Exchanges reports with every other member, for ever, and knocks at the address of those that do not answer: a node
/// that was reimaged hears of its cluster there.
pub(crate) async fn run(inner: Arc<Inner>, stop: CancellationToken) {
    let found = OnceLock::new();
    // Beside the reports, and not between two of them, where an operator's word may have come first.
    let finds = async {
        if let Some(Some(member)) = stop.run_until_cancelled(first_found(&inner)).await {
            let _ = found.set(member);
        }
    };
    tokio::join!(finds, exchange_for_ever(&inner, &stop, &found));
}

/// What the membership says of this member as soon as it says anything. `None` if Raft ends before.
async fn first_found(inner: &Inner) -> Option<Member> {
    let mut server = inner.server.clone();
    loop {
        let known = server.borrow_and_update().membership_config.membership().get_node(&inner.node).cloned();
        if known.is_some() {
            return known;
        }
        server.changed().await.ok()?;
    }
}

async fn exchange_for_ever(inner: &Inner, stop: &CancellationToken, found: &OnceLock<Member>) {
    let mut links: Vec<Link> = Vec::new();
    let mut announced = false;
    loop {
        let membership = inner.membership();
        let others: Vec<(NodeId, Member)> = membership
            .membership()
            .nodes()
            .filter(|(node, _)| **node != inner.node)
            .map(|(node, member)| (*node, member.clone()))
            .collect();
        links.retain(|link| others.iter().any(|(node, _)| *node == link.node()));
        for (node, member) in &others {
            if !links.iter().any(|link| link.node() == *node) {
                links.push(Link::new(*node, inner.local.directory.clone(), member.address.clone()));
            }
        }
        let exchange = async {
            let all = join_all(links.iter().map(|link| report_to(inner, link))).await;
            if !announced {
                announced = announce_what_changed(inner, found.get()).await;
            }
            all.into_iter().all(|answered| answered)
        };
        let Some(all) = stop.run_until_cancelled(exchange).await else { return };
        if inner.state.is_removed(inner.node) {
            inner.stop_because_removed();
            return;
        }
        inner.local.door.keep_out(inner.state.removed());
        let pause = tokio::time::sleep(if all { EVERY } else { SOON });
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Tells one member how this one is, and hears how it is. Says whether it answered.
async fn report_to(inner: &Inner, link: &Link) -> bool {
    let node = link.node();
    let answer = async {
        let mut peer = link.peer()?;
        let request = inner.local.door.request(Some(node), inner.report(), Some(REPORT_TIMEOUT));
        let answer = timeout(REPORT_TIMEOUT, peer.report(request)).await;
        let answer = answer.map_err(|_| tonic::Status::deadline_exceeded("it does not answer in time"))?;
        inner.local.door.receive(node, answer)
    };
    match answer.await {
        Ok(report) => {
            inner.strangers.lock().remove(&node);
            inner.heard_of(node, report);
            true
        }
        Err(status) => {
            if let Some((Reason::Removed, text)) = refusal_of(&status) {
                info!("node {node} says: {text}");
                inner.stop_because_removed();
            }
            if inner.members.missed(node, inner.clock.wall()) {
                warn!(%node, "{} {}", inner.name_of(node), why_silent(&status));
            }
            knock(inner, node).await;
            false
        }
    }
}

/// Shows this member's cluster to whoever answers at the address of a member that does not.
async fn knock(inner: &Inner, node: NodeId) {
    let Some(address) = inner.address_of(node).filter(|address| !address.is_empty()) else { return };
    // Who answers there, and what it makes of it, is its own business.
    if let Ok((answered, identity)) = probe(&inner.local, &address).await
        && answered != node
    {
        let other = cluster_from_wire(&identity.cluster).filter(|other| *other != inner.cluster);
        if let Some(other) = other {
            let text = format!(
                "at {address}, the address of {}, a node of cluster {other} answers: the addresses of two clusters are \
                 mixed up",
                inner.name_of(node)
            );
            if inner.strangers.lock().insert(node, text.clone()).as_ref() != Some(&text) {
                warn!("{text}");
            }
        }
    }
}

/// Once after a start: what the membership says of this member is what its configuration says, or the leader is told.
/// `found` is what it said when this node had started. Says whether it is settled.
async fn announce_what_changed(inner: &Inner, found: Option<&Member>) -> bool {
    let wanted = inner.local.as_member();
    let membership = inner.membership();
    if is_settled(found, membership.membership().get_node(&inner.node), &wanted) {
        return true;
    }
    // A node that is no member yet is admitted by the one way there is.
    if found.is_none() {
        return false;
    }
    let Some(leader) = inner.leader() else { return false };
    let told = if leader == inner.node {
        inner.admit(inner.node, wanted, None).await.map(drop)
    } else {
        let Some(address) = inner.address_of(leader) else { return false };
        announce(&inner.local, &address).await
    };
    if let Err(status) = &told {
        warn!("the leader does not take over this node's new name, address or rules: {}", status.message());
    }
    told.is_ok()
}

/// Whether there is nothing to tell of a member: what is known is what it wants, or somebody has changed it since it was
/// found, whose word stays until the node starts anew (an operator's `set-address`).
fn is_settled(found: Option<&Member>, known: Option<&Member>, wanted: &Member) -> bool {
    known == Some(wanted) || found.is_some() && known != found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_said_after_the_start_stays() {
        let at = |address: &str| Member { name: "n3".into(), address: address.into(), ..Member::default() };
        let (old, new, said) = (at("a:1"), at("b:1"), at("c:1"));
        assert!(!is_settled(None, None, &new), "no member yet");
        assert!(!is_settled(Some(&old), Some(&old), &new), "it has moved");
        assert!(is_settled(Some(&old), Some(&new), &new), "the leader knows");
        assert!(is_settled(Some(&new), Some(&said), &new), "an operator was faster than its first look around");
        assert!(is_settled(Some(&old), Some(&said), &new));
    }
}
