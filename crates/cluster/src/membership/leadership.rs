use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use sessile_store::NodeId;
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::group::{Group, voters};
use crate::health::ClusterHealth;

/// How long after an offer of leadership that nothing came of the next one is made: whoever lacked the last entries has them
/// soon, and writes wait meanwhile. One who takes over already ignores it, because the offer bears the vote of before.
const HAND_OVER_AGAIN: Duration = Duration::from_millis(100);
/// How long it is waited for news of another leader before that is looked at.
const HAND_OVER_POLL: Duration = Duration::from_millis(20);

/// Hands leadership to a voter, the one that has caught up furthest if none is named. Says who leads then.
pub(crate) async fn hand_over(
    group: &Group,
    health: &ClusterHealth,
    to: Option<NodeId>,
    within: Duration,
) -> Result<NodeId, Status> {
    let voters = voters(&group.membership());
    let candidates = voters.iter().copied().filter(|voter| *voter != group.node && health.is_well(*voter));
    let best = candidates.min_by_key(|voter| health.entries_behind(*voter).unwrap_or(u64::MAX));
    let Some(to) = to.or(best) else {
        return Err(Status::failed_precondition("no other voter answers, so nobody can take over"));
    };
    if !voters.contains(&to) {
        return Err(Status::failed_precondition(format!("{} has no vote, so it cannot lead", group.name_of(to))));
    }
    if !health.is_well(to) {
        return Err(Status::failed_precondition(format!("{} does not answer, so it cannot lead", group.name_of(to))));
    }
    let give_up = Instant::now() + within;
    let mut asked: Option<Instant> = None;
    let mut server = group.server.clone();
    loop {
        let leader = server.borrow_and_update().current_leader;
        match leader {
            Some(leader) if leader != group.node => return Ok(leader),
            // The other one may have refused, because it lacked the last entries: asked again after a while.
            Some(_) if asked.is_none_or(|asked| asked.elapsed() >= HAND_OVER_AGAIN) => {
                asked = Some(Instant::now());
                let transfer = group.raft.trigger().transfer_leader(to).await;
                transfer.map_err(|_| stopping())?;
            }
            _ => {}
        }
        if Instant::now() >= give_up {
            return Err(Status::deadline_exceeded(format!("{} has not taken over in time", group.name_of(to))));
        }
        // Of a Raft that has ended nothing comes any more, and it says so at once, every time.
        if let Ok(Err(_)) = timeout(HAND_OVER_POLL, server.changed()).await {
            return Err(stopping());
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("this node is stopping")
}
