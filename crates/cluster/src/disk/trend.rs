use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How far back the trend looks: merges take and give room all the time, by more than is written in a few minutes.
const SPAN: Duration = Duration::from_secs(3_600);
/// How often the free room is noted for it.
const EVERY: Duration = Duration::from_secs(60);
/// From shorter than this nothing is foretold.
const ENOUGH: Duration = Duration::from_secs(600);

/// How the free room changed in the last hour, and when it will be gone if that goes on. Pure: time comes in.
#[derive(Debug, Default)]
pub(crate) struct Trend {
    noted: VecDeque<(Instant, u64)>,
}

impl Trend {
    /// Notes how much is free now, once a minute.
    pub(crate) fn note(&mut self, now: Instant, free_bytes: u64) {
        if self.noted.back().is_some_and(|(last, _)| now.saturating_duration_since(*last) < EVERY) {
            return;
        }
        while self.noted.front().is_some_and(|(first, _)| now.saturating_duration_since(*first) > SPAN) {
            self.noted.pop_front();
        }
        self.noted.push_back((now, free_bytes));
    }

    /// When `free_bytes` will have become `limit_bytes`; `None` if the room does not shrink, or has not been watched for
    /// ten minutes.
    pub(crate) fn time_left(&self, free_bytes: u64, limit_bytes: u64) -> Option<Duration> {
        let ((first, _), (last, _)) = (self.noted.front()?, self.noted.back()?);
        if last.saturating_duration_since(*first) < ENOUGH {
            return None;
        }
        let per_second = slope(self.noted.iter().map(|(at, free)| (at.saturating_duration_since(*first), *free)))?;
        let left = free_bytes.saturating_sub(limit_bytes);
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds = left as f64 / -per_second;
        if per_second < 0.0 { Duration::try_from_secs_f64(seconds).ok() } else { None }
    }
}

/// Bytes a second, by the line that fits best (least squares); `None` for less than two moments.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn slope(noted: impl Iterator<Item = (Duration, u64)> + Clone) -> Option<f64> {
    let points = noted.map(|(at, free)| (at.as_secs_f64(), free as f64));
    let count = points.clone().count() as f64;
    let mean_of = |sum: f64| sum / count;
    let mean = (mean_of(points.clone().map(|(at, _)| at).sum()), mean_of(points.clone().map(|(_, free)| free).sum()));
    let above = points.clone().map(|(at, free)| (at - mean.0) * (free - mean.1)).sum::<f64>();
    let below = points.map(|(at, _)| (at - mean.0).powi(2)).sum::<f64>();
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A trend over so many minutes, with what is free in each.
    fn trend(minutes: u32, free: impl Fn(u64) -> u64) -> (Trend, u64) {
        let (begin, mut trend) = (Instant::now(), Trend::default());
        for minute in 0..=minutes {
            trend.note(begin + MINUTE * minute, free(minute.into()));
        }
        (trend, free(minutes.into()))
    }

    /// In whole minutes.
    fn left((trend, free): &(Trend, u64), limit: u64) -> Option<u64> {
        trend.time_left(*free, limit).map(|left| (left + MINUTE / 2).as_secs() / 60)
    }

    #[test]
    fn a_disk_that_fills_up_evenly_is_full_when_the_line_says_so() {
        let filling = trend(60, |minute| 1_000_000 - 1_000 * minute);
        assert_eq!(left(&filling, 340_000), Some(600));
        assert_eq!(left(&filling, 940_000), Some(0), "it is there");
        assert_eq!(left(&filling, 2_000_000), Some(0), "it is beyond");
    }

    #[test]
    fn what_merges_take_and_give_back_is_not_the_trend() {
        let merging = trend(60, |minute| 10_000_000 - 1_000 * minute - if minute % 6 < 3 { 40_000 } else { 0 });
        let hours = left(&merging, 0).unwrap() / 60;
        assert!((130..=210).contains(&hours), "{hours} h; 166 is the truth");
        let level = left(&trend(60, |minute| 500_000 + 100 * (minute % 7)), 0);
        assert!(level.is_none_or(|minutes| minutes > 100_000), "{level:?}");
    }

    #[test]
    fn nothing_is_foretold_of_a_disk_that_empties_or_of_one_hardly_known() {
        assert_eq!(left(&trend(60, |minute| 1_000 + minute), 0), None);
        assert_eq!(left(&trend(60, |_| 1_000), 0), None);
        assert_eq!(left(&trend(9, |minute| 1_000 - minute), 0), None);
        assert_eq!(left(&trend(10, |minute| 1_000 - minute), 0), Some(990));
        assert_eq!(left(&(Trend::default(), 5), 0), None);
    }

    #[test]
    fn what_was_more_than_an_hour_ago_is_forgotten() {
        let turned =
            trend(300, |minute| if minute < 200 { 1_000_000 - minute } else { 500_000 - 1_000 * (minute - 200) });
        assert_eq!(left(&turned, 0), Some(400));
        assert!(turned.0.noted.len() <= 62);
    }
}
