//! How much of the Raft log stays behind what is durable in the state. Pure: what there is and what time it is are given.

use std::time::Duration;

use sessile_core::LogTime;

/// How much of the log stays for members that were away, although this node does not need it any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Entries that stay however old they are, as long as `bytes` has room for them.
    pub entries: u64,
    /// Entries stay that were stamped within so long, as long as `bytes` has room for them.
    pub age: Duration,
    /// The log's files may take so many bytes. Only what is not durable in the state stays beyond that.
    pub bytes: u64,
}

/// A file of the log that holds entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSegment {
    /// The first entry in it.
    pub first_index: u64,
    /// Bytes that the file takes.
    pub bytes: u64,
}

impl Retention {
    /// The last entry that may go, of a log with these segments, oldest first, whose entries up to `durable` are durable
    /// in the state; `None` if all stay. Room on disk comes back by segments, so age and bytes are judged by segments;
    /// with an age of zero, entries go one by one.
    ///
    /// `stamp_at` gives the replicated time of an entry, which never falls from one entry to the next, or `None` where
    /// it is not known; such an entry counts as new. It is asked for a handful of entries, whatever the log's length.
    ///
    /// # Errors
    /// Those of `stamp_at`.
    pub fn purge_upto<E>(
        &self,
        segments: &[LogSegment],
        durable: u64,
        now: LogTime,
        stamp_at: impl FnMut(u64) -> Result<Option<LogTime>, E>,
    ) -> Result<Option<u64>, E> {
        let Some(oldest) = segments.first() else { return Ok(None) };
        // Each is the first entry that stays.
        let durable_end = durable.saturating_add(1);
        let by_entries = durable_end.saturating_sub(self.entries);
        let by_age = if self.age.is_zero() { durable_end } else { self.first_within_age(segments, now, stamp_at)? };
        let by_bytes = self.first_within_bytes(segments);
        let first = by_entries.min(by_age).max(by_bytes).min(durable_end);
        Ok((first > oldest.first_index).then(|| first - 1))
    }

    /// The first entry behind the segments whose entries are all older than `age`.
    fn first_within_age<E>(
        &self,
        segments: &[LogSegment],
        now: LogTime,
        mut stamp_at: impl FnMut(u64) -> Result<Option<LogTime>, E>,
    ) -> Result<u64, E> {
        // A segment's entries are older than the first of the next segment. Stamps never fall, so this is a search by
        // halves for the last segment that begins with an old entry.
        let (mut old, mut young) = (0, segments.len());
        while old + 1 < young {
            let middle = old + (young - old) / 2;
            let stamp = stamp_at(segments[middle].first_index)?;
            if stamp.is_some_and(|stamp| now.since(stamp) > self.age) {
                old = middle;
            } else {
                young = middle;
            }
        }
        Ok(segments[old].first_index)
    }

    /// The first entry of the newest segments that are within `bytes` together. The last always stays.
    fn first_within_bytes(&self, segments: &[LogSegment]) -> u64 {
        let mut total: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let mut first = 0;
        for (segment, next) in segments.iter().zip(segments.iter().skip(1)) {
            if total <= self.bytes {
                break;
            }
            total -= segment.bytes;
            first = next.first_index;
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::convert::Infallible;

    use super::*;

    const MIB: u64 = 1 << 20;
    const HOUR: Duration = Duration::from_secs(3600);

    /// Ten segments of 16 MiB with 100 entries each; entry `n` was stamped at `n` seconds.
    fn segments() -> Vec<LogSegment> {
        (0..10).map(|number| LogSegment { first_index: 1 + number * 100, bytes: 16 * MIB }).collect()
    }

    fn upto(retention: Retention, segments: &[LogSegment], durable: u64, now_secs: u64) -> Option<u64> {
        let stamp_at = |index: u64| Ok::<_, Infallible>(Some(LogTime::from_millis(index * 1000)));
        retention.purge_upto(segments, durable, LogTime::from_millis(now_secs * 1000), stamp_at).unwrap()
    }

    fn retention(entries: u64, age_secs: u64, mib: u64) -> Retention {
        Retention { entries, age: Duration::from_secs(age_secs), bytes: mib * MIB }
    }

    #[test]
    fn what_was_stamped_within_the_age_stays_and_older_segments_go_whole() {
        for (age, kept_from) in [(1, 901), (99, 901), (100, 801), (150, 801), (500, 401), (899, 101), (5000, 1)] {
            let expected = (kept_from > 1).then(|| kept_from - 1);
            assert_eq!(upto(retention(0, age, 1000), &segments(), 1000, 1001), expected, "{age} s");
        }
    }

    #[test]
    fn bytes_bound_what_age_and_entries_would_keep_and_the_newest_segment_stays() {
        for (mib, kept_from) in [(160, 1), (159, 101), (144, 101), (48, 701), (16, 901), (15, 901), (0, 901)] {
            let expected = (kept_from > 1).then(|| kept_from - 1);
            assert_eq!(upto(retention(5000, 5000, mib), &segments(), 1000, 1001), expected, "{mib} MiB");
        }
    }

    #[test]
    fn a_log_that_begins_with_entry_zero_keeps_it_as_long_as_the_others() {
        let from_zero: Vec<_> =
            segments().into_iter().map(|s| LogSegment { first_index: s.first_index - 1, ..s }).collect();
        assert_eq!(upto(retention(5000, 0, 1000), &from_zero, 999, 1000), None);
        assert_eq!(upto(retention(0, 5000, 1000), &from_zero, 999, 1000), None);
        assert_eq!(upto(retention(5000, 5000, 1000), &from_zero[..1], 0, 1000), None);
        assert_eq!(upto(retention(999, 0, 1000), &from_zero, 999, 1000), Some(0));
        assert_eq!(upto(retention(0, 0, 1000), &from_zero, 0, 1000), Some(0));
    }

    #[test]
    fn what_is_not_durable_in_the_state_stays_whatever_else_is_asked_for() {
        assert_eq!(upto(retention(0, 0, 0), &segments(), 250, 1001), Some(250));
        assert_eq!(upto(retention(0, 1, 1000), &segments(), 250, 9000), Some(250));
        assert_eq!(upto(retention(0, 0, 0), &segments(), 0, 1001), None);
        assert_eq!(upto(retention(0, 0, 0), &[], 250, 1001), None);
    }

    #[test]
    fn entries_stay_however_old_they_are() {
        assert_eq!(upto(retention(300, 0, 1000), &segments(), 1000, 9000), Some(700));
        assert_eq!(upto(retention(999, 0, 1000), &segments(), 1000, 9000), Some(1));
        assert_eq!(upto(retention(1000, 0, 1000), &segments(), 1000, 9000), None);
        assert_eq!(upto(retention(300, 10, 1000), &segments(), 1000, 9000), Some(700));
    }

    #[test]
    fn an_entry_whose_time_is_not_known_counts_as_new() {
        let unknown = |_| Ok::<_, Infallible>(None);
        let now = LogTime::from_millis(u64::MAX / 2);
        assert_eq!(retention(0, 1, 1000).purge_upto(&segments(), 1000, now, unknown), Ok(None));
    }

    #[test]
    fn a_long_log_is_asked_for_a_handful_of_stamps() {
        let long: Vec<_> = (0..1024).map(|number| LogSegment { first_index: 1 + number, bytes: 16 * MIB }).collect();
        let asked = Cell::new(0);
        let stamp_at = |index: u64| {
            asked.set(asked.get() + 1);
            Ok::<_, Infallible>(Some(LogTime::from_millis(index)))
        };
        let retention = Retention { entries: 0, age: HOUR, bytes: u64::MAX };
        let now = LogTime::from_millis(500 + 3_600_000);
        assert_eq!(retention.purge_upto(&long, 1024, now, stamp_at), Ok(Some(498)));
        assert!(asked.get() <= 10, "{}", asked.get());
    }
}
