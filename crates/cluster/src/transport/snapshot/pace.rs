use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Bytes a second with which a transfer begins.
const FIRST: u32 = 24 * 1024 * 1024;
/// It is never slower than this by its own choice: a gigabyte in a minute and a half. A member that comes back must get there,
/// however busy the node is.
const SLOWEST: u32 = 12 * 1024 * 1024;
/// Nor faster: beyond that a disk has nothing left for the log.
const FASTEST: u32 = 256 * 1024 * 1024;
/// A task that is woken so much later than it asked for waits for a processor, and so does every request. Four times what the
/// runtime's timers are late by themselves.
const LATE: Duration = Duration::from_millis(4);
/// The pace grows by this part with each chunk that goes on time: from the first to three times that in a second.
const GROWTH_PART: u32 = 64;
/// It shrinks by this part with one that is late: where one of twenty is late, it stays as it is.
const SHRINK_PART: u32 = 4;

/// How fast a transfer goes: as fast as disk and link give it, and slower as soon as others wait for a processor.
///
/// A transfer that is held up by disk or link never sleeps, and so has nothing to learn: its pace stays.
pub(crate) struct Pace {
    bytes_a_second: u32,
    /// When the next chunk may go.
    next: Instant,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { bytes_a_second: FIRST, next: now }
    }

    /// Waits until the next chunk may go.
    pub(crate) async fn wait(&mut self) {
        let wanted = self.next;
        if Instant::now() < wanted {
            sleep_until(wanted).await;
            self.woke(Instant::now().saturating_duration_since(wanted));
        }
    }

    /// It was woken so late.
    fn woke(&mut self, late: Duration) {
        let pace = self.bytes_a_second;
        let pace = if late > LATE { pace - pace / SHRINK_PART } else { pace.saturating_add(pace / GROWTH_PART) };
        self.bytes_a_second = pace.clamp(SLOWEST, FASTEST);
    }

    /// So many bytes go now. A transfer that stood still does not make up for it.
    pub(crate) fn went(&mut self, bytes: usize, now: Instant) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.next = self.next.max(now) + Duration::from_secs(1) * bytes / self.bytes_a_second;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_keeps_its_pace_and_does_not_make_up_for_a_standstill() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let quarter = FIRST as usize / 4;
        (0..4).for_each(|_| pace.went(quarter, begin));
        assert_eq!(pace.next, begin + Duration::from_secs(1));
        let late = begin + Duration::from_secs(9);
        pace.went(quarter, late);
        assert_eq!(pace.next, late + Duration::from_millis(250));
    }

    #[test]
    fn a_transfer_takes_what_nobody_needs_and_gives_way_to_requests() {
        let mut pace = Pace::new(Instant::now());
        (0..80).for_each(|_| pace.woke(Duration::from_millis(1)));
        assert!(pace.bytes_a_second > 3 * FIRST, "an idle node sends fast: {}", pace.bytes_a_second);
        (0..1_000).for_each(|_| pace.woke(Duration::ZERO));
        assert!(pace.bytes_a_second <= FASTEST && pace.bytes_a_second > FASTEST / 10 * 9);
        (0..4).for_each(|_| pace.woke(LATE * 2));
        assert!(pace.bytes_a_second < FASTEST / 3, "a busy one gives way at once: {}", pace.bytes_a_second);
        (0..1_000).for_each(|_| pace.woke(LATE * 2));
        assert_eq!(pace.bytes_a_second, SLOWEST, "and never stops");
    }
}
