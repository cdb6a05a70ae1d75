//! What is asked for: the command lines of `sessile backup`, `verify`, `inspect` and `restore`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, TypedValueParser};
use sessile_store::engine::EngineKind;

use crate::operate::args::Server;
use crate::value_parsers::engines;

/// `sessile backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// Where it is kept; it must not be there yet. `-` for standard output
    #[arg(value_name = "FILE", value_parser = NonEmptyStringValueParser::new().map(PathBuf::from))]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) server: Server,
    /// Also of what a node knows that has no quorum: newer sessions may be missing
    #[arg(long)]
    pub(crate) even_behind: bool,
    /// Print a JSON document instead of a sentence; with FILE, because standard output would hold both
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sessile verify` and `sessile inspect`.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// The backup; `-` for standard input
    #[arg(value_name = "FILE", value_parser = NonEmptyStringValueParser::new().map(PathBuf::from))]
    pub(crate) file: PathBuf,
    /// Print a JSON document
    #[arg(long)]
    pub(crate) json: bool,
}

/// `sessile restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The backup; `-` for standard input
    #[arg(value_name = "FILE", value_parser = NonEmptyStringValueParser::new().map(PathBuf::from))]
    pub(crate) file: PathBuf,
    /// The `storage.data_dir` of the node that is to have it. Run this as the user that the node runs as
    #[arg(long, value_name = "DIR", value_parser = NonEmptyStringValueParser::new().map(PathBuf::from))]
    pub(crate) data_dir: PathBuf,
    /// What is to keep the sessions there: its `storage.engine`
    #[arg(long, default_value = EngineKind::Fjall.name(), value_parser = engines())]
    pub(crate) engine: EngineKind,
    /// Print a JSON document instead of sentences
    #[arg(long)]
    pub(crate) json: bool,
}
