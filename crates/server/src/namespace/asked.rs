//! Who is asked, and about which namespace: what several commands have in common.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::operate::args::Server;

/// `sessile namespace show`, `groups` and `token list`.
#[derive(Debug, Args)]
pub(crate) struct Of {
    /// The namespace's name
    #[arg(value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) server: Server,
    /// Print a JSON document instead
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who is asked for a change, and how it is told what came of it.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Print a JSON document instead of a sentence
    #[arg(long)]
    pub(crate) json: bool,
}
