//! `sessile-testkit performance`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use sessile_testkit::performance::{
    PerformanceOptions, Shape, absence, cold_reads, distance, expiring, failover, full_disk, growth, large, limits,
    reimage, soak, steady, truncate,
};

/// Of nothing there is no median.
fn at_least_one() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..)
}

/// Measures the program on this machine, on loopback, and prints the tables of docs/performance.md.
///
/// Compare figures of one run only, and prefer processor time a request: a busy machine moves all others.
#[derive(clap::Args)]
pub(crate) struct Performance {
    /// What is measured.
    #[arg(value_enum, value_name = "PART", default_values_t = [Part::Steady, Part::Failover])]
    parts: Vec<Part>,
    /// How long one load runs, in seconds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = at_least_one())]
    seconds: u64,
    /// Of how many loads the median is told.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_least_one())]
    runs: u64,
    /// How many leaders go, or how often a disk is filled.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one())]
    rounds: u64,
    /// How many sessions are many, or are there to be read.
    #[arg(long, value_name = "N", default_value_t = 4_000_000, value_parser = at_least_one())]
    sessions: u64,
    /// How long the soak takes, in minutes.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one())]
    soak_minutes: u64,
    /// How long expiring, absence, limits and a disk without inodes take, in minutes; left out, as their bars say.
    #[arg(long, value_name = "N", value_parser = minutes)]
    minutes: Option<Duration>,
    /// How much growth and reimage write, in GB of keys and values; left out, 40 and 7.
    #[arg(long, value_name = "N", value_parser = gigabytes, conflicts_with = "keys")]
    gb: Option<u64>,
    /// How many keys growth and reimage write.
    #[arg(long, value_name = "N", value_parser = at_least_one())]
    keys: Option<u64>,
    /// How large a value is.
    #[arg(long, value_name = "BYTES", default_value_t = 1_800, value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    value_bytes: u64,
    /// How many nodes grow.
    #[arg(long, value_name = "1|3", default_value_t = 1, value_parser = one_or_three)]
    nodes: usize,
    /// How many requests a second come in expiring, reimage, absence and limits; left out, as their bars say.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// For how many seconds a session lives that is to expire.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    ttl: u32,
    /// How large a disk is that is filled, in MB.
    #[arg(long, value_name = "N", default_value_t = 3_000, value_parser = clap::value_parser!(u64).range(64..))]
    disk_mb: u64,
    /// What a node keeps in memory of what it read and wrote, in MiB.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one())]
    cache_mb: u64,
    /// How far nodes are from each other in distance, in milliseconds there and back.
    #[arg(
        long,
        value_name = "MS",
        value_delimiter = ',',
        default_values_t = [0, 2, 20, 30, 40, 60, 80, 120, 200, 300],
        value_parser = clap::value_parser!(u64).range(0..=400)
    )]
    round_trips: Vec<u64>,
    /// Which nodes are.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Far::All, Far::One, Far::Leader])]
    far: Vec<Far>,
    /// For how many seconds nothing happens in distance, while nobody may want to lead.
    #[arg(long, value_name = "N", default_value_t = 60)]
    idle_seconds: u64,
    /// How many writes each node takes in distance.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = at_least_one())]
    writes: u64,
    /// How many requests of a kind are made alone in distance, of which the median is told.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one())]
    alone: u64,
    /// Built by `cargo build --profile dist -p sessile`.
    #[arg(long, value_name = "PATH", default_value = super::PROGRAM)]
    pub(super) program: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Part {
    /// Loads as fast as they are answered, on three nodes and on one: three minutes.
    Steady,
    /// Leaders that are killed, and leaders that are told to stop: four minutes.
    Failover,
    /// Many sessions on one node: five minutes, and 15 GB of disk.
    Large,
    /// Half of the peak for long, with sessions that live for a minute.
    Soak,
    /// New keys without a break, each written once: half an hour, and 60 GB of disk.
    Growth,
    /// New keys that live for a minute, and what they leave on the disk: 25 minutes.
    Expiring,
    /// What a read takes from the disk of a node that received its state.
    ColdReads,
    /// A node that comes back with an empty disk under load: ten minutes, and 35 GB of disk.
    Reimage,
    /// A follower that is away under load.
    Absence,
    /// Disks that are filled again and again; needs root.
    FullDisk,
    /// Few descriptors and many connections, little memory and large bodies.
    Limits,
    /// Voters that are far from each other: three quarters of an hour; needs root.
    Distance,
    /// Two namespaces full of sessions, one of which is truncated under load: five minutes, and 4 GB of disk.
    Truncate,
}

#[derive(Clone, Copy, ValueEnum)]
enum Far {
    /// Each from each.
    All,
    /// One follower from two others.
    One,
    /// The leader from two others.
    Leader,
}

impl Far {
    fn shape(self) -> Shape {
        match self {
            Self::All => Shape::Equal,
            Self::One => Shape::FarFollower,
            Self::Leader => Shape::FarLeader,
        }
    }
}

/// Also less than a whole one, for a look.
fn scaled(text: &str, by: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "a number was expected".to_owned())?;
    (number > 0.0 && number <= 1e6).then_some(number * by).ok_or_else(|| "a number above 0 was expected".into())
}

fn minutes(text: &str) -> Result<Duration, String> {
    scaled(text, 60.0).map(Duration::from_secs_f64)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1e15")]
fn gigabytes(text: &str) -> Result<u64, String> {
    scaled(text, 1e9).map(|bytes| bytes as u64)
}

fn one_or_three(text: &str) -> Result<usize, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("1 or 3 was expected".into()),
    }
}

impl Performance {
    pub(crate) fn run(self) -> ExitCode {
        let options = PerformanceOptions {
            program: self.program,
            run: Duration::from_secs(self.seconds),
            runs: self.runs,
            rounds: self.rounds,
            sessions: self.sessions,
            soak: Duration::from_secs(60 * self.soak_minutes),
            cache_mb: self.cache_mb,
            time: self.minutes,
            bytes: self.gb,
            keys: self.keys,
            value_bytes: self.value_bytes,
            nodes: self.nodes,
            rate: self.rate,
            ttl: self.ttl,
            disk_bytes: self.disk_mb * 1_000_000,
            round_trips: self.round_trips,
            shapes: self.far.into_iter().map(Far::shape).collect(),
            idle: Duration::from_secs(self.idle_seconds),
            writes: usize::try_from(self.writes).unwrap_or(usize::MAX),
            alone: usize::try_from(self.alone).unwrap_or(usize::MAX),
        };
        for part in self.parts {
            let mut tell = |line: &str| println!("{line}");
            println!();
            let measured = match part {
                Part::Steady => steady(&options, &mut tell),
                Part::Failover => failover(&options, &mut tell),
                Part::Large => large(&options, &mut tell),
                Part::Soak => soak(&options, &mut tell),
                Part::Growth => growth(&options, &mut tell),
                Part::Expiring => expiring(&options, &mut tell),
                Part::ColdReads => cold_reads(&options, &mut tell),
                Part::Reimage => reimage(&options, &mut tell),
                Part::Absence => absence(&options, &mut tell),
                Part::FullDisk => full_disk(&options, &mut tell),
                Part::Limits => limits(&options, &mut tell),
                Part::Distance => distance(&options, &mut tell),
                Part::Truncate => truncate(&options, &mut tell),
            };
            if let Err(why) = measured {
                eprintln!("sessile-testkit: {why}");
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }
}
