//! What windows of a load came to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::performance::figures::{median, quantile};

/// How long a window is.
pub(crate) const WINDOW: Duration = Duration::from_secs(5);

/// What a whole load came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Answers of success; a 404 to a read or a delete is one.
    pub(crate) answered: u64,
    /// All others by status; 0 stands for a connection that broke or was refused.
    pub(crate) failed: BTreeMap<u16, u64>,
    /// Of the reads, how many found nothing.
    pub(crate) absent: u64,
}

/// What one window came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Of the answers of success; nothing if there were none.
    pub(crate) p99: Option<Duration>,
    pub(crate) longest: Duration,
}

/// Of the load as it goes on.
#[derive(Default)]
pub(super) struct Tally {
    totals: Totals,
    windows: Vec<Window>,
    /// The microseconds of each wait in the window that is not over.
    waits: Vec<u32>,
    failed: u64,
}

impl Totals {
    /// How many failed, whatever the reason.
    pub(crate) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    /// What failed, by status.
    pub(crate) fn failures_by_status(&self) -> String {
        let named = self.failed.iter().map(|(status, count)| match status {
            0 => format!("{count} cut"),
            _ => format!("{count} × {status}"),
        });
        let named: Vec<_> = named.collect();
        if named.is_empty() { "0".into() } else { named.join(", ") }
    }
}

/// The median of what the windows have, in milliseconds.
pub(in super::super) fn median_p99_ms(windows: &[Window]) -> Option<f64> {
    median(windows.iter().filter_map(|window| window.p99).map(|p99| p99.as_secs_f64() * 1e3).collect())
}

impl Tally {
    /// An answer came, so long after the beginning of the load.
    pub(super) fn answer(&mut self, at: Duration, status: u16, reads: bool, wait: Duration) {
        self.go_on_to(at);
        match status {
            200..=299 | 404 => {
                self.totals.answered += 1;
                self.totals.absent += u64::from(reads && status == 404);
                self.waits.push(u32::try_from(wait.as_micros()).unwrap_or(u32::MAX));
            }
            _ => {
                self.failed += 1;
                *self.totals.failed.entry(status).or_default() += 1;
            }
        }
    }

    /// The window that is not over is.
    pub(super) fn close(&mut self) {
        if self.waits.is_empty() && self.failed == 0 {
            return;
        }
        self.end_window();
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.totals
    }

    pub(super) fn windows(&self) -> &[Window] {
        &self.windows
    }

    fn go_on_to(&mut self, at: Duration) {
        let nth = usize::try_from(at.as_secs() / WINDOW.as_secs()).unwrap_or(usize::MAX);
        while self.windows.len() < nth {
            self.end_window();
        }
    }

    fn end_window(&mut self) {
        self.waits.sort_unstable();
        let micros = |micros: u32| Duration::from_micros(micros.into());
        self.windows.push(Window {
            answered: self.waits.len() as u64,
            failed: std::mem::take(&mut self.failed),
            p99: quantile(&self.waits, 0.99).map(micros),
            longest: self.waits.last().copied().map(micros).unwrap_or_default(),
        });
        self.waits.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_by_the_window_in_which_the_answer_came() {
        let mut tally = Tally::default();
        let second = Duration::from_secs(1);
        for nth in 1..=100 {
            tally.answer(second, 201, false, Duration::from_millis(nth));
        }
        tally.answer(second, 507, false, second);
        // Nobody answers for two windows, and then somebody does.
        tally.answer(17 * second, 404, true, 15 * second);
        tally.answer(17 * second, 0, true, second);
        assert_eq!(tally.windows().len(), 3);
        tally.close();
        tally.close();
        let windows = tally.windows();
        assert_eq!(windows.iter().map(|window| window.answered).collect::<Vec<_>>(), [100, 0, 0, 1]);
        assert_eq!((windows[0].p99, windows[0].failed), (Some(Duration::from_millis(99)), 1));
        assert_eq!((windows[1].p99, windows[3].longest), (None, 15 * second));
        assert_eq!(median_p99_ms(windows), Some(15_000.0));
        let totals = tally.totals();
        assert_eq!((totals.answered, totals.absent, totals.failures()), (101, 1, 2));
        assert_eq!(totals.failures_by_status(), "1 cut, 1 × 507");
        assert_eq!(Totals::default().failures_by_status(), "0");
    }
}
