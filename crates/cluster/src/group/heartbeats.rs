use std::sync::Arc;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::raft_group::Group;

/// Has heartbeats sent while this member leads.
///
/// openraft has one number for how often it sends a heartbeat and for how long it waits for the answer. That is the wait here,
/// which must be longer than a round trip; heartbeats that are asked for in between go out at once where the one before is
/// answered, and as one when it is, where it is not yet. So they come as often as the distance allows, whatever was set.
pub(crate) async fn run(group: Arc<Group>, stop: CancellationToken) {
    let beat = async {
        loop {
            group.when_leading().await;
            let mut beats = interval(group.timing.heartbeat());
            beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while group.leads() {
                beats.tick().await;
                // What ends Raft is told by others.
                if group.raft.trigger().heartbeat().await.is_err() {
                    return;
                }
            }
        }
    };
    stop.run_until_cancelled(beat).await;
}
