use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// How often it is noted: as often as members report.
const EVERY: Duration = Duration::from_secs(1);
/// How far back it is known: who is further behind is that far behind at least.
const KEPT: usize = 600;

/// When how much was committed, so that it can be told how long a member has been behind. A number of entries says nothing
/// of that: a busy cluster commits ten thousand between two reports.
#[derive(Debug, Default)]
pub(super) struct CommitTimes {
    noted: Mutex<VecDeque<(Instant, u64)>>,
}

impl CommitTimes {
    /// Notes what is committed now, once a second.
    pub(super) fn note(&self, now: Instant, committed: u64) {
        let mut noted = self.noted.lock();
        match noted.back() {
            Some((last, _)) if now.saturating_duration_since(*last) < EVERY => return,
            // Nothing new: what is known of it stays as old as it is.
            Some((_, known)) if *known >= committed => return,
            _ => {}
        }
        if noted.len() == KEPT {
            noted.pop_front();
        }
        noted.push_back((now, committed));
    }

    /// How long ago the oldest entry was committed that a member which has applied so many has not, at the least.
    pub(super) fn behind(&self, now: Instant, applied: u64) -> Duration {
        let noted = self.noted.lock();
        let first_missing = noted.iter().find(|(_, committed)| *committed > applied);
        first_missing.map_or(Duration::ZERO, |(at, _)| now.saturating_duration_since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_a_member_is_behind_is_told_in_time() {
        let (times, begin) = (CommitTimes::default(), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(times.behind(begin, 0), Duration::ZERO, "nothing is known");
        for second in 0..10 {
            times.note(after(second), second * 10_000);
            times.note(after(second) + Duration::from_millis(300), second * 10_000 + 3_000);
        }
        assert_eq!(times.behind(after(9), 90_000), Duration::ZERO);
        assert_eq!(times.behind(after(9), 85_000), Duration::ZERO, "noted this second");
        assert_eq!(times.behind(after(9), 40_000), Duration::from_secs(4));
        assert_eq!(times.behind(after(9), 0), Duration::from_secs(8));
        // An idle cluster: whoever has all stays up to date, and whoever does not falls behind.
        times.note(after(500), 90_000);
        assert_eq!(
            (times.behind(after(500), 90_000), times.behind(after(500), 89_999)),
            (Duration::ZERO, Duration::from_secs(491))
        );
        for second in 500..5_000 {
            times.note(after(second), second * 10_000);
        }
        assert_eq!(times.noted.lock().len(), KEPT);
        assert_eq!(times.behind(after(5_000), 0), Duration::from_secs(600));
    }
}
