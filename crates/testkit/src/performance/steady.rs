//! `performance steady`.

use super::figures::median;
use super::nodes::Nodes;
use super::{FEW, PerformanceOptions, Tell};

/// Loads as fast as they are answered, on three nodes and on one.
pub fn steady(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    tell("| nodes | load | requests/s | GET p50 / p99 ms | SET p50 / p99 ms | processor us a request | failed |");
    tell("|---|---|---|---|---|---|---|");
    let loads: [(&str, &[&str]); 5] = [
        ("mix 74:25:1", &[]),
        ("GET", &["--mix", "100:0:0"]),
        ("SET", &["--mix", "0:100:0"]),
        ("GET, 90 % absent", &["--mix", "100:0:0", "--misses", "90"]),
        ("mix, 512 connections", &["--connections", "512"]),
    ];
    for count in [3, 1] {
        let mut nodes = Nodes::ready(options, count)?;
        nodes.fill(FEW, &[])?;
        for (name, more) in loads {
            let more = [&["--no-fill"], more].concat();
            let runs = (0..options.runs).map(|_| nodes.load(options.run, &more)).collect::<Result<Vec<_>, _>>()?;
            let waits = |kind, which| {
                let waits = runs.iter().filter_map(|run| run.report.wait(kind, which)).collect();
                median(waits).map_or("–".to_owned(), |wait| format!("{wait:.2}"))
            };
            tell(&format!(
                "| {count} | {name} | {:.0} | {} / {} | {} / {} | {:.1} | {} |",
                median(runs.iter().map(|run| run.report.rate()).collect()).unwrap_or(0.0),
                waits("get", "p50"),
                waits("get", "p99"),
                waits("set", "p50"),
                waits("set", "p99"),
                median(runs.iter().map(|run| run.cost).collect()).unwrap_or(0.0),
                runs.iter().map(|run| run.report.failed()).sum::<u64>(),
            ));
        }
    }
    Ok(())
}
