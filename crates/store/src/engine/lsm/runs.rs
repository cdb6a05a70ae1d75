use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use lsm_tree::table::filter::standard_bloom::Builder;

use super::merge::Source;
use super::table::{Table, TableId};
use crate::engine::guard::Fault;

/// A run's number. Never used again.
pub(super) type RunId = u64;

/// Tables whose keys do not overlap, in ascending order.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) id: RunId,
    pub(super) tables: Arc<[Arc<Table>]>,
}

/// All that is in tables at one moment: runs, the newest first. What a newer run has of a key is newer. The last is the
/// base; those before it lie over it.
#[derive(Clone, Default)]
pub(super) struct Runs(pub(super) Vec<Run>);

/// What becomes of the tables in one step.
#[derive(Default)]
pub(super) struct Edit {
    /// These go.
    pub(super) removed: HashSet<TableId>,
    /// These come, to runs that are there.
    pub(super) added: Vec<(RunId, Vec<Arc<Table>>)>,
    /// These come as a new run in front of all others.
    pub(super) newest: Option<(RunId, Vec<Arc<Table>>)>,
}

impl Edit {
    /// The tables that come.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.added.iter().chain(&self.newest).flat_map(|(_, tables)| tables)
    }
}

impl Run {
    /// The one table in which a key can be.
    fn table_for(&self, key: &[u8]) -> Option<&Table> {
        let at = self.tables.partition_point(|table| table.max().as_ref() < key);
        self.tables.get(at).filter(|table| table.min().as_ref() <= key).map(|table| &**table)
    }

    /// The tables that have keys between two bounds, as far as their ends tell.
    pub(super) fn overlapping(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> &[Arc<Table>] {
        let begin = self.tables.partition_point(|table| match from {
            Bound::Included(from) => table.max().as_ref() < from,
            Bound::Excluded(from) => table.max().as_ref() <= from,
            Bound::Unbounded => false,
        });
        let end = self.tables.partition_point(|table| match to {
            Bound::Included(to) => table.min().as_ref() <= to,
            Bound::Excluded(to) => table.min().as_ref() < to,
            Bound::Unbounded => true,
        });
        self.tables.get(begin..end).unwrap_or_default()
    }
}

impl Runs {
    /// What the tables have under a key: a value, or that it was removed or never there.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        let hash = Builder::get_hash(key);
        for table in self.0.iter().filter_map(|run| run.table_for(key)) {
            if let Some(found) = table.get(key, hash)? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Whether no table has a key, as far as the filters tell, which are in memory.
    pub(super) fn is_absent(&self, key: &[u8]) -> Result<bool, Fault> {
        let hash = Builder::get_hash(key);
        for table in self.0.iter().filter_map(|run| run.table_for(key)) {
            if table.may_have(hash)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A source for each run, newest first. Tables that lie within the bounds are read from the file by itself.
    pub(super) fn sources(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Vec<Source<'static>> {
        self.0.iter().map(|run| source_of(run.overlapping(from, to), from, to)).collect()
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.0.iter().flat_map(|run| run.tables.iter())
    }

    /// The runs after an edit, and the tables that went.
    pub(super) fn edited(&self, edit: &Edit) -> Result<(Self, Vec<Arc<Table>>), Fault> {
        if edit.added.iter().any(|(id, _)| self.0.iter().all(|run| run.id != *id)) {
            return Err(Fault::Library("a run that tables are added to is gone".to_owned()));
        }
        let (mut runs, mut gone) = (self.0.clone(), Vec::new());
        for run in &mut runs {
            let added =
                edit.added.iter().filter(|(id, _)| *id == run.id).flat_map(|(_, tables)| tables.iter().cloned());
            let (went, mut stay): (Vec<_>, Vec<_>) =
                run.tables.iter().cloned().partition(|table| edit.removed.contains(&table.id));
            gone.extend(went);
            stay.extend(added);
            stay.sort_unstable_by(|one, other| one.min().cmp(other.min()));
            run.tables = in_order(stay)?;
        }
        if let Some((id, tables)) = &edit.newest {
            runs.insert(0, Run { id: *id, tables: in_order(tables.clone())? });
        }
        runs.retain(|run| !run.tables.is_empty());
        Ok((Self(runs), gone))
    }
}

/// Tables of one run: an error if two of them overlap, because then one would hide the other.
pub(super) fn in_order(tables: Vec<Arc<Table>>) -> Result<Arc<[Arc<Table>]>, Fault> {
    if tables.is_sorted_by(|one, next| one.max() < next.min()) {
        Ok(tables.into())
    } else {
        Err(Fault::Library("tables of one run overlap".to_owned()))
    }
}

/// Tables one after the other, between two bounds. Each is opened when its turn comes.
pub(super) fn source_of(tables: &[Arc<Table>], from: Bound<&[u8]>, to: Bound<&[u8]>) -> Source<'static> {
    let (from, to) = (from.map(Bytes::copy_from_slice), to.map(Bytes::copy_from_slice));
    let tables: Vec<_> = tables.to_vec();
    Box::new(tables.into_iter().flat_map(move |table| -> Source<'static> {
        let begins_before = match &from {
            Bound::Included(from) => table.min() < from,
            Bound::Excluded(from) => table.min() <= from,
            Bound::Unbounded => false,
        };
        let ends_behind = match &to {
            Bound::Included(to) => table.max() > to,
            Bound::Excluded(to) => table.max() >= to,
            Bound::Unbounded => false,
        };
        if begins_before || ends_behind {
            return Box::new(table.range(from.as_ref().map(AsRef::as_ref), to.as_ref().map(AsRef::as_ref)));
        }
        match table.scan() {
            Ok(entries) => Box::new(entries),
            Err(fault) => Box::new(std::iter::once(Err(fault))),
        }
    }))
}
