use std::collections::BTreeSet;

use openraft::EntryPayload;
use sessile_core::{ApplyError, Command, Context, Outcome, ProposerId, RestoreError, RulesVersion, State};

use super::checksums::is_compared;
use super::engine_dir::EngineDir;
use super::overlay::Overlay;
use super::stored::{APPLIED_KEY, Applied, ROW_SPACE, parse_row};
use crate::engine::View;
use crate::types::{Entry, rules_of_all};
use crate::{LogId, Membership, NodeId, StoreError, StoredMembership};

/// The replicated state in memory, and how far the log is applied to it: what entries are applied to before the engine
/// takes what they changed.
pub(super) struct Writer {
    pub(super) state: State,
    pub(super) applied: Applied,
    /// Checksums at places that members compare, of the batch under way.
    pub(super) noted: Vec<(u64, u64)>,
}

impl Writer {
    /// Loads what is stored on an engine.
    pub(super) fn load(engine: &EngineDir) -> Result<Self, StoreError> {
        Self::load_from(&*engine.engine.view()?, engine)
    }

    /// Loads what a view of it shows.
    pub(super) fn load_from(view: &dyn View, engine: &EngineDir) -> Result<Self, StoreError> {
        let mut state = State::default();
        for row in view.scan_prefix(&[ROW_SPACE]) {
            let (key, bytes) = row?;
            let (key, row) = parse_row(&key, &bytes).map_err(|error| engine.damaged(&error))?;
            state.restore(key, row).map_err(|error| match error {
                RestoreError::Misplaced => engine.damaged(&error),
                RestoreError::RulesTooNew { .. } => {
                    StoreError::NewerRules { dir: engine.dir.clone(), what: error.to_string() }
                }
            })?;
        }
        let applied = Self::load_applied(view, engine)?;
        let noted = applied.log_id.filter(|log_id| is_compared(log_id.index));
        let noted = noted.map(|log_id| (log_id.index, state.checksum())).into_iter().collect();
        Ok(Self { state, applied, noted })
    }

    /// An error if a snapshot would take the state back: it would forget what it answered. openraft never does that.
    pub(super) fn assert_not_ahead_of(&self, snapshot: Option<LogId>) -> Result<(), StoreError> {
        match self.applied.log_id.filter(|applied| Some(*applied) > snapshot) {
            Some(applied) => {
                let reached = snapshot.map_or(0, |snapshot| snapshot.index);
                let what = format!("it ends at entry {reached}, but entry {} is applied here", applied.index);
                Err(StoreError::Transfer { what })
            }
            None => Ok(()),
        }
    }

    /// The checksums that were noted since this was last asked.
    pub(super) fn noted(&self) -> impl Iterator<Item = (u64, u64)> {
        self.noted.iter().copied()
    }

    /// How far the log is applied in what a view of it shows.
    pub(super) fn load_applied(view: &dyn View, engine: &EngineDir) -> Result<Applied, StoreError> {
        let stored = view.get(APPLIED_KEY)?;
        stored.map_or(Ok(Applied::default()), |bytes| Applied::decode(&bytes).map_err(|e| engine.damaged(&e)))
    }

    /// Applies an entry, whose command was decoded before if it could be.
    pub(super) fn apply_one(
        &mut self,
        entry: &Entry,
        command: Option<Command>,
        records: &mut Overlay<'_>,
    ) -> Result<Option<Outcome>, StoreError> {
        let outcome = self.apply_payload(entry, command, records)?;
        if is_compared(entry.log_id.index) {
            self.noted.push((entry.log_id.index, self.state.checksum()));
        }
        Ok(outcome)
    }

    /// `command` is what the entry wants, if it was decoded before.
    fn apply_payload(
        &mut self,
        entry: &Entry,
        command: Option<Command>,
        records: &mut Overlay<'_>,
    ) -> Result<Option<Outcome>, StoreError> {
        let index = entry.log_id.index;
        if self.applied.log_id.is_some_and(|applied| applied >= entry.log_id) {
            return Err(StoreError::Apply { index, what: "it was applied before".into() });
        }
        self.applied.log_id = Some(entry.log_id);
        let proposal = match &entry.payload {
            EntryPayload::Blank => return Ok(None),
            EntryPayload::Membership(membership) => {
                let before = ids_of(self.applied.membership.membership());
                let after = ids_of(membership);
                self.state.depart(before.difference(&after).map(|node| ProposerId::new(node.bits())), index);
                self.applied.membership = StoredMembership::new(Some(entry.log_id), membership.clone());
                return Ok(None);
            }
            EntryPayload::Normal(proposal) => proposal,
        };
        let failed = |what: String| StoreError::Apply { index, what };
        let command = command.map_or_else(|| Command::decode(proposal.command.clone()), Ok);
        let command = command.map_err(|error| failed(error.to_string()))?;
        let context = Context { index, stamp: proposal.stamp, rules_supported: self.rules_supported() };
        let outcome = self.state.apply(&context, &command, records).map_err(|error| match error {
            ApplyError::Records(error) => error,
            other @ (ApplyError::RulesTooNew { .. } | ApplyError::CountsBroken { .. }) => failed(other.to_string()),
        })?;
        Ok(Some(outcome))
    }

    /// The newest rules that every member supports, as the log says here.
    fn rules_supported(&self) -> RulesVersion {
        let members = self.applied.membership.nodes().map(|(_, member)| member);
        rules_of_all(members).unwrap_or(RulesVersion::FIRST)
    }
}

/// Everybody who is a voter or a learner.
fn ids_of(membership: &Membership) -> BTreeSet<NodeId> {
    membership.voter_ids().chain(membership.nodes().map(|(node, _)| *node)).collect()
}
