//! `performance large`.

use std::time::Instant;

use super::nodes::Nodes;
use super::{FEW, PerformanceOptions, Tell, VALUE_BYTES};

/// Many sessions on one node.
pub fn large(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    tell(&format!("| {} sessions on a node | |", options.sessions));
    tell("|---|---|");
    let mut nodes = Nodes::ready(options, 1)?;
    let keys = options.sessions.to_string();
    nodes.fill(FEW, &[])?;
    let few = nodes.load(options.run, &["--no-fill"])?;
    let begin = Instant::now();
    nodes.fill(&keys, &["--ttl", "86400"])?;
    tell(&format!("| written in | {:.0} s |", begin.elapsed().as_secs_f64()));
    tell(&format!("| resident memory | {} MB |", nodes.resident_mb()?));
    nodes.come_to_rest()?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let ratio = nodes.disk() as f64 / (options.sessions * VALUE_BYTES) as f64;
    tell(&format!("| disk over live bytes, once all is merged | {ratio:.2} |"));
    let more = ["--no-fill", "--keys", &keys, "--ttl", "86400"];
    let many = nodes.load(options.run, &more)?;
    tell(&format!(
        "| requests/s over those at {FEW} sessions, mix | {:.2} ({:.1} us of a processor each, beside {:.1}) |",
        many.report.rate() / few.report.rate(),
        many.cost,
        few.cost
    ));
    nodes.fleet.stop("n1");
    let took = nodes.restart("n1")?.as_secs_f64();
    tell(&format!("| from start to ready, after a clean stop | {took:.1} s |"));
    nodes.load(options.run, &more)?;
    nodes.fleet.kill("n1");
    let took = nodes.restart("n1")?.as_secs_f64();
    tell(&format!("| from start to ready, after `kill -9`, its state checked | {took:.1} s |"));
    tell(&format!("| resident memory then | {} MB |", nodes.resident_mb()?));
    Ok(())
}
