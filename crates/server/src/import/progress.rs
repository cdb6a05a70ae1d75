//! How far an import is, while it runs: a bar on a terminal, a line now and then elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, interval};

use crate::progress::Place;

/// What is counted while it runs.
#[derive(Default)]
pub(super) struct Progress {
    /// Keys that were looked at, of so many.
    pub(super) scanned: AtomicU64,
    pub(super) total: AtomicU64,
    pub(super) copied: AtomicU64,
}

impl Progress {
    /// Shows it until the work has ended.
    pub(super) async fn show_until<T>(&self, work: impl Future<Output = T>) -> T {
        let place = Place::standard_error();
        let (mut work, mut ticks) = (std::pin::pin!(work), interval(place.every()));
        ticks.tick().await;
        let (begin, first) = (Instant::now(), self.scanned.load(Ordering::Relaxed));
        let ended = loop {
            tokio::select! {
                ended = &mut work => break ended,
                _ = ticks.tick() => {
                    let [scanned, total] = [&self.scanned, &self.total].map(|count| count.load(Ordering::Relaxed));
                    place.tell(scanned, Some(total), &self.words(first, begin.elapsed()));
                }
            }
        };
        place.clear();
        ended
    }

    /// How far it is, how fast, and how much longer it takes at that pace. `first` is where this run began.
    fn words(&self, first: u64, elapsed: Duration) -> String {
        let [scanned, total, copied] =
            [&self.scanned, &self.total, &self.copied].map(|count| count.load(Ordering::Relaxed));
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        let done = scanned.saturating_sub(first);
        let pace = done.saturating_mul(1_000) / millis;
        // Keys that came meanwhile are not in the total.
        let left = total.saturating_sub(scanned);
        let rest = if pace == 0 || left == 0 { String::new() } else { format!(", {} s left", left / pace) };
        let total = total.max(scanned);
        format!("{} of {} keys, {} copied, {pace}/s{rest}", grouped(scanned), grouped(total), grouped(copied))
    }
}

/// A number in groups of three digits: `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_how_far_how_fast_and_how_much_longer() {
        let progress = Progress { scanned: 15_000.into(), total: 100_000.into(), copied: 1_234.into() };
        let second = Duration::from_secs(1);
        assert_eq!(progress.words(10_000, second), "15,000 of 100,000 keys, 1,234 copied, 5000/s, 17 s left");
        assert_eq!(progress.words(15_000, second), "15,000 of 100,000 keys, 1,234 copied, 0/s");
        let over = Progress { scanned: 11.into(), total: 10.into(), copied: 0.into() };
        assert_eq!(over.words(0, Duration::ZERO), "11 of 11 keys, 0 copied, 11000/s");
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
