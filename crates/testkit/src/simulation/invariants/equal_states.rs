use std::collections::BTreeMap;

use super::{Always, Seen};

/// The same log makes the same state on every node: equal checksums at equal applied index, and
/// equal tables of what is counted and remembered (Linearizable, on any node).
#[derive(Default)]
pub(in super::super) struct EqualStates {
    checksums: BTreeMap<u64, (u64, String)>,
    tables: BTreeMap<u64, (u64, String)>,
    /// How many were seen at two nodes.
    pub(in super::super) compared: usize,
}

impl Always for EqualStates {
    fn look(&mut self, seen: &[Seen<'_>]) -> Result<(), String> {
        for Seen { name, status, rows, .. } in seen {
            if let (Some(index), digest) = rows {
                let known = self.tables.entry(*index).or_insert_with(|| (*digest, (*name).to_owned()));
                if known.0 != *digest {
                    return Err(format!("the tables of {name} and {} differ at entry {index}", known.1));
                }
            }
            for (index, checksum) in &status.checksums {
                let known = self.checksums.entry(*index).or_insert_with(|| (*checksum, (*name).to_owned()));
                if known.0 != *checksum {
                    return Err(format!("the states of {name} and {} differ at entry {index}", known.1));
                }
                self.compared += usize::from(known.1 != *name);
            }
        }
        Ok(())
    }
}
