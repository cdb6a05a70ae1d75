//! What is to be merged next: a pure choice by the shape of the runs.
//!
//! ```text
//! newest  r r r r r r r r     tables of one flush each; eight of them are joined into one run
//!         R R R R             runs of such a join; eight of them are joined again
//!         ================    the base: all that is older
//! ```
//!
//! A join reads and writes what it joins and nothing else, whatever the base takes. What lies over the base is bounded to a
//! quarter of it: beyond that it is sunk into the base, a stretch of keys at a time, where the most lies over the least
//! first. So a record is written four times on its way down and five times in the base, at any size; the disk takes at most
//! a quarter more than what is live and a stretch; and no merge is larger than a stretch or what lies over the base.
//!
//! What has lapsed goes in three ways: whole tables at once, if nothing older lies under them; a stretch of the base, once a
//! third of it has lapsed; and in every other merge that passes. Runs that will have lapsed soon are not merged before, unless
//! they are many: then the newest are, which will lapse together. What is merged with something newer lapses later, and keeps
//! all that lies over it on the disk until then.

use std::collections::HashSet;
use std::ops::Bound;

use bytes::Bytes;

use super::runs::RunId;
use super::table::TableId;
use super::writer::TABLE_BYTES;

/// So many runs of one size are joined: each is one more filter for a read to ask, each join writes a record once more.
const FANOUT: usize = 8;
/// What may lie over the base: so much of it, or of a small base so many bytes. A store whose sessions are renewed all the
/// time has that much on disk for nothing.
const OVERLAY_SHARE: u64 = 4;
const OVERLAY_FLOOR_BYTES: u64 = 4 * TABLE_BYTES;
/// How many tables of the base are merged at a time: 1 GB.
const STRETCH_TABLES: usize = 16;
/// A run takes part in a merge into the base if one of its tables lies over no more of the base's than that: else most of
/// what is read of it would be written back as it was.
const COARSE: usize = 2 * STRETCH_TABLES;
/// A stretch is merged for what has lapsed in it alone if that is so much of it.
const LAPSED_SHARE: u64 = 3;
/// So many runs are merged even if they will have lapsed soon: reads ask each of them, and from so many on writes become
/// slower.
const MANY: usize = 3 * FANOUT;
/// Runs that take less count for nothing where their number is what counts: they are joined at no cost.
const TINY_BYTES: u64 = TABLE_BYTES / 16;

/// What is known of a table.
#[derive(Debug, Clone)]
pub(super) struct TableShape {
    pub(super) id: TableId,
    pub(super) min: Bytes,
    pub(super) max: Bytes,
    pub(super) bytes: u64,
    /// Bytes of records that are not needed any more.
    pub(super) lapsed_bytes: u64,
    /// Nothing in it is needed any more.
    pub(super) is_over: bool,
    /// It will be over soon, or in less time than it has been there.
    pub(super) is_short_lived: bool,
}

/// What is known of a run.
#[derive(Debug, Clone)]
pub(super) struct RunShape {
    pub(super) id: RunId,
    pub(super) tables: Vec<TableShape>,
}

/// All runs, and what may lie over the base.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    /// Newest first.
    pub(super) runs: Vec<RunShape>,
    /// So much may lie over the base, though its share of the base were less.
    pub(super) allowed_bytes: u64,
}

/// What is being merged, and so cannot be merged by another.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy {
    pub(super) tables: HashSet<TableId>,
    /// All of these runs.
    pub(super) runs: HashSet<RunId>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Job {
    /// These tables go: nothing in them is needed, and nothing older lies under them.
    Drop(Vec<TableId>),
    /// Neighbouring runs become one, in the place of the oldest. Newest first.
    Join(Vec<RunId>),
    /// What these tables of some runs, the base as the last of them, have between two keys comes into the base. Newest
    /// first.
    Sink { from: Bound<Bytes>, to: Bound<Bytes>, runs: Vec<(RunId, Vec<TableId>)> },
}

impl Busy {
    /// Keeps what a job takes from others.
    pub(super) fn add(&mut self, job: &Job) {
        match job {
            Job::Drop(tables) => self.tables.extend(tables),
            Job::Join(runs) => self.runs.extend(runs),
            Job::Sink { runs, .. } => self.tables.extend(runs.iter().flat_map(|(_, tables)| tables)),
        }
    }

    /// Lets others have it again.
    pub(super) fn remove(&mut self, job: &Job) {
        match job {
            Job::Drop(tables) => self.tables.retain(|table| !tables.contains(table)),
            Job::Join(runs) => self.runs.retain(|run| !runs.contains(run)),
            Job::Sink { runs, .. } => {
                self.tables.retain(|table| !runs.iter().any(|(_, tables)| tables.contains(table)));
            }
        }
    }
}

impl RunShape {
    pub(super) fn bytes(&self) -> u64 {
        self.tables.iter().map(|table| table.bytes).sum()
    }

    fn is_busy(&self, busy: &Busy) -> bool {
        busy.runs.contains(&self.id) || self.tables.iter().any(|table| busy.tables.contains(&table.id))
    }

    /// How often runs of one flush were joined to make one of its size.
    fn tier(&self) -> u32 {
        (self.bytes() / TABLE_BYTES).max(1).ilog(FANOUT as u64)
    }
}

impl Shape {
    /// Runs of some size that lie over the base.
    pub(super) fn overlay_runs(&self) -> usize {
        self.overlay().iter().filter(|run| run.bytes() >= TINY_BYTES).count()
    }

    pub(super) fn overlay_bytes(&self) -> u64 {
        self.overlay().iter().map(RunShape::bytes).sum()
    }

    /// The part of that which merges are for: what goes soon, and by itself, waits for none.
    pub(super) fn lasting_overlay_bytes(&self) -> u64 {
        let tables = self.overlay().iter().flat_map(|run| &run.tables);
        tables.filter(|table| !table.is_short_lived && !table.is_over).map(|table| table.bytes).sum()
    }

    /// How much may lie over the base.
    pub(super) fn overlay_limit(&self) -> u64 {
        self.share_of_base().max(self.allowed_bytes)
    }

    /// How much may lie over the base for long.
    pub(super) fn share_of_base(&self) -> u64 {
        (self.runs.last().map_or(0, RunShape::bytes) / OVERLAY_SHARE).max(OVERLAY_FLOOR_BYTES)
    }

    /// Room on the disk that the merges of a store of this shape need at a time, and no more than all of it takes.
    pub(super) fn merge_bytes(&self) -> u64 {
        let all = self.runs.iter().map(RunShape::bytes).sum::<u64>();
        let stretch = STRETCH_TABLES as u64 * TABLE_BYTES;
        // Runs are joined while they lie over the base: the largest that can come of it.
        let mut joined = TABLE_BYTES;
        while joined * FANOUT as u64 <= self.share_of_base() {
            joined *= FANOUT as u64;
        }
        (stretch + stretch / OVERLAY_SHARE).max(joined).min(all)
    }

    fn overlay(&self) -> &[RunShape] {
        self.runs.split_last().map_or(&[], |(_, overlay)| overlay)
    }
}

/// The next thing to do that needs no more than `room` bytes of disk.
pub(super) fn choose(shape: &Shape, busy: &Busy, room: u64) -> Option<Job> {
    let over = droppable(shape, busy);
    if !over.is_empty() {
        return Some(Job::Drop(over));
    }
    let is_over_limit = shape.overlay_bytes() > shape.overlay_limit();
    join(shape, busy, room)
        .or_else(|| sink(shape, busy, room, is_over_limit))
        .or_else(|| is_over_limit.then(|| join_all(shape, busy, room)).flatten())
}

/// Tables of which nothing is needed, with nothing older under them that would show again.
fn droppable(shape: &Shape, busy: &Busy) -> Vec<TableId> {
    let mut over = HashSet::new();
    for (at, run) in shape.runs.iter().enumerate().rev() {
        for table in run.tables.iter().filter(|table| table.is_over && !busy.tables.contains(&table.id)) {
            let mut older = shape.runs[at + 1..].iter().flat_map(|run| run.tables.iter());
            let hides =
                older.any(|other| !over.contains(&other.id) && other.min <= table.max && table.min <= other.max);
            if !hides && !busy.runs.contains(&run.id) {
                over.insert(table.id);
            }
        }
    }
    let mut over: Vec<_> = over.into_iter().collect();
    over.sort_unstable();
    over
}

/// So many neighbours of one size over the base, with what is smaller between them: the smallest first, of those that are
/// worth it the oldest, and of many that will have lapsed soon the newest.
fn join(shape: &Shape, busy: &Busy, room: u64) -> Option<Job> {
    let overlay = shape.overlay();
    let highest = overlay.iter().map(RunShape::tier).max()?;
    let joinable = |tier| overlay.split(move |run: &RunShape| run.tier() > tier || run.is_busy(busy));
    let oldest_of = |runs: &[RunShape], tier| {
        let mut alike = (0..runs.len()).rev().filter(|at| runs[*at].tier() == tier);
        let (oldest, newest) = (alike.next()?, alike.nth(FANOUT - 2)?);
        let runs = &runs[newest..=oldest];
        is_lasting(tables_of(runs)).then(|| join_of(runs, room)).flatten()
    };
    let newest_of = |runs: &[RunShape], tier| {
        let mut alike = (0..runs.len()).filter(|at| runs[*at].tier() == tier);
        let (newest, oldest) = (alike.next()?, alike.nth(FANOUT - 2)?);
        join_of(&runs[newest..=oldest], room)
    };
    let lasting = (0..=highest).find_map(|tier| joinable(tier).rev().find_map(|runs| oldest_of(runs, tier)));
    let of_many = || (0..=highest).find_map(|tier| joinable(tier).find_map(|runs| newest_of(runs, tier)));
    lasting.or_else(|| are_many(shape).then(of_many).flatten())
}

/// All that lies over the base, but for what came of single flushes if there is more: of that a run becomes that is not too
/// coarse.
fn join_all(shape: &Shape, busy: &Busy, room: u64) -> Option<Job> {
    let overlay = shape.overlay();
    let fine = overlay.iter().position(|run| run.tier() > 0).unwrap_or(0);
    let runs = &overlay[fine..];
    let is_free = runs.len() > 1 && !runs.iter().any(|run| run.is_busy(busy));
    (is_free && is_worth_merging(shape, tables_of(runs))).then(|| join_of(runs, room)).flatten()
}

fn join_of(runs: &[RunShape], room: u64) -> Option<Job> {
    (bytes_of(runs) <= room).then(|| Job::Join(runs.iter().map(|run| run.id).collect()))
}

fn tables_of(runs: &[RunShape]) -> impl Iterator<Item = &TableShape> {
    runs.iter().flat_map(|run| run.tables.iter())
}

fn bytes_of(runs: &[RunShape]) -> u64 {
    runs.iter().map(RunShape::bytes).sum()
}

/// Whether most of it is there for longer than it would take until it goes by itself, or so much has gathered that reads
/// cannot wait for that.
fn is_worth_merging<'a>(shape: &Shape, tables: impl Iterator<Item = &'a TableShape>) -> bool {
    is_lasting(tables) || are_many(shape)
}

fn are_many(shape: &Shape) -> bool {
    shape.overlay_runs() >= MANY
}

/// Whether most of it is there for longer than it would take until it goes by itself.
fn is_lasting<'a>(tables: impl Iterator<Item = &'a TableShape>) -> bool {
    let (mut all, mut short_lived) = (0, 0);
    for table in tables {
        all += table.bytes;
        short_lived += if table.is_short_lived { table.bytes } else { 0 };
    }
    short_lived * 2 < all
}

/// A stretch of the base with all that can be merged into it.
struct Stretch<'a> {
    base: &'a [TableShape],
    begin: usize,
    end: usize,
}

impl Stretch<'_> {
    fn from(&self) -> Bound<&Bytes> {
        if self.begin == 0 { Bound::Unbounded } else { Bound::Included(&self.base[self.begin].min) }
    }

    fn to(&self) -> Bound<&Bytes> {
        self.base.get(self.end).map_or(Bound::Unbounded, |next| Bound::Excluded(&next.min))
    }

    fn has(&self, table: &TableShape) -> bool {
        let begins_in_time = match self.to() {
            Bound::Excluded(to) => table.min < *to,
            _ => true,
        };
        let ends_late_enough = match self.from() {
            Bound::Included(from) => table.max >= *from,
            _ => true,
        };
        begins_in_time && ends_late_enough
    }
}

/// A merge of a stretch of the base with what lies over it: where that is the most, if there is too much over the base, or
/// where a good part has lapsed.
fn sink(shape: &Shape, busy: &Busy, room: u64, is_over_limit: bool) -> Option<Job> {
    let (base, overlay) = shape.runs.split_last()?;
    if busy.runs.contains(&base.id) {
        return None;
    }
    // Without gaps from the base on: what lies between would come to lie over what is newer.
    let is_fine = |run: &&RunShape| {
        !busy.runs.contains(&run.id) && base.tables.len() <= COARSE.max(STRETCH_TABLES) * run.tables.len().max(1)
    };
    let taking: Vec<&RunShape> = overlay.iter().rev().take_while(is_fine).collect();
    let parts = parts(&base.tables, &taking);
    let mut tables = STRETCH_TABLES.min(base.tables.len());
    while tables > 0 {
        let candidates = (0..=base.tables.len() - tables).filter_map(|begin| {
            let stretch = Stretch { base: &base.tables, begin, end: begin + tables };
            let part = parts[begin..begin + tables].iter().copied().fold(Part::default(), Part::and);
            let is_free = !base.tables[begin..begin + tables].iter().any(|table| busy.tables.contains(&table.id));
            let gain = part.gain(is_over_limit);
            let is_enough = gain > 0 && (is_over_limit || gain >= part.bytes / LAPSED_SHARE);
            (is_free && is_enough).then_some((stretch, gain, part.bytes))
        });
        // The most for the least; the first of equals.
        let best = candidates.reduce(|best, next| {
            let (one, other) = (u128::from(best.1) * u128::from(next.2), u128::from(next.1) * u128::from(best.2));
            if other > one { next } else { best }
        });
        let (stretch, ..) = best?;
        let inputs = || {
            let over = taking.iter().flat_map(|run| run.tables.iter().filter(|table| stretch.has(table)));
            over.chain(&base.tables[stretch.begin..stretch.end])
        };
        if inputs().any(|table| busy.tables.contains(&table.id)) || !is_worth_merging(shape, inputs()) {
            return None;
        }
        if inputs().map(|table| table.bytes).sum::<u64>() <= room {
            let tables_of = |run: &RunShape| {
                let within = run.tables.iter().filter(|table| stretch.has(table));
                (run.id, within.map(|table| table.id).collect::<Vec<_>>())
            };
            let runs = taking.iter().rev().map(|run| tables_of(run)).chain([tables_of(base)]);
            let runs = runs.filter(|(_, tables)| !tables.is_empty()).collect();
            return Some(Job::Sink { from: stretch.from().cloned(), to: stretch.to().cloned(), runs });
        }
        tables /= 2;
    }
    None
}

/// What a merge of a table of the base, with what lies over it, reads and is good for.
#[derive(Debug, Clone, Copy, Default)]
struct Part {
    /// All that it reads.
    bytes: u64,
    /// What lies over the base.
    over: u64,
    lapsed: u64,
}

impl Part {
    fn and(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, over: self.over + other.over, lapsed: self.lapsed + other.lapsed }
    }

    fn gain(self, is_over_limit: bool) -> u64 {
        if is_over_limit { self.over + self.lapsed } else { self.lapsed }
    }
}

/// One part for each table of the base. A table that lies over several counts for each of them by its share.
fn parts(base: &[TableShape], over: &[&RunShape]) -> Vec<Part> {
    let own = |table: &TableShape| Part { bytes: table.bytes, over: 0, lapsed: table.lapsed_bytes };
    let mut parts: Vec<Part> = base.iter().map(own).collect();
    for table in over.iter().flat_map(|run| run.tables.iter()) {
        // The first of the base also has what comes before it, and each what comes between it and the next.
        let begin = base.partition_point(|other| other.min <= table.min).saturating_sub(1);
        let end = base.partition_point(|other| other.min <= table.max).max(begin + 1);
        let share = |bytes: u64| bytes.div_ceil((end - begin) as u64);
        let part = Part { bytes: share(table.bytes), over: share(table.bytes), lapsed: share(table.lapsed_bytes) };
        parts[begin..end].iter_mut().for_each(|sum| *sum = sum.and(part));
    }
    parts
}

#[cfg(test)]
mod tests;
