//! Answers over HTTP/2 that are under way on one connection, until their client has let all of them come. The window is
//! the client's: one that does not open it could keep what an answer takes, and its connection's place, for ever.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The answers of one connection that are under way, each with when it moved last.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    next: AtomicU64,
    count: AtomicUsize,
    /// In the microseconds of the connection.
    moved: Mutex<BTreeMap<u64, u64>>,
}

impl Unsent {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// When the one that has not moved for longest moved last.
    pub(crate) fn oldest(&self) -> Option<u64> {
        if self.count() == 0 { None } else { self.moved().values().min().copied() }
    }

    fn moved(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new one, and its number.
    pub(crate) fn begin(&self, now: u64) -> u64 {
        let answer = self.next.fetch_add(1, Ordering::Relaxed);
        self.note(answer, now);
        self.count.fetch_add(1, Ordering::Relaxed);
        answer
    }

    /// A part of it is gone.
    pub(crate) fn note(&self, answer: u64, now: u64) {
        self.moved().insert(answer, now);
    }

    /// All of it is gone.
    pub(crate) fn end(&self, answer: u64) {
        self.moved().remove(&answer);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}
