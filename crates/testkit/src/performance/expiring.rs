//! `performance expiring`.

use std::thread;
use std::time::Duration;

use super::figures::{growth_of_last_third, ratio};
use super::generator::{Generator, Order, Work, median_p99_ms};
use super::nodes::Nodes;
use super::scrape::counted_bytes;
use super::{PerformanceOptions, Tell};

/// How many a second, and for how long, unless it is said otherwise.
const RATE: u32 = 3_000;
const TIME: Duration = Duration::from_secs(20 * 60);
/// A line is told after each.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// How long disk is looked at with nothing written any more: after that nothing has been live for minutes.
const IDLE: Duration = Duration::from_secs(5 * 60);
/// A line's figure may be so much above those before it and be level: merges come and go.
const LEVEL: f64 = 1.1;

/// How many keys were written by when.
#[derive(Default)]
struct Written(Vec<(Duration, u64)>);

impl Written {
    fn add(&mut self, at: Duration, keys: u64) {
        self.0.push((at, keys));
    }

    /// How many of those that were written by then are no older than a lifetime: all of which it is not known that they
    /// were written earlier. A look that came late by less than half of the time between two counts as in time.
    fn within(&self, now: Duration, lifetime: Duration) -> u64 {
        let last = self.0.last().map_or(0, |(_, keys)| *keys);
        let in_time = now.saturating_sub(lifetime) + LOOK_AGAIN / 2;
        let expired = self.0.iter().take_while(|(at, _)| now > lifetime && *at <= in_time).last();
        last - expired.map_or(0, |(_, keys)| *keys)
    }
}

/// New keys that live for a short time, and what they leave on the disk.
pub fn expiring(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let mut nodes = Nodes::ready(options, 1)?;
    let (rate, time) = (options.rate.unwrap_or(RATE), options.time.unwrap_or(TIME));
    tell(&format!("{rate} new keys a second of {} bytes that live for {} s", options.value_bytes, options.ttl));
    tell("");
    tell("| s | written/s | live MB | counted MB | state MB | disk over live | log MB | resident MB | failed |");
    tell("|---|---|---|---|---|---|---|---|---|");
    let order = Order {
        rate: Some(rate),
        work: Work::Put { ttl: options.ttl },
        ..Order::writes(nodes.addresses(&["n1".into()]), options.value_len())
    };
    let mut load = Generator::start(order);
    let (mut before, mut ratios) = (load.totals(), Vec::new());
    let lifetime = Duration::from_secs(options.ttl.into());
    let mut written = Written::default();
    for look in 1.. {
        thread::sleep((LOOK_AGAIN * look).saturating_sub(load.elapsed()));
        nodes.all_live()?;
        let now = load.totals();
        let (state, log) = nodes.state_and_log("n1");
        let elapsed = load.elapsed();
        written.add(elapsed, now.answered);
        let live = written.within(elapsed, lifetime) * options.session_bytes();
        let counted = counted_bytes(&nodes.fleet, "n1").ok_or("n1 does not tell its metrics")?;
        let over = ratio(state, live);
        // Before the first have expired there is less to divide by every time.
        if elapsed > lifetime {
            ratios.push(over);
        }
        tell(&format!(
            "| {:.0} | {:.0} | {} | {:.0} | {} | {over:.2} | {} | {} | {} |",
            elapsed.as_secs_f64(),
            ratio(now.answered - before.answered, LOOK_AGAIN.as_secs()),
            live / 1_000_000,
            counted / 1e6,
            state / 1_000_000,
            log / 1_000_000,
            nodes.resident_mb()?,
            now.failures() - before.failures(),
        ));
        before = now;
        if load.elapsed() >= time {
            break;
        }
    }
    let totals = load.stop()?;
    thread::sleep(IDLE.min(time));
    nodes.all_live()?;
    let counted = counted_bytes(&nodes.fleet, "n1").ok_or("n1 does not tell its metrics")?;
    tell("");
    tell("| new keys a second that expire | |");
    tell("|---|---|");
    let last = ratios[2 * ratios.len() / 3..].iter().copied().fold(0.0, f64::max);
    tell(&format!("| disk over live, the most in the last third | {last:.2} |"));
    let growth = growth_of_last_third(&ratios).map_or("too short to tell".into(), |growth| {
        format!("{growth:.2}, {}", if growth <= LEVEL { "level" } else { "it grows" })
    });
    tell(&format!("| that over the most in the middle third | {growth} |"));
    let p99 = median_p99_ms(&load.windows()).unwrap_or(0.0);
    tell(&format!("| p99, median of windows of 5 s | {p99:.0} ms |"));
    tell(&format!("| failed | {} |", totals.failures_by_status()));
    let (state, log) = nodes.state_and_log("n1");
    tell(&format!(
        "| after {} s idle: counted / state / log | {:.0} / {} / {} MB |",
        IDLE.min(time).as_secs(),
        counted / 1e6,
        state / 1_000_000,
        log / 1_000_000
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_is_what_was_written_within_a_lifetime() {
        let mut written = Written::default();
        let second = Duration::from_secs(1);
        assert_eq!(written.within(Duration::ZERO, 20 * second), 0);
        let mut live = Vec::new();
        for look in 1..=4 {
            // Each look comes a moment later than it should.
            let at = 10 * second * look + Duration::from_millis(u64::from(look) * 3);
            written.add(at, u64::from(look) * 100);
            live.push(written.within(at, 20 * second));
        }
        assert_eq!(live, [100, 200, 200, 200]);
    }
}
