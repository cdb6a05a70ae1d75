use std::time::Duration;

use sessile_core::{BaseUri, NamespaceName, NamespaceSettings, NamespaceTable, ReadConsistency, Ttl, TtlPolicy};
use sessile_trace::Tracer;

/// What the session API does with requests.
#[derive(Debug, Clone)]
pub struct ApiConfig {
    /// What stands before the key of a session. This and the next two go for a store that knows of no namespaces: see
    /// [`Sessions::namespaces`](crate::Sessions::namespaces).
    pub base_uri: BaseUri,
    /// Which lifetime a write is granted.
    pub ttl: TtlPolicy,
    /// What a read proves before it answers.
    pub read_consistency: ReadConsistency,
    /// The largest value, in bytes; a namespace may take less.
    pub max_value_bytes: usize,
    /// The most bytes that the bodies of requests may take at once, from before they are read to the answer, over all
    /// connections. It bounds memory where connections × value size would not. A request that finds no room within a
    /// quarter of a second gets a 503, and nothing of its body is read. A quarter of it is for bodies of up to 16 KiB,
    /// the rest for larger ones and those that do not tell their length.
    pub max_body_bytes: usize,
    /// The most bytes of large answers that clients have not taken yet, over all connections; the same otherwise.
    pub max_answer_bytes: usize,
    /// How long the store has for one request, from when the request is whole. MediaWiki gives up after 3 s, a common
    /// proxy after 2.5 s.
    pub request_timeout: Duration,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Which requests are traced; `None` for none, whatever their callers want.
    pub traces: Option<Traces>,
    /// What `/healthz` tells.
    pub build: BuildInfo,
    /// What `/openapi` serves instead of this crate's own document. `@BASE_URI@` in it becomes the base URI.
    pub openapi: Option<String>,
}

/// Which requests are traced.
#[derive(Debug, Clone)]
pub struct Traces {
    /// Where their spans go.
    pub tracer: Tracer,
    /// One in so many of the requests whose callers do not say whether they want it by the header `traceparent`; 0 for none.
    pub one_of: u64,
}

impl Default for ApiConfig {
    fn default() -> Self {
        let day = Ttl::from_secs(86_400).unwrap_or(Ttl::FOREVER);
        Self {
            base_uri: BaseUri::default(),
            ttl: TtlPolicy::new(day, Ttl::FOREVER).unwrap_or_else(|| unreachable!("nothing is longer than for ever")),
            read_consistency: ReadConsistency::Linearizable,
            max_value_bytes: 1 << 20,
            max_body_bytes: 256 << 20,
            max_answer_bytes: 128 << 20,
            request_timeout: Duration::from_secs(2),
            body_timeout: Duration::from_secs(10),
            traces: None,
            build: BuildInfo::default(),
            openapi: None,
        }
    }
}

impl ApiConfig {
    /// The namespaces of a store that knows of none.
    pub(crate) fn namespaces(&self) -> NamespaceTable {
        let (ttl, read_consistency) = (self.ttl, self.read_consistency);
        let sessions = NamespaceSettings::unlimited(NamespaceName::sessions(), self.base_uri.clone());
        NamespaceTable::of([NamespaceSettings { ttl, read_consistency, ..sessions }])
    }
}

/// How many connections a [`Server`](crate::Server) keeps, and how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The most open connections. With all of them taken, a new one takes the place of the one that was idle longest;
    /// if none is idle it waits, and those behind it wait in the listener's queue.
    pub max_connections: usize,
    /// At shutdown, how many connections are still accepted of those that wait in the listener's queue, beyond
    /// `max_connections`. Closing a listener resets them, and somebody may keep opening new ones.
    pub last_connections: usize,
    /// How long a request's header may take from its first byte to its last.
    pub header_timeout: Duration,
    /// How long a connection may be open without a request.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer, or less than 16 KiB of a larger rest. Over HTTP/2 that goes for
    /// each answer, and the window is the client's to open.
    pub write_timeout: Duration,
    /// How long a client that has closed its half of an HTTP/1 connection is believed to wait for its answer. One that
    /// has gone looks the same, and its request is dropped after that.
    pub leave_timeout: Duration,
    /// The most requests at once over HTTP/2, on all connections together. A connection has a few beyond that.
    pub max_streams: usize,
    /// At shutdown, how long an idle HTTP/1 connection may still bring a request, which is then answered with
    /// `Connection: close`. A client that sends just when its connection is being closed would see an error.
    pub drain_idle: Duration,
    /// The same of a connection whose last request is no longer ago than this when the shutdown begins.
    pub drain_used: Duration,
    /// At shutdown, how long after its start what is in flight is cut off.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            // As many as the queue holds.
            last_connections: 4_096,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(600),
            write_timeout: Duration::from_secs(30),
            // Nearly all answers take less.
            leave_timeout: Duration::from_millis(500),
            // With the longest headers they take 64 MiB.
            max_streams: 4_096,
            drain_idle: Duration::from_secs(1),
            drain_used: Duration::from_secs(3),
            drain: Duration::from_secs(10),
        }
    }
}

/// Which program this is, as `/healthz` tells it.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct BuildInfo {
    /// The program's version.
    pub version: String,
    /// When it was built (RFC 3339).
    pub build_date: String,
    /// Where it was built.
    pub build_host: String,
    /// What built it.
    pub rust_version: String,
}
