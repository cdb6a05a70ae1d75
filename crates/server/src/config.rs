//! The configuration: a YAML file, read whole and checked whole before anything happens. What comes out is valid
//! because it exists; nothing inside checks it again.
//!
//! Two kinds of file are understood. Sessile's own, and Kask's: a file with a `cassandra:` block is a Kask file, starts
//! a single node unchanged, and what it leaves out has Kask's defaults instead of Sessile's.
//!
//! Why `saphyr-parser`: an error must name key, line and what was expected, and a nearest known key. That takes a
//! tree with the line of every key and value. serde's data model has no place for lines: `serde_yaml_ng` (on the
//! archived unsafe-libyaml) gives one for the whole failed struct, and takes the key's name from no wrong type;
//! `serde-saphyr` is good at it but words its own errors, and brings an encoding library and a renderer of source
//! snippets along. saphyr-parser hands out events with their places, is maintained, has no unsafe code, stops at a
//! depth of its own and took linear time on all that was thrown at it; the tree over it is one small file here.

mod addresses;
mod admin;
mod backup;
mod block;
mod check;
mod cluster;
mod describe;
mod document;
mod environment;
mod fault;
mod http_limits;
mod keys;
mod listen;
mod listen_unix;
mod load;
mod log_level;
mod namespaces;
mod openapi;
mod operator_tokens;
mod origins;
mod page;
mod place;
mod read;
mod storage;
mod tls;
mod token_file;
mod traces;

use std::time::Duration;

use sessile_core::{BaseUri, NamespaceSettings, ReadConsistency, TtlPolicy};
use sessile_http::TlsFiles;

pub use admin::AdminListener;
pub use backup::BackupSchedule;
pub use cluster::{ClusterConfig, Plaintext};
pub use environment::Environment;
pub use fault::ConfigError;
pub use http_limits::HttpLimits;
pub use listen::ListenAddress;
pub use listen_unix::ListenUnix;
pub use log_level::LogLevel;
pub use openapi::OpenApi;
pub use operator_tokens::OperatorTokens;
pub use origins::Origins;
pub(crate) use page::page;
pub use storage::Storage;
pub use token_file::TokenFile;
pub use traces::TraceExport;

pub use crate::plain_http::PlainUrl;

/// The largest file that is read. A full configuration is 2 KB.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where `serve` looks for its file.
pub const DEFAULT_FILE: &str = "/etc/sessile/config.yaml";

/// Everything a node is told. Made by [`Config::load`], [`Config::parse`] or [`Config::dev`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whose file it was.
    pub flavour: Flavour,
    /// As it appears in logs; not empty, no control characters.
    pub service_name: String,
    /// The path that the keys of `sessions` are under, in a new cluster, as the next fields.
    pub base_uri: BaseUri,
    /// Where the session API listens.
    pub listen: ListenAddress,
    /// Where it listens besides, for clients on this machine.
    pub listen_unix: Option<ListenUnix>,
    /// With which certificate it is served at its address; `None` in clear.
    pub tls: Option<TlsFiles>,
    /// What lifetimes are given.
    pub ttl: TtlPolicy,
    /// What a read proves before it answers.
    pub read_consistency: ReadConsistency,
    /// Which namespaces a new cluster has, `sessions` among them.
    pub namespaces: Vec<NamespaceSettings>,
    /// What is logged.
    pub log_level: LogLevel,
    /// What `/openapi` serves.
    pub openapi: OpenApi,
    /// Where and how the state is kept.
    pub storage: Storage,
    /// What clients may ask.
    pub http: HttpLimits,
    /// Whose member it is and how it finds the others; `None` for a cluster of one, which listens for no peers.
    pub cluster: Option<ClusterConfig>,
    /// The second HTTP listener: metrics, probes and a status page.
    pub admin: Option<AdminListener>,
    /// The backups that the node makes by itself; `None` for none.
    pub backup: Option<BackupSchedule>,
    /// Which requests are traced, and where their spans go; `None` for none.
    pub traces: Option<TraceExport>,
    /// How long it serves on, not ready, when the process is told to stop: until balancers look away.
    pub shutdown_notice: Duration,
    /// How long the requests in flight may take after that.
    pub shutdown_grace: Duration,
    /// What was accepted but is not what somebody may expect, one sentence each; for the log and `check-config`.
    pub warnings: Vec<String>,
}

/// Whose file a configuration is, by its `cassandra:` block. It chooses the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// Without one.
    Sessile,
    /// With one.
    Kask,
}

#[cfg(test)]
mod tests;
