use std::collections::{BTreeMap, BTreeSet};

use sessile_core::{
    GroupName, HistoryEntry, Horizons, NamespaceId, ProposerId, Row, RowKey, RulesVersion, State, Tally,
};

use super::checksums::Checksums;
use super::stored::Applied;
use super::writer::Writer;
use crate::{LogId, StoreError, StoredMembership};

/// What others ask of a state: requests, reports, scrapes, heartbeats. A copy of what they need, as of the last batch that
/// the engine has taken, behind a lock of its own: the writer's is held for as long as the disk likes.
///
/// A batch costs here what it changed, and nothing for what it left alone.
pub(super) struct StateStatus {
    /// The last entry that is applied. All that follows, to `history`, is as of this entry.
    pub(super) applied: Option<LogId>,
    pub(super) membership: StoredMembership,
    pub(super) horizons: Horizons,
    pub(super) rules: RulesVersion,
    pub(super) checksum: u64,
    pub(super) checksums: Checksums,
    counts: BTreeMap<NamespaceId, BTreeMap<GroupName, Tally>>,
    /// Of each proposer.
    pub(super) incarnations: BTreeMap<ProposerId, u64>,
    pub(super) removed: BTreeSet<ProposerId>,
    /// Changes of the cluster, by the log index at which each began.
    pub(super) history: BTreeMap<u64, HistoryEntry>,
    /// What would be found again after a crash.
    pub(super) persisted: Persisted,
    /// Why nothing may be applied or believed any more: a batch failed half-way, or the state was closed.
    pub(super) ended: Option<String>,
}

/// How far the state is durable.
#[derive(Debug, Clone, Default)]
pub(super) struct Persisted {
    pub(super) log_id: Option<LogId>,
    pub(super) horizons: Horizons,
}

impl StateStatus {
    /// Of a state that was loaded. What was read back need not be on the disk: after `kill -9` it may still be on its way
    /// there.
    pub(super) fn of(writer: &Writer) -> Self {
        let (state, applied) = (&writer.state, &writer.applied);
        let groups = |namespace| state.groups(namespace).map(|(name, tally)| (name.clone(), tally)).collect();
        let incarnation = |(key, row)| match (key, row) {
            (RowKey::Proposer(id), Row::Proposer(proposer)) => Some((id, proposer.incarnation())),
            _ => None,
        };
        let mut status = Self {
            applied: applied.log_id,
            membership: applied.membership.clone(),
            horizons: state.horizons().clone(),
            rules: state.rules(),
            checksum: state.checksum(),
            checksums: Checksums::default(),
            counts: state.namespaces().iter().map(|(id, _)| (id, groups(id))).collect(),
            incarnations: state.rows().filter_map(incarnation).collect(),
            removed: state.tombstones().map(|(id, _)| id).collect(),
            history: state.history().map(|(index, entry)| (index, entry.clone())).collect(),
            persisted: Persisted::default(),
            ended: None,
        };
        writer.noted().for_each(|(index, checksum)| status.checksums.note(index, checksum));
        status
    }

    /// Takes over what a batch changed, which the engine has taken.
    pub(super) fn update(
        &mut self,
        state: &State,
        applied: &Applied,
        changes: &[(RowKey, Option<Row>)],
        noted: impl Iterator<Item = (u64, u64)>,
    ) {
        self.applied = applied.log_id;
        if self.membership.log_id() != applied.membership.log_id() {
            self.membership = applied.membership.clone();
        }
        self.horizons.clone_from(state.horizons());
        (self.rules, self.checksum) = (state.rules(), state.checksum());
        noted.for_each(|(index, checksum)| self.checksums.note(index, checksum));
        for (key, row) in changes {
            match (key, row) {
                // Nobody asks for answers but who comes again.
                (RowKey::Answer(..), _) => {}
                // They are among the horizons.
                (RowKey::LastNamespace | RowKey::TruncatedGroup(..) | RowKey::Unnamed(_), _) => {}
                (RowKey::Clock, _) | (RowKey::Namespace(_), Some(_)) => {}
                (RowKey::Namespace(id), None) => drop(self.counts.remove(id)),
                (RowKey::Tally(namespace, group, _), _) => {
                    self.count(*namespace, group, state.group(*namespace, group));
                }
                (RowKey::Proposer(id), Some(Row::Proposer(proposer))) => {
                    self.incarnations.insert(*id, proposer.incarnation());
                }
                (RowKey::Proposer(id), _) => drop(self.incarnations.remove(id)),
                (RowKey::Tombstone(id), _) => drop(self.removed.insert(*id)),
                (RowKey::History(index), Some(Row::History(entry))) => drop(self.history.insert(*index, entry.clone())),
                (RowKey::History(index), _) => drop(self.history.remove(index)),
            }
        }
    }

    fn count(&mut self, namespace: NamespaceId, group: &GroupName, total: Option<Tally>) {
        let groups = self.counts.entry(namespace).or_default();
        match (groups.get_mut(group), total) {
            (Some(known), Some(total)) => *known = total,
            (None, Some(total)) => drop(groups.insert(group.clone(), total)),
            (_, None) => drop(groups.remove(group)),
        }
    }

    /// What each group of each namespace counts.
    pub(super) fn counts(&self) -> Vec<(NamespaceId, GroupName, Tally)> {
        let groups =
            self.counts.iter().flat_map(|(namespace, groups)| groups.iter().map(move |group| (namespace, group)));
        groups.map(|(namespace, (name, tally))| (*namespace, name.clone(), *tally)).collect()
    }

    /// How many sessions are counted.
    pub(super) fn sessions(&self) -> u64 {
        self.counts.values().flat_map(BTreeMap::values).map(|tally| tally.keys).sum()
    }

    /// Nothing is applied from now on. The first reason stays.
    pub(super) fn end(&mut self, reason: &str) {
        self.ended.get_or_insert_with(|| reason.to_owned());
    }

    /// An error once the state has ended.
    pub(super) fn assert_going(&self) -> Result<(), StoreError> {
        self.ended.clone().map_or(Ok(()), |reason| Err(StoreError::Ended { reason }))
    }
}
