use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::cluster_health::ClusterHealth;

/// How often the clocks are looked at: as often as members tell each other what theirs show.
const ROUND: Duration = Duration::from_secs(1);

/// Sees the replicated clock go on, and logs what is news of the clocks. Goes on until it is cancelled.
pub(crate) async fn run(health: Arc<ClusterHealth>, stop: CancellationToken) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = BTreeSet::new();
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            () = stop.cancelled() => return,
        }
        let group = &*health.group;
        group.clock.sees(group.state.clock());
        let mut is = BTreeSet::new();
        for alert in health.clock_alerts() {
            if !told.contains(&alert.about) {
                warn!("{}", alert.text);
            }
            is.insert(alert.about);
        }
        told = is;
    }
}
