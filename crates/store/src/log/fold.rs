//! What one segment says: which entries of earlier segments are gone, and where its own are.

use std::collections::VecDeque;

use super::LogPosition;
use super::frame::Kind;
use super::index::{Extent, Index, Placed};

/// The frames of one segment, folded. Recovery folds each segment and joins the folds; a sealed segment carries its own in
/// a [summary](super::summary), so that it need not be read for that.
#[derive(Debug, Default)]
pub(super) struct Fold {
    /// The entries of this segment that are left at its end.
    index: Index,
    /// The lowest position to which it truncates; `Some(None)` removes all.
    truncated: Option<Option<LogPosition>>,
    /// The next entry is the first, or the first after a truncation.
    begins: bool,
}

impl Fold {
    /// Before the first frame of a segment that goes on after `last`.
    pub(super) fn after(last: Option<LogPosition>) -> Fold {
        Fold { index: Index::after(last), truncated: None, begins: true }
    }

    /// Of a segment that holds these entries at its end.
    pub(super) fn of(truncated: Option<Option<LogPosition>>, terms: &[(u64, u64)], extents: Vec<Extent>) -> Fold {
        let mut fold = Fold { truncated, ..Fold::after(None) };
        for extent in extents {
            fold.index.push_extent(extent, terms);
        }
        fold
    }

    /// Whether an entry at `index` fits; if not, the index that would.
    pub(super) fn expects(&self, index: u64) -> Result<(), u64> {
        self.index.expects(index)
    }

    /// Adds an entry that [fits](Fold::expects), whose frame lies from `offset` to `end`.
    pub(super) fn entry(&mut self, position: LogPosition, segment: u32, offset: u32, end: u32) -> Placed {
        let placed = Placed { index: position.index, segment, offset, end, begins: self.begins };
        self.begins = false;
        self.index.push_stored(position, placed);
        placed
    }

    /// Adds a frame that is no entry.
    pub(super) fn other(&mut self, kind: Kind, position: Option<LogPosition>) {
        match (kind, position) {
            (Kind::Truncated, last) => {
                self.index.truncate(last);
                self.begins = true;
                let lower =
                    self.truncated.is_none_or(|lowest| last.map(|last| last.index) < lowest.map(|last| last.index));
                if lower {
                    self.truncated = Some(last);
                }
            }
            (Kind::Purged, Some(purged)) => self.index.purge(purged),
            _ => {}
        }
    }

    /// The lowest position to which it truncates; `Some(None)` removes all.
    pub(super) fn truncated(&self) -> Option<Option<LogPosition>> {
        self.truncated
    }

    /// The entries that are left, and their terms.
    pub(super) fn entries(&self) -> (&VecDeque<Extent>, &VecDeque<(u64, u64)>) {
        self.index.runs()
    }

    /// Takes the log from before this segment to after it, at whose end entries up to `purged` are gone. An error is an
    /// entry that does not follow the one before it, and the one that would.
    pub(super) fn join(&self, log: &mut Index, purged: Option<LogPosition>) -> Result<(), (u64, u64)> {
        if let Some(last) = self.truncated {
            log.truncate(last);
        }
        if let Some(purged) = purged {
            log.purge(purged);
        }
        let (extents, terms) = self.index.runs();
        let terms: Vec<_> = terms.iter().copied().collect();
        for extent in extents {
            log.expects(extent.first).map_err(|expected| (extent.first, expected))?;
            log.push_extent(extent.clone(), &terms);
        }
        Ok(())
    }
}
