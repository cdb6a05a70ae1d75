//! What the program costs on this machine, and what it bears: the tables of docs/performance.md. Real processes on loopback
//! are the nodes. The client is the program's own load test, and for what goes on without an end a generator.

use std::path::PathBuf;
use std::time::Duration;

mod absence;
mod bench_report;
mod cold_reads;
mod distance;
mod expiring;
mod failover;
mod figures;
mod full_disk;
pub(crate) mod generator;
mod growth;
mod idle_connections;
mod large;
mod limits;
mod memory_limit;
mod nodes;
mod reimage;
pub(crate) mod scrape;
mod soak;
mod steady;
mod truncate;
mod usage;
mod wrapper;

pub use absence::absence;
pub use cold_reads::cold_reads;
pub use distance::distance;
pub use expiring::expiring;
pub use failover::failover;
pub use full_disk::full_disk;
pub use growth::growth;
pub use large::large;
pub use limits::limits;
pub use reimage::reimage;
pub use soak::soak;
pub use steady::steady;
pub use truncate::truncate;

/// What the load test's sessions have in bytes, without their keys.
const VALUE_BYTES: u64 = 1_800;
/// How many sessions are few.
const FEW: &str = "20000";

/// How long and how often everything runs, and of what size it is.
#[derive(Debug, Clone)]
pub struct PerformanceOptions {
    /// The binary.
    pub program: PathBuf,
    /// What a node keeps in memory of what it read and wrote, in MiB.
    pub cache_mb: u64,
    /// How long one load runs.
    pub run: Duration,
    /// Of how many loads the median is told.
    pub runs: u64,
    /// How many leaders go, or how often a disk is filled.
    pub rounds: u64,
    /// How many sessions are many, or are read.
    pub sessions: u64,
    /// How long the soak takes.
    pub soak: Duration,
    /// How long anything else takes that has a length, if it is not its own default.
    pub time: Option<Duration>,
    /// How much is written, in bytes of keys and values, if it is not the part's own default.
    pub bytes: Option<u64>,
    /// How many keys are written instead.
    pub keys: Option<u64>,
    /// What a value has in bytes.
    pub value_bytes: u64,
    /// How many nodes grow: one or three.
    pub nodes: usize,
    /// How many requests a second, if it is not the part's own default.
    pub rate: Option<u32>,
    /// For how many seconds a session lives that is to expire.
    pub ttl: u32,
    /// What a small disk holds, in bytes.
    pub disk_bytes: u64,
    /// How far nodes are from each other, in milliseconds there and back.
    pub round_trips: Vec<u64>,
    /// Which of them are.
    pub shapes: Vec<Shape>,
    /// How long nothing happens, while nobody may want to lead.
    pub idle: Duration,
    /// How many writes each of them takes, a few at a time.
    pub writes: usize,
    /// How many requests of a kind are made alone.
    pub alone: usize,
}

/// Which of three nodes are far from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All.
    Equal,
    /// Two are near, and one of those leads.
    FarFollower,
    /// Two are near, and the third leads.
    FarLeader,
}

/// Says a line of a table.
pub type Tell<'a> = &'a mut dyn FnMut(&str);

impl PerformanceOptions {
    /// What a session takes in bytes, key and value.
    fn session_bytes(&self) -> u64 {
        generator::KEY_BYTES + self.value_bytes
    }

    /// How many keys are so many bytes, unless the number of keys is given.
    fn keys_of(&self, default_bytes: u64) -> u64 {
        self.keys.unwrap_or_else(|| self.bytes.unwrap_or(default_bytes).div_ceil(self.session_bytes()))
    }

    fn value_len(&self) -> usize {
        usize::try_from(self.value_bytes).unwrap_or(usize::MAX)
    }
}
