//! The state as rows beside the records: which changed, all of them, and back from there.

use super::State;
use crate::checksum;
use crate::injected::rules_supported;
use crate::namespace_rules;
use crate::token_rules;
use crate::{RestoreError, Row, RowKey};

impl State {
    /// The rows that changed since this was last asked; `None` for those that are gone.
    pub fn take_changes(&mut self) -> Vec<(RowKey, Option<Row>)> {
        let changed = std::mem::take(&mut self.ledger.changed);
        changed.into_iter().map(|key| (key.clone(), self.row(&key))).collect()
    }

    /// Puts a stored row back, when the state is loaded.
    pub fn restore(&mut self, key: RowKey, row: Row) -> Result<(), RestoreError> {
        match (key, row) {
            (RowKey::Clock, Row::Clock(_, rules)) if rules > rules_supported() => {
                return Err(RestoreError::RulesTooNew { rules });
            }
            (RowKey::Clock, Row::Clock(clock, rules)) => (self.horizons.clock, self.rules) = (clock, rules),
            (RowKey::Tally(namespace, group, bucket), Row::Tally(tally)) => {
                self.ledger.restore(namespace, &group, bucket, &tally);
            }
            (RowKey::Proposer(id), Row::Proposer(proposer)) => self.proposers.restore(id, proposer),
            (RowKey::Tombstone(id), Row::Tombstone(index)) => self.entomb(id, index),
            (RowKey::History(index), Row::History(entry)) => {
                self.ledger.sums.add(checksum::change(index, &entry));
                self.history.restore(index, entry);
            }
            (RowKey::LastNamespace, Row::LastNamespace(last)) => {
                namespace_rules::restore_last(&mut self.horizons.namespaces, &mut self.ledger, last);
            }
            (RowKey::Namespace(id), Row::Namespace(stored)) => {
                namespace_rules::restore(&mut self.horizons.namespaces, &mut self.ledger, id, stored);
            }
            (RowKey::TruncatedGroup(id, name), Row::TruncatedGroup(group)) => {
                let table = &mut self.horizons.namespaces;
                let restored = namespace_rules::restore_group(table, &mut self.ledger, (id, name), group);
                return restored.ok_or(RestoreError::Misplaced);
            }
            (RowKey::Unnamed(id), Row::Unnamed(until)) => self.ledger.restore_unnamed(id, until),
            (RowKey::Answer(id, key), Row::Answer(answer)) => {
                self.ledger.sums.add(checksum::answer(id, &key, &answer));
                self.answers.insert(id, key, answer);
            }
            (RowKey::Token(id, name), Row::Token(token)) => {
                let restored = token_rules::restore(&mut self.horizons.namespaces, &mut self.ledger, (id, name), token);
                return restored.ok_or(RestoreError::Misplaced);
            }
            _ => return Err(RestoreError::Misplaced),
        }
        Ok(())
    }

    /// Every row, for a whole copy.
    pub fn rows(&self) -> impl Iterator<Item = (RowKey, Row)> {
        let tallies = self.ledger.tallies().map(|(namespace, name, bucket, tally)| {
            (RowKey::Tally(namespace, name.clone(), bucket), Row::Tally(tally))
        });
        let proposers = self.proposers.iter().map(|(id, p)| (RowKey::Proposer(id), Row::Proposer(p.clone())));
        let tombstones = self.tombstones().map(|(id, index)| (RowKey::Tombstone(id), Row::Tombstone(index)));
        let clock = std::iter::once((RowKey::Clock, Row::Clock(self.horizons.clock, self.rules)));
        let history = self.history().map(|(index, entry)| (RowKey::History(index), Row::History(entry.clone())));
        let unnamed = self.ledger.unnamed().map(|(id, until)| (RowKey::Unnamed(id), Row::Unnamed(until)));
        let namespaces = namespace_rules::rows(self.namespaces());
        let answers = self.answers.iter();
        let answers = answers.map(|(id, key, answer)| (RowKey::Answer(id, key.clone()), Row::Answer(answer.clone())));
        let first = clock.chain(tallies).chain(proposers).chain(tombstones).chain(history);
        first.chain(namespaces).chain(unnamed).chain(answers)
    }

    fn row(&self, key: &RowKey) -> Option<Row> {
        match key {
            RowKey::Clock => Some(Row::Clock(self.horizons.clock, self.rules)),
            RowKey::Tally(namespace, group, bucket) => self.ledger.bucket(*namespace, group, *bucket).map(Row::Tally),
            RowKey::Proposer(id) => self.proposers.get(*id).cloned().map(Row::Proposer),
            RowKey::Tombstone(id) => self.tombstones.get(id).copied().map(Row::Tombstone),
            RowKey::History(index) => self.history.get(*index).cloned().map(Row::History),
            RowKey::LastNamespace | RowKey::Namespace(_) | RowKey::TruncatedGroup(..) | RowKey::Token(..) => {
                namespace_rules::row(self.namespaces(), key)
            }
            RowKey::Unnamed(id) => self.ledger.unnamed_until(*id).map(Row::Unnamed),
            RowKey::Answer(id, key) => self.answers.get(*id, key).cloned().map(Row::Answer),
        }
    }
}
