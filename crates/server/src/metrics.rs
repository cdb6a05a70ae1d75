//! What a node tells of itself on /metrics.

use anyhow::Context;
use parking_lot::Mutex;
use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};
use sessile_cluster::Cluster;
use sessile_http::HttpMetrics;

/// Everything that /metrics shows.
pub(crate) struct Metrics {
    registry: Registry,
    /// What the HTTP side counts.
    pub(crate) http: HttpMetrics,
    /// The node's, once there is one. Held while a page is made, so that two at a time do not see each other's reset.
    node: Mutex<Option<NodeMetrics>>,
}

impl Metrics {
    /// With those of the HTTP side.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let registry = Registry::new();
        let http = HttpMetrics::register(&registry).context("the HTTP metrics cannot be registered")?;
        Ok(Self { registry, http, node: Mutex::default() })
    }

    /// From now on with those of the node.
    pub(crate) fn add_node(&self, cluster: Cluster) -> anyhow::Result<()> {
        let node = NodeMetrics::register(&self.registry, cluster).context("the node's metrics cannot be registered")?;
        *self.node.lock() = Some(node);
        Ok(())
    }

    /// The page.
    pub(crate) fn render(&self) -> String {
        let node = self.node.lock();
        if let Some(node) = &*node {
            node.refresh();
        }
        sessile_http::render(&self.registry)
    }
}

/// The node's gauges. They show what was true when `refresh` was last called.
struct NodeMetrics {
    cluster: Cluster,
    is_leader: IntGauge,
    term: IntGauge,
    applied: IntGauge,
    clock: IntGauge,
    log_bytes: IntGauge,
    state_bytes: IntGauge,
    disk_free_bytes: IntGauge,
    disk_nearly_full: IntGauge,
    keys: IntGaugeVec,
    bytes: IntGaugeVec,
}

impl NodeMetrics {
    /// Registers them.
    fn register(registry: &Registry, cluster: Cluster) -> Result<Self, prometheus::Error> {
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let per_group = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["namespace", "group"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        Ok(Self {
            is_leader: gauge("sessile_raft_is_leader", "Whether this node leads")?,
            term: gauge("sessile_raft_term", "The Raft term that this node knows of")?,
            applied: gauge("sessile_raft_applied_index", "The last log index that is applied")?,
            clock: gauge("sessile_clock_milliseconds", "The replicated clock, in milliseconds since the Unix epoch")?,
            log_bytes: gauge("sessile_log_bytes", "Bytes of the Raft log's entries")?,
            state_bytes: gauge("sessile_state_disk_bytes", "Bytes of the session state on disk")?,
            disk_free_bytes: gauge("sessile_disk_free_bytes", "Bytes free under the data directory")?,
            disk_nearly_full: gauge("sessile_disk_nearly_full", "Whether writes are refused for want of disk")?,
            keys: per_group(
                "sessile_keys",
                "Sessions that are counted: live, or expired for less than a minute or hour",
            )?,
            bytes: per_group("sessile_bytes", "Bytes of keys and values of these sessions")?,
            cluster,
        })
    }

    /// Asks the node.
    fn refresh(&self) {
        let status = self.cluster.status();
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        self.is_leader.set(status.is_leader.into());
        self.term.set(number(status.term));
        self.applied.set(number(status.applied.unwrap_or(0)));
        self.clock.set(number(status.clock.as_millis()));
        self.log_bytes.set(number(status.log_bytes));
        self.state_bytes.set(number(status.state_bytes));
        self.disk_free_bytes.set(number(status.disk_free_bytes));
        self.disk_nearly_full.set(status.disk_nearly_full.into());
        // A group that went shows nothing instead of its last number.
        self.keys.reset();
        self.bytes.reset();
        for (namespace, group, tally) in &status.counts {
            let labels = [&namespace.name(), group.as_str()];
            self.keys.with_label_values(&labels).set(number(tally.keys));
            self.bytes.with_label_values(&labels).set(number(tally.bytes));
        }
    }
}
