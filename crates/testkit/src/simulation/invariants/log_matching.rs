use std::collections::BTreeMap;

use sessile_store::LogId;

use super::{Always, Seen};

/// What one node has applied, every other one has at the same place of its log, or will have (Raft's State Machine Safety;
/// Linearizable): an entry of another leader there would be read back as history by the next start or by who lags.
#[derive(Default)]
pub(in super::super) struct LogMatching {
    applied: BTreeMap<u64, (LogId, String)>,
}

impl Always for LogMatching {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        for Seen { name, log, status, .. } in seen {
            for entry in log.iter().filter(|entry| Some(entry.index) <= status.applied) {
                let known = self.applied.entry(entry.index).or_insert_with(|| (*entry, (*name).to_owned()));
                if known.0 != *entry {
                    return Err(format!(
                        "{name} has {entry} in its log, applied, and {} had {} there",
                        known.1, known.0
                    ));
                }
            }
        }
        Ok(())
    }
}
