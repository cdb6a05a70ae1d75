use std::ops::RangeInclusive;
use std::time::Duration;

/// What one client, and all of them together, may ask of the HTTP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// The longest value, in bytes.
    pub max_value_bytes: usize,
    /// From the whole request read to the answer begun.
    pub request_timeout: Duration,
    /// For the request line and the headers to arrive.
    pub header_timeout: Duration,
    /// For the body to arrive.
    pub body_timeout: Duration,
    /// How long a connection may say nothing between two requests.
    pub idle_timeout: Duration,
    /// Connections at a time.
    pub max_connections: usize,
    /// How long `/readyz` waits for the next leader before it says that this node is not ready.
    pub ready_patience: Duration,
}

impl HttpLimits {
    /// Sessions are a few KB; what is above a MiB is a mistake of the client's.
    pub(super) const DEFAULT_MAX_VALUE_BYTES: u64 = 1024 * 1024;
    /// A value is one log entry, and is held whole a few times over on its way.
    pub(super) const MAX_VALUE_BYTES: RangeInclusive<u64> = 1..=4 * 1024 * 1024;

    /// MediaWiki gives up at 3 s, Wikimedia's Envoy at 2.5 s: an answer must come before.
    pub(super) const DEFAULT_REQUEST_TIMEOUT_MS: u64 = 2_000;
    /// Room for a slow local network; far beyond MediaWiki's own deadline.
    pub(super) const DEFAULT_HEADER_TIMEOUT_MS: u64 = 5_000;
    /// A MiB at 2 Mbit/s.
    pub(super) const DEFAULT_BODY_TIMEOUT_MS: u64 = 5_000;
    /// Below 100 ms an election fails requests; beyond a minute nobody waits.
    pub(super) const TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;

    /// 65 minutes: longer than Envoy keeps an idle connection (1 h). Who closes first must be the client, or a request
    /// sent at that moment is lost. Kask never closes.
    pub(super) const DEFAULT_IDLE_TIMEOUT_MS: u64 = 3_900_000;
    /// A second to a day.
    pub(super) const IDLE_TIMEOUT_MS: RangeInclusive<u64> = 1_000..=86_400_000;

    /// More than ten times what a large farm of application servers keeps open through its proxies.
    pub(super) const DEFAULT_MAX_CONNECTIONS: u64 = 16_384;
    /// What file descriptors and memory allow on one machine.
    pub(super) const MAX_CONNECTIONS: RangeInclusive<u64> = 1..=100_000;

    /// Twice what an election takes on a healthy network, and below the 2 s and more after which balancers call a check
    /// without an answer failed.
    pub(super) const DEFAULT_READY_PATIENCE_MS: u64 = 1_500;
    /// Nothing says at once what is so now. Beyond `request_timeout_ms` it has no effect.
    pub(super) const READY_PATIENCE_MS: RangeInclusive<u64> = 0..=60_000;
}
