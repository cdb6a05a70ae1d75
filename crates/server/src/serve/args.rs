//! What is asked for: the command lines of `sessile dev`, `sessile serve` and `sessile check-config`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use sessile_store::engine::EngineKind;

use crate::config::{DEFAULT_FILE, ListenAddress};
use crate::value_parsers::engines;

/// `sessile dev`.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Keep the sessions there, and find them again at the next start
    #[arg(long, value_name = "DIR", value_parser = NonEmptyStringValueParser::new().map(PathBuf::from))]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", value_parser = ListenAddress::parse)]
    pub(crate) listen: ListenAddress,
    /// What keeps the sessions
    #[arg(long, default_value = EngineKind::Fjall.name(), value_parser = engines())]
    pub(crate) engine: EngineKind,
}

/// `sessile serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    pub(crate) config: PathBuf,
    /// Set this node's data aside and come back as a new node, which may only join: for a node whose log is lost, or
    /// that was removed
    ///
    /// The data stays in the data directory under another name. Without effect on data that can be gone on with.
    #[arg(long)]
    pub(crate) discard_data_and_rejoin: bool,
}

/// `sessile check-config`.
#[derive(Debug, Args)]
pub(crate) struct CheckConfig {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
