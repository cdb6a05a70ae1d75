mod rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::answers::{self, Answers, Remembered};
use crate::checksum;
use crate::history::{History, Replaced};
use crate::injected::rules_supported;
use crate::ledger::Ledger;
use crate::namespace_rules;
use crate::proposer::{Proposers, Recall};
use crate::{
    Action, Answer, Bucket, Command, Decision, GroupName, Header, HistoryCommand, HistoryEntry, Horizons, Idempotency,
    IdempotencyKey, Limits, LogTime, NamespaceCommand, NamespaceId, NamespaceRefusal, NamespaceTable, Outcome, Place,
    Proposer, ProposerId, Record, Refusal, Renewal, RowKey, RulesVersion, SessionCommand, SessionKey, SessionRequest,
    Tally, Version, decide,
};

/// Where the records are. Reads see the writes of the same log that came before.
pub trait Records {
    /// A local fault: the disk, a damaged record. It stops the replica.
    type Error;

    /// The record that is stored under a key, whether or not it is live.
    fn get(&mut self, namespace: NamespaceId, key: &SessionKey) -> Result<Option<Record>, Self::Error>;
    /// Stores a record in place of what was there.
    fn put(&mut self, namespace: NamespaceId, key: &SessionKey, record: Record);
    /// Removes what was there.
    fn remove(&mut self, namespace: NamespaceId, key: &SessionKey);
}

/// What the log says of an entry beside its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The entry's log index.
    pub index: u64,
    /// The leader's stamp.
    pub stamp: LogTime,
    /// The newest rules that every member supports at this place of the log.
    pub rules_supported: RulesVersion,
}

/// Why a replica must stop. Never what a client did wrong.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError<E> {
    /// The records could not be read.
    #[error(transparent)]
    Records(E),
    /// The log goes by rules that this program does not know.
    #[error("entry {index} raises the rules to version {to}, but this program knows only {supported}: start a newer one", supported = RulesVersion::SUPPORTED)]
    RulesTooNew {
        /// The entry.
        index: u64,
        /// The rules it raises to.
        to: RulesVersion,
    },
    /// A record that is there was never counted.
    #[error("entry {index} replaces a record that the counts do not have: the state is damaged")]
    CountsBroken {
        /// The entry.
        index: u64,
    },
}

/// Everything that is replicated except the records themselves: the clock, the rules, the namespaces with their counts, the
/// proposers, the answers to requests that may come again, the ids that were removed, and the history of changes. Kept in
/// memory, and as [`Row`](crate::Row)s beside the records.
///
/// Invariants, held by `apply` and checked by the properties in tests/:
/// - the clock never goes back;
/// - a group's total is the sum of the digests of exactly the records counted in it;
/// - no bucket that has passed is in the counts;
/// - a refused or repeated command changes nothing but the clock;
/// - a removed id has no proposer, and never gets one again;
/// - the ledger's sum is that of the hashes of every group's total, every tombstone, every change in the history, every
///   row about namespaces and every answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    horizons: Horizons,
    rules: RulesVersion,
    proposers: Proposers,
    /// Ids that were removed from the cluster, and the log index of the entry that did it. They stay for ever: forgetting
    /// one would let it come back. Each is a node that somebody or something replaced, so there are few.
    tombstones: BTreeMap<ProposerId, u64>,
    history: History,
    answers: Answers,
    ledger: Ledger,
}

impl Default for State {
    fn default() -> Self {
        Self {
            horizons: Horizons::default(),
            rules: RulesVersion::FIRST,
            proposers: Proposers::default(),
            tombstones: BTreeMap::new(),
            history: History::default(),
            answers: Answers::default(),
            ledger: Ledger::default(),
        }
    }
}

impl State {
    /// Applies one entry's command. On an error the replica must stop: the entry was not applied.
    pub fn apply<R: Records>(
        &mut self,
        context: &Context,
        command: &Command,
        records: &mut R,
    ) -> Result<Outcome, ApplyError<R::Error>> {
        self.advance_clock(context.stamp);
        match command {
            Command::Session(session) => self.apply_session(context, session, records),
            Command::Register(register) if self.is_tombstoned(register.proposer) => {
                Ok(Outcome::Refused(Refusal::Removed))
            }
            Command::Register(register) => {
                self.ledger.changed.insert(RowKey::Proposer(register.proposer));
                Ok(self.proposers.register(register, context.index))
            }
            Command::Tick => Ok(Outcome::Ticked),
            Command::RaiseRules(to) => self.raise_rules(context, *to),
            Command::History(command) => Ok(self.note(context, command)),
            Command::Namespace(command) => Ok(self.change_namespaces(context, command)),
        }
    }

    /// Ids that belong to no member any more: what was remembered of them goes, and they are never accepted again, as
    /// openraft asks for. Part of the rules: before there were members to remove, no log could hold a removal.
    pub fn depart(&mut self, ids: impl IntoIterator<Item = ProposerId>, index: u64) {
        for id in ids {
            if self.tombstones.contains_key(&id) {
                continue;
            }
            self.entomb(id, index);
            self.ledger.changed.insert(RowKey::Tombstone(id));
            if self.proposers.remove(id) {
                self.ledger.changed.insert(RowKey::Proposer(id));
            }
        }
    }

    /// Whether an id was removed.
    pub fn is_tombstoned(&self, id: ProposerId) -> bool {
        self.tombstones.contains_key(&id)
    }

    /// The ids that were removed, and the log index of the entry that removed each.
    pub fn tombstones(&self) -> impl Iterator<Item = (ProposerId, u64)> {
        self.tombstones.iter().map(|(id, index)| (*id, *index))
    }

    /// The changes of the cluster that are remembered, each with the log index at which it began, the oldest first.
    pub fn history(&self) -> impl Iterator<Item = (u64, &HistoryEntry)> {
        self.history.iter()
    }

    /// What was answered to requests with idempotency keys, of those that are remembered.
    pub fn answers(&self) -> impl Iterator<Item = (NamespaceId, &IdempotencyKey, &Answer)> {
        self.answers.iter()
    }

    /// What members compare at the same log index: a hash over the clock, the rules, what every group counts (the
    /// digests of its records with it), the tombstones and the history of changes. O(1): the sums are kept as the log goes.
    pub fn checksum(&self) -> u64 {
        checksum::summary(self.horizons.clock, self.rules, self.ledger.sums)
    }

    /// The replicated clock.
    pub fn clock(&self) -> LogTime {
        self.horizons.clock
    }

    /// By what records are live or not.
    pub fn horizons(&self) -> &Horizons {
        &self.horizons
    }

    /// The namespaces there are.
    pub fn namespaces(&self) -> &Arc<NamespaceTable> {
        &self.horizons.namespaces
    }

    /// The rules in force.
    pub fn rules(&self) -> RulesVersion {
        self.rules
    }

    /// What is remembered of a proposer.
    pub fn proposer(&self, id: ProposerId) -> Option<&Proposer> {
        self.proposers.get(id)
    }

    /// What a namespace counts, all groups together. O(1).
    pub fn total(&self, namespace: NamespaceId) -> Tally {
        self.ledger.total(namespace)
    }

    /// What each group of a namespace counts.
    pub fn groups(&self, namespace: NamespaceId) -> impl Iterator<Item = (&GroupName, Tally)> {
        self.ledger.groups(namespace)
    }

    /// What one group of a namespace counts; `None` for one that counts nothing.
    pub fn group(&self, namespace: NamespaceId, name: &GroupName) -> Option<Tally> {
        self.ledger.group(namespace, name.as_str())
    }

    /// How many records are counted that will have expired at that time, and leave the counts with it. A few more may
    /// expire until then: their bucket ends later.
    pub fn counted_until(&self, time: LogTime) -> u64 {
        self.ledger.keys_until(time)
    }

    /// Where a command meets a key's record now; `None` in a namespace that does not exist. O(1), and copies no text.
    pub fn place(&self, namespace: NamespaceId, key: &SessionKey, version: Version) -> Option<Place> {
        let group = key.group();
        let horizon = self.horizons.of(namespace, group)?;
        let of = self.horizons.namespaces.get(namespace)?;
        Some(Place {
            horizon,
            version,
            generation: of.last_generation,
            counted_by_name: self.ledger.counts_by_name(namespace, group),
            key_bytes: key.as_bytes().len() as u64,
            limits: Limits::of(&of.settings, &self.ledger.total(namespace)),
            keeps_lifetime: of.settings.renewal == Renewal::Half,
        })
    }

    /// Whether a stored record is part of the counts now, and of which group's.
    pub fn counted_in<'key>(
        &self,
        namespace: NamespaceId,
        key: &'key SessionKey,
        header: &Header,
    ) -> Option<&'key str> {
        let group = key.group();
        let counted = !self.horizons.have_let_go_of(namespace, group, header);
        counted.then_some(if header.counted_by_name { group } else { "" })
    }

    fn entomb(&mut self, id: ProposerId, index: u64) {
        if self.tombstones.insert(id, index).is_none() {
            self.ledger.sums.add(checksum::tombstone(id, index));
        }
    }

    fn apply_session<R: Records>(
        &mut self,
        context: &Context,
        command: &SessionCommand,
        records: &mut R,
    ) -> Result<Outcome, ApplyError<R::Error>> {
        let SessionCommand { proposer, namespace, ref key, ref request, .. } = *command;
        if request.rules_needed() > self.rules {
            return Ok(Outcome::Refused(Refusal::RulesUnsupported));
        }
        let Some(place) = self.place(namespace, key, Version::new(context.index)) else {
            return Ok(Outcome::Refused(self.unknown_namespace()));
        };
        if self.is_tombstoned(proposer) {
            return Ok(Outcome::Refused(Refusal::Removed));
        }
        if let Recall::Answered(outcome) = self.proposers.recall(command) {
            return Ok(outcome);
        }
        self.ledger.changed.insert(RowKey::Proposer(proposer));
        let current = records.get(namespace, key).map_err(ApplyError::Records)?;
        let outcome = match self.recall_answer(command, current.as_ref()) {
            Some(outcome) => outcome,
            None => {
                let outcome = self.carry_out(context, command, &place, current.as_ref(), records)?;
                self.remember_answer(command, &outcome);
                outcome
            }
        };
        self.proposers.remember(command, &outcome);
        Ok(outcome)
    }

    fn carry_out<R: Records>(
        &mut self,
        context: &Context,
        command: &SessionCommand,
        place: &Place,
        current: Option<&Record>,
        records: &mut R,
    ) -> Result<Outcome, ApplyError<R::Error>> {
        let SessionCommand { namespace, ref key, ref request, .. } = *command;
        Ok(match decide(place, current, &request.action) {
            Decision::Refuse(refusal) => Outcome::Refused(refusal),
            Decision::Write(record) => {
                self.replace(context, command, current, record, records)?;
                Outcome::Written { version: place.version }
            }
            Decision::Renew(record) => {
                let version = record.header.version;
                self.replace(context, command, current, record, records)?;
                Outcome::Renewed { version: Some(version) }
            }
            Decision::Leave { version } => Outcome::Renewed { version },
            Decision::Erase { existed, taken } => {
                if current.is_some() {
                    self.count_out(context, namespace, key, current)?;
                    records.remove(namespace, key);
                }
                Outcome::Deleted { existed, taken }
            }
        })
    }

    /// A record takes the place of what is there.
    fn replace<R: Records>(
        &mut self,
        context: &Context,
        &SessionCommand { namespace, ref key, .. }: &SessionCommand,
        current: Option<&Record>,
        record: Record,
        records: &mut R,
    ) -> Result<(), ApplyError<R::Error>> {
        self.count_out(context, namespace, key, current)?;
        self.count_in(namespace, key, &record);
        records.put(namespace, key, record);
        Ok(())
    }

    /// What a request is told that came before, or that there is no room to remember.
    fn recall_answer(&self, command: &SessionCommand, current: Option<&Record>) -> Option<Outcome> {
        let SessionCommand { namespace, key, request: SessionRequest { action, idempotency }, .. } = command;
        let Idempotency { key: name, asked } = idempotency.as_ref()?;
        let request = answers::fingerprint(key, action, *asked);
        let takes = matches!(action, Action::Delete(delete) if delete.take);
        let value_bytes = current.filter(|_| takes).map_or(0, |record| record.value.len());
        match self.answers.recall(*namespace, name, request, value_bytes) {
            Remembered::Nothing => None,
            Remembered::Same(outcome) => Some(outcome),
            Remembered::Another => Some(Outcome::Refused(Refusal::IdempotencyKeyReused)),
            Remembered::NoRoom => Some(Outcome::Refused(Refusal::AnswersFull)),
        }
    }

    fn remember_answer(&mut self, command: &SessionCommand, outcome: &Outcome) {
        let SessionCommand { namespace, key, request: SessionRequest { action, idempotency }, .. } = command;
        let lasting = idempotency.clone().filter(|_| answers::is_lasting(outcome));
        let Some(Idempotency { key: name, asked }) = lasting else { return };
        let request = answers::fingerprint(key, action, asked);
        let answer = Answer { request, at: self.horizons.clock, outcome: outcome.unshared() };
        self.ledger.sums.add(checksum::answer(*namespace, &name, &answer));
        self.ledger.changed.insert(RowKey::Answer(*namespace, name.clone()));
        self.answers.insert(*namespace, name, answer);
    }

    fn raise_rules<E>(&mut self, context: &Context, to: RulesVersion) -> Result<Outcome, ApplyError<E>> {
        if to < self.rules || to > context.rules_supported {
            return Ok(Outcome::Refused(Refusal::RulesUnsupported));
        }
        if to > rules_supported() {
            return Err(ApplyError::RulesTooNew { index: context.index, to });
        }
        if self.rules < RulesVersion::NAMESPACES && to >= RulesVersion::NAMESPACES {
            self.note_unnamed_of_before();
        }
        self.rules = to;
        self.ledger.changed.insert(RowKey::Clock);
        Ok(Outcome::Rules { version: to })
    }

    /// Rules of before did not note which records are not counted by their group's name: they may be any of those that are
    /// counted under no name.
    fn note_unnamed_of_before(&mut self) {
        if let Some(last) = self.ledger.last_bucket(NamespaceId::SESSIONS, "") {
            self.ledger.note_unnamed(NamespaceId::SESSIONS, last);
        }
    }

    /// What is said about a change of the cluster.
    fn note(&mut self, context: &Context, command: &HistoryCommand) -> Outcome {
        if self.rules < RulesVersion::HISTORY {
            return Outcome::Refused(Refusal::RulesUnsupported);
        }
        let (entry, replaced): (u64, Vec<Replaced>) = match command {
            HistoryCommand::Begin(change) => {
                (context.index, self.history.begin(context.index, self.horizons.clock, change.clone()))
            }
            HistoryCommand::End { entry, result } => {
                (*entry, self.history.end(*entry, result.clone()).into_iter().collect())
            }
        };
        for (index, before, after) in replaced {
            before.iter().for_each(|before| self.ledger.sums.subtract(checksum::change(index, before)));
            after.iter().for_each(|after| self.ledger.sums.add(checksum::change(index, after)));
            self.ledger.changed.insert(RowKey::History(index));
        }
        Outcome::Noted { entry }
    }

    fn advance_clock(&mut self, stamp: LogTime) {
        if stamp <= self.horizons.clock {
            return;
        }
        let before = std::mem::replace(&mut self.horizons.clock, stamp);
        self.ledger.changed.insert(RowKey::Clock);
        while let Some((id, key, answer)) = self.answers.pass(stamp) {
            self.ledger.sums.subtract(checksum::answer(id, &key, &answer));
            self.ledger.changed.insert(RowKey::Answer(id, key));
        }
        // A bucket passes at the end of a span only, so within one there is nothing to look for.
        if Bucket::span(before) == Bucket::span(stamp) {
            return;
        }
        self.ledger.pass(stamp);
        namespace_rules::pass(&mut self.horizons.namespaces, &mut self.ledger, stamp);
    }

    fn change_namespaces(&mut self, context: &Context, command: &NamespaceCommand) -> Outcome {
        if self.rules < command.rules_needed() {
            return Outcome::Refused(Refusal::RulesUnsupported);
        }
        let (table, clock) = (&mut self.horizons.namespaces, self.horizons.clock);
        match namespace_rules::carry_out(table, &mut self.ledger, (context.index, clock), command) {
            Ok(changed) => Outcome::Namespace(changed),
            Err(refusal) => Outcome::Refused(Refusal::Namespace(refusal)),
        }
    }

    /// What a write to a namespace is told that does not exist.
    fn unknown_namespace(&self) -> Refusal {
        if self.rules < RulesVersion::NAMESPACES {
            return Refusal::Malformed;
        }
        Refusal::Namespace(NamespaceRefusal::Unknown)
    }

    fn count_in(&mut self, namespace: NamespaceId, key: &SessionKey, record: &Record) {
        let header = &record.header;
        let name = if header.counted_by_name { key.group() } else { "" };
        if !header.counted_by_name && self.rules >= RulesVersion::NAMESPACES {
            self.ledger.note_unnamed(namespace, header.bucket);
        }
        let name = GroupName::new(name.as_bytes()).unwrap_or_default();
        self.ledger.count_in(namespace, name, header.bucket, &Tally::of_record(namespace, key, header));
    }

    fn count_out<E>(
        &mut self,
        context: &Context,
        namespace: NamespaceId,
        key: &SessionKey,
        current: Option<&Record>,
    ) -> Result<(), ApplyError<E>> {
        let Some(Record { header, .. }) = current else { return Ok(()) };
        let Some(name) = self.counted_in(namespace, key, header) else { return Ok(()) };
        let tally = Tally::of_record(namespace, key, header);
        let counted = self.ledger.count_out(namespace, name, header.bucket, &tally);
        counted.ok_or(ApplyError::CountsBroken { index: context.index })
    }
}
