//! What one connection, or all of them, measured.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest wait that is told apart from longer ones.
const LONGEST: Duration = Duration::from_secs(120);
/// A wait is known to a thousandth of itself.
const DIGITS: u8 = 3;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Get,
    Set,
    Delete,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Get, Self::Set, Self::Delete];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
        }
    }
}

/// Waits in microseconds by kind, and failures by reason.
pub(super) struct Tally {
    waits: [Histogram<u64>; 3],
    pub(super) failures: BTreeMap<String, u64>,
    /// Requests that were due and never sent: the store did not keep up.
    pub(super) unsent: u64,
}

impl Tally {
    pub(super) fn new() -> Self {
        let longest = u64::try_from(LONGEST.as_micros()).unwrap_or(u64::MAX);
        // Its bounds are constants that fit.
        let empty = || Histogram::new_with_max(longest, DIGITS).unwrap_or_else(|_| unreachable!("the bounds fit"));
        Self { waits: [empty(), empty(), empty()], failures: BTreeMap::new(), unsent: 0 }
    }

    pub(super) fn answered(&mut self, kind: Kind, wait: Duration) {
        self.waits[kind as usize].saturating_record(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    pub(super) fn failed(&mut self, why: String) {
        *self.failures.entry(why).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (waits, more) in self.waits.iter_mut().zip(&other.waits) {
            // Of the same bounds, so there is nothing that does not fit.
            let _ = waits.add(more);
        }
        for (why, times) in &other.failures {
            *self.failures.entry(why.clone()).or_default() += times;
        }
        self.unsent += other.unsent;
    }

    pub(super) fn waits(&self, kind: Kind) -> &Histogram<u64> {
        &self.waits[kind as usize]
    }

    /// Of all kinds together.
    pub(super) fn all_waits(&self) -> Histogram<u64> {
        let mut all = self.waits[0].clone();
        for more in &self.waits[1..] {
            let _ = all.add(more);
        }
        all
    }
}
