use std::time::Duration;

use clap::Args;

use super::mix::Mix;
use crate::session_client::Endpoint;
use crate::value_parsers::patience;

/// `sessile bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Where sessions are served; of several, each gets its share of the connections
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:8081/sessions/v1/", value_parser = Endpoint::parse)]
    pub(crate) urls: Vec<Endpoint>,
    /// How many connections, each with one request at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connections: u32,
    /// How many sessions there are
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(crate) keys: u64,
    /// How large each is
    #[arg(long, value_name = "BYTES", default_value_t = 1_800, value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub(crate) value_bytes: u32,
    /// Of how many requests how many read, write and delete
    #[arg(long, value_name = "GET:SET:DELETE", default_value_t = Mix::MEDIAWIKI, value_parser = Mix::parse)]
    pub(crate) mix: Mix,
    /// Of a hundred reads, how many are of a session that never was
    #[arg(long, value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=100))]
    pub(crate) misses: u8,
    /// So many requests a second, all connections together, at moments of their own; left out, each connection asks
    /// again as soon as it has its answer
    ///
    /// Each wait then counts from when its request was due, not from when it could be sent, so that a store which stops
    /// for a second cannot hide it by getting no requests meanwhile.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: Option<u32>,
    /// For how long: seconds, or with a unit such as 500ms, 10s or 2m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = patience)]
    pub(crate) duration: Duration,
    /// How long what it writes lives, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) ttl: u32,
    /// Do not write every session once before the measurement
    #[arg(long)]
    pub(crate) no_fill: bool,
    /// Print a JSON document instead of a table
    #[arg(long)]
    pub(crate) json: bool,
}
