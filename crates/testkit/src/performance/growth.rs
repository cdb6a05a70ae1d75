//! `performance growth`.

use std::thread;
use std::time::{Duration, Instant};

use super::figures::ratio;
use super::generator::{Generator, Order, Window, median_p99_ms};
use super::nodes::Nodes;
use super::{PerformanceOptions, Tell};

/// How much is written unless it is said otherwise.
const BYTES: u64 = 40_000_000_000;
/// A line is told for each so much, and four lines at least.
const STEP_BYTES: u64 = 1_000_000_000;
const STEPS: u64 = 4;
/// How often the load is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// When nobody got an answer for so long, writing has stopped. The longest wait that may be is a second.
const STOPPED: Duration = Duration::from_secs(60);

/// What was measured while one step was written.
struct Step {
    rate: f64,
    resident_mb: u64,
}

/// New keys without a break, each written once, and what is left at rest.
pub fn growth(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let mut nodes = Nodes::ready(options, options.nodes)?;
    let total = options.keys_of(BYTES);
    let step = (STEP_BYTES / options.session_bytes()).min(total.div_ceil(STEPS)).max(1);
    tell(&format!("{total} new keys with {} bytes each on {} node(s)", options.value_bytes, options.nodes));
    tell("");
    tell(
        "| GB written | writes/s | p99 ms, median of 5 s | longest ms | failed | disk over live | log MB | resident MB |",
    );
    tell("|---|---|---|---|---|---|---|---|");
    let names = nodes.fleet.names();
    let order = Order { count: total, ..Order::writes(nodes.addresses(&names), options.value_len()) };
    let mut load = Generator::start(order);
    let (mut steps, mut goal, mut seen) = (Vec::<Step>::new(), 0, 0);
    while goal < total {
        let (begin, before) = (Instant::now(), load.totals());
        // What would be left over for less than half of a step belongs to this one.
        goal = if total - goal < step + step / 2 { total } else { goal + step };
        wait_for(&mut nodes, &load, goal)?;
        let (took, after) = (begin.elapsed(), load.totals());
        let windows = load.windows();
        // The window that is not over belongs to the next step.
        let of_step = windows.get(seen..).unwrap_or_default();
        seen = windows.len();
        let resident_mb = nodes.resident_mb()?;
        let rate = ratio(after.answered - before.answered, 1) / took.as_secs_f64();
        let live = after.answered * options.session_bytes();
        let (state, log) = largest(&nodes);
        tell(&format!(
            "| {:.1} | {rate:.0} | {} | {} | {} | {:.2} | {} | {resident_mb} |",
            ratio(live, 1_000_000_000),
            median_p99_ms(of_step).map_or("–".into(), |p99| format!("{p99:.0}")),
            longest_ms(of_step),
            after.failures() - before.failures(),
            ratio(state, live),
            log / 1_000_000,
        ));
        steps.push(Step { rate, resident_mb });
    }
    let totals = load.end()?;
    let windows = load.windows();
    tell("");
    tell(&format!("| {:.1} GB written | |", ratio(totals.answered * options.session_bytes(), 1_000_000_000)));
    tell("|---|---|");
    at_the_end(options, &mut nodes, totals.answered, &mut |what, figure| {
        tell(&format!("| {what} | {figure} |"));
    })?;
    let (first, last) = (steps.first(), steps.last());
    let over = first.zip(last).map_or(0.0, |(first, last)| last.rate / first.rate);
    tell(&format!("| writes/s at the end over those at the first line | {over:.2} |"));
    let p99 = median_p99_ms(&windows).unwrap_or(0.0);
    tell(&format!("| p99, median of windows of 5 s / longest wait | {p99:.0} / {} ms |", longest_ms(&windows)));
    let most = steps.iter().map(|step| step.resident_mb).max().unwrap_or(0);
    tell(&format!("| resident memory, the most at a line | {most} MB |"));
    tell(&format!("| failed | {} |", totals.failures_by_status()));
    Ok(())
}

/// Waits until so many are written.
fn wait_for(nodes: &mut Nodes, load: &Generator, goal: u64) -> Result<(), String> {
    let (mut answered, mut since) = (load.totals().answered, Instant::now());
    while answered < goal && !load.has_ended() {
        thread::sleep(LOOK_AGAIN);
        nodes.all_live()?;
        let now = load.totals();
        if now.answered > answered {
            (answered, since) = (now.answered, Instant::now());
        } else if since.elapsed() > STOPPED {
            let failed = now.failures_by_status();
            return Err(format!("no write was answered for {} s; failed so far: {failed}", STOPPED.as_secs()));
        }
    }
    Ok(())
}

/// What is left once all is merged, and how the first node comes back.
fn at_the_end(
    options: &PerformanceOptions,
    nodes: &mut Nodes,
    written: u64,
    row: &mut dyn FnMut(&str, String),
) -> Result<(), String> {
    let begin = Instant::now();
    nodes.come_to_rest()?;
    let live = written * options.session_bytes();
    row("until at rest", format!("{:.0} s", begin.elapsed().as_secs_f64()));
    row("disk over live bytes, at rest", format!("{:.2}", ratio(largest(nodes).0, live)));
    row("resident memory, at rest", format!("{} MB", nodes.resident_mb()?));
    nodes.fleet.stop("n1");
    let took = nodes.restart("n1")?.as_secs_f64();
    row("from start to ready, after a clean stop", format!("{took:.2} s"));
    let names = nodes.fleet.names();
    let more = Order { first: written, ..Order::writes(nodes.addresses(&names), options.value_len()) };
    let mut load = Generator::start(more);
    thread::sleep(options.run);
    nodes.all_live()?;
    load.stop()?;
    nodes.fleet.kill("n1");
    let took = nodes.restart("n1")?.as_secs_f64();
    row("from start to ready, after `kill -9`", format!("{took:.2} s"));
    row("resident memory then", format!("{} MB", nodes.resident_mb()?));
    Ok(())
}

/// The state of the node that takes most for it, and the log of the same or another.
fn largest(nodes: &Nodes) -> (u64, u64) {
    let each = nodes.fleet.names().into_iter().map(|name| nodes.state_and_log(&name));
    each.fold((0, 0), |most, of| (most.0.max(of.0), most.1.max(of.1)))
}

fn longest_ms(windows: &[Window]) -> u128 {
    windows.iter().map(|window| window.longest).max().unwrap_or_default().as_millis()
}
