//! Namespaces, truncates and limits against a plain model; and what each rule does at its edges.

use std::borrow::Borrow;

use super::*;
use sessile_core::{
    BaseUri, GroupName, Limit, MAX_GROUPS, MAX_NAMESPACES, NamespaceChanged, NamespaceCommand, NamespaceName,
    NamespaceRefusal, NamespaceSettings, Tally, TtlPolicy,
};

const NAMES: [&str; 3] = ["sessions", "echo", "central"];
const GROUPS: [&str; 2] = ["awiki", "bwiki"];
/// Ids that the made-up logs give, and some that they do not.
const IDS: std::ops::Range<u32> = 1..7;
const LIFETIMES: [u64; 4] = [30, 90, 3_600, 172_800];

#[derive(Clone, Default)]
struct Shelves(BTreeMap<(NamespaceId, SessionKey), Record>);

impl Records for Shelves {
    type Error = Infallible;

    fn get(&mut self, namespace: NamespaceId, key: &SessionKey) -> Result<Option<Record>, Infallible> {
        Ok(self.0.get(&(namespace, key.clone())).cloned())
    }

    fn put(&mut self, namespace: NamespaceId, key: &SessionKey, record: Record) {
        self.0.insert((namespace, key.clone()), record);
    }

    fn remove(&mut self, namespace: NamespaceId, key: &SessionKey) {
        self.0.remove(&(namespace, key.clone()));
    }
}

#[derive(Clone, Default)]
struct Farm {
    state: State,
    shelves: Shelves,
}

impl Farm {
    /// Of the newest rules, with `sessions`.
    fn new() -> Self {
        let mut farm = Self::default();
        farm.say(1, Command::RaiseRules(RulesVersion::SUPPORTED));
        farm.say(2, Command::Register(Register { proposer: PROPOSER, previous: 0, nonce: 9 }));
        farm.say(3, Command::Namespace(NamespaceCommand::Seed(vec![settings(0)])));
        farm
    }

    fn say(&mut self, index: u64, command: impl Borrow<Command>) -> Outcome {
        self.apply(index, LogTime::from_millis(START), command.borrow())
    }

    fn ask(&mut self, index: u64, command: NamespaceCommand) -> Result<NamespaceChanged, NamespaceRefusal> {
        match self.say(index, Command::Namespace(command)) {
            Outcome::Namespace(changed) => Ok(changed),
            Outcome::Refused(Refusal::Namespace(refusal)) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    fn apply(&mut self, index: u64, stamp: LogTime, command: &Command) -> Outcome {
        let context = Context { index, stamp, rules_supported: RulesVersion::SUPPORTED };
        let command = Command::decode(command.encode()).unwrap();
        self.state.apply(&context, &command, &mut self.shelves).unwrap()
    }

    fn read(&self, namespace: NamespaceId, key: &SessionKey) -> Option<Bytes> {
        let record = self.shelves.0.get(&(namespace, key.clone()))?;
        let shown = self.state.horizons().shows(namespace, key.group(), &record.header);
        shown.then(|| record.value.clone())
    }

    /// Removes the bytes that nobody needs by those horizons; `chosen` says which of them.
    fn reap(&mut self, horizons: &Horizons, mut chosen: impl FnMut() -> bool) {
        let gone = |(namespace, key): &(NamespaceId, SessionKey), record: &Record| {
            horizons.have_let_go_of(*namespace, key.group(), &record.header)
        };
        self.shelves.0.retain(|key, record| !(gone(key, record) && chosen()));
    }

    fn reload(&self) -> Self {
        let mut state = State::default();
        self.state.rows().for_each(|(key, row)| state.restore(key, row).unwrap());
        Self { state, shelves: self.shelves.clone() }
    }

    fn assert_counts_equal_a_recount(&self) {
        let mut recount = Recount::default();
        for ((namespace, key), record) in &self.shelves.0 {
            recount.add(&self.state, *namespace, key, &record.header);
        }
        assert_eq!(recount.difference(&self.state), None);
        for (id, _) in self.state.namespaces().iter() {
            let mut sum = Tally::default();
            self.state.groups(id).for_each(|(_, group)| sum.add(&group));
            assert_eq!(sum, self.state.total(id), "a namespace counts what its groups count");
        }
    }
}

fn settings(name: usize) -> NamespaceSettings {
    let (name, base_uri) = (NamespaceName::new(NAMES[name]).unwrap(), BaseUri::new(NAMES[name]).unwrap());
    NamespaceSettings::unlimited(name, base_uri)
}

fn group(name: &str) -> Option<GroupName> {
    GroupName::new(name.as_bytes())
}

fn write(sequence: u64, namespace: NamespaceId, key: &str, action: Action) -> Command {
    Command::Session(SessionCommand {
        proposer: PROPOSER,
        incarnation: 2,
        sequence,
        lowest_outstanding: sequence,
        namespace,
        key: SessionKey::new(key.to_owned()).unwrap(),
        request: action.into(),
    })
}

fn put(sequence: u64, namespace: NamespaceId, key: &str, bytes: usize, ttl: Option<u64>) -> Command {
    let ttl = ttl.map_or(Ttl::FOREVER, |ttl| Ttl::from_secs(ttl).unwrap());
    let value = Bytes::from(vec![u8::try_from(sequence % 251).unwrap(); bytes]);
    write(sequence, namespace, key, Action::Put(Put { value, ttl, condition: Condition::None }))
}

#[derive(Debug, Clone)]
enum Step {
    Put { namespace: u32, key: usize, bytes: usize, ttl: Option<usize> },
    Delete { namespace: u32, key: usize },
    Renew { namespace: u32, key: usize, ttl: Option<usize> },
    Tick,
    Create { name: usize },
    Limit { namespace: u32, keys: u64, bytes: u64 },
    Drop { namespace: u32, force: bool },
    Truncate { namespace: u32 },
    TruncateGroup { namespace: u32, group: usize },
}

fn steps() -> impl Strategy<Value = Vec<(Step, i64)>> {
    // Mostly those that are there.
    let namespace = || prop_oneof![4 => 1..4_u32, 1 => IDS];
    let step = prop_oneof![
        10 => (namespace(), 0..KEYS.len(), 0..40_usize, prop::option::of(0..LIFETIMES.len()))
            .prop_map(|(namespace, key, bytes, ttl)| Step::Put { namespace, key, bytes, ttl }),
        2 => (namespace(), 0..KEYS.len()).prop_map(|(namespace, key)| Step::Delete { namespace, key }),
        2 => (namespace(), 0..KEYS.len(), prop::option::of(0..LIFETIMES.len()))
            .prop_map(|(namespace, key, ttl)| Step::Renew { namespace, key, ttl }),
        1 => Just(Step::Tick),
        2 => (0..NAMES.len()).prop_map(|name| Step::Create { name }),
        1 => (namespace(), 0..6_u64, 0..200_u64)
            .prop_map(|(namespace, keys, bytes)| Step::Limit { namespace, keys, bytes }),
        1 => (namespace(), any::<bool>()).prop_map(|(namespace, force)| Step::Drop { namespace, force }),
        1 => namespace().prop_map(|namespace| Step::Truncate { namespace }),
        2 => (namespace(), 0..GROUPS.len()).prop_map(|(namespace, group)| Step::TruncateGroup { namespace, group }),
    ];
    let pause = prop_oneof![4 => -2_000..5_000_i64, 2 => 0..120_000_i64, 1 => 0..200_000_000_i64];
    prop::collection::vec((step, pause), 1..60)
}

/// What a step says, in a state: a command that changes settings names the entry that did so last.
fn command(state: &State, sequence: u64, step: &Step) -> Command {
    let id = NamespaceId::new;
    let of = match *step {
        Step::Put { namespace, key, bytes, ttl } => {
            return put(sequence, id(namespace), KEYS[key], bytes, ttl.map(|ttl| LIFETIMES[ttl]));
        }
        Step::Delete { namespace, key } => {
            let delete = Delete { condition: Condition::None, take: false };
            return write(sequence, id(namespace), KEYS[key], Action::Delete(delete));
        }
        Step::Renew { namespace, key, ttl } => {
            let ttl = ttl.map_or(Ttl::FOREVER, |ttl| Ttl::from_secs(LIFETIMES[ttl]).unwrap());
            let renew = Renew { ttl, condition: Condition::None, if_due: false };
            return write(sequence, id(namespace), KEYS[key], Action::Renew(renew));
        }
        Step::Tick => return Command::Tick,
        Step::Create { name } => NamespaceCommand::Create(settings(name)),
        Step::Limit { namespace, keys, bytes } => {
            let before = state.namespaces().get(id(namespace));
            let (if_changed_at, before) =
                before.map_or((0, settings(0)), |before| (before.changed_at, before.settings.clone()));
            let settings = NamespaceSettings { max_keys: keys, max_bytes: bytes, ..before };
            NamespaceCommand::Set { namespace: id(namespace), if_changed_at, settings }
        }
        Step::Drop { namespace, force } => NamespaceCommand::Drop { namespace: id(namespace), force },
        Step::Truncate { namespace } => NamespaceCommand::Truncate { namespace: id(namespace), group: None },
        Step::TruncateGroup { namespace, group: of } => {
            NamespaceCommand::Truncate { namespace: id(namespace), group: group(GROUPS[of]) }
        }
    };
    Command::Namespace(of)
}

/// Which sessions are there, without counts, buckets or generations.
#[derive(Default)]
struct Model(BTreeMap<(NamespaceId, SessionKey), (Bytes, LogTime)>);

impl Model {
    fn apply(&mut self, clock: LogTime, command: &Command, outcome: &Outcome) {
        self.0.retain(|_, (_, expires)| *expires > clock);
        match (command, outcome) {
            (
                Command::Session(command),
                Outcome::Written { .. } | Outcome::Deleted { .. } | Outcome::Renewed { .. },
            ) => {
                let place = (command.namespace, command.key.clone());
                match &command.request.action {
                    Action::Put(put) => drop(self.0.insert(place, (put.value.clone(), put.ttl.expires_at(clock)))),
                    Action::Delete(_) => drop(self.0.remove(&place)),
                    Action::Renew(renew) => {
                        self.0.entry(place).and_modify(|(_, expires)| *expires = renew.ttl.expires_at(clock));
                    }
                }
            }
            (Command::Namespace(NamespaceCommand::Truncate { namespace, group: None }), Outcome::Namespace(_))
            | (Command::Namespace(NamespaceCommand::Drop { namespace, .. }), Outcome::Namespace(_)) => {
                self.0.retain(|(of, _), _| of != namespace);
            }
            (Command::Namespace(NamespaceCommand::Truncate { namespace, group }), Outcome::Namespace(_)) => {
                let name = group.as_ref().map(GroupName::as_str);
                self.0.retain(|(of, key), _| of != namespace || Some(key.group()) != name);
            }
            _ => {}
        }
    }
}

/// A write passes exactly if it keeps its namespace within its limits, or makes nothing larger.
fn assert_limits_hold(before: &State, after: &State, command: &Command, outcome: &Outcome) {
    let Command::Session(SessionCommand { namespace, request, key, .. }) = command else { return };
    let Action::Put(put) = &request.action else { return };
    let Some(of) = after.namespaces().get(*namespace) else {
        assert_eq!(*outcome, Outcome::Refused(Refusal::Namespace(NamespaceRefusal::Unknown)));
        return;
    };
    let NamespaceSettings { max_keys, max_bytes, .. } = of.settings;
    let (before, now) = (before.total(*namespace), after.total(*namespace));
    match outcome {
        Outcome::Written { .. } => {
            assert!(max_keys == 0 || now.keys <= max_keys || now.keys <= before.keys);
            assert!(max_bytes == 0 || now.bytes <= max_bytes || now.bytes <= before.bytes);
        }
        Outcome::Refused(Refusal::Limit(Limit::Keys)) => assert!(now.keys >= max_keys),
        Outcome::Refused(Refusal::Limit(Limit::Bytes)) => {
            assert!(now.bytes + (key.as_bytes().len() + put.value.len()) as u64 > max_bytes);
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn namespaces_do_what_the_model_does_and_their_counts_are_exact(steps in steps()) {
        let (mut farm, mut model, mut clock) = (Farm::new(), Model::default(), START);
        let mut stored: BTreeMap<RowKey, Row> = farm.state.rows().collect();
        farm.state.take_changes();
        for (sequence, (step, pause)) in (1..).zip(&steps) {
            let command = command(&farm.state, sequence, step);
            clock = clock.saturating_add_signed(*pause);
            let mut before = farm.state.clone();
            let context = Context { index: 0, stamp: LogTime::from_millis(clock), rules_supported: RulesVersion::FIRST };
            before.apply(&context, &Command::Tick, &mut Shelves::default()).unwrap();
            let outcome = farm.apply(sequence + 3, LogTime::from_millis(clock), &command);
            model.apply(farm.state.clock(), &command, &outcome);
            assert_limits_hold(&before, &farm.state, &command, &outcome);
            for namespace in IDS.map(NamespaceId::new) {
                for key in KEYS.map(|key| SessionKey::new(key).unwrap()) {
                    let expected = model.0.get(&(namespace, key.clone())).map(|(value, _)| value.clone());
                    prop_assert_eq!(farm.read(namespace, &key), expected, "truncated and dropped never come back");
                }
            }
            farm.assert_counts_equal_a_recount();
            for (key, row) in farm.state.take_changes() {
                match row {
                    Some(row) => stored.insert(key, row),
                    None => stored.remove(&key),
                };
            }
            let whole: BTreeMap<RowKey, Row> = farm.state.rows().collect();
            prop_assert_eq!(&stored, &whole, "the rows that changed are all that differs");
            prop_assert_eq!(farm.reload().state.checksum(), farm.state.checksum(), "kept as it goes, and found anew");
        }
    }

    #[test]
    fn replicas_with_namespaces_agree_whenever_they_remove_bytes_or_crash(steps in steps(), seed in any::<u64>()) {
        let mut random = seed;
        let mut chance = move |one_in: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33).is_multiple_of(one_in)
        };
        let (mut keeps, mut reaps, mut crashes, mut clock) = (Farm::new(), Farm::new(), Farm::new(), START);
        let (mut persisted, mut since) = (crashes.clone(), Vec::new());
        for (sequence, (step, pause)) in (1..).zip(&steps) {
            let command = command(&keeps.state, sequence, step);
            clock = clock.saturating_add_signed(*pause);
            let entry = (sequence + 3, LogTime::from_millis(clock), command);
            let expected = keeps.apply(entry.0, entry.1, &entry.2);
            prop_assert_eq!(&reaps.apply(entry.0, entry.1, &entry.2), &expected);
            prop_assert_eq!(&crashes.apply(entry.0, entry.1, &entry.2), &expected);
            since.push(entry);
            let now = reaps.state.horizons().clone();
            reaps.reap(&now, || true);
            if chance(4) {
                (persisted, since) = (crashes.clone(), Vec::new());
            }
            if chance(3) {
                // By the last persist, and never by what a crash would forget.
                let horizons = persisted.state.horizons().clone();
                crashes.reap(&horizons, || chance(2));
                persisted.reap(&horizons, || chance(2));
            }
            if chance(5) {
                crashes = persisted.reload();
                crashes.assert_counts_equal_a_recount();
                for (index, stamp, command) in &since {
                    crashes.apply(*index, *stamp, command);
                }
            }
            for other in [&reaps, &crashes] {
                prop_assert_eq!(other.state.checksum(), keeps.state.checksum(), "same log, same state");
                prop_assert!(other.state.rows().eq(keeps.state.rows()));
                for namespace in IDS.map(NamespaceId::new) {
                    for key in KEYS.map(|key| SessionKey::new(key).unwrap()) {
                        prop_assert_eq!(other.read(namespace, &key), keeps.read(namespace, &key));
                    }
                }
                other.assert_counts_equal_a_recount();
            }
        }
    }
}

#[test]
fn a_cluster_of_before_has_sessions_without_limits_and_is_told_once_what_there_is() {
    let mut farm = Farm::default();
    let seed = NamespaceCommand::Seed(vec![settings(1), settings(0)]);
    let rows: Vec<_> = farm.state.rows().collect();
    let refused = farm.apply(1, LogTime::default(), &Command::Namespace(seed.clone()));
    assert_eq!(refused, Outcome::Refused(Refusal::RulesUnsupported));
    assert!(farm.state.rows().eq(rows), "members of before, who do not know of it, agree");
    farm.say(2, Command::Register(Register { proposer: PROPOSER, previous: 0, nonce: 9 }));
    assert!(matches!(farm.say(3, put(1, SESSIONS, "awiki:1", 9, None)), Outcome::Written { .. }));
    farm.say(4, Command::RaiseRules(RulesVersion::SUPPORTED));
    assert_eq!(farm.ask(5, NamespaceCommand::Create(settings(1))), Err(NamespaceRefusal::NotSeeded));
    assert_eq!(farm.ask(6, NamespaceCommand::Seed(vec![settings(1)])), Err(NamespaceRefusal::Unknown), "no `sessions`");
    let clash = NamespaceSettings { base_uri: BaseUri::new("/echo/x").unwrap(), ..settings(2) };
    let refused = farm.ask(7, NamespaceCommand::Seed(vec![settings(0), settings(1), clash]));
    assert_eq!(refused, Err(NamespaceRefusal::BaseUriTaken { by: NamespaceId::new(2) }));
    farm.ask(8, seed.clone()).unwrap();
    assert_eq!(farm.ask(9, seed), Err(NamespaceRefusal::Seeded));
    let ids: Vec<_> = farm.state.namespaces().iter().map(|(id, of)| (id.number(), of.settings.name.as_str())).collect();
    assert_eq!(ids, [(1, "sessions"), (2, "echo")], "`sessions` is the first, in whatever order");
    assert!(farm.read(SESSIONS, &SessionKey::new("awiki:1").unwrap()).is_some(), "what was there stays");
}

#[test]
fn what_would_be_in_the_way_of_another_is_refused() {
    let mut farm = Farm::new();
    let echo = farm.ask(4, NamespaceCommand::Create(settings(1))).unwrap().namespace;
    let named = |name: &str, base_uri: &str| {
        NamespaceSettings::unlimited(NamespaceName::new(name).unwrap(), BaseUri::new(base_uri).unwrap())
    };
    for (new, refusal) in [
        (named("echo", "/other"), NamespaceRefusal::NameTaken { by: echo }),
        (named("other", "/echo"), NamespaceRefusal::BaseUriTaken { by: echo }),
        (named("other", "/echo/deeper"), NamespaceRefusal::BaseUriTaken { by: echo }),
        (named("other", "/"), NamespaceRefusal::BaseUriTaken { by: SESSIONS }),
    ] {
        let rows: Vec<_> = farm.state.rows().collect();
        assert_eq!(farm.ask(5, NamespaceCommand::Create(new.clone())), Err(refusal), "{new:?}");
        assert!(farm.state.rows().eq(rows), "a refusal changes nothing");
    }
    let set = |if_changed_at, settings| NamespaceCommand::Set { namespace: echo, if_changed_at, settings };
    let taken = Err(NamespaceRefusal::BaseUriTaken { by: SESSIONS });
    assert_eq!(farm.ask(6, set(4, named("echo", "/sessions/v2"))), taken);
    assert_eq!(farm.ask(7, set(3, named("echo", "/echo/v2"))), Err(NamespaceRefusal::Changed), "decided on another");
    farm.ask(8, set(4, named("echo", "/echo/v2"))).expect("its own name and path are in nobody's way");
    let unknown = NamespaceCommand::Set { namespace: NamespaceId::new(9), if_changed_at: 0, settings: settings(2) };
    assert_eq!(farm.ask(9, unknown), Err(NamespaceRefusal::Unknown));
    for number in 3..=MAX_NAMESPACES {
        farm.ask(10, NamespaceCommand::Create(named(&format!("n{number}"), &format!("/n{number}")))).unwrap();
    }
    let one_more = NamespaceCommand::Create(named("one-more", "/one-more"));
    assert_eq!(farm.ask(11, one_more), Err(NamespaceRefusal::TooMany));
}

#[test]
fn a_quota_holds_what_is_written_and_is_never_below_what_is_there() {
    let mut farm = Farm::new();
    for sequence in 1..=2 {
        farm.say(3 + sequence, put(sequence, SESSIONS, &format!("awiki:{sequence}"), 13, None));
    }
    let set = |if_changed_at, max_keys, max_bytes, max_value| NamespaceCommand::Set {
        namespace: SESSIONS,
        if_changed_at,
        settings: NamespaceSettings { max_keys, max_bytes, max_value, ..settings(0) },
    };
    let below = Err(NamespaceRefusal::QuotaBelow { keys: 2, bytes: 40 });
    assert_eq!(farm.ask(6, set(3, 1, 0, 0)), below);
    assert_eq!(farm.ask(7, set(3, 0, 39, 0)), below);
    farm.ask(8, set(3, 2, 40, 13)).unwrap();
    let refused = |limit| Outcome::Refused(Refusal::Limit(limit));
    assert_eq!(farm.say(9, put(3, SESSIONS, "awiki:3", 1, None)), refused(Limit::Keys));
    assert_eq!(farm.say(10, put(4, SESSIONS, "awiki:1", 14, None)), refused(Limit::Value));
    assert!(matches!(farm.say(11, put(5, SESSIONS, "awiki:1", 12, None)), Outcome::Written { .. }), "a smaller one");
    let delete = Action::Delete(Delete { condition: Condition::None, take: false });
    assert!(matches!(farm.say(12, write(6, SESSIONS, "awiki:2", delete)), Outcome::Deleted { existed: true, .. }));
    assert!(
        matches!(farm.say(13, put(7, SESSIONS, "awiki:3", 13, None)), Outcome::Written { .. }),
        "there is room again"
    );
    assert_eq!(farm.say(14, put(8, SESSIONS, "awiki:1", 14, None)), refused(Limit::Value));
    farm.ask(15, set(8, 2, 40, 0)).unwrap();
    assert_eq!(farm.say(16, put(9, SESSIONS, "awiki:1", 14, None)), refused(Limit::Bytes));
    let hour = Ttl::from_secs(3_600).unwrap();
    let short = NamespaceSettings { ttl: TtlPolicy::new(hour, hour).unwrap(), ..settings(0) };
    farm.ask(17, NamespaceCommand::Set { namespace: SESSIONS, if_changed_at: 15, settings: short }).unwrap();
    assert_eq!(farm.say(18, put(10, SESSIONS, "awiki:1", 1, Some(3_601))), refused(Limit::Lifetime));
    assert_eq!(farm.say(19, put(11, SESSIONS, "awiki:1", 1, None)), refused(Limit::Lifetime), "nothing is for ever");
    assert!(matches!(farm.say(20, put(12, SESSIONS, "awiki:1", 1, Some(3_600))), Outcome::Written { .. }));
}

#[test]
fn a_namespace_with_sessions_is_dropped_only_by_force_and_its_id_does_not_come_back() {
    let mut farm = Farm::new();
    let echo = farm.ask(4, NamespaceCommand::Create(settings(1))).unwrap().namespace;
    farm.say(5, put(1, echo, "awiki:1", 13, None));
    let drop = |namespace, force| NamespaceCommand::Drop { namespace, force };
    assert_eq!(farm.ask(6, drop(echo, false)), Err(NamespaceRefusal::NotEmpty { keys: 1, bytes: 20 }));
    assert_eq!(farm.ask(7, drop(echo, true)), Ok(NamespaceChanged { namespace: echo, keys: 1, bytes: 20 }));
    assert_eq!(farm.ask(8, drop(echo, true)), Err(NamespaceRefusal::Unknown));
    let unknown = Outcome::Refused(Refusal::Namespace(NamespaceRefusal::Unknown));
    assert_eq!(farm.say(9, put(2, echo, "awiki:1", 13, None)), unknown);
    let again = farm.ask(10, NamespaceCommand::Create(settings(1))).unwrap().namespace;
    assert_ne!(again, echo);
    assert_eq!(farm.read(again, &SessionKey::new("awiki:1").unwrap()), None);
}

#[test]
fn a_group_is_truncated_alone_and_what_an_earlier_truncate_hid_stays_hidden() {
    let mut farm = Farm::new();
    let (year, minute) = (Some(31_536_000), Some(60));
    let truncate = |name: &str| NamespaceCommand::Truncate { namespace: SESSIONS, group: group(name) };
    assert_eq!(farm.ask(4, truncate("awiki")), Err(NamespaceRefusal::UnknownGroup));
    farm.say(5, put(1, SESSIONS, "awiki:old", 11, year));
    farm.say(6, put(2, SESSIONS, "bwiki:1", 13, year));
    assert_eq!(farm.ask(7, truncate("awiki")), Ok(NamespaceChanged { namespace: SESSIONS, keys: 1, bytes: 20 }));
    farm.say(8, put(3, SESSIONS, "awiki:new", 11, minute));
    farm.ask(9, truncate("awiki")).unwrap();
    let keys = ["awiki:old", "awiki:new", "bwiki:1"].map(|key| SessionKey::new(key).unwrap());
    let there = |farm: &Farm| keys.each_ref().map(|key| farm.read(SESSIONS, key).is_some());
    assert_eq!(there(&farm), [false, false, true]);
    farm.apply(10, LogTime::from_millis(START + 7_200_000), &Command::Tick);
    assert_eq!(there(&farm), [false, false, true], "the second was short-lived, and the first is not forgotten for it");
    farm.assert_counts_equal_a_recount();
    farm.apply(11, LogTime::from_millis(START + 40_000_000_000), &Command::Tick);
    let remembered = farm.state.rows().filter(|(key, _)| matches!(key, RowKey::TruncatedGroup(..)));
    assert_eq!(remembered.count(), 0, "what has expired needs no memory of its truncate");
}

#[test]
fn a_group_that_is_not_counted_by_name_is_truncated_as_well() {
    let mut farm = Farm::new();
    let groups = MAX_GROUPS as u64 + 2;
    for sequence in 1..=groups {
        farm.say(3 + sequence, put(sequence, SESSIONS, &format!("g{sequence}:x"), 1, Some(3_600)));
    }
    let last = format!("g{groups}");
    let key = SessionKey::new(format!("{last}:x")).unwrap();
    assert!(farm.read(SESSIONS, &key).is_some());
    let truncate = |name: &str| NamespaceCommand::Truncate { namespace: SESSIONS, group: group(name) };
    let gone = farm.ask(5_000, truncate(&last)).unwrap();
    assert_eq!((gone.keys, farm.read(SESSIONS, &key)), (0, None), "nobody knows how many it had");
    assert_eq!(farm.state.total(SESSIONS).keys, groups, "it is counted until it would have expired");
    farm.assert_counts_equal_a_recount();
    farm.reload().assert_counts_equal_a_recount();
    farm.apply(5_001, LogTime::from_millis(START + 7_200_000), &Command::Tick);
    assert_eq!(farm.state.total(SESSIONS).keys, 0);
    assert_eq!(farm.ask(5_002, truncate(&last)), Err(NamespaceRefusal::UnknownGroup));
}
