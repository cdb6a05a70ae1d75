use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use http::StatusCode;
use parking_lot::Mutex;
use sessile_core::SessionKey;
use tokio::time::Instant;

/// A request that takes as long as this is told in the log. It is half of what a request may take by default: what is slower
/// is on its way to fail.
pub(crate) const SLOW_AFTER: Duration = Duration::from_secs(1);

/// How many slow requests are told in a second. When nothing is fast any more, a few tell as much as all, and the log stays
/// readable.
const LINES_A_SECOND: u32 = 5;

/// What stands in for the namespace of a request that is about none.
const NO_NAMESPACE: &str = "-";

/// Tells of slow requests in the log. A key is told from another by a SipHash whose key is drawn when the process starts
/// and is nowhere else: whoever reads the log can see that two slow requests were about one session, and not which.
#[derive(Default)]
pub(crate) struct SlowRequests {
    hasher: RandomState,
    told: Mutex<Told>,
}

/// A request that was slow.
pub(crate) struct SlowRequest<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) method: &'static str,
    pub(crate) status: StatusCode,
    pub(crate) took: Duration,
    /// The namespace and the key that it was about, if it was about any.
    pub(crate) about: Option<(&'a str, &'a SessionKey)>,
}

#[derive(Default)]
struct Told {
    /// Since when the lines are counted.
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl SlowRequests {
    /// Tells of it, if there is room for a line.
    pub(crate) fn tell(&self, request: &SlowRequest<'_>) {
        let Some(left_out) = self.told.lock().line_at(Instant::now()) else { return };
        let (namespace, key_hash) = match request.about {
            Some((namespace, key)) => (namespace, format!("{:016x}", self.hasher.hash_one(key.as_bytes()))),
            None => (NO_NAMESPACE, NO_NAMESPACE.to_owned()),
        };
        tracing::warn!(
            request_id = request.request_id,
            method = request.method,
            namespace,
            status = request.status.as_u16(),
            took_ms = u64::try_from(request.took.as_millis()).unwrap_or(u64::MAX),
            key_hash,
            left_out,
            "a request was slow"
        );
    }
}

impl Told {
    /// Whether there is room for a line then, and if so, how many were left out since the last one.
    fn line_at(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            (self.since, self.lines) = (Some(now), 0);
        }
        if self.lines == LINES_A_SECOND {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_room_for_a_few_lines_and_the_next_one_says_how_many_were_left_out() {
        let (mut told, start) = (Told::default(), Instant::now());
        let mut line_at = |millis| told.line_at(start + Duration::from_millis(millis));
        assert!((0..u64::from(LINES_A_SECOND)).all(|at| line_at(at) == Some(0)));
        assert_eq!([line_at(500), line_at(999)], [None, None]);
        assert_eq!([line_at(1_000), line_at(1_001)], [Some(2), Some(0)]);
    }

    #[test]
    fn one_key_has_one_hash_in_a_process_and_another_in_the_next() {
        let (one, other) = (SlowRequests::default(), SlowRequests::default());
        let hash = |process: &SlowRequests, key: &str| process.hasher.hash_one(key.as_bytes());
        assert_eq!(hash(&one, "enwiki:a"), hash(&one, "enwiki:a"));
        assert_ne!(hash(&one, "enwiki:a"), hash(&one, "enwiki:b"));
        assert_ne!(hash(&one, "enwiki:a"), hash(&other, "enwiki:a"));
    }
}
