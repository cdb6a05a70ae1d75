use std::time::Duration;

use sessile_core::{MAX_TTL, ReadConsistency};

use super::key::{Fallback, Key, KeyBlock, Number, Takes};
use crate::config::log_level::LogLevel;

/// The longest `service_name`: it stands in every log line.
pub(in crate::config) const MAX_SERVICE_NAME_BYTES: usize = 128;

/// What the system takes for the path of a socket, with a zero at its end (unix(7)).
pub(in crate::config) const MAX_SOCKET_PATH_BYTES: usize = 107;

/// The maximum lifetime when the file names none: a year, so that "remember me" cookies fit.
pub(in crate::config) const DEFAULT_MAX_TTL: Duration = Duration::from_secs(366 * 86_400);

/// A default, and that of Kask: what stands in its config.go.
const fn differs(sessile: &'static Fallback, kask: &'static Fallback) -> Fallback {
    Fallback::Differs { sessile, kask }
}

pub(super) const TOP: KeyBlock = KeyBlock {
    name: "",
    words: "What stands at the top of the file: the session API, and the namespace `sessions` of a new cluster.",
    keys: &[
        Key {
            name: "service_name",
            takes: Takes::Text(|| format!("1 to {MAX_SERVICE_NAME_BYTES} bytes without control characters")),
            default: differs(&Fallback::Text("sessile"), &Fallback::Text("kask")),
            words: "What this node is called in its log lines, and in the status of a node without `cluster.name`.",
        },
        Key {
            name: "base_uri",
            takes: Takes::Text(|| "a path of words between slashes, such as /sessions/v1".to_owned()),
            default: differs(&Fallback::Text("/sessions/v1/"), &Fallback::Text("/v1/")),
            words: "The path that the keys of `sessions` are under. With `/` the keys `healthz`, `livez`, `readyz`, `metrics` \
                    and `openapi` cannot be reached.",
        },
        Key {
            name: "listen_address",
            takes: Takes::Text(|| "an IP address or a host name, without a port".to_owned()),
            default: differs(&Fallback::Text("127.0.0.1"), &Fallback::Text("localhost")),
            words: "Where the session API listens. `0.0.0.0` is every interface with IPv4, `::` every interface with either. \
                    In Kask's file an empty text is `::`.",
        },
        Key {
            name: "listen_port",
            takes: Takes::Number(Number {
                unit: "",
                range: 0..=u16::MAX as u64,
                least: "the system chooses a free port, and the log says which",
                most: "the last port that there is; below 1024 the process needs a right that systemd's socket spares it",
            }),
            default: differs(&Fallback::Number(8081), &Fallback::Number(8080)),
            words: "The port of the session API.",
        },
        Key {
            name: "listen_unix",
            takes: Takes::Text(|| format!("the path of a file, of {MAX_SOCKET_PATH_BYTES} bytes at most")),
            default: Fallback::Follows("none"),
            words: "A Unix socket for the session API, in clear, besides its address.",
        },
        Key {
            name: "listen_unix_mode",
            takes: Takes::Text(|| "an octal mode such as 0660".to_owned()),
            // Whoever runs the node, and one group.
            default: Fallback::Text("0660"),
            words: "The mode of the file at `listen_unix`: whoever may write to it may connect.",
        },
        Key {
            name: "listen_unix_group",
            takes: Takes::Text(|| "a group of /etc/group, or the number of one".to_owned()),
            default: Fallback::Follows("the group of the process"),
            words: "The group of the file at `listen_unix`.",
        },
        Key {
            name: "default_ttl",
            takes: Takes::Number(Number {
                unit: "seconds",
                range: 0..=MAX_TTL.as_secs(),
                least: "sessions never expire, unless a write asks for a lifetime",
                most: "ten years: expiry is counted in buckets, and beyond that there would be too many",
            }),
            default: Fallback::Number(86_400),
            words: "The lifetime of a session in `sessions` whose write asks for none.",
        },
        Key {
            name: "max_ttl",
            takes: Takes::Number(Number {
                unit: "seconds",
                range: 0..=MAX_TTL.as_secs(),
                least: "no lifetime is too long",
                most: "ten years, as `default_ttl`",
            }),
            default: Fallback::Follows("31622400, a year of 366 days, or `default_ttl` if that is longer"),
            words: "The longest lifetime in `sessions`. A write that asks for more lives for so long, and its answer says so. It \
                    must not be below `default_ttl`.",
        },
        Key {
            name: "read_consistency",
            takes: Takes::Word(|| ReadConsistency::ALL.map(ReadConsistency::name).to_vec()),
            default: Fallback::Text("linearizable"),
            words: "What a read in `sessions` proves before it answers. `linearizable` never returns anything old. `local` asks \
                    nobody, works without a quorum, and tells in `Age` how many seconds old it may be.",
        },
        Key {
            name: "namespaces",
            takes: Takes::Blocks,
            default: Fallback::Follows("`sessions`, from the keys at the top"),
            words: "Which namespaces a new cluster has. Afterwards they belong to the cluster, and `sessile namespace` changes \
                    them. A node without `cluster` does what its file says at each start.",
        },
        Key {
            name: "log_level",
            takes: Takes::Word(|| LogLevel::ALL.map(LogLevel::name).to_vec()),
            default: Fallback::Text("info"),
            words: "How severe a line must be to be logged. After SIGHUP a new value counts at once; every other key waits for a \
                    restart.",
        },
        Key {
            name: "openapi_spec",
            takes: Takes::Text(|| "the path of a file, of 1 MiB at most".to_owned()),
            default: Fallback::Follows("the built-in one"),
            words: "What `/openapi` serves.",
        },
        Key {
            name: "tls",
            takes: Takes::Block,
            default: Fallback::Follows("the session API is served in clear"),
            words: "The certificate of the session API.",
        },
        Key {
            name: "storage",
            takes: Takes::Block,
            default: Fallback::Follows("its defaults"),
            words: "Where and how the state is kept.",
        },
        Key {
            name: "http",
            takes: Takes::Block,
            default: Fallback::Follows("its defaults"),
            words: "What clients may ask.",
        },
        Key {
            name: "shutdown",
            takes: Takes::Block,
            default: Fallback::Follows("its defaults"),
            words: "How the node stops.",
        },
        Key {
            name: "cluster",
            takes: Takes::Block,
            default: Fallback::Follows("a single node, which listens for no peers"),
            words: "Whose member the node is.",
        },
        Key {
            name: "admin",
            takes: Takes::Block,
            default: Fallback::Follows("no second listener"),
            words: "A listener for metrics, probes and the status page.",
        },
        Key {
            name: "backup",
            takes: Takes::Block,
            default: Fallback::Follows("none are made"),
            words: "The backups that the node makes by itself.",
        },
        Key {
            name: "traces",
            takes: Takes::Block,
            default: Fallback::Follows("nothing is traced"),
            words: "Where spans of requests are sent.",
        },
        Key {
            name: "cassandra",
            takes: Takes::Anything,
            default: Fallback::Follows("the file is Sessile's own"),
            words: "Marks a Kask file: what the file leaves out has Kask's defaults, and a warning says that this block has no \
                    effect.",
        },
    ],
};
