//! What a node tells of itself on /metrics.

use anyhow::Context;
use parking_lot::Mutex;
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use sessile_cluster::Cluster;
use sessile_http::{HttpMetrics, Tls, TlsError, TlsFiles};

use crate::logging::wall_clock;

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

    /// With the certificate that these files hold, and figures of it. Blocks.
    pub(crate) fn tls(&self, files: TlsFiles) -> Result<Tls, TlsError> {
        Tls::load(files, wall_clock, Some(&self.registry))
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
    clock_waits: IntGauge,
    clock_jump: IntGauge,
    log_bytes: IntGauge,
    state_bytes: IntGauge,
    disk_free_bytes: IntGauge,
    disk_limit_bytes: IntGauge,
    disk_nearly_full: IntGauge,
    disk_low: IntGauge,
    disk_seconds_left: Gauge,
    receiving_bytes: IntGauge,
    gave_way: IntGaugeVec,
    keys: IntGaugeVec,
    bytes: IntGaugeVec,
    has_leader: IntGauge,
    leader_changes: IntCounter,
    committed: IntGauge,
    alerts: IntGauge,
    reachable: IntGaugeVec,
    lag: IntGaugeVec,
    refusals: IntCounterVec,
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
        let per_member = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["member"])?;
            registry.register(Box::new(gauges.clone()))?;
            Ok::<_, prometheus::Error>(gauges)
        };
        let disk_seconds_left = Gauge::new(
            "sessile_disk_seconds_left",
            "Seconds until writes are refused for want of disk, by the trend of the last hour; +Inf if it does not fill up",
        )?;
        registry.register(Box::new(disk_seconds_left.clone()))?;
        let leader_changes =
            IntCounter::new("sessile_raft_leader_changes_total", "How often another leader became known")?;
        registry.register(Box::new(leader_changes.clone()))?;
        let gave_way = IntGaugeVec::new(
            Opts::new(
                "sessile_namespace_gives_way",
                "Whether writes to a namespace are refused for the sake of those of a higher priority, because disks fill up",
            ),
            &["namespace"],
        )?;
        registry.register(Box::new(gave_way.clone()))?;
        let refusals = IntCounterVec::new(
            Opts::new(
                "sessile_peer_refusals_total",
                "Messages between nodes that were refused, here or by another one: a mismatch, not a timeout",
            ),
            &["reason", "by"],
        )?;
        registry.register(Box::new(refusals.clone()))?;
        Ok(Self {
            has_leader: gauge("sessile_raft_has_leader", "Whether this node knows who leads")?,
            leader_changes,
            committed: gauge("sessile_raft_committed_index", "The last log index that is known to be committed")?,
            alerts: gauge("sessile_alerts", "How many things an operator should look at; sessile status names them")?,
            reachable: per_member("sessile_member_reachable", "Whether another member answers this node")?,
            lag: per_member("sessile_member_lag_entries", "Committed entries that another member has not applied")?,
            refusals,
            is_leader: gauge("sessile_raft_is_leader", "Whether this node leads")?,
            term: gauge("sessile_raft_term", "The Raft term that this node knows of")?,
            applied: gauge("sessile_raft_applied_index", "The last log index that is applied")?,
            clock: gauge("sessile_clock_milliseconds", "The replicated clock, in milliseconds since the Unix epoch")?,
            clock_waits: gauge(
                "sessile_clock_waits",
                "Whether the replicated clock waits for an operator or a majority of clocks, and writes with it",
            )?,
            clock_jump: gauge(
                "sessile_clock_jump_milliseconds",
                "How far the replicated clock went forward at once, the last time within the last hour; 0 if it did not",
            )?,
            log_bytes: gauge("sessile_log_bytes", "Bytes of the Raft log's entries")?,
            state_bytes: gauge("sessile_state_disk_bytes", "Bytes of the session state on disk")?,
            disk_free_bytes: gauge("sessile_disk_free_bytes", "Bytes free under the data directory")?,
            disk_limit_bytes: gauge("sessile_disk_limit_bytes", "Below so many free bytes writes are refused")?,
            disk_low: gauge("sessile_disk_low", "Whether little disk is left, or will be within a day")?,
            disk_seconds_left,
            receiving_bytes: gauge(
                "sessile_snapshot_receiving_bytes",
                "Bytes of a snapshot that this node has received so far; 0 if it receives none",
            )?,
            disk_nearly_full: gauge("sessile_disk_nearly_full", "Whether writes are refused for want of disk")?,
            gave_way,
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
        self.clock_waits.set(status.clock_waits.into());
        self.clock_jump.set(status.clock_jump.map_or(0, |jump| i64::try_from(jump.as_millis()).unwrap_or(i64::MAX)));
        self.log_bytes.set(number(status.log_bytes));
        self.state_bytes.set(number(status.state_bytes));
        self.disk_free_bytes.set(number(status.disk_free_bytes));
        self.disk_limit_bytes.set(number(status.disk_limit_bytes));
        self.disk_nearly_full.set(status.disk_nearly_full.into());
        self.disk_low.set(status.disk_low.into());
        self.disk_seconds_left.set(status.disk_time_left.map_or(f64::INFINITY, |left| left.as_secs_f64()));
        self.receiving_bytes.set(number(status.receiving_bytes.unwrap_or(0)));
        self.has_leader.set(status.has_leader.into());
        self.leader_changes.inc_by(status.leader_changes.saturating_sub(self.leader_changes.get()));
        self.committed.set(number(status.committed.unwrap_or(0)));
        self.alerts.set(i64::try_from(status.alerts.len()).unwrap_or(i64::MAX));
        // So does a member.
        self.reachable.reset();
        self.lag.reset();
        for member in &status.members {
            self.reachable.with_label_values(&[&member.name]).set(member.reachable.into());
            if let Some(lag) = member.lag {
                self.lag.with_label_values(&[&member.name]).set(number(lag));
            }
        }
        for count in &status.refusals {
            for (by, total) in [("this node", count.here), ("another node", count.there)] {
                let counter = self.refusals.with_label_values(&[count.reason, by]);
                counter.inc_by(total.saturating_sub(counter.get()));
            }
        }
        self.gave_way.reset();
        for (id, of) in status.namespaces.iter() {
            self.gave_way.with_label_values(&[of.settings.name.as_str()]).set(status.gave_way.contains(&id).into());
        }
        // A group that went shows nothing instead of its last number.
        self.keys.reset();
        self.bytes.reset();
        for (namespace, group, tally) in &status.counts {
            let labels = [&status.namespaces.name_of(*namespace), group.as_str()];
            self.keys.with_label_values(&labels).set(number(tally.keys));
            self.bytes.with_label_values(&labels).set(number(tally.bytes));
        }
    }
}
