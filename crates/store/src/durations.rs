use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets. The first are what an apply in memory and a disk with a cache of its own take, the last
/// what a disk takes that is about to fail.
const BOUNDS: [Duration; 16] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// How long something took, each time, as a histogram. Whoever notes a time takes no lock. Cheap to clone; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Durations(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// For each of [`BOUNDS`] the times up to it and beyond the one before; the last has what took longer.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// What a histogram shows at one moment, as Prometheus counts.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationCounts {
    /// Upper bounds in seconds, ascending, and how many times were at most that long.
    pub buckets: Vec<(f64, u64)>,
    /// How many times there were.
    pub count: u64,
    /// All of them together, in seconds.
    pub sum: f64,
}

impl Durations {
    /// It took so long once more.
    pub fn note(&self, took: Duration) {
        let bucket = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        self.0.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.0.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// What was noted so far.
    pub fn counts(&self) -> DurationCounts {
        let mut count = 0;
        let mut up_to = |bucket: &AtomicU64| {
            count += bucket.load(Ordering::Relaxed);
            count
        };
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64);
        let buckets = bounds.zip(self.0.buckets.iter().map(&mut up_to)).collect();
        let longer = self.0.buckets[BOUNDS.len()].load(Ordering::Relaxed);
        let sum = Duration::from_nanos(self.0.nanos.load(Ordering::Relaxed)).as_secs_f64();
        DurationCounts { buckets, count: count + longer, sum }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_counts_in_its_bucket_and_in_all_above() {
        let durations = Durations::default();
        let clone = durations.clone();
        for took in [Duration::ZERO, BOUNDS[3], BOUNDS[3] + Duration::from_nanos(1), Duration::from_secs(60)] {
            clone.note(took);
        }
        let DurationCounts { buckets, count, sum } = durations.counts();
        let up_to: Vec<u64> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(up_to, [1, 1, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!(count, 4, "what took longer than all bounds counts as well");
        assert!((sum - 60.002).abs() < 1e-6, "{sum}");
        assert!(buckets.is_sorted_by(|one, other| one.0 < other.0) && (buckets[0].0 - 0.0001).abs() < 1e-12);
    }
}
