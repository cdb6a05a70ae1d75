use std::time::Duration;

use sessile_cluster::Cluster;
use sessile_core::NamespaceSettings;
use tokio::time::timeout;
use tracing::warn;

use crate::config::Config;

/// How long a single node that has started waits for its namespaces to be as its configuration says: some entries of its own
/// log.
const NAMESPACES_PATIENCE: Duration = Duration::from_secs(5);

/// A single node does what its configuration says of namespaces, before it serves. In a cluster of several that is there,
/// what the configuration says otherwise has no effect.
pub(crate) async fn settle(config: &Config, cluster: &Cluster) {
    if config.member.is_none() {
        // Where it was refused, that is in the log.
        let _ = timeout(NAMESPACES_PATIENCE, cluster.namespaces_follow(&config.namespaces)).await;
        return;
    }
    let table = cluster.namespaces();
    let differs = |own: &&NamespaceSettings| {
        table.named(own.name.as_str()).is_none_or(|(_, namespace)| namespace.settings != **own)
    };
    for own in config.namespaces.iter().filter(|_| table.is_seeded()).filter(differs) {
        warn!(
            namespace = own.name.as_str(),
            "the configuration says of this namespace what is not so in the cluster, and has no effect: it is for new \
             clusters; `sessile namespace list` shows what is so, and `sessile namespace set` changes it"
        );
    }
}
