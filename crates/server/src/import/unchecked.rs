//! Copied sessions that are to be looked for in the source once more.
//!
//! Who logs out while a session is copied deletes it in both stores. If that happens between the read here and the write
//! there, the copy would bring the session back. So the source is asked again, later than a logout can take, and what it no
//! longer has is removed from the target, unless something newer was written there.
//!
//! ```text
//!  import   read in source ─────────────── write in target ──────── is it still in the source?  no: remove
//!  wiki                     delete in both
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::HeaderValue;
use tokio::time::Instant;

/// A logout of MediaWiki gives each of two stores 1.2 s to connect and 3 s to answer (RESTBagOStuff's defaults).
pub(super) const CHECK_AFTER: Duration = Duration::from_secs(5);
/// How many wait at the most: of the longest keys that is 200 MB, of MediaWiki's 20 MB. More than that in
/// [`CHECK_AFTER`] waits.
pub(super) const MAX_UNCHECKED: usize = 100_000;

/// A session that was copied.
pub(super) struct Copied {
    pub(super) source_key: Bytes,
    /// Percent-encoded.
    pub(super) key: String,
    pub(super) tag: HeaderValue,
    pub(super) since: Instant,
}

/// Those that were not looked for yet, the oldest first.
#[derive(Default)]
pub(super) struct Unchecked {
    waiting: VecDeque<Copied>,
}

impl Unchecked {
    pub(super) fn push(&mut self, copied: Copied) {
        self.waiting.push_back(copied);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// When the next ones are to be looked for: at once, if there are too many; `None` if there are none.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.front().map(|copied| copied.since + CHECK_AFTER)
    }

    /// Whether some have to be looked for before more may be copied.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_UNCHECKED
    }

    /// Up to so many that are due.
    pub(super) fn due(&mut self, now: Instant, most: usize) -> Vec<Copied> {
        let due = self.waiting.iter().take(most).take_while(|copied| copied.since + CHECK_AFTER <= now).count();
        self.waiting.drain(..due).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_copy_is_looked_at_again_once_a_logout_must_have_ended() {
        let begin = Instant::now();
        let mut unchecked = Unchecked::default();
        assert_eq!(unchecked.next_due(), None);
        for nth in 0..3 {
            unchecked.push(Copied {
                source_key: Bytes::new(),
                key: nth.to_string(),
                tag: HeaderValue::from_static("\"1\""),
                since: begin + Duration::from_secs(nth),
            });
        }
        let keys = |copied: Vec<Copied>| copied.into_iter().map(|copied| copied.key).collect::<Vec<_>>();
        assert_eq!(unchecked.next_due(), Some(begin + CHECK_AFTER));
        assert!(unchecked.due(begin + CHECK_AFTER - Duration::from_millis(1), 10).is_empty());
        assert_eq!(keys(unchecked.due(begin + CHECK_AFTER + Duration::from_secs(1), 10)), ["0", "1"]);
        assert_eq!((unchecked.len(), unchecked.is_full()), (1, false));
        assert_eq!(keys(unchecked.due(begin + CHECK_AFTER * 2, 10)), ["2"]);
    }
}
