use std::ops::RangeInclusive;

use super::key::{Fallback, Key, KeyBlock, Number, Takes};

/// Sessions are a few KB; what is above a MiB is a mistake of the client's.
const DEFAULT_MAX_VALUE_BYTES: u64 = 1024 * 1024;
/// A value is one log entry, and is held whole a few times over on its way.
const MAX_VALUE_BYTES: RangeInclusive<u64> = 1..=4 * 1024 * 1024;
/// MediaWiki gives up at 3 s, Wikimedia's Envoy at 2.5 s: an answer must come before.
const DEFAULT_REQUEST_TIMEOUT_MS: u64 = 2_000;
/// Room for a slow local network; far beyond MediaWiki's own deadline.
const DEFAULT_HEADER_TIMEOUT_MS: u64 = 5_000;
/// A MiB at 2 Mbit/s.
const DEFAULT_BODY_TIMEOUT_MS: u64 = 5_000;
/// Below 100 ms an election fails requests; beyond a minute nobody waits.
const TIMEOUT_MS: RangeInclusive<u64> = 100..=60_000;
/// 65 minutes: longer than Envoy keeps an idle connection (1 h). Who closes first must be the client, or a request sent at that
/// moment is lost. Kask never closes.
const DEFAULT_IDLE_TIMEOUT_MS: u64 = 3_900_000;
/// A second to a day.
const IDLE_TIMEOUT_MS: RangeInclusive<u64> = 1_000..=86_400_000;
/// More than ten times what a large farm of application servers keeps open through its proxies.
const DEFAULT_MAX_CONNECTIONS: u64 = 16_384;
/// What file descriptors and memory allow on one machine.
const MAX_CONNECTIONS: RangeInclusive<u64> = 1..=100_000;
/// Twice what an election takes on a healthy network, and below the 2 s and more after which balancers call a check without an
/// answer failed.
const DEFAULT_READY_PATIENCE_MS: u64 = 1_500;
/// Nothing says at once what is so now. Beyond `request_timeout_ms` it has no effect.
const READY_PATIENCE_MS: RangeInclusive<u64> = 0..=60_000;
/// How long the requests in flight may take when the process is told to stop: longer than any of them may take, and shorter
/// than the 30 s after which Kubernetes kills.
const DEFAULT_GRACE_MS: u64 = 10_000;
/// Up to ten minutes to stop. No grace cuts what is in flight; no notice takes no new connection at once.
const STOP_MS: RangeInclusive<u64> = 0..=600_000;

const MILLIS: &str = "milliseconds";

/// A deadline of a request's parts.
const fn timeout(least: &'static str) -> Takes {
    Takes::Number(Number {
        unit: MILLIS,
        range: TIMEOUT_MS,
        least,
        most: "a minute: beyond that no client waits, and what waits takes memory",
    })
}

pub(super) const HTTP: KeyBlock = KeyBlock {
    name: "http",
    words: "What one client, and all of them together, may ask.",
    keys: &[
        Key {
            name: "max_value_bytes",
            takes: Takes::Number(Number {
                unit: "bytes",
                range: MAX_VALUE_BYTES,
                least: "only values of one byte, and empty ones, are taken",
                most: "4 MiB: a value is one entry of the log, and is held whole a few times over on its way",
            }),
            default: Fallback::Number(DEFAULT_MAX_VALUE_BYTES),
            words: "The longest value. A longer one is a 413 `payload_too_large`.",
        },
        Key {
            name: "request_timeout_ms",
            takes: timeout("a request that meets an election is a 503"),
            default: Fallback::Number(DEFAULT_REQUEST_TIMEOUT_MS),
            words: "How long a request may take, from when it is whole to its answer; then it is a 503. With members that are far \
                    from each other it must be longer: see `cluster.max_rtt_ms`.",
        },
        Key {
            name: "header_timeout_ms",
            takes: timeout("a slow network loses connections"),
            default: Fallback::Number(DEFAULT_HEADER_TIMEOUT_MS),
            words: "How long a request's line and headers, or a TLS handshake, may take. Then the connection is closed.",
        },
        Key {
            name: "body_timeout_ms",
            takes: timeout("a large value must come at 84 Mbit/s"),
            default: Fallback::Number(DEFAULT_BODY_TIMEOUT_MS),
            words: "How long a request's body may take. Then it is a 408.",
        },
        Key {
            name: "idle_timeout_ms",
            takes: Takes::Number(Number {
                unit: MILLIS,
                range: IDLE_TIMEOUT_MS,
                least: "nearly every request of a slow client needs a new connection, and one that is sent while the old one closes \
                        is lost",
                most: "a day",
            }),
            default: Fallback::Number(DEFAULT_IDLE_TIMEOUT_MS),
            words: "How long a connection may say nothing between two requests. It should be longer than the clients' own limit, so \
                    that they close first.",
        },
        Key {
            name: "max_connections",
            takes: Takes::Number(Number {
                unit: "",
                range: MAX_CONNECTIONS,
                least: "one client at a time; the others wait",
                most: "beyond that, descriptors and memory of one machine do not do",
            }),
            default: Fallback::Number(DEFAULT_MAX_CONNECTIONS),
            words: "Connections at a time. The limit of open files may allow fewer; a warning at start says so. When all are taken, \
                    the idlest are closed for newcomers.",
        },
        Key {
            name: "ready_patience_ms",
            takes: Takes::Number(Number {
                unit: MILLIS,
                range: READY_PATIENCE_MS,
                least: "it says at once what is so now, and balancers see every election",
                most: "the same as `request_timeout_ms`, which it never exceeds",
            }),
            default: Fallback::Number(DEFAULT_READY_PATIENCE_MS),
            words: "How long `/readyz` waits for the next leader before it says that this node is not ready.",
        },
    ],
};

pub(super) const SHUTDOWN: KeyBlock = KeyBlock {
    name: "shutdown",
    words: "How the node stops. What waits for it, such as systemd's `TimeoutStopSec` or Kubernetes' \
            `terminationGracePeriodSeconds`, must wait for longer than both together.",
    keys: &[
        Key {
            name: "grace_ms",
            takes: Takes::Number(Number {
                unit: MILLIS,
                range: STOP_MS,
                least: "what is in flight is cut off",
                most: "ten minutes",
            }),
            default: Fallback::Number(DEFAULT_GRACE_MS),
            words: "How long the requests in flight may take when the process is told to stop.",
        },
        Key {
            name: "notice_ms",
            takes: Takes::Number(Number {
                unit: MILLIS,
                range: STOP_MS,
                least: "no new connection is taken from the moment of the signal on",
                most: "ten minutes",
            }),
            default: Fallback::Number(0),
            words: "How long it serves on, not ready, before that: for a balancer that polls, two of its checks.",
        },
    ],
};
