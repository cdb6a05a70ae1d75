use std::time::Duration;

use crate::LogTime;

/// How long before its expiry a record is at most counted in a bucket of a minute.
const FINE_HORIZON: Duration = Duration::from_secs(86_400);
/// Below a day expiry is counted by the minute: at most 1,440 buckets, and a count is at most a minute late.
const FINE_STEP: Duration = Duration::from_secs(60);
/// Beyond a day by the hour: with ten years at the most, fewer than 88,000 buckets.
const COARSE_STEP: Duration = Duration::from_secs(3_600);

/// The span of expiry in which a record is counted, named by its end. When the clock passes it the whole bucket leaves
/// the counts at once, on every replica at the same entry, whenever each of them removes the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Bucket(LogTime);

impl Bucket {
    /// The bucket of what is written at `clock` and expires at `expires_at`.
    pub fn of(clock: LogTime, expires_at: LogTime) -> Self {
        if expires_at == LogTime::NEVER {
            return Self(LogTime::NEVER);
        }
        let step = if expires_at.since(clock) <= FINE_HORIZON { FINE_STEP } else { COARSE_STEP };
        Self(expires_at.round_up(step))
    }

    /// The bucket that ends there, as it was once read from [`Bucket::end`].
    pub const fn ending(end: LogTime) -> Self {
        Self(end)
    }

    /// Which of the shortest spans a point of the clock is in: buckets end where these do.
    pub(crate) fn span(clock: LogTime) -> u128 {
        u128::from(clock.as_millis()) / FINE_STEP.as_millis()
    }

    /// From this point of the replicated clock on, the bucket has passed. Never before its records have expired.
    pub fn end(self) -> LogTime {
        self.0
    }

    /// Whether the bucket has passed: its records count no more, and their bytes may go.
    pub fn has_passed(self, clock: LogTime) -> bool {
        self.0 <= clock && self.0 != LogTime::NEVER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_never_passes_before_its_records_have_expired() {
        let clock = LogTime::from_millis(1_700_000_123_456);
        for seconds in [1, 59, 60, 61, 86_399, 86_400, 86_401, 31_536_000] {
            let expires_at = clock.after(Duration::from_secs(seconds));
            let bucket = Bucket::of(clock, expires_at);
            assert!(bucket.end() >= expires_at, "{seconds} s");
            let late = bucket.end().since(expires_at);
            assert!(late < if seconds <= 86_400 { FINE_STEP } else { COARSE_STEP }, "{seconds} s");
        }
    }

    #[test]
    fn what_never_expires_is_counted_for_ever() {
        let bucket = Bucket::of(LogTime::from_millis(5), LogTime::NEVER);
        assert!(!bucket.has_passed(LogTime::NEVER));
    }
}
