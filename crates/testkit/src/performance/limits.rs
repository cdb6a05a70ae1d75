//! `performance limits`.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::absence::comes_back;
use super::generator::{Generator, Order, Work};
use super::idle_connections::IdleConnections;
use super::memory_limit::MemoryLimit;
use super::nodes::Nodes;
use super::usage::Usage;
use super::wrapper::wrap;
use super::{PerformanceOptions, Tell};

/// How long each part takes, unless it is said otherwise.
const TIME: Duration = Duration::from_secs(60);
/// How many descriptors the node may have, and how many connections ask for nothing on each of its ports.
const DESCRIPTORS: u32 = 600;
const IDLE: usize = 700;
/// This process has the other ends of them, and what else it needs.
const OWN_DESCRIPTORS: u64 = 4_096;
/// Requests a second beside the idle connections.
const RATE: u32 = 200;
/// How often all of it is looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// A node's memory, and what is sent to it at once.
const MEMORY_BYTES: u64 = 512 << 20;
const LARGE_BYTES: usize = 1 << 20;
const CLIENTS: usize = 128;
/// How long a value lives that is large, in seconds.
const TTL: u32 = 60;

type Part = fn(&PerformanceOptions, Tell<'_>) -> Result<(), String>;

/// Few descriptors and many idle connections; little memory and large bodies; little memory and much to catch up with.
pub fn limits(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let parts: [Part; 3] = [descriptors, bodies, catching_up];
    let mut failed = Vec::new();
    for part in parts {
        if let Err(why) = part(options, tell) {
            tell(&format!("failed: {}", why.lines().next().unwrap_or_default()));
            failed.push(why);
        }
        tell("");
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("\n")) }
}

fn descriptors(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let limited = wrap(&options.program, &format!("ulimit -n {DESCRIPTORS}"), dir.path())?;
    let mut nodes = Nodes::set_up(options, 1, |settings| settings.program = Some(limited.clone()));
    raise_own_limit()?;
    nodes.form()?;
    let time = options.time.unwrap_or(TIME);
    let mut ports = [nodes.fleet.http("n1"), nodes.fleet.grpc("n1")].map(|to| IdleConnections::new(to, IDLE));
    ports.iter_mut().for_each(IdleConnections::keep_up);
    let begin = Instant::now();
    let (before, spent) = (nodes.usage("n1").threads()?, nodes.processor_time()?);
    let mut most_descriptors = watch(&mut nodes, &mut ports, time / 2)?;
    let elapsed = begin.elapsed().as_secs_f64();
    let share = (nodes.processor_time()? - spent).as_secs_f64() / elapsed * 100.0;
    let (thread, of_thread) = busiest(&before, &nodes.usage("n1"), elapsed)?;
    // And with writes, which make tables and segments of the log.
    let order = Order {
        rate: Some(options.rate.unwrap_or(RATE)),
        connections: 4,
        ..Order::writes(nodes.addresses(&["n1".into()]), 16 << 10)
    };
    let mut load = Generator::start(order);
    most_descriptors = most_descriptors.max(watch(&mut nodes, &mut ports, time / 2)?);
    let totals = load.stop()?;
    let [(http, http_closed), (grpc, grpc_closed)] = ports.each_ref().map(IdleConnections::open_and_closed);
    tell(&format!("| {DESCRIPTORS} descriptors, {IDLE} idle connections on each port, {} s | |", time.as_secs()));
    tell("|---|---|");
    tell("| alive | yes |");
    tell(&format!("| processor of the node, without requests | {share:.1} % |"));
    tell(&format!("| its busiest thread | {of_thread:.1} % ({thread}) |"));
    tell(&format!("| descriptors, the most | {most_descriptors} |"));
    tell(&format!("| idle connections open at the end, HTTP / gRPC | {http} / {grpc} |"));
    tell(&format!("| of these closed meanwhile, HTTP / gRPC | {http_closed} / {grpc_closed} |"));
    tell(&format!("| writes beside them, answered / failed | {} / {} |", totals.answered, totals.failures_by_status()));
    // Idle connections go first: whoever asks for something finds room.
    if totals.answered == 0 { Err("no write was answered beside the idle connections".into()) } else { Ok(()) }
}

/// Keeps the connections up for so long, and gives the most descriptors that the node had open.
fn watch(nodes: &mut Nodes, ports: &mut [IdleConnections], time: Duration) -> Result<usize, String> {
    let (begin, mut most) = (Instant::now(), 0);
    while begin.elapsed() < time {
        thread::sleep(LOOK_AGAIN.min(time.saturating_sub(begin.elapsed())));
        nodes.all_live()?;
        ports.iter_mut().for_each(IdleConnections::keep_up);
        most = most.max(nodes.usage("n1").descriptors());
    }
    Ok(most)
}

/// The thread that took most since then, and the percentage of a processor that it took.
fn busiest(
    before: &BTreeMap<String, (String, Duration)>,
    usage: &Usage,
    seconds: f64,
) -> Result<(String, f64), String> {
    let spent = usage.threads()?.into_iter().map(|(thread, (name, time))| {
        let earlier = before.get(&thread).map_or(Duration::ZERO, |(_, time)| *time);
        (name, time.saturating_sub(earlier).as_secs_f64() / seconds * 100.0)
    });
    spent.max_by(|one, other| one.1.total_cmp(&other.1)).ok_or_else(|| "the node has no threads".into())
}

fn bodies(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    // Before the nodes, because it goes after them.
    let limit = MemoryLimit::of_bytes(MEMORY_BYTES, "bodies");
    let mut nodes = little_memory(options, 1, limit.as_ref().ok(), &["n1"], dir.path())?;
    nodes.form()?;
    let time = options.time.unwrap_or(TIME);
    let order = Order {
        connections: CLIENTS,
        work: Work::Put { ttl: TTL },
        ..Order::writes(nodes.addresses(&["n1".into()]), LARGE_BYTES)
    };
    let mut load = Generator::start(order);
    let mut peak = 0;
    while load.elapsed() < time {
        thread::sleep(LOOK_AGAIN.min(time.saturating_sub(load.elapsed())));
        nodes.all_live()?;
        peak = peak.max(nodes.usage("n1").peak_resident_bytes()?);
    }
    let lasted = load.elapsed();
    let totals = load.stop()?;
    nodes.all_live()?;
    tell(&format!("| {CLIENTS} clients × 1 MiB for {} s, {} | |", time.as_secs(), said_of(&limit)));
    tell("|---|---|");
    tell("| alive | yes |");
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = totals.answered as f64 / lasted.as_secs_f64();
    tell(&format!("| answered a second | {rate:.0} |"));
    tell(&format!("| failed | {} |", totals.failures_by_status()));
    tell(&format!("| resident memory, the most | {} MB |", peak / 1_000_000));
    tell_of_group(limit.as_ref().ok(), tell);
    Ok(())
}

fn catching_up(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(|error| error.to_string())?;
    let limit = MemoryLimit::of_bytes(MEMORY_BYTES, "catching-up");
    // It must not lead when it is stopped, so each may be the one that has little memory: all are without until then.
    let mut nodes = Nodes::set_up(options, 3, |settings| {
        settings.lines = "log_level: info\n".into();
        settings.cache_mb = None;
    });
    nodes.form()?;
    let (follower, leader) = nodes.follower_and_leader();
    let time = options.time.unwrap_or(TIME);
    let others = nodes.addresses(&nodes.others(&follower));
    let order = Order { connections: 16, work: Work::Put { ttl: TTL }, ..Order::writes(others, LARGE_BYTES) };
    nodes.fleet.stop(&follower);
    let mut load = Generator::start(order);
    while load.elapsed() < time {
        thread::sleep(LOOK_AGAIN.min(time.saturating_sub(load.elapsed())));
        nodes.all_live()?;
    }
    let totals = load.stop()?;
    if let Ok(limit) = &limit {
        nodes.fleet.settings(&follower).program = Some(wrap(&options.program, &limit.enter(), dir.path())?);
    }
    let back = comes_back(&mut nodes, &follower, &leader)?;
    let peak = nodes.usage(&follower).peak_resident_bytes()?;
    tell(&format!("| a follower catches up with {} × 1 MiB, {} | |", totals.answered, said_of(&limit)));
    tell("|---|---|");
    tell("| alive | yes |");
    tell(&format!("| until caught up and ready | {:.1} s |", back.took.as_secs_f64()));
    tell(&format!("| from | {} |", if back.snapshots == 0 { "the log" } else { "a snapshot" }));
    tell(&format!("| resident memory, the most | {} MB |", peak / 1_000_000));
    tell_of_group(limit.as_ref().ok(), tell);
    Ok(())
}

/// Nodes of which some are in the group, with the memory that the program takes by itself.
fn little_memory(
    options: &PerformanceOptions,
    count: usize,
    limit: Option<&MemoryLimit>,
    limited: &[&str],
    dir: &std::path::Path,
) -> Result<Nodes, String> {
    let mut nodes = Nodes::set_up(options, count, |settings| settings.cache_mb = None);
    if let Some(limit) = limit {
        let program = wrap(&options.program, &limit.enter(), dir)?;
        limited.iter().for_each(|name| nodes.fleet.settings(name).program = Some(program.clone()));
    }
    Ok(nodes)
}

fn said_of(limit: &std::io::Result<MemoryLimit>) -> String {
    match limit {
        Ok(_) => format!("{} MiB of memory", MEMORY_BYTES >> 20),
        Err(error) => format!("no limit on memory, because no control group could be made ({error})"),
    }
}

fn tell_of_group(limit: Option<&MemoryLimit>, tell: Tell<'_>) {
    if let Some(peak) = limit.and_then(MemoryLimit::peak_bytes) {
        tell(&format!("| memory of its group with the page cache, the most | {} MB |", peak / 1_000_000));
    }
}

fn raise_own_limit() -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= OWN_DESCRIPTORS) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(OWN_DESCRIPTORS), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised)
        .map_err(|error| format!("this process may not have {OWN_DESCRIPTORS} descriptors: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_thread_is_named_by_what_it_took_since() {
        let own = Usage::of(std::process::id());
        let now = own.threads().unwrap();
        let mut before = now.clone();
        // All but one have taken nothing since.
        let (thread, (name, _)) = now.iter().next().map(|(thread, of)| (thread.clone(), of.clone())).unwrap();
        before.values_mut().for_each(|(_, time)| *time += Duration::from_secs(3_600));
        before.insert(thread, (name.clone(), Duration::ZERO));
        let (found, _) = busiest(&before, &own, 1.0).unwrap();
        assert!(!found.is_empty());
        assert!(now.values().any(|(name, _)| *name == found));
    }
}
