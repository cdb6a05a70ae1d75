use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use sessile_store::Member;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::warn;

use super::changes::MembershipChanges;
use crate::group::Group;
use crate::transport::ThisNode;

/// How long before the leader is told again, unless the leader or the membership becomes another one.
const AGAIN: Duration = Duration::from_secs(1);

/// Once after a start: what the membership says of this member is what its configuration says, or the leader is told.
pub(crate) async fn run(changes: Arc<MembershipChanges>, stop: CancellationToken) {
    stop.run_until_cancelled(tell_what_changed(&changes)).await;
}

async fn tell_what_changed(changes: &MembershipChanges) {
    let mut server = changes.group().server.clone();
    let Some(found) = first_found(changes.group()).await else { return };
    loop {
        // Seen, so that only what comes from here on is news.
        drop(server.borrow_and_update());
        if is_told(changes, &found).await {
            return;
        }
        // Of a Raft that has ended nothing comes any more.
        if let Ok(Err(_)) = timeout(AGAIN, server.changed()).await {
            return;
        }
    }
}

/// What the membership says of this member as soon as it says anything. `None` if Raft ends before.
async fn first_found(group: &Group) -> Option<Member> {
    let mut server = group.server.clone();
    loop {
        let known = server.borrow_and_update().membership_config.membership().get_node(&group.node).cloned();
        if known.is_some() {
            return known;
        }
        server.changed().await.ok()?;
    }
}

/// Tells the leader what is other than the membership says. `found` is what it said when this node had started. Says whether
/// it is settled.
async fn is_told(changes: &MembershipChanges, found: &Member) -> bool {
    let (group, this) = (changes.group(), changes.this());
    let wanted = this.as_member();
    let membership = group.membership();
    if is_settled(Some(found), membership.membership().get_node(&group.node), &wanted) {
        return true;
    }
    let told = match group.leader() {
        Some(leader) if leader == group.node => changes.admit(group.node, wanted, None).await.map(drop),
        Some(leader) => {
            let Some(address) = group.address_of(leader) else { return false };
            this.announce(&address).await
        }
        None => ask_around(group, this).await,
    };
    if let Err(status) = &told {
        if status.code() == Code::AlreadyExists {
            group.stop_for(&status.message());
            return true;
        }
        warn!("the leader does not take over this node's new name, address or rules: {}", status.message());
    }
    told.is_ok()
}

/// Tells the leader by way of the others. A leader that came while this member moved looks for it where it was, so nothing is
/// heard of it.
async fn ask_around(group: &Group, this: &ThisNode) -> Result<(), Status> {
    let membership = group.membership();
    for (_, member) in membership.membership().nodes().filter(|(node, _)| **node != group.node) {
        match this.ask_to_join(&member.address).await {
            Ok(answer) if !answer.cluster.is_empty() => return Ok(()),
            Ok(answer) if !answer.leader_address.is_empty() => return this.announce(&answer.leader_address).await,
            Err(status) if status.code() == Code::AlreadyExists => return Err(status),
            Ok(_) | Err(_) => {}
        }
    }
    Err(Status::unavailable("no member that answers knows a leader"))
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
