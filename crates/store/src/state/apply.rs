//! Applying entries of the log to the session state: one batch of the engine at a time.

use std::time::Instant;

use sessile_core::Outcome;

use super::overlay::Overlay;
use super::prepared::PreparedEntries;
use super::session_state::SessionState;
use super::stored::{APPLIED_KEY, encode_row, row_key};
use super::writer::Writer;
use crate::StoreError;
use crate::types::Entry;

impl SessionState {
    /// Decodes what entries want, and takes of their records what is in memory. Never blocks.
    pub(crate) fn prepare(&self, entries: Vec<Entry>) -> PreparedEntries {
        PreparedEntries::new(entries, &*self.current().engine)
    }

    /// Applies entries at once if that needs no disk and waits for nobody; otherwise they come back.
    pub(crate) fn try_apply(
        &self,
        prepared: PreparedEntries,
    ) -> Result<Result<Vec<Option<Outcome>>, StoreError>, PreparedEntries> {
        if !prepared.is_in_memory() || !self.current().engine.takes_writes_at_once() {
            return Err(prepared);
        }
        match self.inner().writer.try_lock() {
            Some(mut writer) => Ok(self.apply_with(&mut writer, prepared)),
            None => Err(prepared),
        }
    }

    /// Applies entries in one batch of the engine. What each did comes back in their order. Blocks on the disk.
    pub(crate) fn apply_prepared(&self, prepared: PreparedEntries) -> Result<Vec<Option<Outcome>>, StoreError> {
        // Also while it waits for the lock: whoever holds it may have met a disk that does not come back.
        let _step = self.inner().applying.begin();
        let mut writer = self.inner().writer.lock();
        self.apply_locked(&mut writer, prepared)
    }

    /// The same, of entries that nobody has looked at yet.
    #[cfg(any(fuzzing, test))]
    pub(crate) fn apply(&self, entries: &[Entry]) -> Result<Vec<Option<Outcome>>, StoreError> {
        self.apply_prepared(self.prepare(entries.to_vec()))
    }

    fn apply_with(&self, writer: &mut Writer, prepared: PreparedEntries) -> Result<Vec<Option<Outcome>>, StoreError> {
        let _step = self.inner().applying.begin();
        self.apply_locked(writer, prepared)
    }

    fn apply_locked(&self, writer: &mut Writer, prepared: PreparedEntries) -> Result<Vec<Option<Outcome>>, StoreError> {
        self.assert_going()?;
        let begin = Instant::now();
        let applied = self.apply_to(writer, prepared);
        self.inner().applies.note(begin.elapsed());
        if let Err(error) = &applied {
            // What is in memory may be ahead of what is stored: nothing may be made of it.
            self.inner().status.write().end(&error.to_string());
        }
        applied
    }

    fn apply_to(&self, writer: &mut Writer, prepared: PreparedEntries) -> Result<Vec<Option<Outcome>>, StoreError> {
        let current = self.current();
        let PreparedEntries { entries, stored, .. } = prepared;
        let mut records = Overlay::new(&*current.engine, &current.dir, stored);
        let apply = |(entry, command)| writer.apply_one(&entry, command, &mut records);
        let outcomes = entries.into_iter().map(apply).collect::<Result<_, _>>()?;
        let mut batch = records.into_batch();
        let changes = writer.state.take_changes();
        for (key, row) in &changes {
            let stored_key = row_key(key);
            match row {
                Some(row) => batch.put(stored_key, encode_row(key, row)),
                None => batch.remove(stored_key),
            }
        }
        batch.put(APPLIED_KEY, writer.applied.encode());
        // Store, then show: a reader that sees the new clock finds the records that came with it.
        current.engine.write(batch)?;
        self.inner().status.write().update(&writer.state, &writer.applied, &changes, writer.noted.drain(..));
        self.show(writer.state.horizons(), writer.applied.log_id);
        Ok(outcomes)
    }
}
