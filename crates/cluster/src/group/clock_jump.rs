use std::time::Duration;

use sessile_core::LogTime;
use tokio::time::Instant;

/// The replicated clock went forward by more than this at once: whoever had less time left did not see it go by.
pub(super) const LEAST: Duration = Duration::from_secs(60);
/// How long that is told: as long as an operator who was called needs to look.
const TOLD_FOR: Duration = Duration::from_secs(3_600);

/// The replicated clock went forward at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClockJump {
    pub(crate) from: LogTime,
    pub(crate) to: LogTime,
    /// When this node knew of it.
    pub(crate) at: Instant,
    /// Whether an operator asked for it.
    pub(crate) ordered: bool,
}

impl ClockJump {
    /// How far it went.
    pub(crate) fn by(&self) -> Duration {
        self.to.since(self.from)
    }

    pub(super) fn is_told(&self) -> bool {
        self.at.elapsed() < TOLD_FOR
    }
}
