//! A replay as a picture: what clients got, how long they waited, what happened, and which alerts fired, on one axis of time.

use std::time::Duration;

use super::alerts::Alert;

mod draw;
mod svg;

/// How many columns a picture has at the most.
const COLUMNS: u64 = 170;

/// What is drawn.
#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) end: Duration,
    pub(super) buckets: Buckets,
    pub(super) gauge: Option<Gauge>,
    pub(super) events: Vec<(Duration, String)>,
    pub(super) alerts: Vec<Alert>,
}

/// One more figure over time, in seconds since the beginning.
#[derive(Debug)]
pub(super) struct Gauge {
    pub(super) title: String,
    pub(super) points: Vec<(f64, f64)>,
}

/// Requests by when they began.
#[derive(Debug)]
pub(super) struct Buckets {
    /// What each covers.
    width: Duration,
    all: Vec<Bucket>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    answered: u32,
    /// Writes for which there was no room.
    refused: u32,
    failed: u32,
    longest: Duration,
}

impl Buckets {
    /// For so long a time.
    pub(super) fn of(end: Duration) -> Self {
        let seconds = end.as_secs() + 1;
        let width = seconds.div_ceil(COLUMNS);
        let count = usize::try_from(seconds.div_ceil(width)).unwrap_or(0);
        Self { width: Duration::from_secs(width), all: vec![Bucket::default(); count] }
    }

    pub(super) fn answered(&mut self, at: Duration, took: Duration) {
        self.count(at, took, |bucket| &mut bucket.answered);
    }

    pub(super) fn refused(&mut self, at: Duration, took: Duration) {
        self.count(at, took, |bucket| &mut bucket.refused);
    }

    pub(super) fn failed(&mut self, at: Duration, took: Duration) {
        self.count(at, took, |bucket| &mut bucket.failed);
    }

    fn count(&mut self, at: Duration, took: Duration, of: impl Fn(&mut Bucket) -> &mut u32) {
        let nth = usize::try_from(at.as_secs() / self.width.as_secs()).unwrap_or(usize::MAX);
        // What began after the end is the last one's.
        let last = self.all.len().saturating_sub(1);
        if let Some(bucket) = self.all.get_mut(nth.min(last)) {
            *of(bucket) += 1;
            bucket.longest = bucket.longest.max(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_when_they_began() {
        let second = Duration::from_secs(1);
        let mut buckets = Buckets::of(400 * second);
        assert_eq!((buckets.width, buckets.all.len()), (3 * second, 134));
        buckets.answered(2 * second, second);
        buckets.failed(second, 3 * second);
        buckets.refused(4 * second, second);
        buckets.answered(500 * second, second);
        assert_eq!(buckets.all[0], Bucket { answered: 1, refused: 0, failed: 1, longest: 3 * second });
        assert_eq!(buckets.all[1], Bucket { answered: 0, refused: 1, failed: 0, longest: second });
        assert_eq!(buckets.all[133].answered, 1);
    }
}
