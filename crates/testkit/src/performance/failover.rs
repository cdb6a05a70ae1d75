//! `performance failover`.

use std::thread;
use std::time::Duration;

use super::bench_report::BenchReport;
use super::figures::median;
use super::nodes::Nodes;
use super::{FEW, PerformanceOptions, Tell};
use crate::eventually;

/// How long a load runs around the end of a leader, and after how many of its writes that comes: about a second of them.
const AROUND: Duration = Duration::from_secs(4);
const INTO_IT: u64 = 250;

/// Leaders that are killed, and leaders that are told to stop, under a load at the others.
pub fn failover(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    tell("| leader | rounds | longest wait at the others, median / worst ms | failed |");
    tell("|---|---|---|---|");
    for how in ["killed", "told to stop"] {
        let mut nodes = Nodes::ready(options, 3)?;
        nodes.fill(FEW, &[])?;
        let mut runs = Vec::new();
        for _ in 0..options.rounds {
            let leader = nodes.fleet.wait_for_leader();
            let others: Vec<_> = nodes.fleet.names().into_iter().filter(|name| *name != leader).collect();
            let mut command = nodes.bench(&others, AROUND, &["--no-fill", "--rate", "1000"]);
            let before = nodes.applied(&leader);
            let load = thread::spawn(move || command.output());
            eventually("the load is under way", || (nodes.applied(&leader) >= before + INTO_IT).then_some(()));
            if how == "killed" {
                nodes.fleet.kill(&leader);
            } else {
                nodes.fleet.stop(&leader);
            }
            let output = load.join().map_err(|_| "the load test's thread panicked")?;
            runs.push(BenchReport::of(output)?);
            nodes.restart(&leader)?;
        }
        let longest: Vec<_> = runs.iter().filter_map(|run| run.wait("all", "max")).collect();
        let worst = longest.iter().copied().fold(0.0, f64::max);
        let failed: u64 = runs.iter().map(BenchReport::failed).sum();
        let median = median(longest).unwrap_or(0.0);
        tell(&format!("| {how} | {} | {median:.0} / {worst:.0} | {failed} |", options.rounds));
    }
    Ok(())
}
