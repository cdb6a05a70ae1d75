//! How far a long command is, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use crate::output;

/// How often a bar is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal.
const SAY_EVERY: Duration = Duration::from_secs(10);
/// How many signs a bar has.
const WIDTH: u64 = 30;
const MIB: u64 = 1024 * 1024;

/// How far something is, in bytes.
pub(crate) struct Progress {
    what: String,
    /// How many there will be, about.
    total: Option<u64>,
    is_terminal: bool,
    began: Instant,
    told: Instant,
    is_drawn: bool,
}

impl Progress {
    pub(crate) fn new(what: String, total: Option<u64>) -> Self {
        let now = Instant::now();
        let is_terminal = io::stderr().is_terminal();
        Self { what, total: total.filter(|total| *total > 0), is_terminal, began: now, told: now, is_drawn: false }
    }

    /// So many bytes are done.
    pub(crate) fn at(&mut self, bytes: u64) {
        let every = if self.is_terminal { DRAW_EVERY } else { SAY_EVERY };
        let now = Instant::now();
        if now.duration_since(self.told) < every {
            return;
        }
        self.told = now;
        let line = line(&self.what, bytes, self.total, now.duration_since(self.began));
        self.is_drawn = true;
        // Over the one before; what was longer there is erased.
        output::to_stderr(&if self.is_terminal { format!("\r{line}\x1b[K") } else { line + "\n" });
    }

    /// It is done, and what follows begins on a line of its own.
    pub(crate) fn end(&mut self) {
        if self.is_terminal && std::mem::take(&mut self.is_drawn) {
            output::to_stderr("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && self.is_drawn {
            output::to_stderr("\n");
        }
    }
}

fn line(what: &str, bytes: u64, total: Option<u64>, took: Duration) -> String {
    let rate = u128::from(bytes) * 1_000 / took.as_millis().max(1) / u128::from(MIB);
    let done = bytes / MIB;
    match total {
        // What it will be in the end is known about.
        Some(total) => {
            let part = bytes.min(total);
            let of = |most: u64| u64::try_from(u128::from(part) * u128::from(most) / u128::from(total)).unwrap_or(most);
            let (filled, percent) = (of(WIDTH), of(100).min(99));
            let bar: String = (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect();
            format!("{what} [{bar}] {percent} %, {done} MiB, {rate} MiB/s")
        }
        None => format!("{what}: {done} MiB, {rate} MiB/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_never_that_it_is_done() {
        let second = Duration::from_secs(1);
        assert_eq!(line("x", 0, Some(MIB), second), format!("x [{}] 0 %, 0 MiB, 0 MiB/s", ".".repeat(30)));
        let half = format!("x [{}{}] 50 %, 5 MiB, 5 MiB/s", "#".repeat(15), ".".repeat(15));
        assert_eq!(line("x", 5 * MIB, Some(10 * MIB), second), half);
        assert_eq!(line("x", 20 * MIB, Some(MIB), second), format!("x [{}] 99 %, 20 MiB, 20 MiB/s", "#".repeat(30)));
        assert_eq!(line("x", 20 * MIB, None, 2 * second), "x: 20 MiB, 10 MiB/s");
        let all = line("x", u64::MAX, Some(1), Duration::ZERO);
        assert!(all.contains("] 99 %") && all.contains(&"#".repeat(30)), "{all}");
    }
}
