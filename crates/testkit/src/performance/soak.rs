//! `performance soak`.

use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use super::bench_report::BenchReport;
use super::nodes::Nodes;
use super::{FEW, PerformanceOptions, Tell};

/// How often a soak is looked at.
const LOOKS: u32 = 10;

/// Half of the peak for long, with sessions that live for a minute.
pub fn soak(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let mut nodes = Nodes::ready(options, 3)?;
    nodes.fill(FEW, &["--ttl", "60"])?;
    let peak = nodes.load(options.run, &["--no-fill", "--ttl", "60"])?.report.rate();
    let rate = format!("{:.0}", peak / 2.0);
    tell(&format!("| after s, at {rate} requests/s | resident MB | disk MB |"));
    tell("|---|---|---|");
    let names = nodes.fleet.names();
    let mut command = nodes.bench(&names, options.soak, &["--no-fill", "--ttl", "60", "--rate", &rate]);
    let begin = Instant::now();
    let (ends, ended) = mpsc::sync_channel(1);
    thread::spawn(move || ends.send(command.output()));
    let mut output = None;
    for look in 1..=LOOKS {
        // A load that fails is not looked at until its time would be over.
        output = ended.recv_timeout((options.soak * look / LOOKS).saturating_sub(begin.elapsed())).ok();
        let (resident, disk) = (nodes.resident_mb()?, nodes.disk() / 1_000_000);
        tell(&format!("| {:.0} | {resident} | {disk} |", begin.elapsed().as_secs_f64()));
        if output.is_some() {
            break;
        }
    }
    let output = output.or_else(|| ended.recv().ok()).ok_or("the load test's thread panicked")?;
    let all = BenchReport::of(output)?;
    let wait = |which| all.wait("all", which).unwrap_or(0.0);
    tell("");
    tell(&format!(
        "p50 {:.2} ms, p99.9 {:.2} ms, longest {:.2} ms, failed: {}",
        wait("p50"),
        wait("p999"),
        wait("max"),
        all.failed()
    ));
    Ok(())
}
