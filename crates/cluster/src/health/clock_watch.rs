use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sessile_core::LogTime;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::cluster_health::ClusterHealth;

/// How often the clocks are looked at: as often as members tell each other what theirs show.
const ROUND: Duration = Duration::from_secs(1);

/// How many rounds go by until this member notes again that it runs. Less than what counts as a jump of a clock, by far, would
/// cost more writes and tell nothing more: what was noted last is reckoned on from.
const NOTES_EVERY: u32 = 60;

/// Sees the replicated clock go on, and logs what is news of the clocks. Goes on until it is cancelled.
pub(crate) async fn run(health: Arc<ClusterHealth>, stop: CancellationToken) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = BTreeSet::new();
    let mut rounds_until_note = 0;
    loop {
        tokio::select! {
            _ = rounds.tick() => {}
            () = stop.cancelled() => return,
        }
        let group = &*health.group;
        group.clock.sees(group.state.clock());
        if rounds_until_note == 0 && group.state.clock() != LogTime::default() {
            rounds_until_note = NOTES_EVERY;
            group.note_that_it_runs().await;
        }
        rounds_until_note = rounds_until_note.saturating_sub(1);
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
