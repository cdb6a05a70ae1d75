use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use sessile_core::LogTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a node takes the wall clock from. Nothing else asks; everything is given a time.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> LogTime + Send + Sync>);

impl WallClock {
    /// One that shows what this says: a test's.
    pub fn new(now: impl Fn() -> LogTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// What it shows.
    pub fn now(&self) -> LogTime {
        (self.0)()
    }
}

impl Default for WallClock {
    /// This machine's.
    fn default() -> Self {
        Self::new(machines_clock)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// A point in time for people, to the second, in UTC: `2026-09-21T14:13:20Z`. What is beyond the calendar is told in
/// milliseconds since the Unix epoch.
pub(crate) fn in_words(time: LogTime) -> String {
    let seconds = i64::try_from(time.as_millis() / 1_000).ok();
    let date = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| time.to_string())
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
fn machines_clock() -> LogTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    LogTime::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
