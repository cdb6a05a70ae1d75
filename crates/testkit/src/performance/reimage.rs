//! `performance reimage`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::cold_reads::reimage_and_wait;
use super::figures::ratio;
use super::generator::{Generator, Order, WINDOW, Window, median_p99_ms};
use super::nodes::Nodes;
use super::usage::disk_bytes;
use super::{PerformanceOptions, Tell};

/// How much is there unless it is said otherwise, and how much is written meanwhile.
const BYTES: u64 = 7_000_000_000;
const RATE: u32 = 1_000;
/// For how many windows the load runs before.
const BEFORE: u32 = 6;
/// How often the leader's disk is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A node that comes back with an empty disk while others write.
pub fn reimage(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let mut nodes = Nodes::ready(options, 3)?;
    let rate = options.rate.unwrap_or(RATE);
    let names = nodes.fleet.names();
    let order = Order { count: options.keys_of(BYTES), ..Order::writes(nodes.addresses(&names), options.value_len()) };
    let begin = Instant::now();
    let mut fill = Generator::start(order);
    let filled = fill.end()?;
    nodes.all_live()?;
    let live = filled.answered * options.session_bytes();
    let gb = ratio(live, 1_000_000_000);
    tell(&format!(
        "{gb:.1} GB written in {:.0} s, failed: {}",
        begin.elapsed().as_secs_f64(),
        filled.failures_by_status()
    ));
    nodes.come_to_rest()?;
    let (follower, leader) = nodes.follower_and_leader();
    let addresses = nodes.addresses(&nodes.others(&follower));
    let order = Order { rate: Some(rate), first: fill.next_key(), ..Order::writes(addresses, options.value_len()) };
    let mut load = Generator::start(order);
    thread::sleep(WINDOW * BEFORE);
    let before = load.windows();
    tell(&format!(
        "the load runs at {rate} writes a second, {} for {} s",
        describe(&before),
        (WINDOW * BEFORE).as_secs()
    ));
    let sender = nodes.fleet.data_dir(&leader);
    let size = disk_bytes(&sender);
    let (over, watched) = (Arc::new(AtomicBool::new(false)), sender.clone());
    let ended = over.clone();
    let watch = thread::spawn(move || {
        let mut most = 0;
        while !ended.load(Ordering::SeqCst) {
            most = most.max(disk_bytes(&watched));
            thread::sleep(LOOK_AGAIN);
        }
        most
    });
    let begin = Instant::now();
    let joined = reimage_and_wait(&mut nodes, &follower, &leader);
    let took = begin.elapsed();
    over.store(true, Ordering::SeqCst);
    let most = watch.join().map_err(|_| "the watch over the sender's disk panicked")?;
    // The window in which it became a voter is over, too.
    thread::sleep(WINDOW);
    let totals = load.stop()?;
    let all = load.windows();
    let meanwhile = all.get(before.len()..).unwrap_or_default();
    tell(&format!("it was away for {:.0} s, {}", took.as_secs_f64(), describe(meanwhile)));
    joined?;
    tell("");
    tell(
        "| GB | writes/s | until a voter | p99 ms before / meanwhile | ratio | longest ms | failed | sender's disk over before |",
    );
    tell("|---|---|---|---|---|---|---|---|");
    let (calm, busy) = (median_p99_ms(&before).unwrap_or(0.0), median_p99_ms(meanwhile).unwrap_or(0.0));
    tell(&format!(
        "| {gb:.1} | {rate} | {:.0} s | {calm:.1} / {busy:.1} | {:.2} | {} | {} | {:.2} |",
        took.as_secs_f64(),
        busy / calm,
        meanwhile.iter().map(|window| window.longest).max().unwrap_or_default().as_millis(),
        totals.failures_by_status(),
        ratio(most, size),
    ));
    Ok(())
}

fn describe(windows: &[Window]) -> String {
    let answered: u64 = windows.iter().map(|window| window.answered).sum();
    let failed: u64 = windows.iter().map(|window| window.failed).sum();
    format!("{answered} answered, {failed} failed, p99 {:.1} ms", median_p99_ms(windows).unwrap_or(0.0))
}
