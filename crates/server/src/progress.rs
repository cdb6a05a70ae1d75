//! How far a long command is, on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use crate::output;

/// How often a bar is drawn anew: one that moves more often is not seen to.
const DRAW_EVERY: Duration = Duration::from_millis(200);
/// How often a line is written where there is no terminal: a log of an hour has 720 of them.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How many signs a bar has, so that all fits into 80.
const WIDTH: u64 = 20;
/// What erases the rest of a line.
const ERASE: &str = "\x1b[K";
const MIB: u64 = 1024 * 1024;

/// Where it is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    is_terminal: bool,
}

impl Place {
    pub(crate) fn standard_error() -> Self {
        Self { is_terminal: io::stderr().is_terminal() }
    }

    /// How often.
    pub(crate) fn every(self) -> Duration {
        if self.is_terminal { DRAW_EVERY } else { SAY_EVERY }
    }

    /// Tells it: with a bar over the one before, or in a line. What there is no total of has no bar.
    pub(crate) fn tell(self, done: u64, total: Option<u64>, words: &str) {
        output::to_stderr(&match total.filter(|_| self.is_terminal) {
            Some(total) => format!("\r{} {words}{ERASE}", bar(done, total)),
            None if self.is_terminal => format!("\r{words}{ERASE}"),
            None => format!("{words}\n"),
        });
    }

    /// Nothing of it stays where a bar was.
    pub(crate) fn clear(self) {
        if self.is_terminal {
            output::to_stderr(&format!("\r{ERASE}"));
        }
    }
}

fn bar(done: u64, total: u64) -> String {
    let filled = part(done, total, WIDTH);
    (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect()
}

/// As many of `of` as are done.
fn part(done: u64, total: u64, of: u64) -> u64 {
    let part = u128::from(done.min(total)) * u128::from(of) / u128::from(total.max(1));
    u64::try_from(part).unwrap_or(of)
}

/// How far something is, in bytes.
pub(crate) struct Progress {
    what: String,
    /// How many there will be, about.
    total: Option<u64>,
    place: Place,
    began: Instant,
    told: Instant,
    is_drawn: bool,
}

impl Progress {
    pub(crate) fn new(what: String, total: Option<u64>) -> Self {
        let (now, place) = (Instant::now(), Place::standard_error());
        Self { what, total: total.filter(|total| *total > 0), place, began: now, told: now, is_drawn: false }
    }

    /// So many bytes are done.
    pub(crate) fn at(&mut self, bytes: u64) {
        let now = Instant::now();
        if now.duration_since(self.told) < self.place.every() {
            return;
        }
        (self.told, self.is_drawn) = (now, true);
        self.place.tell(bytes, self.total, &words(&self.what, bytes, self.total, now.duration_since(self.began)));
    }

    /// It is done, and what follows begins on a line of its own.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            self.place.clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn && self.place.is_terminal {
            output::to_stderr("\n");
        }
    }
}

fn words(what: &str, bytes: u64, total: Option<u64>, took: Duration) -> String {
    let rate = u128::from(bytes) * 1_000 / took.as_millis().max(1) / u128::from(MIB);
    let done = bytes / MIB;
    match total {
        // What it will be in the end is known about.
        Some(total) => format!("{} %, {done} MiB, {rate} MiB/s: {what}", part(bytes, total, 100).min(99)),
        None => format!("{done} MiB, {rate} MiB/s: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_it_is_and_never_that_it_is_done() {
        let second = Duration::from_secs(1);
        for (bytes, total, took, said) in [
            (0, Some(MIB), second, "0 %, 0 MiB, 0 MiB/s: x"),
            (5 * MIB, Some(10 * MIB), second, "50 %, 5 MiB, 5 MiB/s: x"),
            (20 * MIB, Some(MIB), second, "99 %, 20 MiB, 20 MiB/s: x"),
            (20 * MIB, None, 2 * second, "20 MiB, 10 MiB/s: x"),
        ] {
            assert_eq!(words("x", bytes, total, took), said);
        }
        assert!(words("x", u64::MAX, Some(1), Duration::ZERO).starts_with("99 %"));
        let half = format!("{}{}", "#".repeat(10), ".".repeat(10));
        assert_eq!([bar(0, 0), bar(5, 10), bar(u64::MAX, 1)], [".".repeat(20), half, "#".repeat(20)]);
    }
}
