//! The session API: Kask's HTTP contract and what Sessile adds to it, over one port, [`Sessions`].
//!
//! This crate deliberately knows nothing of Raft, of storage and of the cluster: it turns requests into calls of the
//! port and the port's answers into responses. It reads no configuration file, installs no log subscriber and starts
//! no task that it does not own.
//!
//! ```text
//!  TCP, ── Server ── TLS ── Paced ──── hyper ── Service ── router ─┬─ /healthz /livez /readyz /metrics /openapi
//!  Unix    accept,   if     deadlines  h1, h2   Host,              └─ everything else: the session API
//!          drain     any                        streams                 │ query → method → token → key → headers → body
//!                                                                       └─ Sessions
//! ```
//!
//! # Secrets
//! Keys, values and tokens are credentials. They are in no log line, metric, panic message or `Debug` of this crate. The HTTP
//! libraries below do write request targets at `TRACE` and `DEBUG`: a program must hold the targets in
//! [`SECRET_TARGETS`] at `WARN`, whatever level its operator asks for.
//!
//! # What hyper refuses by itself
//! A request line or header block that cannot be parsed (400), that is larger than [`MAX_HEADER_BYTES`] or has more
//! than 100 headers (431), or a target beyond 64 KiB (414) is answered by hyper with an empty body, and the connection
//! is closed: the error body of Kask's form is not possible there. What HTTP forbids and hyper lets pass, no `Host` or two
//! of them in HTTP/1.1 and a `#` in the target, is refused before the router with such a body, and the connection is
//! closed, too. All of them count as connections closed for `malformed`, not as requests.
//!
//! Over HTTP/2 a `#` in `:path` is not seen: the library below cuts it off with what follows.

mod accept;
mod access;
mod api;
mod bearer;
mod condition;
mod config;
mod connection;
mod content_policy;
mod endpoints;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod handshakes;
mod idempotency;
mod messages;
mod metrics;
mod openapi;
mod paced;
mod patience;
mod prefer;
mod problem;
mod renewals;
mod request_id;
mod room;
mod server;
mod service;
mod sessions;
mod slow;
mod target;
mod tls;
mod told;
mod traced;
mod ttl_header;
mod unsent;
mod value;

pub use access::token_hash;
pub use api::router;
pub use bearer::bearer_only;
pub use config::{ApiConfig, BuildInfo, Limits, Traces};
pub use endpoints::{LIVE, OperatorPages, admin_router};
pub use metrics::{HTTP_METRICS, HttpMetrics, Operation, RequestTotals, WAIT_BOUNDS, WAIT_RANGES, declared, render};
pub use request_id::NO_REQUEST_ID;
pub use server::{Drained, MAX_HEADER_BYTES, MAX_STREAMS, Server};
pub use sessile_core::{BaseUri, BaseUriError, ReadConsistency};
pub use sessions::{Deleted, LocalRead, Session, Sessions, SessionsError, Written};
pub use tls::{LOOK_EVERY, Tls, TlsError, TlsFiles};

/// The log targets below this crate that show request targets, and so keys, at `DEBUG` and `TRACE`.
pub const SECRET_TARGETS: [&str; 3] = ["h2", "hyper", "hyper_util"];
