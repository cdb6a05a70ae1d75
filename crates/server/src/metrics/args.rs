use clap::Args;

/// `sessile metrics`.
#[derive(Debug, Args)]
pub(crate) struct MetricsOf {
    /// Print a JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,
}
