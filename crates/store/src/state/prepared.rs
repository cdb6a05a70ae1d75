use std::collections::HashMap;

use bytes::Bytes;
use openraft::EntryPayload;
use sessile_core::Command;

use super::stored::record_key;
use crate::engine::Engine;
use crate::types::Entry;

/// Entries that are about to be applied, with what they want and what of their records memory has: whether applying them
/// may wait for the disk is known before it begins.
pub(crate) struct PreparedEntries {
    /// With the command of each that has one. What cannot be decoded is told when its turn comes.
    pub(super) entries: Vec<(Entry, Option<Command>)>,
    /// The stored records by their keys, as far as memory has them; `None` for one that is known to be absent.
    pub(super) stored: HashMap<Bytes, Option<Bytes>>,
    in_memory: bool,
}

impl PreparedEntries {
    pub(super) fn new(entries: Vec<Entry>, engine: &dyn Engine) -> Self {
        let mut prepared = Self { entries: Vec::with_capacity(entries.len()), stored: HashMap::new(), in_memory: true };
        for entry in entries {
            let command = decode(&entry);
            if let Some(Command::Session(session)) = &command {
                prepared.look_up(record_key(session.namespace, &session.key), engine);
            }
            prepared.entries.push((entry, command));
        }
        prepared
    }

    /// Whether nothing has to be read from the disk for them.
    pub(super) fn is_in_memory(&self) -> bool {
        self.in_memory
    }

    fn look_up(&mut self, key: Bytes, engine: &dyn Engine) {
        // After one that is not there the rest is looked up where it may wait.
        if !self.in_memory || self.stored.contains_key(&key) {
            return;
        }
        // An engine that has failed says so again when the entries are applied.
        match engine.get_in_memory(&key).ok().flatten() {
            Some(stored) => drop(self.stored.insert(key, stored)),
            None => self.in_memory = false,
        }
    }
}

fn decode(entry: &Entry) -> Option<Command> {
    match &entry.payload {
        EntryPayload::Normal(proposal) => Command::decode(proposal.command.clone()).ok(),
        EntryPayload::Blank | EntryPayload::Membership(_) => None,
    }
}
