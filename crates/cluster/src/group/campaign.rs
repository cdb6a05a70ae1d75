use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Instant as _, ServerState};
use sessile_store::NodeId;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::raft_group::Group;

/// Lets this member campaign first when it is the first in line.
///
/// openraft lets every member draw the moment at which it campaigns, from a range that is hardly longer than a vote takes when
/// members are far apart: then two campaign at a time, split the votes, and wait once more. So one of them goes before all
/// others can, and the drawn moments are for when that one is gone too. Should its log lack what another has, that one
/// campaigns as soon as it is asked (`transport::receiver`). It is a pre-vote, which changes nothing where a leader is heard.
pub(crate) async fn run(group: Arc<Group>, stop: CancellationToken) {
    let watch = async {
        // A voter that is alone has nobody to wait for, and openraft would look for the first time when a heartbeat is due.
        if voters(&group) == BTreeSet::from([group.node]) && group.raft.trigger().elect(true).await.is_err() {
            return;
        }
        // What ends Raft is told by others.
        while let Ok(heard) = group.raft.with_raft_state(|state| state.vote_last_modified()).await {
            let silent = heard.map_or(Duration::ZERO, |heard| heard.elapsed());
            let left = group.timing.first_campaign().saturating_sub(silent);
            if !left.is_zero() {
                sleep(left).await;
                continue;
            }
            if is_first(&group) && group.raft.trigger().elect(true).await.is_err() {
                return;
            }
            // Long enough for a vote, and for news of another leader.
            sleep(*group.timing.election_timeout().start()).await;
        }
    };
    stop.run_until_cancelled(watch).await;
}

/// Whether this member has lost a leader, and is the first in line after it.
fn is_first(group: &Group) -> bool {
    let (leader, follows) = {
        let server = group.server.borrow_watched();
        let follows = server.vote.committed && server.state == ServerState::Follower;
        (server.vote.leader_id.voted_for, follows)
    };
    follows && first_after(leader, &voters(group)) == Some(group.node)
}

fn voters(group: &Group) -> BTreeSet<NodeId> {
    group.membership().membership().voter_ids().collect()
}

/// The voter behind that one; behind the last is the first.
fn first_after(leader: NodeId, voters: &BTreeSet<NodeId>) -> Option<NodeId> {
    let behind = voters.iter().find(|voter| **voter > leader).or(voters.first());
    behind.copied().filter(|voter| *voter != leader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_leader_has_one_successor_and_one_voter_has_none() {
        let voters = |ids: &[u64]| ids.iter().map(|id| NodeId::from(*id)).collect::<BTreeSet<_>>();
        let first = |leader: u64, ids: &[u64]| first_after(NodeId::from(leader), &voters(ids));
        let three = [1, 5, 9];
        assert_eq!([1, 5, 9].map(|leader| first(leader, &three)), [5, 9, 1].map(|next| Some(NodeId::from(next))));
        assert_eq!(first(7, &three), Some(NodeId::from(9)), "one that was removed");
        assert_eq!((first(1, &[1]), first(1, &[])), (None, None));
    }
}
