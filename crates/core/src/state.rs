use std::collections::{BTreeMap, BTreeSet};

use crate::checksum::{self, Sums};
use crate::history::{History, Replaced};
use crate::proposer::{Proposers, Recall};
use crate::{
    Bucket, Command, Decision, GroupName, Header, HistoryCommand, HistoryEntry, Horizon, LogTime, MAX_GROUPS,
    NamespaceId, Outcome, Place, Proposer, ProposerId, Record, Refusal, RestoreError, Row, RowKey, RulesVersion,
    SessionCommand, SessionKey, Tally, Version, decide,
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

/// Everything that is replicated except the records themselves: the clock, the rules, the counts per namespace and
/// group, the proposers, the ids that were removed, and the history of changes. Kept in memory, and as [`Row`]s beside the records.
///
/// Invariants, held by `apply` and checked by the properties in tests/:
/// - the clock never goes back;
/// - a group's total is the sum of its buckets, and of the digests of exactly the records counted in them;
/// - no bucket that has passed is in the counts;
/// - a refused or repeated command changes nothing but the clock;
/// - a removed id has no proposer, and never gets one again;
/// - `sums` is the sum of the hashes of every group's total, every tombstone and every change in the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    horizon: Horizon,
    rules: RulesVersion,
    namespaces: BTreeMap<NamespaceId, Namespace>,
    proposers: Proposers,
    /// Ids that were removed from the cluster, and the log index of the entry that did it. They stay for ever: forgetting
    /// one would let it come back. Each is a node that somebody or something replaced, so there are few.
    tombstones: BTreeMap<ProposerId, u64>,
    history: History,
    sums: Sums,
    changed: BTreeSet<RowKey>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Namespace {
    groups: BTreeMap<GroupName, Group>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Group {
    total: Tally,
    buckets: BTreeMap<Bucket, Tally>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            horizon: Horizon::default(),
            rules: RulesVersion::FIRST,
            namespaces: BTreeMap::from([(NamespaceId::SESSIONS, Namespace::default())]),
            proposers: Proposers::default(),
            tombstones: BTreeMap::new(),
            history: History::default(),
            sums: Sums::default(),
            changed: BTreeSet::new(),
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
                self.changed.insert(RowKey::Proposer(register.proposer));
                Ok(self.proposers.register(register, context.index))
            }
            Command::Tick => Ok(Outcome::Ticked),
            Command::RaiseRules(to) => self.raise_rules(context, *to),
            Command::History(command) => Ok(self.note(context, command)),
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
            self.changed.insert(RowKey::Tombstone(id));
            if self.proposers.remove(id) {
                self.changed.insert(RowKey::Proposer(id));
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

    /// What members compare at the same log index: a hash over the clock, the rules, what every group counts (the
    /// digests of its records with it), the tombstones and the history of changes. O(1): the sums are kept as the log goes.
    pub fn checksum(&self) -> u64 {
        checksum::summary(self.horizon.clock, self.rules, self.sums)
    }

    /// The replicated clock.
    pub fn clock(&self) -> LogTime {
        self.horizon.clock
    }

    /// By what a record is live or not.
    pub fn horizon(&self) -> &Horizon {
        &self.horizon
    }

    /// The rules in force.
    pub fn rules(&self) -> RulesVersion {
        self.rules
    }

    /// What is remembered of a proposer.
    pub fn proposer(&self, id: ProposerId) -> Option<&Proposer> {
        self.proposers.get(id)
    }

    /// What a namespace counts, all groups together.
    pub fn total(&self, namespace: NamespaceId) -> Tally {
        let mut total = Tally::default();
        self.groups(namespace).for_each(|(_, group)| total.add(&group));
        total
    }

    /// What each group of a namespace counts.
    pub fn groups(&self, namespace: NamespaceId) -> impl Iterator<Item = (&GroupName, Tally)> {
        let groups = self.namespaces.get(&namespace).into_iter().flat_map(|namespace| &namespace.groups);
        groups.map(|(name, group)| (name, group.total))
    }

    /// What one group of a namespace counts; `None` for one that counts nothing.
    pub fn group(&self, namespace: NamespaceId, name: &GroupName) -> Option<Tally> {
        self.namespaces.get(&namespace)?.groups.get(name).map(|group| group.total)
    }

    /// How many records are counted that will have expired at that time, and leave the counts with it. A few more may
    /// expire until then: their bucket ends later.
    pub fn counted_until(&self, time: LogTime) -> u64 {
        let groups = self.namespaces.values().flat_map(|namespace| namespace.groups.values());
        let buckets = groups.flat_map(|group| group.buckets.range(..=Bucket::ending(time)));
        buckets.filter(|(bucket, _)| bucket.has_passed(time)).map(|(_, tally)| tally.keys).sum()
    }

    /// The namespaces there are.
    pub fn namespaces(&self) -> impl Iterator<Item = NamespaceId> {
        self.namespaces.keys().copied()
    }

    /// Where a command meets a key's record now; `None` in a namespace that does not exist.
    pub fn place(&self, namespace: NamespaceId, key: &SessionKey, version: Version) -> Option<Place> {
        let groups = &self.namespaces.get(&namespace)?.groups;
        let counted_by_name = groups.contains_key(key.group()) || groups.len() < MAX_GROUPS;
        Some(Place { horizon: self.horizon, version, counted_by_name })
    }

    /// Whether a stored record is part of the counts now, and of which group's.
    pub fn counted_in<'key>(
        &self,
        namespace: NamespaceId,
        key: &'key SessionKey,
        header: &Header,
    ) -> Option<&'key str> {
        let counted = self.namespaces.contains_key(&namespace) && !self.horizon.has_let_go_of(header);
        counted.then(|| if header.counted_by_name { key.group() } else { "" })
    }

    /// The rows that changed since this was last asked; `None` for those that are gone.
    pub fn take_changes(&mut self) -> Vec<(RowKey, Option<Row>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|key| (key.clone(), self.row(&key))).collect()
    }

    /// Puts a stored row back, when the state is loaded.
    pub fn restore(&mut self, key: RowKey, row: Row) -> Result<(), RestoreError> {
        match (key, row) {
            (RowKey::Clock, Row::Clock(_, rules)) if rules > RulesVersion::SUPPORTED => {
                return Err(RestoreError::RulesTooNew { rules });
            }
            (RowKey::Clock, Row::Clock(clock, rules)) => (self.horizon.clock, self.rules) = (clock, rules),
            (RowKey::Tally(namespace, group, bucket), Row::Tally(tally)) => {
                let name = group.clone();
                let group = self.namespaces.entry(namespace).or_default().groups.entry(group).or_default();
                let before = group.total;
                group.total.add(&tally);
                group.buckets.insert(bucket, tally);
                self.sums.replace(namespace, &name, &before, &group.total);
            }
            (RowKey::Proposer(id), Row::Proposer(proposer)) => self.proposers.restore(id, proposer),
            (RowKey::Tombstone(id), Row::Tombstone(index)) => self.entomb(id, index),
            (RowKey::History(index), Row::History(entry)) => {
                self.sums.add(checksum::change(index, &entry));
                self.history.restore(index, entry);
            }
            _ => return Err(RestoreError::Misplaced),
        }
        Ok(())
    }

    /// Every row, for a whole copy.
    pub fn rows(&self) -> impl Iterator<Item = (RowKey, Row)> {
        let tallies = self.namespaces.iter().flat_map(|(&namespace, groups)| {
            groups.groups.iter().flat_map(move |(name, group)| {
                let key = move |bucket| RowKey::Tally(namespace, name.clone(), bucket);
                group.buckets.iter().map(move |(&bucket, &tally)| (key(bucket), Row::Tally(tally)))
            })
        });
        let proposers = self.proposers.iter().map(|(id, p)| (RowKey::Proposer(id), Row::Proposer(p.clone())));
        let tombstones = self.tombstones().map(|(id, index)| (RowKey::Tombstone(id), Row::Tombstone(index)));
        let clock = std::iter::once((RowKey::Clock, Row::Clock(self.horizon.clock, self.rules)));
        let history = self.history().map(|(index, entry)| (RowKey::History(index), Row::History(entry.clone())));
        clock.chain(tallies).chain(proposers).chain(tombstones).chain(history)
    }

    fn entomb(&mut self, id: ProposerId, index: u64) {
        if self.tombstones.insert(id, index).is_none() {
            self.sums.add(checksum::tombstone(id, index));
        }
    }

    fn row(&self, key: &RowKey) -> Option<Row> {
        match key {
            RowKey::Clock => Some(Row::Clock(self.horizon.clock, self.rules)),
            RowKey::Tally(namespace, group, bucket) => {
                let group = self.namespaces.get(namespace)?.groups.get(group)?;
                group.buckets.get(bucket).copied().map(Row::Tally)
            }
            RowKey::Proposer(id) => self.proposers.get(*id).cloned().map(Row::Proposer),
            RowKey::Tombstone(id) => self.tombstones.get(id).copied().map(Row::Tombstone),
            RowKey::History(index) => self.history.get(*index).cloned().map(Row::History),
        }
    }

    fn apply_session<R: Records>(
        &mut self,
        context: &Context,
        command: &SessionCommand,
        records: &mut R,
    ) -> Result<Outcome, ApplyError<R::Error>> {
        let SessionCommand { proposer, namespace, ref key, ref action, .. } = *command;
        let Some(place) = self.place(namespace, key, Version::new(context.index)) else {
            return Ok(Outcome::Refused(Refusal::Malformed));
        };
        if self.is_tombstoned(proposer) {
            return Ok(Outcome::Refused(Refusal::Removed));
        }
        if let Recall::Answered(outcome) = self.proposers.recall(command) {
            return Ok(outcome);
        }
        self.changed.insert(RowKey::Proposer(proposer));
        let current = records.get(namespace, key).map_err(ApplyError::Records)?;
        let outcome = match decide(&place, current.as_ref(), action) {
            Decision::Refuse(refusal) => Outcome::Refused(refusal),
            Decision::Write(record) => {
                self.count_out(context, namespace, key, current.as_ref())?;
                self.count_in(namespace, key, &record);
                records.put(namespace, key, record);
                Outcome::Written { version: place.version }
            }
            Decision::Erase { existed, taken } => {
                if current.is_some() {
                    self.count_out(context, namespace, key, current.as_ref())?;
                    records.remove(namespace, key);
                }
                Outcome::Deleted { existed, taken }
            }
        };
        self.proposers.remember(command, &outcome);
        Ok(outcome)
    }

    fn raise_rules<E>(&mut self, context: &Context, to: RulesVersion) -> Result<Outcome, ApplyError<E>> {
        if to < self.rules || to > context.rules_supported {
            return Ok(Outcome::Refused(Refusal::RulesUnsupported));
        }
        if to > RulesVersion::SUPPORTED {
            return Err(ApplyError::RulesTooNew { index: context.index, to });
        }
        self.rules = to;
        self.changed.insert(RowKey::Clock);
        Ok(Outcome::Rules { version: to })
    }

    /// What is said about a change of the cluster.
    fn note(&mut self, context: &Context, command: &HistoryCommand) -> Outcome {
        if self.rules < RulesVersion::HISTORY {
            return Outcome::Refused(Refusal::RulesUnsupported);
        }
        let (entry, replaced): (u64, Vec<Replaced>) = match command {
            HistoryCommand::Begin(change) => {
                (context.index, self.history.begin(context.index, self.horizon.clock, change.clone()))
            }
            HistoryCommand::End { entry, result } => {
                (*entry, self.history.end(*entry, result.clone()).into_iter().collect())
            }
        };
        for (index, before, after) in replaced {
            before.iter().for_each(|before| self.sums.subtract(checksum::change(index, before)));
            after.iter().for_each(|after| self.sums.add(checksum::change(index, after)));
            self.changed.insert(RowKey::History(index));
        }
        Outcome::Noted { entry }
    }

    fn advance_clock(&mut self, stamp: LogTime) {
        if stamp <= self.horizon.clock {
            return;
        }
        let before = std::mem::replace(&mut self.horizon.clock, stamp);
        self.changed.insert(RowKey::Clock);
        // A bucket passes at the end of a span only, so within one there is nothing to look for.
        if Bucket::span(before) == Bucket::span(stamp) {
            return;
        }
        for (&namespace, groups) in &mut self.namespaces {
            groups.groups.retain(|name, group| {
                let before = group.total;
                while let Some(passed) = group.buckets.first_entry().filter(|first| first.key().has_passed(stamp)) {
                    self.changed.insert(RowKey::Tally(namespace, name.clone(), *passed.key()));
                    let in_total = group.total.subtract(&passed.remove());
                    debug_assert!(in_total, "a group's total is the sum of its buckets");
                }
                if before != group.total {
                    self.sums.replace(namespace, name, &before, &group.total);
                }
                !group.buckets.is_empty()
            });
        }
    }

    fn count_in(&mut self, namespace: NamespaceId, key: &SessionKey, record: &Record) {
        let name = if record.header.counted_by_name { key.group() } else { "" };
        let name = GroupName::new(name.as_bytes()).unwrap_or_default();
        let tally = Tally::of_record(namespace, key, &record.header);
        let group = self.namespaces.entry(namespace).or_default().groups.entry(name.clone()).or_default();
        let before = group.total;
        group.total.add(&tally);
        self.sums.replace(namespace, &name, &before, &group.total);
        group.buckets.entry(record.header.bucket).or_default().add(&tally);
        self.changed.insert(RowKey::Tally(namespace, name, record.header.bucket));
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
        let broken = || ApplyError::CountsBroken { index: context.index };
        let tally = Tally::of_record(namespace, key, header);
        let groups = &mut self.namespaces.get_mut(&namespace).ok_or_else(broken)?.groups;
        let group = groups.get_mut(name).ok_or_else(broken)?;
        let bucket = group.buckets.get_mut(&header.bucket).ok_or_else(broken)?;
        let before = group.total;
        if !bucket.subtract(&tally) || !group.total.subtract(&tally) {
            return Err(broken());
        }
        let after = group.total;
        if bucket.is_empty() {
            group.buckets.remove(&header.bucket);
        }
        if group.buckets.is_empty() {
            groups.remove(name);
        }
        let name = GroupName::new(name.as_bytes()).unwrap_or_default();
        self.sums.replace(namespace, &name, &before, &after);
        self.changed.insert(RowKey::Tally(namespace, name, header.bucket));
        Ok(())
    }
}
