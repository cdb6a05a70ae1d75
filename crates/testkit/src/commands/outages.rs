//! `sessile-testkit outages`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use sessile_testkit::outages::{Outage, OutagesOptions, Told};

/// Replays five outages of session stores on three real nodes, with a stock Prometheus beside them.
///
/// Each prints what happened when, what clients felt of it, which alerts fired, what the nodes' logs said, and which promises
/// were kept; a promise that was broken is a failure. Needs Debian's package `prometheus`; and for 3, 4 and 5 root, for
/// networks and disks of the nodes' own.
///
/// 1 2020-06-11: twelve thousand reads a second, 85 % of what is not there: five minutes.
/// 2 2022-09-15: a node comes back reimaged: six minutes.
/// 3 2023-01-24: a restarted node is asked before it sees its peers: five minutes.
/// 4 A scheduler moves the nodes to other hosts, one after the other: 14 minutes.
/// 5 2025-03-31: disks fill up on all hosts: 25 minutes.
#[derive(clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Outages {
    /// Only these.
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = one_of_them())]
    only: Vec<u64>,
    /// Writes each report there as a text, and its timeline as a picture (SVG).
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The rules by which alerts fire.
    #[arg(long, value_name = "FILE", default_value = "deploy/prometheus/sessile.rules.yml")]
    rules: PathBuf,
    /// Built by `cargo build --profile dist -p sessile`.
    #[arg(long, value_name = "PATH", default_value = super::PROGRAM)]
    pub(super) program: PathBuf,
}

fn one_of_them() -> RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=5)
}

impl Outages {
    pub(crate) fn run(self) -> ExitCode {
        let options = OutagesOptions { program: self.program, rules: self.rules };
        let mut failed = false;
        for (number, outage) in (1..).zip(Outage::ALL) {
            if !self.only.is_empty() && !self.only.contains(&number) {
                continue;
            }
            println!("\n== {}", outage.title());
            let told = match outage.replay(&options, |line| println!("{line}")) {
                Ok(told) => told,
                Err(why) => {
                    eprintln!("sessile-testkit: {}: {why}", outage.title());
                    failed = true;
                    continue;
                }
            };
            println!("\n{told}");
            for promise in told.broken() {
                eprintln!("sessile-testkit: broken: {promise}");
                failed = true;
            }
            if let Some(Err(why)) = self.out.as_ref().map(|dir| write(dir, outage, &told)) {
                eprintln!("sessile-testkit: {why}");
                failed = true;
            }
        }
        if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

fn write(dir: &Path, outage: Outage, told: &Told) -> Result<(), String> {
    let file = |ending| dir.join(format!("{}.{ending}", outage.name()));
    let written = fs::create_dir_all(dir)
        .and_then(|()| fs::write(file("txt"), told.to_string()))
        .and_then(|()| fs::write(file("svg"), told.drawing()));
    written.map_err(|error| format!("{}: {error}", dir.display()))
}
