//! How long `/readyz` waits for the next leader before it says that this node is not ready.
//!
//! An election is over within a second, and requests wait for it. A balancer that was told meanwhile that no node is
//! ready would refuse them all. A node that is cut off cannot tell that from an election at first, so it waits once, and
//! says at once that it is not ready from then on.

use std::time::Duration;

use parking_lot::Mutex;
use sessile_cluster::{Cluster, ClusterError};
use tokio::time::{Instant, sleep_until};

/// How often it is looked whether there is a leader again. A look that finds none costs next to nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// What a check found so long ago tells nothing of now: there may have been a quorum in between. Above what balancers
/// leave between two checks.
const FORGOTTEN: Duration = Duration::from_secs(10);

/// The patience of all checks together: while there is no quorum, they wait once for that long, and not each of them.
pub(crate) struct ReadyPatience {
    patience: Duration,
    outage: Mutex<Option<Outage>>,
}

/// That checks find no quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outage {
    since: Instant,
    /// When the last check found it.
    seen: Instant,
}

impl ReadyPatience {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, outage: Mutex::default() }
    }

    /// Whether that node could serve now, or as soon as there is a leader again.
    pub(crate) async fn prove(&self, cluster: &Cluster, deadline: Instant) -> Result<(), ClusterError> {
        loop {
            let proven = cluster.ready(deadline).await;
            let Err(ClusterError::NoQuorum) = proven else {
                *self.outage.lock() = None;
                return proven;
            };
            let now = Instant::now();
            let give_up = deadline.min(self.since(now) + self.patience);
            if now >= give_up {
                return proven;
            }
            sleep_until(give_up.min(now + LOOK_AGAIN)).await;
        }
    }

    /// Since when there is no quorum, as far as is known: one more check has found none.
    fn since(&self, now: Instant) -> Instant {
        let mut outage = self.outage.lock();
        let since = outage.filter(|outage| now < outage.seen + FORGOTTEN).map_or(now, |outage| outage.since);
        *outage = Some(Outage { since, seen: now });
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_begins_with_the_first_check_and_is_forgotten_when_nobody_looks() {
        let patience = ReadyPatience::new(Duration::from_secs(1));
        let first = Instant::now();
        for seconds in [0, 2, 11, 20] {
            assert_eq!(patience.since(first + Duration::from_secs(seconds)), first, "{seconds} s");
        }
        let later = first + Duration::from_secs(30);
        assert_eq!(patience.since(later), later);
    }
}
