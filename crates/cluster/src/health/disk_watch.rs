use std::sync::Arc;
use std::time::Duration;

use sessile_store::off_the_runtime;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::cluster_health::ClusterHealth;
use crate::transport::Sending;

/// How often the disk is looked at: in that time a node writes less than any reserve.
const ROUND: Duration = Duration::from_millis(500);

/// Looks at the disk and at what is kept for transfers that broke, until it is cancelled. Nobody waits for it: a disk that
/// does not answer leaves everybody with what it said last.
pub(crate) async fn run(health: Arc<ClusterHealth>, sending: Sending, stop: CancellationToken) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut was_full, mut was_exhausted) = (false, false);
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            () = stop.cancelled() => return,
        }
        let now = Instant::now();
        let committed = health.group.cluster_committed().map_or(0, |log_id| log_id.index);
        health.commit_times.note(now, committed);
        let (looking, sent) = (health.clone(), sending.clone());
        let look = move || {
            // One that cannot be asked shows what it showed last; the start said so.
            let _ = looking.disk.measure(&looking.group.state, &looking.group.log, now);
            sent.let_go(now);
            looking.receiving.let_go(now);
        };
        if let Some(Err(_)) = stop.run_until_cancelled(off_the_runtime(look)).await {
            health.group.stop_for(&"looking at the disk panicked; this is a defect");
            return;
        }
        health.look_at_disks();
        let report = health.disk.report();
        if report.shortage.is_some() != was_full {
            let free_bytes = report.free_bytes;
            match report.shortage {
                Some(shortage) => {
                    warn!(
                        free_bytes,
                        limit_bytes = report.limit_bytes,
                        "{shortage}: writes are refused, reads and deletes go on"
                    );
                }
                None => info!(free_bytes, "the disk has room again: writes are accepted"),
            }
            was_full = report.shortage.is_some();
        }
        if report.is_exhausted != was_exhausted {
            was_exhausted = report.is_exhausted;
            if was_exhausted {
                warn!("what is reserved for deletes is used up: deletes are refused too, until the disk has room");
            } else {
                info!("deletes are accepted again");
            }
        }
    }
}
