//! Where each entry is, and the payloads of the newest ones.

use std::collections::VecDeque;

use bytes::Bytes;

use super::LogPosition;
use super::frame::frame_bytes;

/// What a cached payload costs beside its bytes: its handle, its allocation. Without it, a cache of empty payloads would
/// have no bound.
const CACHED_OVERHEAD_BYTES: usize = 64;

/// Where an entry lies: 24 bytes for each entry kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) term: u64,
    /// The segment's number; 0 while the entry is only in the cache. Segments are numbered from 1.
    pub(super) segment: u32,
    pub(super) offset: u32,
    /// Bytes of the payload.
    pub(super) length: u32,
}

/// Where an entry can be had.
#[derive(Debug, Clone)]
pub(super) enum Found {
    Cached(LogPosition, Bytes),
    Stored(u64, Slot),
}

/// The entries kept.
///
/// Invariants, held by the model test:
/// - slots are consecutive and follow `floor`;
/// - `cached` are the payloads of the last `cached.len()` slots;
/// - an entry that is not written yet is cached.
#[derive(Debug, Default)]
pub(super) struct Index {
    floor: Option<LogPosition>,
    first: u64,
    slots: VecDeque<Slot>,
    cached: VecDeque<Bytes>,
    cached_bytes: usize,
    live_bytes: u64,
}

impl Index {
    /// An index without entries, after `floor`.
    pub(super) fn after(floor: Option<LogPosition>) -> Index {
        Index { floor, ..Index::default() }
    }

    /// The position before the first entry kept.
    pub(super) fn floor(&self) -> Option<LogPosition> {
        self.floor
    }

    /// The first entry kept, if any is.
    pub(super) fn first_index(&self) -> Option<u64> {
        (!self.slots.is_empty()).then_some(self.first)
    }

    /// The newest entry, or the floor.
    pub(super) fn last(&self) -> Option<LogPosition> {
        self.last_index().and_then(|index| self.position_of(index)).or(self.floor)
    }

    fn last_index(&self) -> Option<u64> {
        self.first_index().map(|first| first + self.slots.len() as u64 - 1)
    }

    /// Bytes that the entries kept take on disk.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    fn slot(&self, index: u64) -> Option<&Slot> {
        let place = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.slots.get(place)
    }

    /// The position at `index`, of an entry kept or of the floor.
    pub(super) fn position_of(&self, index: u64) -> Option<LogPosition> {
        match self.slot(index) {
            Some(slot) => Some(LogPosition { term: slot.term, index }),
            None => self.floor.filter(|floor| floor.index == index),
        }
    }

    /// Whether an entry at `index` would follow the last; if not, the index that would. The very first entry may have
    /// any index: where a log begins is Raft's to say.
    pub(super) fn expects(&self, index: u64) -> Result<(), u64> {
        match self.last() {
            Some(last) if index != last.index + 1 => Err(last.index + 1),
            _ => Ok(()),
        }
    }

    /// Adds an entry that the caller has checked with [`Index::expects`].
    pub(super) fn push(&mut self, position: LogPosition, slot: Slot) {
        if self.slots.is_empty() {
            self.first = position.index;
        }
        self.live_bytes += stored_bytes(slot);
        self.slots.push_back(slot);
    }

    /// Adds an entry that is not written yet. The caller has checked that it follows the last.
    pub(super) fn push_cached(&mut self, position: LogPosition, payload: Bytes) {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.push(position, Slot { term: position.term, segment: 0, offset: 0, length });
        self.cached_bytes += cost(&payload);
        self.cached.push_back(payload);
    }

    /// Notes where an entry was written; does nothing if it is gone.
    pub(super) fn locate(&mut self, index: u64, segment: u32, offset: u32) {
        let place = index.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        if let Some(slot) = place.and_then(|place| self.slots.get_mut(place)) {
            slot.segment = segment;
            slot.offset = offset;
        }
    }

    /// Drops the oldest cached payloads that are written, until the cache is within `limit` bytes.
    pub(super) fn evict(&mut self, limit: usize) {
        while self.cached_bytes > limit && !self.cached.is_empty() {
            let oldest = self.slots.len() - self.cached.len();
            if self.slots.get(oldest).is_none_or(|slot| slot.segment == 0) {
                break;
            }
            self.drop_oldest_cached();
        }
    }

    fn drop_oldest_cached(&mut self) {
        if let Some(payload) = self.cached.pop_front() {
            self.cached_bytes -= cost(&payload);
        }
    }

    /// Removes the entries after `last`. If `last` lies before the floor (which only a replay sees, where an older
    /// segment is gone already), it becomes the floor.
    pub(super) fn truncate(&mut self, last: Option<LogPosition>) {
        let keeps = |index: u64| last.is_some_and(|last| index <= last.index);
        while self.last_index().is_some_and(|index| !keeps(index)) {
            if let Some(slot) = self.slots.pop_back() {
                self.live_bytes -= stored_bytes(slot);
            }
            if let Some(payload) = self.cached.pop_back() {
                self.cached_bytes -= cost(&payload);
            }
        }
        if self.floor.is_some_and(|floor| !keeps(floor.index)) {
            self.floor = last;
        }
    }

    /// Removes the entries up to `purged`; beyond the last, all of them.
    pub(super) fn purge(&mut self, purged: LogPosition) {
        if self.floor.is_some_and(|floor| floor.index >= purged.index) {
            return;
        }
        while self.first_index().is_some_and(|first| first <= purged.index) {
            if self.cached.len() == self.slots.len() {
                self.drop_oldest_cached();
            }
            if let Some(slot) = self.slots.pop_front() {
                self.live_bytes -= stored_bytes(slot);
            }
            self.first += 1;
        }
        self.floor = Some(purged);
        // A follower that lagged may have held millions of slots; do not keep their space for ever.
        if self.slots.capacity() > 4 * (self.slots.len() + 1024) {
            self.slots.shrink_to(2 * self.slots.len());
        }
    }

    /// Where the entry at `index` can be had.
    pub(super) fn find(&self, index: u64) -> Option<Found> {
        let slot = *self.slot(index)?;
        let place = usize::try_from(index - self.first).ok()?;
        let cached = place.checked_sub(self.slots.len() - self.cached.len()).and_then(|place| self.cached.get(place));
        Some(match cached {
            Some(payload) => Found::Cached(LogPosition { term: slot.term, index }, payload.clone()),
            None => Found::Stored(index, slot),
        })
    }

    /// The highest entry kept in each segment, in order.
    pub(super) fn highest_by_segment(&self) -> impl Iterator<Item = (u32, u64)> {
        (self.first..).zip(&self.slots).map(|(index, slot)| (slot.segment, index))
    }

    /// Bytes the cache holds, its overhead included.
    #[cfg(test)]
    pub(super) fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }
}

fn stored_bytes(slot: Slot) -> u64 {
    frame_bytes(usize::try_from(slot.length).unwrap_or(usize::MAX)) as u64
}

fn cost(payload: &Bytes) -> usize {
    payload.len() + CACHED_OVERHEAD_BYTES
}
