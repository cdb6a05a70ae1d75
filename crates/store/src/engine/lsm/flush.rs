use std::ops::Bound;

use super::buffer::source;
use super::ended::Ended;
use super::merge::MergeIter;
use super::runs::Edit;
use super::store::Store;
use crate::engine::guard::Fault;

/// Writes everything that was written before the call into tables, durably, as the newest run. After an error nothing has
/// changed, and it may be tried again: what is written waits in memory.
pub(super) fn flush(store: &Store) -> Result<Ended, Fault> {
    let _one_at_a_time = store.flushing.lock();
    let (layers, _) = store.seal();
    if layers.is_empty() {
        return Ok(Ended::Done);
    }
    let mut writer = store.writer();
    let mut stretches = store.throttle.stretches();
    let all = layers.iter().rev().map(|layer| source(layer, Bound::Unbounded, Bound::Unbounded)).collect();
    for entry in MergeIter::new(all) {
        stretches.rest();
        writer.write(entry?)?;
    }
    let edit = Edit { newest: Some((store.number(), writer.finish()?)), ..Edit::default() };
    store.commit(&edit, layers.len())?;
    Ok(Ended::Done)
}
