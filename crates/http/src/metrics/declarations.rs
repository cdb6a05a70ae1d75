//! Every metric of this crate.

use super::declared::{Label, Metric, Shown, Unit, Values};
use super::{CODES, METHODS};
use crate::problem::FAILURES;

/// What there are listeners for.
const LISTENERS: Label = Label { name: "listener", values: Values::Of(&["api", "admin"]) };
const METHOD: Label = Label { name: "method", values: Values::Of(&METHODS) };
const CODE: Label = Label { name: "code", values: Values::AtMost(CODES.len()) };
/// What takes room.
const OF: Label = Label { name: "of", values: Values::Of(&["small_bodies", "large_bodies", "answers"]) };
const NAMESPACE: Label = Label { name: "namespace", values: Values::AtMost(sessile_core::MAX_NAMESPACES) };

/// Kask's.
pub(super) const REQUESTS: Metric =
    Metric::counter("http_requests_total", Unit::Count, "Requests to the session API, by status and method.")
        .by(&[CODE, METHOD])
        .shown(Shown::When("once a request of that kind was answered"));
/// Kask's.
pub(super) const DURATIONS: Metric =
    Metric::times("http_request_duration_seconds", "How long requests to the session API took.")
        .by(&[CODE, METHOD])
        .shown(Shown::When("once a request of that kind was answered"));
pub(super) const FAILED: Metric = Metric::counter(
    "sessile_http_failures_total",
    Unit::Count,
    "Requests to the session API that were answered 5xx, by the type that their body tells",
)
.by(&[Label { name: "reason", values: Values::Of(&FAILURES) }]);
pub(super) const ABORTED: Metric = Metric::counter(
    "sessile_http_requests_aborted_total",
    Unit::Count,
    "Requests whose client left before the answer.",
)
.by(&[METHOD])
.shown(Shown::When("once a client left"));
pub(super) const LIMITED: Metric = Metric::counter(
    "sessile_namespace_refusals_total",
    Unit::Count,
    "Writes that a limit of their namespace refused, or its priority while disks fill up",
)
.by(&[NAMESPACE, Label { name: "limit", values: Values::Of(&["keys", "bytes", "value", "lifetime", "priority"]) }])
.shown(Shown::When("once a limit refused a write"));
pub(super) const OPEN: Metric =
    Metric::gauge("sessile_http_connections", Unit::Count, "Open connections.").by(&[LISTENERS]);
pub(super) const ACCEPTED: Metric =
    Metric::counter("sessile_http_connections_accepted_total", Unit::Count, "Accepted connections.").by(&[LISTENERS]);
pub(super) const CLOSED: Metric =
    Metric::counter("sessile_http_connections_closed_total", Unit::Count, "Closed connections, by reason.")
        .by(&[LISTENERS, Label { name: "reason", values: Values::AtMost(super::CLOSED_REASONS) }])
        .shown(Shown::When("once a connection ended"));
pub(super) const ACCEPT_ERRORS: Metric =
    Metric::counter("sessile_http_accept_errors_total", Unit::Count, "Connections that could not be accepted.")
        .by(&[LISTENERS]);
pub(super) const HELD: Metric =
    Metric::gauge("sessile_http_held_bytes", Unit::Bytes, "Bytes that bodies or large answers take, or may take.")
        .by(&[OF]);
pub(super) const HELD_PEAK: Metric =
    Metric::gauge("sessile_http_held_bytes_peak", Unit::Bytes, "The most that they took since the start.").by(&[OF]);
pub(super) const HELD_MAX: Metric =
    Metric::gauge("sessile_http_held_bytes_max", Unit::Bytes, "The most that they may take.").by(&[OF]);
pub(super) const OVERLOADED: Metric = Metric::counter(
    "sessile_http_overloaded_total",
    Unit::Count,
    "Requests that were answered 503, because bodies or large answers took all the room.",
)
.by(&[OF]);
pub(crate) const CERTIFICATE: Metric = Metric::gauge(
    "sessile_tls_certificate_seconds_left",
    Unit::Seconds,
    "Seconds until the certificate of a listener expires; below 0 it has.",
)
.by(&[LISTENERS])
.shown(Shown::When("where the listener speaks TLS"));
pub(crate) const RELOADS: Metric = Metric::counter(
    "sessile_tls_reloads_total",
    Unit::Count,
    "Certificates that were read again, and put in use or not.",
)
.by(&[LISTENERS, Label { name: "result", values: Values::Of(&["used", "failed"]) }])
.shown(Shown::When("where the listener speaks TLS"));

/// All of them.
pub const ALL: &[Metric] = &[
    REQUESTS,
    DURATIONS,
    FAILED,
    ABORTED,
    LIMITED,
    OPEN,
    ACCEPTED,
    CLOSED,
    ACCEPT_ERRORS,
    HELD,
    HELD_PEAK,
    HELD_MAX,
    OVERLOADED,
    CERTIFICATE,
    RELOADS,
];
