mod declarations;
pub mod declared;
mod namespaces;
mod totals;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use prometheus::{
    Encoder as _, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    TextEncoder,
};
use sessile_core::{Limit, NamespaceId};

use crate::SessionsError;
use crate::problem::FAILURES;

pub use declarations::ALL as HTTP_METRICS;
use namespaces::NamespaceRequests;
pub use namespaces::Operation;
pub use totals::{RequestTotals, WAIT_BOUNDS, WAIT_RANGES};

/// Kask's buckets, in seconds.
const BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The values of the label `method`. What a client invents counts as the last.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OTHER"];

/// The values of the label `code`: every status that the session API answers with.
const CODES: [StatusCode; 17] = [
    StatusCode::OK,
    StatusCode::CREATED,
    StatusCode::NO_CONTENT,
    StatusCode::NOT_MODIFIED,
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::METHOD_NOT_ALLOWED,
    StatusCode::REQUEST_TIMEOUT,
    StatusCode::PRECONDITION_FAILED,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::URI_TOO_LONG,
    StatusCode::UNPROCESSABLE_ENTITY,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::INSUFFICIENT_STORAGE,
];

/// This crate's metrics. Cloning shares them.
///
/// `http_requests_total` and `http_request_duration_seconds` count the requests to the session API, by the status that
/// the client was sent; the duration ends when the answer's head is handed to the connection. A request whose client
/// left before that has no status: it counts in `sessile_http_requests_aborted_total` alone. `/healthz`, `/readyz` and
/// their kin are not counted, as in Kask: a node that rightly says it is not ready would page as an error.
#[derive(Clone)]
pub struct HttpMetrics(Arc<Inner>);

struct Inner {
    requests: IntCounterVec,
    durations: HistogramVec,
    failed: IntCounterVec,
    aborted: IntCounterVec,
    limited: IntCounterVec,
    by_namespace: NamespaceRequests,
    series: [[OnceLock<Series>; CODES.len()]; METHODS.len()],
    open: IntGaugeVec,
    accepted: IntCounterVec,
    closed: IntCounterVec,
    accept_errors: IntCounterVec,
    held: IntGaugeVec,
    held_peak: IntGaugeVec,
    held_max: IntGaugeVec,
    overloaded: IntCounterVec,
    certificate: GaugeVec,
    reloads: IntCounterVec,
}

/// What one kind of bytes takes of its room, and how often there was none.
#[derive(Clone)]
pub(crate) struct RoomMetrics {
    pub(crate) held: IntGauge,
    pub(crate) peak: IntGauge,
    pub(crate) max: IntGauge,
    pub(crate) overloaded: IntCounter,
}

/// One pair of code and method.
struct Series {
    requests: IntCounter,
    durations: Histogram,
}

/// What a [`Server`](crate::Server) counts.
#[derive(Clone)]
pub(crate) struct ConnectionMetrics {
    pub(crate) open: IntGauge,
    pub(crate) accepted: IntCounter,
    pub(crate) accept_errors: IntCounter,
    closed: IntCounterVec,
    listener: Arc<str>,
}

/// What a listener's certificate shows.
#[derive(Clone)]
pub(crate) struct TlsMetrics {
    pub(crate) seconds_left: Gauge,
    reloads: IntCounterVec,
    listener: Arc<str>,
}

/// How many reasons [`Closed`] has.
const CLOSED_REASONS: usize = 11;

/// Why a connection is no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Closed {
    /// One side was done with it.
    Done,
    /// No request came for too long.
    Idle,
    /// A header did not become whole in time.
    HeaderTimeout,
    /// A TLS handshake took too long.
    HandshakeTimeout,
    /// A TLS handshake failed: it was none, or one side refused the other.
    HandshakeFailed,
    /// The client took no byte of an answer for too long.
    WriteTimeout,
    /// The client had closed its half and did not get its answer soon.
    Left,
    /// Something on it was not HTTP.
    Malformed,
    /// It broke.
    Broken,
    /// It made place for another.
    Evicted,
    /// It was cut off at the end of the drain.
    Aborted,
}

impl Closed {
    fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Idle => "idle",
            Self::HeaderTimeout => "header_timeout",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::HandshakeFailed => "handshake_failed",
            Self::WriteTimeout => "write_timeout",
            Self::Left => "left",
            Self::Malformed => "malformed",
            Self::Broken => "broken",
            Self::Evicted => "evicted",
            Self::Aborted => "aborted",
        }
    }
}

/// A request from its arrival to its answer; without one it counts as aborted.
pub(crate) struct Watch<'a> {
    metrics: &'a Inner,
    method: usize,
    finished: bool,
}

impl HttpMetrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let failed = declarations::FAILED.register_counter(registry)?;
        // All are there from the beginning, so that the first failure is an increase.
        FAILURES.iter().for_each(|reason| drop(failed.with_label_values(&[reason])));
        Ok(Self(Arc::new(Inner {
            requests: declarations::REQUESTS.register_counter(registry)?,
            durations: declarations::DURATIONS.register_times(registry, &BUCKETS)?,
            failed,
            aborted: declarations::ABORTED.register_counter(registry)?,
            limited: declarations::LIMITED.register_counter(registry)?,
            by_namespace: NamespaceRequests::default(),
            series: Default::default(),
            open: declarations::OPEN.register_gauge(registry)?,
            accepted: declarations::ACCEPTED.register_counter(registry)?,
            closed: declarations::CLOSED.register_counter(registry)?,
            held: declarations::HELD.register_gauge(registry)?,
            held_peak: declarations::HELD_PEAK.register_gauge(registry)?,
            held_max: declarations::HELD_MAX.register_gauge(registry)?,
            overloaded: declarations::OVERLOADED.register_counter(registry)?,
            accept_errors: declarations::ACCEPT_ERRORS.register_counter(registry)?,
            certificate: declarations::CERTIFICATE.register_fraction(registry)?,
            reloads: declarations::RELOADS.register_counter(registry)?,
        })))
    }

    /// A request was answered 5xx, for that reason.
    pub(crate) fn failed(&self, reason: &str) {
        self.0.failed.with_label_values(&[reason]).inc();
    }

    pub(crate) fn tls(&self, listener: &str) -> TlsMetrics {
        let reloads = self.0.reloads.clone();
        // Both are there from the beginning, so that the first failure is an increase.
        ["used", "failed"].iter().for_each(|result| drop(reloads.with_label_values(&[listener, *result])));
        TlsMetrics {
            seconds_left: self.0.certificate.with_label_values(&[listener]),
            reloads,
            listener: listener.into(),
        }
    }

    /// A request asks that of a session of that namespace, which has let it in.
    pub(crate) fn of_namespace(&self, namespace: NamespaceId, method: &Method) {
        if let Some(operation) = Operation::of(method) {
            self.0.by_namespace.count(namespace, operation);
        }
    }

    /// How many requests a namespace has let in since the process started, in the order of [`Operation::ALL`]. Metrics show
    /// them by the name that the namespace has.
    pub fn namespace_requests(&self, namespace: NamespaceId) -> [u64; Operation::ALL.len()] {
        self.0.by_namespace.of(namespace)
    }

    pub(crate) fn watch(&self, method: &Method) -> Watch<'_> {
        Watch { metrics: &self.0, method: method_index(method), finished: false }
    }

    pub(crate) fn room(&self, of: &str) -> RoomMetrics {
        RoomMetrics {
            held: self.0.held.with_label_values(&[of]),
            peak: self.0.held_peak.with_label_values(&[of]),
            max: self.0.held_max.with_label_values(&[of]),
            overloaded: self.0.overloaded.with_label_values(&[of]),
        }
    }

    /// A write that was refused by a limit of its namespace, or for its priority, if that is why.
    pub(crate) fn limited(&self, namespace: &str, error: &SessionsError) {
        let limit = match error {
            SessionsError::Limit(Limit::Keys) => "keys",
            SessionsError::Limit(Limit::Bytes) => "bytes",
            SessionsError::Limit(Limit::Value) => "value",
            SessionsError::Limit(Limit::Lifetime) => "lifetime",
            SessionsError::GivesWay => "priority",
            _ => return,
        };
        self.0.limited.with_label_values(&[namespace, limit]).inc();
    }

    pub(crate) fn connections(&self, listener: &str) -> ConnectionMetrics {
        ConnectionMetrics {
            open: self.0.open.with_label_values(&[listener]),
            accepted: self.0.accepted.with_label_values(&[listener]),
            accept_errors: self.0.accept_errors.with_label_values(&[listener]),
            closed: self.0.closed.clone(),
            listener: Arc::from(listener),
        }
    }
}

impl ConnectionMetrics {
    pub(crate) fn closed(&self, why: Closed) {
        self.closed.with_label_values(&[&*self.listener, why.label()]).inc();
    }
}

impl TlsMetrics {
    /// A certificate was read again, and put in use or not.
    pub(crate) fn reloaded(&self, is_used: bool) {
        self.reloads.with_label_values(&[&*self.listener, if is_used { "used" } else { "failed" }]).inc();
    }
}

impl Watch<'_> {
    /// The label under which the method is counted, and may be logged.
    pub(crate) fn method(&self) -> &'static str {
        METHODS[self.method]
    }

    pub(crate) fn finish(mut self, status: StatusCode, took: Duration) {
        self.finished = true;
        let Some(code) = CODES.iter().position(|&code| code == status) else {
            debug_assert!(false, "{status} is missing among the codes");
            return;
        };
        let series = self.metrics.series[self.method][code].get_or_init(|| {
            let labels = [CODES[code].as_str(), METHODS[self.method]];
            Series {
                requests: self.metrics.requests.with_label_values(&labels),
                durations: self.metrics.durations.with_label_values(&labels),
            }
        });
        series.requests.inc();
        series.durations.observe(took.as_secs_f64());
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.metrics.aborted.with_label_values(&[self.method()]).inc();
        }
    }
}

fn method_index(method: &Method) -> usize {
    METHODS.iter().position(|name| *name == method.as_str()).unwrap_or(METHODS.len() - 1)
}

/// The registry's metrics in Prometheus's text format.
pub fn render(registry: &Registry) -> String {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut text) {
        tracing::error!(%error, "metrics cannot be written as text");
    }
    String::from_utf8(text).unwrap_or_default()
}
