use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::plan::Shape;

/// Writes become slower from so many runs over the base on, each of which a read may have to ask, down to the slowest at
/// so many. When merges keep up there are a dozen.
const RUNS: (usize, usize) = (24, 64);
/// The same for what lies over the base, in hundredths of what may.
const OVERLAY: (u64, u64) = (150, 400);
/// The same for what waits in memory for a flush, in hundredths of the buffer: a buffer that is full is being flushed while
/// the next one fills.
const BUFFERED: (u64, u64) = (150, 300);
/// What works in the background does not rest from so many runs on, from so much over the base on, in hundredths of what
/// may lie there, and from so much in memory on, in hundredths of the buffer: some way before writes become slower.
const BEHIND: (usize, u64, u64) = (16, 115, 125);
/// How many buffers there are.
const BUFFERS: usize = 3;
/// What may lie over the base while the store catches up, however small the base is: otherwise a small base would be
/// written anew for each fraction of what comes.
const CATCHING_UP_BYTES: u64 = 4 << 30;
/// Smaller tables than what a megabyte makes would be merged without end.
const MIN_BUFFER_BYTES: usize = 1024 * 1024;
/// The slowest that a write becomes: so long for each KiB, 2 MB a second.
const SLOWEST: Duration = Duration::from_micros(500);
/// One write waits no longer than that at a time, whatever its size.
const LONGEST: Duration = Duration::from_millis(100);

/// How much slower writes are to be, so that merges and flushes keep up: in small steps, long before there is no room.
pub(super) struct Pace {
    buffer_bytes: usize,
    /// How near merges are to the end of their room, in thousandths.
    unmerged: AtomicU64,
    /// Whether merges should not rest.
    merges_are_behind: AtomicBool,
    /// Whether much has to be written at once, and merges into the base have time until then.
    catches_up: AtomicBool,
    /// Whether more may lie over the base than its share because of that: until what came has been merged.
    caught_up_lately: AtomicBool,
}

impl Pace {
    /// With so many bytes for what is in no table: a buffer that fills, one that is being flushed, and one more before a
    /// write has to wait.
    pub(super) fn new(buffers_bytes: u64) -> Self {
        let buffer_bytes = usize::try_from(buffers_bytes / BUFFERS as u64).unwrap_or(usize::MAX).max(MIN_BUFFER_BYTES);
        Self {
            buffer_bytes,
            unmerged: AtomicU64::new(0),
            merges_are_behind: AtomicBool::new(false),
            catches_up: AtomicBool::new(false),
            caught_up_lately: AtomicBool::new(false),
        }
    }

    /// From so many bytes on what was written goes into tables.
    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// A write waits while there are so many bytes in no table.
    pub(super) fn buffered_max_bytes(&self) -> usize {
        self.buffer_bytes.saturating_mul(BUFFERS)
    }

    /// From now on much has to be written at once, or no longer. How it was before comes back.
    pub(super) fn set_catches_up(&self, catches_up: bool) -> bool {
        self.catches_up.swap(catches_up, Ordering::Relaxed)
    }

    /// So much may lie over the base before it is merged into it, though the base's share were less.
    pub(super) fn allowed_bytes(&self) -> u64 {
        if self.catches_up.load(Ordering::Relaxed) { CATCHING_UP_BYTES } else { 0 }
    }

    /// Takes note of what is to be merged.
    pub(super) fn set_shape(&self, shape: &Shape) {
        let catches_up = shape.allowed_bytes > 0;
        if catches_up || shape.overlay_bytes() <= shape.overlay_limit() {
            self.caught_up_lately.store(catches_up, Ordering::Relaxed);
        }
        // What came then is merged now, and no write waits for that.
        let late = if self.caught_up_lately.load(Ordering::Relaxed) { CATCHING_UP_BYTES } else { 0 };
        let limit = shape.overlay_limit().max(late);
        let (runs, overlay) = (shape.overlay_runs(), shape.lasting_overlay_bytes().saturating_mul(100) / limit);
        self.merges_are_behind.store(runs >= BEHIND.0 || overlay >= BEHIND.1, Ordering::Relaxed);
        let runs = thousandths(runs as u64, (RUNS.0 as u64, RUNS.1 as u64));
        self.unmerged.store(runs.max(thousandths(overlay, OVERLAY)), Ordering::Relaxed);
    }

    /// Whether what works in the background should not rest.
    pub(super) fn is_behind(&self, buffered: usize) -> bool {
        self.merges_are_behind.load(Ordering::Relaxed) || self.part_of_buffer(buffered) >= BEHIND.2
    }

    fn part_of_buffer(&self, buffered: usize) -> u64 {
        (buffered as u64).saturating_mul(100) / (self.buffer_bytes as u64).max(1)
    }

    /// How long a write of so many bytes waits.
    pub(super) fn wait(&self, buffered: usize, bytes: usize) -> Duration {
        let pressure = self.pressure(buffered);
        // Squared: the first steps are small.
        let nanos = SLOWEST.as_nanos() * (bytes as u128) / 1024 * u128::from(pressure * pressure) / 1_000_000;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)).min(LONGEST)
    }

    fn pressure(&self, buffered: usize) -> u64 {
        self.unmerged.load(Ordering::Relaxed).max(thousandths(self.part_of_buffer(buffered), BUFFERED))
    }
}

/// How far it is from the one bound to the other.
fn thousandths(what: u64, (from, to): (u64, u64)) -> u64 {
    (what.saturating_sub(from) * 1_000 / (to - from)).min(1_000)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::engine::lsm::plan::{RunShape, TableShape};

    const BUFFER: usize = 64 << 20;

    /// A base of one table, and so much over it.
    fn shape(pace: &Pace, over: u64) -> Shape {
        let table = |bytes| TableShape {
            id: bytes,
            min: Bytes::new(),
            max: Bytes::new(),
            bytes,
            lapsed_bytes: 0,
            is_over: false,
            is_short_lived: false,
        };
        let runs = [over, 64 << 20].map(|bytes| RunShape { id: bytes, tables: vec![table(bytes)] });
        Shape { runs: runs.into(), allowed_bytes: pace.allowed_bytes() }
    }

    #[test]
    fn no_write_waits_for_merges_of_what_will_go_by_itself() {
        let pace = Pace::new((BUFFERS * BUFFER) as u64);
        let mut all = shape(&pace, 2 << 30);
        pace.set_shape(&all);
        assert!(pace.wait(0, 1 << 10) > Duration::ZERO && pace.is_behind(0));
        all.runs[0].tables.iter_mut().for_each(|table| table.is_short_lived = true);
        pace.set_shape(&all);
        assert_eq!(pace.wait(0, 1 << 10), Duration::ZERO);
        assert!(!pace.is_behind(0), "and nobody hurries");
    }

    #[test]
    fn a_store_that_catches_up_merges_into_the_base_afterwards_and_no_write_waits_for_that() {
        let pace = Pace::new((BUFFERS * BUFFER) as u64);
        pace.set_shape(&shape(&pace, 2 << 30));
        assert!(pace.wait(0, 1 << 10) > Duration::ZERO, "so much should not lie over so small a base");
        pace.set_catches_up(true);
        let is_over_limit = |over| {
            let shape = shape(&pace, over);
            shape.overlay_bytes() > shape.overlay_limit()
        };
        assert!(!is_over_limit(2 << 30) && is_over_limit(5 << 30));
        pace.set_shape(&shape(&pace, 2 << 30));
        assert_eq!(pace.wait(0, 1 << 10), Duration::ZERO);
        assert!(!pace.is_behind(0), "merges rest");
        pace.set_catches_up(false);
        assert!(is_over_limit(2 << 30), "now it is merged");
        pace.set_shape(&shape(&pace, 2 << 30));
        assert_eq!(pace.wait(0, 1 << 10), Duration::ZERO);
        pace.set_shape(&shape(&pace, 1 << 20));
        pace.set_shape(&shape(&pace, 2 << 30));
        assert!(pace.wait(0, 1 << 10) > Duration::ZERO, "it was merged, and came again");
    }

    #[test]
    fn a_write_waits_for_nothing_until_merges_or_flushes_are_behind_and_then_a_little_longer_each_time() {
        let pace = Pace::new((BUFFERS * BUFFER) as u64);
        assert_eq!(pace.wait(BUFFER * 3 / 2, 1 << 20), Duration::ZERO, "one buffer is flushed while the next fills");
        let waits: Vec<_> = (150..=300).map(|part| pace.wait(BUFFER / 100 * part, 64 << 10)).collect();
        assert!(waits.is_sorted());
        assert!(waits[15] < SLOWEST, "the first steps are small: {:?}", waits[15]);
        assert!(pace.is_behind(BUFFER * 3 / 2) && !pace.is_behind(BUFFER), "flushes rest no more before writes wait");
        assert!(waits.windows(2).all(|two| two[1] - two[0] < Duration::from_millis(1)), "no step is large");
        assert_eq!(pace.wait(usize::MAX, usize::MAX), LONGEST, "nobody waits longer than that for the pace");
    }
}
