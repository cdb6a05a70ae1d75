//! What a node tells of itself on /metrics. Every metric is declared once, with its help, unit and labels: here, or in the
//! HTTP crate what that counts.

mod args;
mod declarations;
mod node;
mod process;
mod samples;
mod show;
#[cfg(test)]
mod tests;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;
use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use sessile_cluster::Cluster;
use sessile_http::declared::Metric;
use sessile_http::{HttpMetrics, Tls, TlsError, TlsFiles};
use sessile_trace::Tracer;

pub(crate) use args::MetricsOf;
pub(crate) use show::run;

use crate::backup::Backups;
use crate::build_info::build_info;
use crate::logging::{lost_lines, wall_clock};
use declarations as declared;
use samples::{Samples, described};

/// Everything that /metrics shows.
pub(crate) struct Metrics {
    registry: Registry,
    /// What the HTTP side counts.
    pub(crate) http: HttpMetrics,
    /// What is told of the backups that the node makes by itself.
    pub(crate) backups: Arc<Backups>,
    /// The node's, once there is one.
    cluster: Arc<OnceLock<Cluster>>,
}

impl Metrics {
    /// With all that there is of a process without a node.
    pub(crate) fn new(tracer: Option<Tracer>) -> anyhow::Result<Self> {
        let registry = Registry::new();
        let http = HttpMetrics::register(&registry).context("the HTTP metrics cannot be registered")?;
        let cluster = Arc::<OnceLock<Cluster>>::default();
        let backups = Arc::<Backups>::default();
        let node = NodeMetrics::new(Arc::clone(&cluster), Arc::clone(&backups), (http.clone(), tracer))
            .and_then(|node| registry.register(Box::new(node)));
        node.context("the node's metrics cannot be registered")?;
        Ok(Self { registry, http, backups, cluster })
    }

    /// With the certificate that these files hold, and figures of it, for the listener of that name. Blocks.
    pub(crate) fn tls(&self, listener: &str, files: TlsFiles) -> Result<Tls, TlsError> {
        Tls::load(files, wall_clock, Some((&self.http, listener)))
    }

    /// From now on with those of the node.
    pub(crate) fn add_node(&self, cluster: Cluster) -> anyhow::Result<()> {
        self.cluster.set(cluster).map_err(|_| anyhow::anyhow!("a process has one node; this is a defect"))
    }

    /// The page. It waits for no disk, for no other node, and for nobody who writes.
    pub(crate) fn render(&self) -> String {
        sessile_http::render(&self.registry)
    }
}

/// What is measured when it is asked for.
struct NodeMetrics {
    described: Vec<Desc>,
    started: Duration,
    cluster: Arc<OnceLock<Cluster>>,
    backups: Arc<Backups>,
    tracer: Option<Tracer>,
    http: HttpMetrics,
}

impl NodeMetrics {
    fn new(
        cluster: Arc<OnceLock<Cluster>>,
        backups: Arc<Backups>,
        (http, tracer): (HttpMetrics, Option<Tracer>),
    ) -> Result<Self, prometheus::Error> {
        let described = declared::ALL.iter().map(described).collect::<Result<_, _>>()?;
        let started = wall_clock().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Self { described, started, cluster, backups, tracer, http })
    }
}

impl Collector for NodeMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.described.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut samples = Samples::default();
        let build = build_info();
        samples.set_by(&declared::BUILD_INFO, &[&*build.version, &*build.rust_version], 1.0);
        samples.set(&declared::LOG_LINES_LOST, number(lost_lines()));
        samples.set(&declared::START_TIME, self.started.as_secs_f64());
        process::measure(&mut samples);
        self.backups.measure(&mut samples);
        if let Some(tracer) = &self.tracer {
            samples.set(&declared::TRACE_SPANS_LOST, number(tracer.lost()));
        }
        match self.cluster.get() {
            Some(cluster) => node::measure(&mut samples, cluster, &self.http),
            None => samples.set(&declared::READY, 0.0),
        }
        samples.into_families()
    }
}

impl Backups {
    fn measure(&self, samples: &mut Samples) {
        let every = self.every.load(Ordering::Relaxed);
        if every > 0 {
            samples.set(&declared::BACKUP_EVERY, number(every));
            samples.set(&declared::BACKUP_LAST_SUCCESS, number(self.last_success.load(Ordering::Relaxed)));
            samples.set(&declared::BACKUP_FAILURES, number(self.failures.load(Ordering::Relaxed)));
        }
    }
}

/// Every metric that a node may show, by name.
fn all() -> Vec<&'static Metric> {
    let mut all: Vec<&Metric> = sessile_http::HTTP_METRICS.iter().chain(declared::ALL).collect();
    all.sort_by_key(|metric| metric.name);
    all
}

/// As Prometheus counts. Beyond 2^53 it is not exact.
#[allow(clippy::cast_precision_loss, reason = "bytes of nine petabytes are exact")]
fn number(value: u64) -> f64 {
    value as f64
}
