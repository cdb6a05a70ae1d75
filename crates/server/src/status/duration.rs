use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// How long ago, in the largest unit that says enough: `340 ms`, `12 s`, `5 min`, `3 h`, `2 d`.
pub(super) fn span(millis: u64) -> String {
    const UNITS: [(u64, u64, &str); 4] =
        [(1_000, 1, "ms"), (60_000, 1_000, "s"), (3_600_000, 60_000, "min"), (2 * 86_400_000, 3_600_000, "h")];
    let fitting = UNITS.iter().find(|(below, ..)| millis < *below);
    let (unit, name) = fitting.map_or((86_400_000, "d"), |(_, unit, name)| (*unit, *name));
    format!("{} {name}", millis / unit)
}

/// A point in time, to the second, in UTC; `-` for none.
pub(crate) fn moment(millis: u64) -> String {
    let seconds = i64::try_from(millis / 1000).ok().filter(|seconds| *seconds > 0);
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "-".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_says_enough() {
        for (millis, said) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1_000, "1 s"),
            (59_999, "59 s"),
            (60_000, "1 min"),
            (3_599_999, "59 min"),
            (3_600_000, "1 h"),
            (172_799_999, "47 h"),
            (172_800_000, "2 d"),
            (u64::MAX, "213503982334 d"),
        ] {
            assert_eq!(span(millis), said);
        }
        assert_eq!((moment(0).as_str(), moment(u64::MAX).as_str()), ("-", "-"));
        assert_eq!(moment(1_790_000_000_999), "2026-09-21T14:13:20Z");
    }
}
