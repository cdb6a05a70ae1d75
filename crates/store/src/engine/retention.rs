use std::fmt;

/// What the caller needs of what it wrote, and for how long: what it does not need, a merge may leave out. To every reader
/// of the engine that is as if the key had been removed at some moment; never does an older value show.
///
/// Times are in milliseconds on the caller's own clock. Answers are pure but for [`Retention::now`].
pub trait Retention: Send + Sync + fmt::Debug {
    /// Whether there are values under such keys that are not needed for ever. Keys that differ in this are kept in tables
    /// of their own, so that a whole table may go at once.
    fn may_lapse(&self, key: &[u8]) -> bool;

    /// From when on a value is not needed: 0 if it is not needed now, `u64::MAX` if it is needed for ever.
    fn needed_until(&self, key: &[u8], value: &[u8]) -> u64;

    /// What the clock shows. A crash must not take it back.
    fn now(&self) -> u64;
}
