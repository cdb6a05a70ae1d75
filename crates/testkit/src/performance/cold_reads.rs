//! `performance cold-reads`.

use std::fs;
use std::process::Command;
use std::time::Duration;

use super::figures::ratio;
use super::generator::{Generator, Order, Work};
use super::nodes::Nodes;
use super::{PerformanceOptions, Tell};

/// How many reads find the indices cold, and how many come after them.
const FIRST: u64 = 200;
const THEN: u64 = 5_000;
/// How long a node may take to become a voter again.
const JOINS: Duration = Duration::from_secs(900);
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Where the kernel is told to forget the pages of all files (proc_sys_vm(5)): root alone may.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// What a read takes from the disk of a node that received its state from another and was started again.
pub fn cold_reads(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let mut nodes = Nodes::ready(options, 3)?;
    let names = nodes.fleet.names();
    let order = Order { count: options.sessions, ..Order::writes(nodes.addresses(&names), options.value_len()) };
    let totals = Generator::start(order).end()?;
    nodes.come_to_rest()?;
    tell(&format!("{} sessions written, {} failed", totals.answered, totals.failures_by_status()));
    let (follower, leader) = nodes.follower_and_leader();
    reimage_and_wait(&mut nodes, &follower, &leader)?;
    nodes.come_to_rest()?;
    nodes.fleet.stop(&follower);
    let dropped = drop_caches();
    tell(match &dropped {
        Ok(()) => "The kernel forgot the pages of all files.",
        Err(_) => "The kernel would not forget the pages of files: only what was never in memory is counted.",
    });
    tell("");
    tell("| reads on a node that received its state | bytes read from disk each | p99 ms | absent | failed |");
    tell("|---|---|---|---|---|");
    nodes.restart(&follower)?;
    nodes.come_to_rest()?;
    for (what, first, count) in [("the first", 0, FIRST), ("then", FIRST, THEN)] {
        let before = nodes.usage(&follower).read_bytes()?;
        let order = Order {
            connections: 1,
            count,
            first,
            work: Work::Get { of: totals.answered },
            ..Order::writes(nodes.addresses(std::slice::from_ref(&follower)), options.value_len())
        };
        let mut load = Generator::start(order);
        let reads = load.end()?;
        let read = nodes.usage(&follower).read_bytes()? - before;
        let p99 = super::generator::median_p99_ms(&load.windows()).unwrap_or(0.0);
        tell(&format!(
            "| {what} {count} | {:.0} | {p99:.1} | {} | {} |",
            ratio(read, reads.answered),
            reads.absent,
            reads.failures_by_status()
        ));
    }
    Ok(())
}

/// Empties the disk of a node, and waits until a new one of its name has a vote.
pub(super) fn reimage_and_wait(nodes: &mut Nodes, name: &str, leader: &str) -> Result<(), String> {
    let old = nodes.fleet.status(leader).and_then(|status| Some(status.member(name)?.id.clone()));
    nodes.fleet.kill(name);
    nodes.fleet.reimage(name);
    nodes.fleet.start(name);
    nodes.wait(&format!("the new {name} is a voter"), JOINS, LOOK_AGAIN, |fleet| {
        let status = fleet.status(leader)?;
        status.voter(name).filter(|member| Some(&member.id) != old.as_ref()).map(drop)
    })
}

fn drop_caches() -> std::io::Result<()> {
    // What is not on the disk yet is not forgotten.
    Command::new("sync").status()?;
    fs::write(DROP_CACHES, "3")
}
