use std::time::SystemTime;

use sessile_core::LogTime;

/// What this machine's clock shows. The only place that asks; everything else is given a time.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub(crate) fn wall_clock() -> LogTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    LogTime::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
