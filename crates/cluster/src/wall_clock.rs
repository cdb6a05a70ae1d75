use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use sessile_core::LogTime;

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

#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
fn machines_clock() -> LogTime {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    LogTime::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}
