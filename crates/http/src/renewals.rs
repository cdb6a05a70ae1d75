use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use sessile_core::{Condition, NamespaceId, NamespaceSettings, Renew, Renewal, SessionKey};
use tokio::time::{Instant, timeout_at};

use crate::{Session, Sessions};

/// How long a read waits for the entry that renews what it has found: several rounds of the log. The read has its answer
/// already, and the next one renews again what this one could not.
const PATIENCE: Duration = Duration::from_millis(250);
/// The most renewals by reads that are under way at a time; what finds no room is renewed by a later read.
const MAX_UNDER_WAY: usize = 1_024;

/// Renews what reads have found, one entry of the log for a session at a time.
#[derive(Default)]
pub(crate) struct Renewals(Mutex<HashSet<(NamespaceId, SessionKey)>>);

/// A renewal that is under way until this is dropped.
struct UnderWay<'renewals> {
    renewals: &'renewals Renewals,
    place: (NamespaceId, SessionKey),
}

impl Renewals {
    /// Renews a session that a read has found, if its namespace wants that and its lifetime is in its last half. The read
    /// is answered with what it has found, whatever comes of that.
    pub(crate) async fn after_read(
        &self,
        sessions: &impl Sessions,
        (namespace, settings, key): (NamespaceId, &NamespaceSettings, SessionKey),
        found: Option<&Session>,
        deadline: Instant,
    ) {
        let wants = settings.renewal == Renewal::Half;
        let Some((session, ttl)) = found.filter(|_| wants).and_then(|found| Some((found, found.due?))) else { return };
        let Some(under_way) = self.begin((namespace, key.clone())) else { return };
        let renew = Renew { ttl, condition: Condition::Matches(vec![session.version]), if_due: true };
        let deadline = deadline.min(Instant::now() + PATIENCE);
        match timeout_at(deadline, sessions.renew(namespace, key, renew, None, deadline)).await {
            // Somebody has written or removed it meanwhile, or renewed it.
            Ok(_) => {}
            Err(_) => tracing::debug!(namespace = settings.name.as_str(), "a read could not renew what it has found"),
        }
        drop(under_way);
    }

    fn begin(&self, place: (NamespaceId, SessionKey)) -> Option<UnderWay<'_>> {
        let mut under_way = self.0.lock();
        let is_first = under_way.len() < MAX_UNDER_WAY && under_way.insert(place.clone());
        is_first.then(|| UnderWay { renewals: self, place })
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.renewals.0.lock().remove(&self.place);
    }
}
