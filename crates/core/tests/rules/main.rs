//! The rules against a plain model: logs are made up, replicas remove expired bytes when it suits them, crash and
//! replay, and must all agree with each other and with the model.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use bytes::Bytes;
use proptest::prelude::*;
use sessile_core::{
    ANSWERS_KEPT, Action, BaseUri, Bucket, Change, Command, Condition, Context, Delete, Header, HistoryCommand,
    Horizons, Idempotency, IdempotencyKey, LogTime, MAX_HISTORY, MAX_WINDOW_COMMANDS, NamespaceCommand, NamespaceId,
    NamespaceName, NamespaceSettings, Outcome, ProposerId, Put, Record, Records, Recount, Refusal, Register, Renew,
    Renewal, Row, RowKey, RulesVersion, SessionCommand, SessionKey, SessionRequest, State, Ttl, Version,
};

mod namespaces;
mod outcomes;
mod renewals;
mod stories;

const PROPOSER: ProposerId = ProposerId::new(7);
const SESSIONS: NamespaceId = NamespaceId::SESSIONS;
const KEYS: [&str; 5] = ["awiki:1", "awiki:2", "bwiki:1", "nogroup", "not plain:1"];
const TTLS: [u64; 7] = [1, 30, 61, 90, 3_600, 86_400, 172_800];
const START: u64 = 1_700_000_000_000;

#[derive(Debug, Clone)]
enum Step {
    Put {
        key: usize,
        value: u8,
        ttl: Option<usize>,
        condition: usize,
        name: Option<u8>,
    },
    Delete {
        key: usize,
        take: bool,
        condition: usize,
        name: Option<u8>,
    },
    Renew {
        key: usize,
        ttl: Option<usize>,
        condition: usize,
        if_due: bool,
        name: Option<u8>,
    },
    Tick,
    /// A client asks the same again, as another command.
    Again {
        back: usize,
    },
    Repeat {
        back: usize,
    },
}

/// One entry of a made-up log: what to do, and the stamp's distance from the one before, which may be negative.
type Entry = (Step, i64);

fn log() -> impl Strategy<Value = Vec<Entry>> {
    let key = 0..KEYS.len();
    let ttl = prop::option::of(0..TTLS.len());
    let name = prop::option::weighted(0.3, 0..6_u8);
    let step = prop_oneof![
        6 => (key.clone(), any::<u8>(), ttl.clone(), 0..6_usize, name.clone())
            .prop_map(|(key, value, ttl, condition, name)| Step::Put { key, value, ttl, condition, name }),
        2 => (key.clone(), any::<bool>(), 0..6_usize, name.clone())
            .prop_map(|(key, take, condition, name)| Step::Delete { key, take, condition, name }),
        2 => (key, ttl, 0..6_usize, any::<bool>(), name)
            .prop_map(|(key, ttl, condition, if_due, name)| Step::Renew { key, ttl, condition, if_due, name }),
        1 => Just(Step::Tick),
        2 => (0..4_usize).prop_map(|back| Step::Again { back }),
        2 => (0..6_usize).prop_map(|back| Step::Repeat { back }),
    ];
    let pause = prop_oneof![4 => -2_000..5_000_i64, 2 => 0..120_000_i64, 1 => 0..100_000_000_i64];
    prop::collection::vec((step, pause), 1..60)
}

#[derive(Clone, Default)]
struct Shelf(BTreeMap<SessionKey, Record>);

impl Records for Shelf {
    type Error = Infallible;

    fn get(&mut self, _: NamespaceId, key: &SessionKey) -> Result<Option<Record>, Infallible> {
        Ok(self.0.get(key).cloned())
    }

    fn put(&mut self, _: NamespaceId, key: &SessionKey, record: Record) {
        self.0.insert(key.clone(), record);
    }

    fn remove(&mut self, _: NamespaceId, key: &SessionKey) {
        self.0.remove(key);
    }
}

#[derive(Clone, Default)]
struct Replica {
    state: State,
    shelf: Shelf,
}

impl Replica {
    fn apply(&mut self, index: u64, stamp: LogTime, command: &Command) -> Outcome {
        let context = Context { index, stamp, rules_supported: RulesVersion::SUPPORTED };
        // Through the wire and back, as every command goes.
        let command = Command::decode(command.encode()).unwrap();
        self.state.apply(&context, &command, &mut self.shelf).unwrap()
    }

    fn rows(&self) -> Vec<(RowKey, Row)> {
        self.state.rows().collect()
    }

    fn read(&self, key: &SessionKey) -> Option<(Bytes, Version)> {
        let record = self.shelf.0.get(key)?;
        assert!(record.is_intact());
        self.state
            .horizons()
            .shows(SESSIONS, key.group(), &record.header)
            .then(|| (record.value.clone(), record.header.version))
    }

    /// Removes the bytes that may go by the clock of the last persist; `chosen` says which of them.
    fn reap(&mut self, horizons: &Horizons, mut chosen: impl FnMut() -> bool) {
        let gone = |key: &SessionKey, record: &Record| horizons.have_let_go_of(SESSIONS, key.group(), &record.header);
        self.shelf.0.retain(|key, record| !(gone(key, record) && chosen()));
    }

    fn assert_counts_equal_a_recount(&self) {
        let mut recount = Recount::default();
        for (key, record) in &self.shelf.0 {
            recount.add(&self.state, SESSIONS, key, &record.header);
        }
        assert_eq!(recount.difference(&self.state), None);
    }
}

/// What a session store is, without counts, buckets, generations or windows.
#[derive(Default)]
struct Model {
    clock: LogTime,
    live: BTreeMap<SessionKey, Live>,
    answers: BTreeMap<IdempotencyKey, (SessionKey, Action, LogTime, Outcome)>,
}

#[derive(Clone)]
struct Live {
    value: Bytes,
    expires_at: LogTime,
    version: Version,
    ttl: Ttl,
}

impl Model {
    fn apply(&mut self, index: u64, stamp: LogTime, command: &SessionCommand) -> Outcome {
        self.pass(stamp);
        let Some(Idempotency { key: name, .. }) = &command.request.idempotency else {
            return self.carry_out(index, command);
        };
        if let Some((key, action, _, outcome)) = self.answers.get(name) {
            let is_same = (key, action) == (&command.key, &command.request.action);
            return if is_same { outcome.clone() } else { Outcome::Refused(Refusal::IdempotencyKeyReused) };
        }
        let outcome = self.carry_out(index, command);
        let answer = (command.key.clone(), command.request.action.clone(), self.clock, outcome.clone());
        self.answers.insert(name.clone(), answer);
        outcome
    }

    fn carry_out(&mut self, index: u64, command: &SessionCommand) -> Outcome {
        let now = self.live.get(&command.key).cloned();
        let version = now.as_ref().map(|live| live.version);
        let expires = |ttl: Ttl| ttl.as_secs().map_or(u64::MAX, |ttl| self.clock.as_millis() + ttl * 1_000);
        let expires_at = |ttl| LogTime::from_millis(expires(ttl));
        let holds = match command.request.action.condition() {
            Condition::None => true,
            Condition::Absent => version.is_none(),
            Condition::Present => version.is_some(),
            Condition::Matches(versions) => version.is_some_and(|version| versions.contains(&version)),
            Condition::Differs(versions) => !version.is_some_and(|version| versions.contains(&version)),
        };
        if !holds {
            return Outcome::Refused(Refusal::ConditionFailed);
        }
        match &command.request.action {
            Action::Put(put) => {
                let (version, expires_at) = (Version::new(index), expires_at(put.ttl));
                let live = Live { value: put.value.clone(), expires_at, version, ttl: put.ttl };
                self.live.insert(command.key.clone(), live);
                Outcome::Written { version }
            }
            Action::Delete(delete) => {
                self.live.remove(&command.key);
                let taken = now.clone().filter(|_| delete.take).map(|Live { value, version, expires_at, .. }| {
                    sessile_core::Taken { value, version, expires_at, clock: self.clock }
                });
                Outcome::Deleted { existed: now.is_some(), taken }
            }
            Action::Renew(Renew { ttl, if_due, .. }) => {
                let Some(live) = now else { return Outcome::Renewed { version: None } };
                let left = live.expires_at.as_millis() - self.clock.as_millis();
                let is_due = live.ttl.as_secs().is_some_and(|ttl| left <= ttl * 500);
                if is_due || !if_due {
                    let renewed = Live { expires_at: expires_at(*ttl), ttl: *ttl, ..live };
                    self.live.insert(command.key.clone(), renewed);
                }
                Outcome::Renewed { version }
            }
        }
    }

    fn pass(&mut self, stamp: LogTime) {
        self.clock = self.clock.max(stamp);
        self.live.retain(|_, live| live.expires_at > self.clock);
        self.answers.retain(|_, (_, _, at, _)| at.after(ANSWERS_KEPT) > self.clock);
    }

    fn read(&self, key: &SessionKey) -> Option<(Bytes, Version)> {
        self.live.get(key).map(|live| (live.value.clone(), live.version))
    }
}

fn condition(kind: usize, last: Version) -> Condition {
    match kind {
        0 => Condition::Absent,
        1 => Condition::Present,
        2 => Condition::Matches(vec![last, Version::new(3)]),
        3 => Condition::Differs(vec![last]),
        _ => Condition::None,
    }
}

fn ttl(place: Option<usize>) -> Ttl {
    place.map_or(Ttl::FOREVER, |place| Ttl::from_secs(TTLS[place]).unwrap())
}

/// The clients of these tests ask for what they are granted.
fn asked(action: &Action) -> Option<Ttl> {
    match action {
        Action::Put(Put { ttl, .. }) | Action::Renew(Renew { ttl, .. }) => Some(*ttl),
        Action::Delete(_) => None,
    }
}

/// `sessions` without limits, whose records keep their lifetime.
fn renewed_by_reads() -> NamespaceSettings {
    let settings = NamespaceSettings::unlimited(NamespaceName::sessions(), BaseUri::default());
    NamespaceSettings { renewal: Renewal::Half, ..settings }
}

/// Turns steps into entries: index, stamp, command, and whether it repeats an earlier one.
fn entries(log: &[Entry]) -> Vec<(u64, LogTime, Command, bool)> {
    let first = [
        Command::Register(Register { proposer: PROPOSER, previous: 0, nonce: 9 }),
        Command::RaiseRules(RulesVersion::SUPPORTED),
        Command::Namespace(NamespaceCommand::Seed(vec![renewed_by_reads()])),
    ];
    let numbered = first.into_iter().zip(1..);
    let mut out: Vec<_> =
        numbered.map(|(command, index)| (index, LogTime::from_millis(START), command, false)).collect();
    let mut said: Vec<SessionCommand> = Vec::new();
    let mut clock = START;
    for (step, pause) in log {
        let index = out.len() as u64 + 1;
        clock = clock.saturating_add_signed(*pause);
        let sequence = said.len() as u64 + 1;
        let last = Version::new(index.saturating_sub(1));
        let named = |name: &Option<u8>, action: &Action| {
            let key = IdempotencyKey::new(vec![b'a' + (*name)?]).unwrap();
            Some(Idempotency { key, asked: asked(action) })
        };
        let mut say = |key: &usize, name: &Option<u8>, action| {
            said.push(SessionCommand {
                proposer: PROPOSER,
                incarnation: 1,
                sequence,
                lowest_outstanding: sequence.saturating_sub(8).max(1),
                namespace: SESSIONS,
                key: SessionKey::new(KEYS[*key]).unwrap(),
                request: SessionRequest { idempotency: named(name, &action), action },
            });
            said[said.len() - 1].clone()
        };
        let (command, repeated) = match step {
            Step::Put { key, value, ttl: granted, condition: kind, name } => {
                let value = Bytes::from(vec![*value; usize::from(*value)]);
                let put = Put { value, ttl: ttl(*granted), condition: condition(*kind, last) };
                (Command::Session(say(key, name, Action::Put(put))), false)
            }
            Step::Delete { key, take, condition: kind, name } => {
                let delete = Delete { condition: condition(*kind, last), take: *take };
                (Command::Session(say(key, name, Action::Delete(delete))), false)
            }
            Step::Renew { key, ttl: granted, condition: kind, if_due, name } => {
                let renew = Renew { ttl: ttl(*granted), condition: condition(*kind, last), if_due: *if_due };
                (Command::Session(say(key, name, Action::Renew(renew))), false)
            }
            Step::Again { back } if said.len() > *back => {
                let before = said[said.len() - 1 - back].clone();
                let lowest_outstanding = sequence.saturating_sub(8).max(1);
                said.push(SessionCommand { sequence, lowest_outstanding, ..before });
                (Command::Session(said[said.len() - 1].clone()), false)
            }
            Step::Repeat { back } if said.len() > *back => {
                (Command::Session(said[said.len() - 1 - back].clone()), true)
            }
            Step::Tick | Step::Repeat { .. } | Step::Again { .. } => (Command::Tick, false),
        };
        out.push((index, LogTime::from_millis(clock), command, repeated));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_rules_do_what_the_model_does_and_count_what_is_there(log in log()) {
        let (mut replica, mut model) = (Replica::default(), Model::default());
        let mut first = BTreeMap::new();
        for (index, stamp, command, repeated) in entries(&log) {
            let (before, shelf) = (replica.clone(), replica.shelf.0.clone());
            let outcome = replica.apply(index, stamp, &command);
            match &command {
                Command::Session(session) if repeated => {
                    model.pass(stamp);
                    prop_assert_eq!(Some(&outcome), first.get(&session.sequence), "a repeated command answers the same");
                    prop_assert_eq!(&replica.shelf.0, &shelf, "and changes nothing");
                }
                Command::Session(session) => {
                    prop_assert_eq!(&outcome, &model.apply(index, stamp, session));
                    first.insert(session.sequence, outcome.clone());
                    if let Outcome::Refused(_) = outcome {
                        prop_assert_eq!(&replica.shelf.0, &shelf, "a refused command changes nothing");
                        let mut ticked = before;
                        ticked.apply(index, stamp, &Command::Tick);
                        prop_assert_eq!(ticked.state.total(SESSIONS), replica.state.total(SESSIONS));
                    }
                }
                _ => model.pass(stamp),
            }
            prop_assert_eq!(replica.state.clock(), model.clock, "the clock never goes back");
            for key in KEYS.map(|key| SessionKey::new(key).unwrap()) {
                prop_assert_eq!(replica.read(&key), model.read(&key), "expired and deleted never come back");
            }
            replica.assert_counts_equal_a_recount();
        }
    }

    #[test]
    fn replicas_that_remove_bytes_early_late_or_crash_in_between_agree(log in log(), seed in any::<u64>()) {
        let mut random = seed;
        let mut chance = move |one_in: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33).is_multiple_of(one_in)
        };
        let (mut keeps, mut reaps, mut crashes) = (Replica::default(), Replica::default(), Replica::default());
        // What a crash goes back to: the rows and records of the last persist, and how far the log had been applied.
        let mut persisted = (Vec::new(), Shelf::default(), 0_usize);
        let mut horizons = Horizons::default();
        let log = entries(&log);
        for (position, (index, stamp, command, _)) in log.iter().enumerate() {
            let expected = keeps.apply(*index, *stamp, command);
            prop_assert_eq!(&reaps.apply(*index, *stamp, command), &expected);
            prop_assert_eq!(&crashes.apply(*index, *stamp, command), &expected);
            // A fresh persist each time: as early as bytes may go.
            let now = reaps.state.horizons().clone();
            reaps.reap(&now, || true);
            if chance(4) {
                horizons = crashes.state.horizons().clone();
                persisted = (crashes.rows(), crashes.shelf.clone(), position + 1);
            }
            if chance(3) {
                crashes.reap(&horizons, || chance(2));
                // Removals are writes like any other: some reach the disk before the crash, some do not.
                persisted.1.0.retain(|key, record| {
                    !horizons.have_let_go_of(SESSIONS, key.group(), &record.header)
                        || crashes.shelf.0.contains_key(key) || chance(2)
                });
            }
            if chance(5) {
                let mut state = State::default();
                for (key, row) in persisted.0.clone() {
                    state.restore(key, row).unwrap();
                }
                crashes = Replica { state, shelf: persisted.1.clone() };
                crashes.assert_counts_equal_a_recount();
                for (index, stamp, command, _) in &log[persisted.2..=position] {
                    crashes.apply(*index, *stamp, command);
                }
            }
            for other in [&reaps, &crashes] {
                prop_assert_eq!(other.rows(), keeps.rows(), "same log, same state");
                for key in KEYS.map(|key| SessionKey::new(key).unwrap()) {
                    prop_assert_eq!(other.read(&key), keeps.read(&key));
                }
                other.assert_counts_equal_a_recount();
            }
        }
    }

    #[test]
    fn the_rows_that_changed_are_all_that_differs(log in log()) {
        let mut replica = Replica::default();
        let mut stored: BTreeMap<RowKey, Row> = BTreeMap::new();
        for (index, stamp, command, _) in entries(&log) {
            replica.apply(index, stamp, &command);
            if index % 7 == 0 {
                // A node goes: in the end the proposer itself.
                let id = if index == 42 { PROPOSER } else { ProposerId::new(u128::from(index) << 64) };
                replica.state.depart([id], index);
            }
            for (key, row) in replica.state.take_changes() {
                match row {
                    Some(row) => stored.insert(key, row),
                    None => stored.remove(&key),
                };
            }
            let whole: BTreeMap<RowKey, Row> = replica.rows().into_iter().collect();
            prop_assert_eq!(&stored, &whole);
            let mut loaded = State::default();
            stored.iter().for_each(|(key, row)| loaded.restore(key.clone(), row.clone()).unwrap());
            prop_assert_eq!(loaded.checksum(), replica.state.checksum(), "kept as it goes, and found anew");
            prop_assert_eq!(loaded.tombstones().count() as u64, index / 7);
        }
    }

    #[test]
    fn any_bytes_are_a_command_or_a_refusal_to_read_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(command) = Command::decode(bytes.into()) {
            prop_assert_eq!(Command::decode(command.encode()), Ok(command));
        }
    }
}
