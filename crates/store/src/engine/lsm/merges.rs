//! Carries out what `plan` chose.

use std::collections::HashSet;
use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::ended::Ended;
use super::lapses::has_lapsed;
use super::merge::{Entry, MergeIter, Source};
use super::plan::Job;
use super::runs::{Edit, Run, RunId, source_of};
use super::store::Store;
use super::table::{Table, TableId};
use super::throttle::Stretches;
use super::writer::RunWriter;
use crate::engine::Retention;
use crate::engine::guard::Fault;

/// Does it. After an error, or when it is stopped, nothing has changed and none of its tables is left.
pub(super) fn run(store: &Store, job: &Job) -> Result<Ended, Fault> {
    let Some(edit) = write(store, job)? else { return Ok(Ended::Stopped) };
    store.commit(&edit, 0)?;
    Ok(Ended::Done)
}

/// Writes its tables, durably, and says what is to become of the list of tables. `None` if the store was told to stop.
pub(super) fn write(store: &Store, job: &Job) -> Result<Option<Edit>, Fault> {
    match job {
        Job::Drop(tables) => Ok(Some(Edit { removed: tables.iter().copied().collect(), ..Edit::default() })),
        Job::Join(runs) => join(store, runs),
        Job::Sink { from, to, runs } => sink(store, from.as_ref(), to.as_ref(), runs),
    }
}

/// What becomes of what is merged.
struct Merging<'a> {
    store: &'a Store,
    retention: Option<&'a dyn Retention>,
    now: u64,
    stretches: Stretches,
}

impl<'a> Merging<'a> {
    fn new(store: &'a Store) -> Self {
        let retention = store.retention();
        Self { store, retention, now: retention.map_or(0, Retention::now), stretches: store.throttle.stretches() }
    }

    /// Writes what is kept of entries. `false` if the store was told to stop meanwhile, which is looked at after each entry.
    fn copy(
        &mut self,
        entries: impl Iterator<Item = Result<Entry, Fault>>,
        writer: &mut RunWriter<'_>,
        keep: Keep,
    ) -> Result<bool, Fault> {
        for entry in entries {
            if self.store.is_stopping() {
                return Ok(false);
            }
            self.stretches.rest();
            let entry = match keep {
                Keep::All => Some(entry?),
                Keep::Removals => Some(self.without_lapsed(entry?)),
                Keep::Needed => Some(self.without_lapsed(entry?)).filter(|entry| entry.value.is_some()),
            };
            if let Some(entry) = entry {
                writer.write(entry)?;
            }
        }
        Ok(true)
    }

    /// The entry without what is not needed any more: its key is as good as removed, and may not show what is older.
    fn without_lapsed(&self, entry: Entry) -> Entry {
        let Entry { key, value } = entry;
        let lapsed = |value: &[u8]| {
            self.retention.is_some_and(|retention| has_lapsed(retention.needed_until(&key, value), self.now))
        };
        let value = value.filter(|value| !lapsed(value));
        Entry { key, value }
    }
}

/// What a merge writes.
#[derive(Debug, Clone, Copy)]
enum Keep {
    /// Everything, as it is.
    All,
    /// What is needed, and that everything else was removed: what is older may have it.
    Removals,
    /// What is needed and nothing else: nothing is older.
    Needed,
}

/// One run of several neighbours, in the place of the oldest. `None` if the store was told to stop.
fn join(store: &Store, ids: &[RunId]) -> Result<Option<Edit>, Fault> {
    let runs = store.runs();
    let joined: Vec<&Run> = runs.0.iter().filter(|run| ids.contains(&run.id)).collect();
    let Some(oldest) = joined.last() else { return Ok(Some(Edit::default())) };
    let mut merging = Merging::new(store);
    let mut writer = store.merge_writer();
    let sources = joined.iter().map(|run| all_of(&run.tables)).collect();
    let entries = MergeIter::new(sources);
    if !merging.copy(entries, &mut writer, Keep::Removals)? {
        return Ok(None);
    }
    let removed = joined.iter().flat_map(|run| run.tables.iter()).map(|table| table.id).collect();
    Ok(Some(Edit { removed, added: vec![(oldest.id, writer.finish()?)], newest: None }))
}

/// What some runs, the base as the last of them, have between two keys becomes part of the base. What their tables have
/// beside that stays in their runs, in tables of its own. `None` if the store was told to stop.
fn sink(
    store: &Store,
    from: Bound<&Bytes>,
    to: Bound<&Bytes>,
    inputs: &[(RunId, Vec<TableId>)],
) -> Result<Option<Edit>, Fault> {
    let runs = store.runs();
    let mut merging = Merging::new(store);
    let tables_of = |(id, tables): &(RunId, Vec<TableId>)| -> Vec<Arc<Table>> {
        let run = runs.0.iter().find(|run| run.id == *id);
        run.into_iter().flat_map(|run| run.tables.iter()).filter(|table| tables.contains(&table.id)).cloned().collect()
    };
    let mut sources: Vec<Peekable<Source<'static>>> =
        inputs.iter().map(|input| all_of(&tables_of(input)).peekable()).collect();
    let mut added: Vec<(RunId, Vec<Arc<Table>>)> = Vec::new();
    let is_before = |key: &[u8]| matches!(from, Bound::Included(from) if key < from.as_ref());

    let mut beside = Unlisted(Vec::new());
    for ((id, _), source) in inputs.iter().zip(&mut sources) {
        let before =
            std::iter::from_fn(|| source.next_if(|entry| entry.as_ref().is_ok_and(|entry| is_before(&entry.key))));
        let Some(tables) = rest(&mut merging, before)? else { return Ok(None) };
        beside.0.extend(tables.iter().cloned());
        added.push((*id, tables));
    }
    let mut writer = store.merge_writer();
    let entries = MergeIter::new(sources.iter_mut().map(|source| up_to(source, to)).collect());
    if !merging.copy(entries, &mut writer, Keep::Needed)? {
        return Ok(None);
    }
    let merged = writer.finish()?;
    beside.0.extend(merged.iter().cloned());
    for ((id, _), source) in inputs.iter().zip(sources) {
        let Some(tables) = rest(&mut merging, source)? else { return Ok(None) };
        beside.0.extend(tables.iter().cloned());
        added.push((*id, tables));
    }
    let Some((base, _)) = inputs.last() else { return Ok(Some(Edit::default())) };
    added.push((*base, merged));
    beside.0.clear();
    let removed: HashSet<TableId> = inputs.iter().flat_map(|(_, tables)| tables.iter().copied()).collect();
    Ok(Some(Edit { removed, added, newest: None }))
}

/// Tables that no list names yet: they go, unless they are taken out.
struct Unlisted(Vec<Arc<Table>>);

impl Drop for Unlisted {
    fn drop(&mut self) {
        self.0.iter().for_each(|table| table.retire());
    }
}

fn rest(
    merging: &mut Merging<'_>,
    entries: impl Iterator<Item = Result<Entry, Fault>>,
) -> Result<Option<Vec<Arc<Table>>>, Fault> {
    let mut writer = merging.store.merge_writer();
    if !merging.copy(entries, &mut writer, Keep::All)? {
        return Ok(None);
    }
    writer.finish().map(Some)
}

/// What is left of a source up to a key; what lies behind that stays in it.
fn up_to<'a>(source: &'a mut Peekable<Source<'static>>, to: Bound<&'a Bytes>) -> Source<'a> {
    let is_behind = move |key: &[u8]| matches!(to, Bound::Excluded(to) if key >= to.as_ref());
    Box::new(std::iter::from_fn(move || {
        source.next_if(|entry| entry.as_ref().map_or(true, |entry| !is_behind(&entry.key)))
    }))
}

/// All entries of tables that follow each other.
fn all_of(tables: &[Arc<Table>]) -> Source<'static> {
    source_of(tables, Bound::Unbounded, Bound::Unbounded)
}
