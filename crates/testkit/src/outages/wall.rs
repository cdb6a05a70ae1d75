//! The wall clock, by which Prometheus and the nodes' logs go.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_SECONDS: i64 = 86_400;

/// Seconds since 1970, in UTC.
#[expect(clippy::disallowed_methods, reason = "what Prometheus and logs date is put beside what clients saw")]
pub(super) fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Of a time as a log has it, `2022-09-15T12:25:00Z`, with or without a fraction. `None` if it is none.
#[expect(clippy::cast_precision_loss, reason = "below 2^53 for a while")]
pub(super) fn parse(text: &str) -> Option<f64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':').map(|part| part.parse::<f64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    Some((days(year, month, day) * DAY_SECONDS) as f64 + hour * 3600.0 + minute * 60.0 + second)
}

/// Days since 1970: those of the years that begin in March, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    // Days before the first of March of the year 0, and from there to 1970.
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 306 + 5) / 10 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_a_log_is_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0.0),
            ("2000-02-29T12:00:00Z", 951_825_600.0),
            ("2000-03-01T00:00:00Z", 951_868_800.0),
            ("2022-09-15T12:25:00.5Z", 1_663_244_700.5),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        assert_eq!((parse("2022-09-15"), parse("2022-09-15T12:25Z"), parse("")), (None, None, None));
    }
}
