//! `performance truncate`.

use std::thread;
use std::time::{Duration, Instant};

use super::generator::{Generator, Order, WINDOW, median_p99_ms};
use super::nodes::Nodes;
use super::{PerformanceOptions, Tell};

/// How many sessions there are in both namespaces together, unless it is said otherwise.
const KEYS: u64 = 1_000_000;
/// How many a second are written meanwhile to each namespace, unless it is said otherwise.
const RATE: u32 = 300;
/// How long that goes on before the truncate, and after it, unless it is said otherwise.
const TIME: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const SESSIONS: &str = "/sessions/v1/";
const ECHO: &str = "/echoseen/v1/";

/// Two namespaces full of sessions, one of which is truncated while both are written to.
pub fn truncate(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    let mut nodes = Nodes::set_up(options, options.nodes, |settings| {
        settings.lines = "log_level: warning\nnamespaces: [{name: echo, base_uri: /echoseen/v1}]\n".into();
    });
    nodes.form()?;
    let (rate, time) = (options.rate.unwrap_or(RATE), options.time.unwrap_or(TIME));
    let half = options.keys.unwrap_or(KEYS) / 2;
    let names = nodes.fleet.names();
    let order = |base| Order { base, ..Order::writes(nodes.addresses(&names), options.value_len()) };
    for base in [SESSIONS, ECHO] {
        let mut fill = Generator::start(Order { count: half, ..order(base) });
        while !fill.has_ended() {
            thread::sleep(LOOK_AGAIN);
        }
        let totals = fill.stop()?;
        tell(&format!("{half} sessions of {} bytes under {base}: {} failed", options.value_bytes, totals.failures()));
    }
    let under_load = |base| Order { rate: Some(rate), first: half, ..order(base) };
    let (mut sessions, mut echo) = (Generator::start(under_load(SESSIONS)), Generator::start(under_load(ECHO)));
    thread::sleep(time);
    nodes.all_live()?;
    let before = sessions.windows();
    let begin = Instant::now();
    let said = nodes.fleet.run(&["namespace", "truncate", "echo", "--yes"], &names[0]);
    let took = begin.elapsed();
    if said.code != Some(0) {
        return Err(format!("the namespace was not truncated: {}", said.stderr));
    }
    thread::sleep(time);
    nodes.all_live()?;
    let (totals, of_echo) = (sessions.stop()?, echo.stop()?);
    let all = sessions.windows();
    // The one that the truncate fell into is the first.
    let after = all.get(before.len()..).unwrap_or_default();
    tell(said.stdout.trim());
    tell("");
    let window = WINDOW.as_secs();
    let longest = after.iter().map(|window| window.longest).max().unwrap_or_default();
    tell(&format!(
        "| nodes | the command took | p99 ms of the other before / then, windows of {window} s | longest then | failed in both |"
    ));
    tell("|---|---|---|---|---|");
    tell(&format!(
        "| {} | {} ms | {:.1} / {:.1} | {} ms | {} / {} |",
        options.nodes,
        took.as_millis(),
        median_p99_ms(&before).unwrap_or(0.0),
        median_p99_ms(after).unwrap_or(0.0),
        longest.as_millis(),
        totals.failures(),
        of_echo.failures(),
    ));
    Ok(())
}
