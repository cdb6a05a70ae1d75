//! Where the entries are, and the payloads of the newest ones.
//!
//! ```text
//!  extent: entries that follow each other in one segment, without a truncation between
//!  ├ anchor ─ about 64 KiB of frames ─┼ anchor ─ … ─┤ end        the next extent …        cached payloads
//! ```
//! A reader goes to the anchor before the entry that it looks for and follows the frames from there. So the memory that
//! the index takes depends on the bytes of the log and not on the number of its entries: 16 bytes for each 64 KiB, that
//! is 4 MiB for 16 GiB of log.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::frame::frame_bytes;
use super::{LogPosition, LogRecord};

/// What a cached payload costs beside its bytes: its handle, its allocation. Without it, a cache of empty payloads would
/// have no bound.
const CACHED_OVERHEAD_BYTES: usize = 64;

/// Bytes of frames between two anchors: what a reader of one old entry reads at most besides the entry. A disk reads so
/// much in about the time that it takes to find it.
pub(super) const ANCHOR_BYTES: u32 = 64 << 10;

/// The start of an entry's frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Anchor {
    pub(super) index: u64,
    pub(super) offset: u32,
}

/// Entries that follow each other in one segment, without a truncation between.
///
/// Invariants: there is an anchor at or before `first`, and the entries of all anchors lie within `..=last`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) segment: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    /// The last entry's frame ends here at the latest.
    pub(super) end: u32,
    pub(super) anchors: Vec<Anchor>,
}

/// Where the writer put an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) index: u64,
    pub(super) segment: u32,
    pub(super) offset: u32,
    /// Where its frame ends.
    pub(super) end: u32,
    /// Whether it is the first in its segment, or the first after a truncation.
    pub(super) begins: bool,
}

/// A part of an extent to read.
#[derive(Debug, Clone)]
pub(super) struct Stretch {
    pub(super) segment: u32,
    /// Where to begin: the frame of an entry at or before `first`.
    pub(super) from: Anchor,
    pub(super) first: u64,
    pub(super) last: u64,
    /// All of them end here at the latest.
    pub(super) end: u32,
    /// The terms of the entries, each with the first entry that has it.
    pub(super) terms: Vec<(u64, u64)>,
}

/// Where a range of entries can be had: first those on disk, then those in memory.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) stored: Vec<Stretch>,
    pub(super) cached: Vec<LogRecord>,
}

/// The entries kept.
///
/// Invariants, held by the model test:
/// - the entries are `first..first + count`, and `first` follows `floor`;
/// - `extents` hold the first of them, without a hole, up to the last that is known to be written;
/// - `cached` are the payloads of the last `cached.len()` entries;
/// - an entry that is not known to be written is cached.
#[derive(Debug, Default)]
pub(super) struct Index {
    floor: Option<LogPosition>,
    first: u64,
    count: u64,
    /// Each term with the first entry that has it; there are as many as there were elections.
    terms: VecDeque<(u64, u64)>,
    extents: VecDeque<Extent>,
    cached: VecDeque<Bytes>,
    cached_bytes: usize,
    /// Bytes that the entries will take which are not known to be written.
    unwritten_bytes: u64,
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
        (self.count > 0).then_some(self.first)
    }

    /// The newest entry, or the floor.
    pub(super) fn last(&self) -> Option<LogPosition> {
        self.last_index().and_then(|index| self.position_of(index)).or(self.floor)
    }

    fn last_index(&self) -> Option<u64> {
        self.first_index().map(|first| first + (self.count - 1))
    }

    fn holds(&self, index: u64) -> bool {
        index.checked_sub(self.first).is_some_and(|place| place < self.count)
    }

    /// Where the first entry stands that is not known to be written.
    fn unwritten_from(&self) -> u64 {
        self.extents.back().map_or(self.first, |extent| extent.last + 1)
    }

    /// The first of the cached entries.
    fn cached_from(&self) -> u64 {
        self.first + (self.count - self.cached.len() as u64)
    }

    /// Bytes that the entries kept take on disk, with what stands between them, to within the space of an anchor.
    pub(super) fn live_bytes(&self) -> u64 {
        let written = self.extents.iter().map(|extent| u64::from(extent.end - extent.anchors[0].offset));
        written.sum::<u64>() + self.unwritten_bytes
    }

    /// The same of the entries after `index` alone.
    pub(super) fn bytes_after(&self, index: u64) -> u64 {
        let beyond = self.extents.iter().rev().take_while(|extent| extent.last > index);
        let written = beyond.map(|extent| {
            let before = extent.anchors.partition_point(|anchor| anchor.index <= index.saturating_add(1));
            u64::from(extent.end - extent.anchors[before.saturating_sub(1)].offset)
        });
        written.sum::<u64>() + self.unwritten_bytes
    }

    /// The position at `index`, of an entry kept or of the floor.
    pub(super) fn position_of(&self, index: u64) -> Option<LogPosition> {
        if self.holds(index) {
            let run = self.terms.partition_point(|(first, _)| *first <= index);
            return self.terms.get(run.checked_sub(1)?).map(|(_, term)| LogPosition { term: *term, index });
        }
        self.floor.filter(|floor| floor.index == index)
    }

    /// Whether an entry at `index` would follow the last; if not, the index that would. The very first entry may have
    /// any index: where a log begins is Raft's to say.
    pub(super) fn expects(&self, index: u64) -> Result<(), u64> {
        match self.last() {
            Some(last) if index != last.index + 1 => Err(last.index + 1),
            _ => Ok(()),
        }
    }

    fn push(&mut self, position: LogPosition) {
        if self.count == 0 {
            self.first = position.index;
        }
        self.count += 1;
        if self.terms.back().is_none_or(|(_, term)| *term != position.term) {
            self.terms.push_back((position.index, position.term));
        }
    }

    /// Adds an entry that stands on disk. The caller has checked with [`Index::expects`] that it follows the last.
    pub(super) fn push_stored(&mut self, position: LogPosition, placed: Placed) {
        self.push(position);
        self.unwritten_bytes += u64::from(placed.end - placed.offset);
        self.locate(placed);
    }

    /// Adds entries that stand on disk; `terms` are theirs. They follow the last.
    pub(super) fn push_extent(&mut self, extent: Extent, terms: &[(u64, u64)]) {
        let first = extent.first;
        let run = terms.partition_point(|(begins, _)| *begins <= first).saturating_sub(1);
        for (begins, term) in terms[run..].iter().take_while(|(begins, _)| *begins <= extent.last) {
            if self.terms.back().is_none_or(|(_, last)| last != term) {
                self.terms.push_back(((*begins).max(first), *term));
            }
        }
        if self.count == 0 {
            self.first = first;
        }
        self.count += extent.last - first + 1;
        self.extents.push_back(extent);
    }

    /// Adds an entry that is not written yet. The caller has checked that it follows the last.
    pub(super) fn push_cached(&mut self, position: LogPosition, payload: Bytes) {
        self.push(position);
        self.unwritten_bytes += frame_bytes(payload.len()) as u64;
        self.cached_bytes += cost(&payload);
        self.cached.push_back(payload);
    }

    /// Notes where an entry was written; does nothing if it is gone. Entries are told of in their order.
    pub(super) fn locate(&mut self, placed: Placed) {
        let Placed { index, segment, offset, end, begins } = placed;
        if !self.holds(index) {
            return;
        }
        debug_assert_eq!(index, self.unwritten_from(), "entries are written in their order");
        self.unwritten_bytes -= u64::from(end - offset);
        let anchor = Anchor { index, offset };
        match self.extents.back_mut() {
            Some(extent) if !begins && extent.segment == segment => {
                extent.last = index;
                extent.end = end;
                if extent.anchors.last().is_some_and(|last| offset - last.offset >= ANCHOR_BYTES) {
                    extent.anchors.push(anchor);
                }
            }
            _ => self.extents.push_back(Extent { segment, first: index, last: index, end, anchors: vec![anchor] }),
        }
    }

    /// Drops the oldest cached payloads that are written, until the cache is within `limit` bytes.
    pub(super) fn evict(&mut self, limit: usize) {
        while self.cached_bytes > limit && !self.cached.is_empty() && self.cached_from() < self.unwritten_from() {
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
        while let Some(index) = self.last_index().filter(|index| !keeps(*index)) {
            let unwritten = index >= self.unwritten_from();
            let Some(payload) = self.cached.pop_back() else { break };
            self.cached_bytes -= cost(&payload);
            if unwritten {
                self.unwritten_bytes -= frame_bytes(payload.len()) as u64;
            }
            self.count -= 1;
            self.cut_extents();
        }
        // What is left is written and not cached.
        if let Some(index) = self.last_index().filter(|index| !keeps(*index)) {
            let kept = last.map_or(0, |last| (last.index + 1).saturating_sub(self.first));
            debug_assert!(kept < index - self.first + 1);
            self.count = kept;
            self.cut_extents();
        }
        let end = self.first + self.count;
        while self.terms.back().is_some_and(|(first, _)| *first >= end || self.count == 0) {
            self.terms.pop_back();
        }
        if self.floor.is_some_and(|floor| !keeps(floor.index)) {
            self.floor = last;
        }
    }

    /// Takes what lies behind the last entry out of the extents.
    fn cut_extents(&mut self) {
        let end = self.first + self.count;
        while self.extents.back().is_some_and(|extent| extent.first >= end) {
            self.extents.pop_back();
        }
        if let Some(extent) = self.extents.back_mut().filter(|extent| extent.last >= end) {
            extent.last = end - 1;
            let kept = extent.anchors.partition_point(|anchor| anchor.index < end);
            if let Some(dropped) = extent.anchors.get(kept) {
                extent.end = dropped.offset;
            }
            extent.anchors.truncate(kept);
        }
    }

    /// Removes the entries up to `purged`; beyond the last, all of them.
    pub(super) fn purge(&mut self, purged: LogPosition) {
        if self.floor.is_some_and(|floor| floor.index >= purged.index) {
            return;
        }
        self.floor = Some(purged);
        let Some(last) = self.last_index().filter(|last| *last > purged.index) else {
            *self = Index::after(self.floor);
            return;
        };
        if purged.index < self.first {
            return;
        }
        let first = purged.index + 1;
        while !self.cached.is_empty() && self.cached_from() < first {
            if self.cached_from() >= self.unwritten_from() {
                self.unwritten_bytes -= self.cached.front().map_or(0, |payload| frame_bytes(payload.len()) as u64);
            }
            self.drop_oldest_cached();
        }
        while self.extents.front().is_some_and(|extent| extent.last < first) {
            self.extents.pop_front();
        }
        if let Some(extent) = self.extents.front_mut().filter(|extent| extent.first < first) {
            extent.first = first;
            let before = extent.anchors.partition_point(|anchor| anchor.index <= first);
            extent.anchors.drain(..before.saturating_sub(1));
        }
        while self.terms.get(1).is_some_and(|(second, _)| *second <= first) {
            self.terms.pop_front();
        }
        self.count = last - first + 1;
        self.first = first;
    }

    /// Where the entries of `range` can be had, as far as they are kept; no more than needed for a reader that stops when
    /// payloads exceed `max_bytes`. What lies before the first entry is the floor's: then its index is the error.
    pub(super) fn plan(&self, range: Range<u64>, max_bytes: usize) -> Result<Plan, u64> {
        let mut plan = Plan::default();
        let Range { start, end } = range;
        if let Some(floor) = self.floor.filter(|floor| start < end && start <= floor.index) {
            return Err(floor.index);
        }
        let end = end.min(self.first + self.count);
        if !self.holds(start) || start >= end {
            return Ok(plan);
        }
        let stored_end = end.min(self.cached_from());
        let mut next = start;
        let mut bytes = 0_u64;
        let at = self.extents.partition_point(|extent| extent.last < start);
        for extent in self.extents.range(at..) {
            // What is cached is written as well, or will be.
            if next >= stored_end {
                break;
            }
            if bytes > u64::from(ANCHOR_BYTES).saturating_add(max_bytes as u64) {
                return Ok(plan);
            }
            let stretch = self.stretch(extent, next, extent.last.min(stored_end - 1));
            bytes += u64::from(stretch.end - stretch.from.offset);
            next = stretch.last + 1;
            plan.stored.push(stretch);
        }
        let cached_from = self.cached_from();
        let skipped = usize::try_from(next.saturating_sub(cached_from)).unwrap_or(usize::MAX);
        let mut bytes: usize = 0;
        for (index, payload) in (next..end).zip(self.cached.iter().skip(skipped)) {
            bytes = bytes.saturating_add(payload.len());
            if bytes > max_bytes && !plan.cached.is_empty() {
                break;
            }
            let Some(position) = self.position_of(index) else { break };
            plan.cached.push(LogRecord { position, payload: payload.clone() });
        }
        Ok(plan)
    }

    fn stretch(&self, extent: &Extent, first: u64, last: u64) -> Stretch {
        let before = extent.anchors.partition_point(|anchor| anchor.index <= first);
        let from = extent.anchors[before.saturating_sub(1)];
        let behind = extent.anchors.partition_point(|anchor| anchor.index <= last);
        let end = extent.anchors.get(behind).map_or(extent.end, |anchor| anchor.offset);
        let run = self.terms.partition_point(|(begins, _)| *begins <= first).saturating_sub(1);
        let terms = self.terms.range(run..).take_while(|(begins, _)| *begins <= last).copied().collect();
        Stretch { segment: extent.segment, from, first, last, end, terms }
    }

    /// The entries that stand on disk, and the terms of all.
    pub(super) fn runs(&self) -> (&VecDeque<Extent>, &VecDeque<(u64, u64)>) {
        (&self.extents, &self.terms)
    }

    /// The first entry kept in each segment that holds any, oldest segment first.
    pub(super) fn first_by_segment(&self) -> Vec<(u32, u64)> {
        let mut firsts: Vec<(u32, u64)> = Vec::new();
        for extent in &self.extents {
            if firsts.last().is_none_or(|(segment, _)| *segment != extent.segment) {
                firsts.push((extent.segment, extent.first));
            }
        }
        firsts
    }

    /// The highest entry kept in each segment, in order.
    pub(super) fn highest_by_segment(&self) -> impl Iterator<Item = (u32, u64)> {
        self.extents.iter().map(|extent| (extent.segment, extent.last))
    }

    /// Bytes the cache holds, its overhead included.
    #[cfg(test)]
    pub(super) fn cached_bytes(&self) -> usize {
        self.cached_bytes
    }

    /// Bytes that the places of the entries take in memory.
    #[cfg(test)]
    pub(super) fn index_bytes(&self) -> usize {
        let anchors: usize = self.extents.iter().map(|extent| extent.anchors.capacity() * size_of::<Anchor>()).sum();
        anchors + self.extents.capacity() * size_of::<Extent>() + self.terms.capacity() * size_of::<(u64, u64)>()
    }
}

fn cost(payload: &Bytes) -> usize {
    payload.len() + CACHED_OVERHEAD_BYTES
}
