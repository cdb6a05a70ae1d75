use std::thread;
use std::time::{Duration, Instant};

use sessile_core::{Recount, State};

use super::engine_dir::EngineDir;
use super::session_state::SessionState;
use super::stored::{RECORD_SPACE, decode_record, parse_record_key};
use super::writer::Writer;
use crate::engine::{EngineError, View};
use crate::error::{DAMAGED_STATE_REMEDY, StoreError};

/// A check beside requests works so long at a time, and rests so long then: it takes a third of a processor.
const STRETCH: Duration = Duration::from_millis(2);
const REST: Duration = Duration::from_millis(4);

/// What a check of the state went through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Records that are stored, expired ones included.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

impl SessionState {
    /// Reads every record, verifies it, and holds a recount against the counts that the log kept. An engine may lose a
    /// write without a word (a journal whose damaged end is taken for its end): then the counts differ.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        let current = self.current();
        let view = current.engine.view()?;
        // Counts and records of one moment, and the counts as the next start would read them.
        let state = Writer::load_from(&*view, &current)?.state;
        Ok(check(&current, &*view, &state, || true)?.unwrap_or_default())
    }

    /// The same while requests are served, and as far as the state is durable. `None` if it was told to end before, or the
    /// state was closed or replaced. A state that is found to be damaged is refused by the next start.
    pub fn check_beside(&self, go_on: impl Fn() -> bool) -> Result<Option<CheckReport>, StoreError> {
        let current = self.current();
        let mut began = Instant::now();
        let go_on = || {
            if began.elapsed() >= STRETCH {
                thread::sleep(REST);
                began = Instant::now();
            }
            go_on()
        };
        let checked = || {
            let view = current.engine.view_since_persist()?;
            let state = Writer::load_from(&*view, &current)?.state;
            check(&current, &*view, &state, go_on)
        };
        match checked() {
            Err(StoreError::Engine(EngineError::Closed { .. })) => Ok(None),
            Err(error) => {
                current.condemn_if_damaged(&error);
                Err(error)
            }
            checked => checked,
        }
    }
}

/// Goes through all records, for as long as it may.
fn check(
    current: &EngineDir,
    view: &dyn View,
    state: &State,
    mut go_on: impl FnMut() -> bool,
) -> Result<Option<CheckReport>, StoreError> {
    let mut report = CheckReport::default();
    let mut recount = Recount::default();
    for stored in view.scan_prefix(&[RECORD_SPACE]) {
        if !go_on() {
            return Ok(None);
        }
        let (stored_key, bytes) = stored?;
        let (namespace, key) = parse_record_key(&stored_key).map_err(|error| current.damaged(&error))?;
        let record = decode_record(&stored_key, &bytes).map_err(|error| current.damaged(&error))?;
        recount.add(state, namespace, &key, &record.header);
        report.records += 1;
        report.bytes += key.as_bytes().len() as u64 + record.value.len() as u64;
    }
    match recount.difference(state) {
        None => Ok(Some(report)),
        Some((namespace, group, kept, there)) => Err(StoreError::CountsDiffer {
            dir: current.dir.clone(),
            namespace,
            group,
            kept_keys: kept.keys,
            there_keys: there.keys,
            remedy: DAMAGED_STATE_REMEDY,
        }),
    }
}
