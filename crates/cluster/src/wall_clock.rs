use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sessile_core::LogTime;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What a node takes the wall clock from. Nothing else asks; everything is given a time.
#[derive(Clone)]
pub struct WallClock {
    now: Arc<dyn Fn() -> LogTime + Send + Sync>,
    uptime: Arc<dyn Fn() -> Option<Uptime> + Send + Sync>,
}

/// How long a machine has run, which nobody sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uptime {
    /// Another one after each start of the machine.
    pub boot: String,
    /// Since that start.
    pub lasts: Duration,
}

impl WallClock {
    /// One that shows what this says: a test's.
    pub fn new(now: impl Fn() -> LogTime + Send + Sync + 'static) -> Self {
        Self { now: Arc::new(now), uptime: Arc::new(|| None) }
    }

    /// The same, on a machine that has run for as long as that says.
    #[must_use]
    pub fn on(self, uptime: impl Fn() -> Option<Uptime> + Send + Sync + 'static) -> Self {
        Self { uptime: Arc::new(uptime), ..self }
    }

    /// What it shows.
    pub fn now(&self) -> LogTime {
        (self.now)()
    }

    /// How long the machine has run; `None` where that cannot be told.
    pub fn uptime(&self) -> Option<Uptime> {
        (self.uptime)()
    }
}

impl Default for WallClock {
    /// This machine's.
    fn default() -> Self {
        Self::new(machines_clock).on(machines_uptime)
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

/// As Linux tells it (proc(5)), with the time that the machine was suspended for.
fn machines_uptime() -> Option<Uptime> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = uptime.split(' ').next()?.parse().ok()?;
    Some(Uptime { boot, lasts: Duration::try_from_secs_f64(seconds).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_tells_how_long_it_has_run() {
        let [first, second] = [(); 2].map(|()| machines_uptime().expect("proc(5) is mounted"));
        assert!(!first.boot.is_empty() && first.boot == second.boot && first.lasts <= second.lasts);
    }
}
