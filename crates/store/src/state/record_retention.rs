use parking_lot::RwLock;
use sessile_core::{Horizon, LogTime};

use super::stored::{RECORD_SPACE, decode_header};
use crate::engine::Retention;

/// Which records an engine may leave out in its merges: those that have left the counts by the horizon of the last
/// `persist`. A crash rewinds the clock to there, and the replay finds what it found before.
#[derive(Debug, Default)]
pub(super) struct RecordRetention(RwLock<Horizon>);

impl RecordRetention {
    /// What a crash would find again.
    pub(super) fn persisted(&self, horizon: Horizon) {
        *self.0.write() = horizon;
    }
}

impl Retention for RecordRetention {
    fn may_lapse(&self, key: &[u8]) -> bool {
        key.first() == Some(&RECORD_SPACE)
    }

    fn needed_until(&self, key: &[u8], value: &[u8]) -> u64 {
        // What is damaged stays, to be found by whoever reads it.
        let Ok((header, _)) = decode_header(key, value) else { return u64::MAX };
        // The clock aside, only its generation can say that it is not needed.
        let by_generation = Horizon { clock: LogTime::default(), ..*self.0.read() };
        match header.bucket.end() {
            _ if by_generation.has_let_go_of(&header) => 0,
            LogTime::NEVER => u64::MAX,
            end => end.as_millis(),
        }
    }

    fn now(&self) -> u64 {
        self.0.read().clock.as_millis()
    }
}
