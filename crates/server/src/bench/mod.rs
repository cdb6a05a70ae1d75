//! An operator's own load test, over the session API as any client has it.
//!
//! ```text
//!  connections ──► requests, each when it is due ──► endpoints
//!       └── tallies: waits by kind, failures by reason ──► report
//! ```

mod args;
mod load;
mod mix;
mod report;
mod tally;

use anyhow::Context;
use std::process::ExitCode;

pub(crate) use args::Bench;
use report::Report;

use crate::output;

/// Runs the load, and prints what it measured. Exit code 1 if any request failed.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let measured = runtime.context("no threads for the runtime")?.block_on(load::measure(bench))?;
    let report = Report::of(bench, &measured);
    let text = if bench.json { format!("{:#}\n", report.json()) } else { report.table() };
    output::to_stdout(&text).context(output::UNWRITABLE)?;
    Ok(if measured.tally.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
