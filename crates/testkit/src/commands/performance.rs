//! `sessile-testkit performance`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use sessile_testkit::performance::{PerformanceOptions, failover, large, soak, steady};

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
    /// How many leaders go.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = at_least_one())]
    rounds: u64,
    /// How many sessions are many.
    #[arg(long, value_name = "N", default_value_t = 4_000_000, value_parser = at_least_one())]
    sessions: u64,
    /// How long the soak takes, in minutes.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = at_least_one())]
    soak_minutes: u64,
    /// Built by `cargo build --release -p sessile`.
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
        };
        for part in self.parts {
            let mut tell = |line: &str| println!("{line}");
            println!();
            let measured = match part {
                Part::Steady => steady(&options, &mut tell),
                Part::Failover => failover(&options, &mut tell),
                Part::Large => large(&options, &mut tell),
                Part::Soak => soak(&options, &mut tell),
            };
            if let Err(why) = measured {
                eprintln!("sessile-testkit: {why}");
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }
}
