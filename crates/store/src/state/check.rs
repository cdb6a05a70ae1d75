use sessile_core::{Recount, State};

use super::session_state::{REMEDY, SessionState};
use super::stored::{RECORD_SPACE, decode_record, parse_record_key};
use super::{CurrentState, session_state::Writer};
use crate::StoreError;

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
        check(&current, &*view, &state)
    }
}

fn check(current: &CurrentState, view: &dyn crate::engine::View, state: &State) -> Result<CheckReport, StoreError> {
    let mut report = CheckReport::default();
    let mut recount = Recount::default();
    for stored in view.scan_prefix(&[RECORD_SPACE]) {
        let (stored_key, bytes) = stored?;
        let (namespace, key) = parse_record_key(&stored_key).map_err(|error| current.damaged(&error))?;
        let record = decode_record(&stored_key, &bytes).map_err(|error| current.damaged(&error))?;
        recount.add(state, namespace, &key, &record.header);
        report.records += 1;
        report.bytes += key.as_bytes().len() as u64 + record.value.len() as u64;
    }
    match recount.difference(state) {
        None => Ok(report),
        Some((namespace, group, kept, there)) => Err(StoreError::CountsDiffer {
            dir: current.dir.clone(),
            namespace,
            group,
            kept_keys: kept.keys,
            there_keys: there.keys,
            remedy: REMEDY,
        }),
    }
}
