//! `performance absence`.

use std::thread;
use std::time::{Duration, Instant};

use super::generator::{Generator, Order, median_p99_ms};
use super::nodes::Nodes;
use super::{PerformanceOptions, Tell};

/// For how long it is away, and what is written meanwhile, unless it is said otherwise.
const TIME: Duration = Duration::from_secs(10 * 60);
const RATE: u32 = 2_000;
/// How long it may take to come back.
const COMES_BACK: Duration = Duration::from_secs(900);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// What a node logs that received a whole state instead of the log's entries.
pub(super) const RECEIVED: &str = "the state of another member was received";

/// How a follower came back.
pub(super) struct Return {
    pub(super) took: Duration,
    /// How often it received a whole state.
    pub(super) snapshots: usize,
}

/// A follower that is away while others write.
pub fn absence(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let mut nodes = Nodes::set_up(options, 3, |settings| settings.lines = "log_level: info\n".into());
    nodes.form()?;
    let (rate, time) = (options.rate.unwrap_or(RATE), options.time.unwrap_or(TIME));
    let (follower, leader) = nodes.follower_and_leader();
    let addresses = nodes.addresses(&nodes.others(&follower));
    let order = Order { rate: Some(rate), ..Order::writes(addresses, options.value_len()) };
    let mut load = Generator::start(order);
    nodes.fleet.stop(&follower);
    tell(&format!(
        "{follower} is away for {} s at {rate} writes a second of {} bytes",
        time.as_secs(),
        options.value_bytes
    ));
    thread::sleep(time);
    nodes.all_live()?;
    let away = load.windows();
    let (_, log) = nodes.state_and_log(&leader);
    let back = comes_back(&mut nodes, &follower, &leader)?;
    let totals = load.stop()?;
    let all = load.windows();
    let meanwhile = all.get(away.len()..).unwrap_or_default();
    tell("");
    tell("| away | writes/s | until caught up and ready | from | leader's log MB | p99 ms away / meanwhile | failed |");
    tell("|---|---|---|---|---|---|---|");
    tell(&format!(
        "| {} s | {rate} | {:.1} s | {} | {} | {:.1} / {:.1} | {} |",
        time.as_secs(),
        back.took.as_secs_f64(),
        if back.snapshots == 0 { "the log" } else { "a snapshot" },
        log / 1_000_000,
        median_p99_ms(&away).unwrap_or(0.0),
        median_p99_ms(meanwhile).unwrap_or(0.0),
        totals.failures_by_status(),
    ));
    Ok(())
}

/// Starts it, and waits until it has applied all that the leader had when it was started, and is ready.
pub(super) fn comes_back(nodes: &mut Nodes, follower: &str, leader: &str) -> Result<Return, String> {
    let goal = nodes.applied(leader);
    let snapshots = |nodes: &Nodes| nodes.fleet.words(follower).matches(RECEIVED).count();
    let before = snapshots(nodes);
    let begin = Instant::now();
    nodes.fleet.start(follower);
    nodes.wait(&format!("{follower} has caught up and is ready"), COMES_BACK, LOOK_AGAIN, |fleet| {
        if fleet.readiness(follower) != Some(200) {
            return None;
        }
        let status = fleet.status(follower)?;
        status.member(follower).filter(|member| member.applied >= goal).map(drop)
    })?;
    Ok(Return { took: begin.elapsed(), snapshots: snapshots(nodes) - before })
}
