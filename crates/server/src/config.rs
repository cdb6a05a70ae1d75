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
mod block;
mod check;
mod cluster;
mod describe;
mod document;
mod fault;
mod http_limits;
mod listen;
mod log_level;
mod openapi;
mod storage;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sessile_core::TtlPolicy;
use sessile_http::{BaseUri, ReadConsistency};
use sessile_store::engine::EngineKind;

pub use cluster::{ClusterConfig, JoinTokenFile};
pub use fault::ConfigError;
pub use http_limits::HttpLimits;
pub use listen::ListenAddress;
pub use log_level::LogLevel;
pub use openapi::OpenApi;
pub use storage::Storage;

/// The largest file that is read. A full configuration is 2 KB.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where `serve` looks for its file.
pub const DEFAULT_FILE: &str = "/etc/sessile/config.yaml";

/// How long the requests in flight may take when the process is told to stop: longer than any of them may take, and
/// shorter than the 30 s after which Kubernetes kills.
const DEFAULT_GRACE_MS: u64 = 10_000;

/// Everything a node is told. Made by [`Config::load`], [`Config::parse`] or [`Config::dev`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whose file it was.
    pub flavour: Flavour,
    /// As it appears in logs; not empty, no control characters.
    pub service_name: String,
    /// The path that keys are under.
    pub base_uri: BaseUri,
    /// Where the session API listens.
    pub listen: ListenAddress,
    /// What lifetimes are given.
    pub ttl: TtlPolicy,
    /// What a read proves before it answers.
    pub read_consistency: ReadConsistency,
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
    /// Where the second HTTP listener is: metrics, probes and a status page.
    pub admin_listen: Option<ListenAddress>,
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

impl Config {
    /// What that file says. Reads it and the `openapi_spec` it names, and nothing else. The error names file and line.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let bytes = read_at_most(MAX_FILE_BYTES, file).map_err(|error| {
            let sentence = format!("cannot be read ({error}); create it or name another one");
            ConfigError::new(sentence).in_file(file)
        })?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let line = error.as_bytes()[..error.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
            ConfigError::at(line, "this is not UTF-8; save the file as UTF-8").in_file(file)
        })?;
        Self::parse(&text).map_err(|error| error.in_file(file))
    }

    /// What that YAML says. Reads the file that `openapi_spec` names.
    pub fn parse(yaml: &str) -> Result<Self, ConfigError> {
        if yaml.len() as u64 > MAX_FILE_BYTES {
            return Err(ConfigError::new(format!("longer than {MAX_FILE_BYTES} bytes; shorten it")));
        }
        check::check(document::Node::parse(yaml)?.as_ref())
    }

    /// What `sessile dev` runs: the defaults of an empty file, and what the command line says. `data_dir` is absolute.
    pub fn dev(listen: ListenAddress, engine: EngineKind, data_dir: PathBuf) -> Result<Self, ConfigError> {
        let defaults = check::check(None)?;
        let storage = Storage { data_dir, engine, ..defaults.storage };
        Ok(Self { listen, storage, ..defaults })
    }
}

/// The whole file, or an error that says that it is larger.
fn read_at_most(limit: u64, path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
