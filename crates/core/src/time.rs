use std::fmt;
use std::time::Duration;

/// A point on the replicated clock: milliseconds since the Unix epoch, as the leader's stamps have carried it forward.
/// Every judgement about expiry uses this clock, never a wall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct LogTime(u64);

impl LogTime {
    /// The end of time: what never expires expires here.
    pub const NEVER: Self = Self(u64::MAX);

    /// The point that many milliseconds after the Unix epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// How long it is from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// How long it is until here from `now`; `None` for what never comes.
    pub fn left(self, now: Self) -> Option<Duration> {
        (self != Self::NEVER).then(|| self.since(now))
    }

    /// That much later. Stops one short of [`LogTime::NEVER`], so that no lifetime becomes endless by accident.
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis).min(u64::MAX - 1))
    }

    /// The last multiple of `step` at or before this point.
    pub(crate) fn round_down(self, step: Duration) -> Self {
        let step = u64::try_from(step.as_millis()).unwrap_or(u64::MAX).max(1);
        Self(self.0 - self.0 % step)
    }

    /// The first multiple of `step` at or after this point; [`LogTime::NEVER`] stays what it is.
    pub(crate) fn round_up(self, step: Duration) -> Self {
        let step = u64::try_from(step.as_millis()).unwrap_or(u64::MAX).max(1);
        Self(self.0.div_ceil(step).saturating_mul(step))
    }
}

impl fmt::Display for LogTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER { f.write_str("never") } else { write!(f, "{} ms", self.0) }
    }
}
