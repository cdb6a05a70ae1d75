use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use sessile_cluster::admin::StatusResponse;
use sessile_cluster::{Alert, Cluster};
use sessile_core::NamespaceId;
use sessile_http::Operation;
use tokio::time::Instant;

use super::last_hour::{LastHour, Stretch};
use super::quorum::Quorum;
use crate::logging::wall_clock;

/// What the status page shows: all that a node knows of one moment.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// When that was, by this machine's clock, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    pub(crate) status: StatusResponse,
    pub(crate) quorum: Quorum,
    /// What an operator should look at, so far as the cluster says it in sentences.
    pub(crate) alerts: Vec<Alert>,
    pub(crate) namespaces: Vec<NamespaceNow>,
    /// Below so many free bytes writes are refused.
    pub(crate) disk_limit_bytes: u64,
    /// What was measured in the last hour, the oldest first.
    pub(crate) hour: Vec<Stretch>,
}

/// A namespace.
#[derive(Debug, Clone)]
pub(crate) struct NamespaceNow {
    pub(crate) name: String,
    pub(crate) keys: u64,
    /// Bytes of keys and values.
    pub(crate) bytes: u64,
    /// Whether its writes are refused for the sake of others.
    pub(crate) gives_way: bool,
    /// Requests a second at this node in the last minute, by [`Operation`]; `None` while that is not known.
    pub(crate) rates: Option<[f64; Operation::ALL.len()]>,
}

impl Seen {
    /// What there is to see now.
    pub(crate) async fn of(cluster: &Cluster, hour: &LastHour) -> Self {
        let status = cluster.cluster_status().await;
        let (figures, own) = (cluster.figures(), cluster.status());
        let quorum = Quorum { voters: figures.voters, healthy: figures.voters_answering, spare: figures.spare_voters };
        let mut counts = BTreeMap::<NamespaceId, (u64, u64)>::new();
        for (namespace, _, tally) in &own.counts {
            let (keys, bytes) = counts.entry(*namespace).or_default();
            (*keys, *bytes) = (*keys + tally.keys, *bytes + tally.bytes);
        }
        let rates = hour.namespace_rates();
        let namespace = |(id, namespace): (NamespaceId, &sessile_core::Namespace)| {
            let (keys, bytes) = counts.get(&id).copied().unwrap_or_default();
            NamespaceNow {
                name: namespace.settings.name.as_str().to_owned(),
                keys,
                bytes,
                gives_way: own.gave_way.contains(&id),
                rates: rates.as_ref().map(|rates| rates.get(&id).copied().unwrap_or_default()),
            }
        };
        let since_1970 = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            at_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            quorum,
            alerts: cluster.alerts(),
            namespaces: own.namespaces.iter().map(namespace).collect(),
            disk_limit_bytes: own.disk_limit_bytes,
            hour: hour.stretches(Instant::now()),
            status,
        }
    }
}
