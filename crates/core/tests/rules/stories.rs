//! What each rule does at its edges.

use super::*;

fn put(sequence: u64, lowest_outstanding: u64, incarnation: u64) -> Command {
    Command::Session(SessionCommand {
        proposer: PROPOSER,
        incarnation,
        sequence,
        lowest_outstanding,
        namespace: SESSIONS,
        key: SessionKey::new("awiki:1").unwrap(),
        request: Action::Put(Put { value: Bytes::from_static(b"v"), ttl: Ttl::FOREVER, condition: Condition::None })
            .into(),
    })
}

fn register(previous: u64, nonce: u64) -> Command {
    Command::Register(Register { proposer: PROPOSER, previous, nonce })
}

#[test]
fn a_proposer_registers_by_compare_and_set_and_a_repeated_registration_is_one() {
    let mut replica = Replica::default();
    let mut index = 0;
    let mut say = |command: Command| {
        index += 1;
        replica.apply(index, LogTime::from_millis(START), &command)
    };
    let unknown = |current| Outcome::Refused(Refusal::UnknownIncarnation { current });
    assert_eq!(say(put(1, 1, 1)), unknown(0), "nobody is registered");
    assert_eq!(say(register(0, 5)), Outcome::Registered { incarnation: 2 });
    assert_eq!(say(register(0, 5)), Outcome::Registered { incarnation: 2 }, "the same again");
    assert_eq!(say(register(0, 6)), unknown(2), "another that does not know of the first");
    assert_eq!(say(put(1, 1, 2)), Outcome::Written { version: Version::new(5) });
    assert_eq!(say(register(2, 7)), Outcome::Registered { incarnation: 6 });
    assert_eq!(say(put(2, 1, 2)), unknown(6), "the older incarnation is refused without effect");
    assert_eq!(say(put(2, 1, 99)), unknown(6), "and one that never was");
    assert_eq!(say(put(1, 1, 6)), Outcome::Written { version: Version::new(9) }, "numbers begin again");
}

#[test]
fn a_forgotten_number_is_refused_without_effect() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    replica.apply(1, stamp, &register(0, 5));
    replica.apply(2, stamp, &put(1, 1, 1));
    replica.apply(3, stamp, &put(3, 3, 1));
    assert_eq!(replica.apply(4, stamp, &put(1, 1, 1)), Outcome::Refused(Refusal::Forgotten));
    assert_eq!(replica.apply(5, stamp, &put(2, 2, 1)), Outcome::Refused(Refusal::Forgotten));
    assert_eq!(replica.apply(6, stamp, &put(4, 5, 1)), Outcome::Refused(Refusal::Malformed));
    assert_eq!(replica.read(&SessionKey::new("awiki:1").unwrap()).unwrap().1, Version::new(3));
}

#[test]
fn a_forgotten_number_stays_forgotten_when_an_older_command_comes_late() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    replica.apply(1, stamp, &register(0, 5));
    replica.apply(2, stamp, &put(1, 1, 1));
    replica.apply(3, stamp, &put(3, 3, 1));
    // Encoded before the first was answered, applied after the third said that it was.
    assert!(matches!(replica.apply(4, stamp, &put(4, 1, 1)), Outcome::Written { .. }));
    assert_eq!(replica.apply(5, stamp, &put(1, 1, 1)), Outcome::Refused(Refusal::Forgotten));
    assert_eq!(replica.apply(6, stamp, &put(2, 1, 1)), Outcome::Refused(Refusal::Forgotten));
    assert_eq!(replica.read(&SessionKey::new("awiki:1").unwrap()).unwrap().1, Version::new(4));
}

#[test]
fn a_window_is_bounded_and_opens_again_when_the_proposer_moves_on() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    replica.apply(1, stamp, &register(0, 5));
    let full = MAX_WINDOW_COMMANDS as u64;
    for sequence in 1..=full {
        replica.apply(sequence + 1, stamp, &put(sequence, 1, 1));
    }
    assert_eq!(replica.apply(full + 2, stamp, &put(full + 1, 1, 1)), Outcome::Refused(Refusal::WindowFull));
    assert_eq!(replica.state.proposer(PROPOSER).unwrap().window(), MAX_WINDOW_COMMANDS);
    assert!(matches!(replica.apply(full + 3, stamp, &put(full + 1, 2, 1)), Outcome::Written { .. }));
}

#[test]
fn a_command_that_finds_the_window_full_leaves_it_as_it_was() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    replica.apply(1, stamp, &register(0, 5));
    let last = MAX_WINDOW_COMMANDS as u64 + 1;
    for sequence in 2..=last {
        replica.apply(sequence, stamp, &put(sequence, 1, 1));
    }
    replica.state.take_changes();
    let before = replica.rows();
    // It no longer waits for the first, which never came, so that makes no room.
    assert_eq!(replica.apply(last + 1, stamp, &put(last + 1, 2, 1)), Outcome::Refused(Refusal::WindowFull));
    assert_eq!(replica.rows(), before);
    assert_eq!(replica.state.take_changes(), []);
}

#[test]
fn there_are_at_most_so_many_proposers_and_those_there_are_go_on() {
    let mut replica = Replica::default();
    let most = sessile_core::MAX_PROPOSERS as u64;
    let mut say = |index: u64, proposer: u64, previous| {
        let register = Register { proposer: ProposerId::new(proposer.into()), previous, nonce: index };
        replica.apply(index, LogTime::from_millis(START), &Command::Register(register))
    };
    for index in 1..=most {
        assert_eq!(say(index, index, 0), Outcome::Registered { incarnation: index });
    }
    assert_eq!(say(most + 1, most + 1, 0), Outcome::Refused(Refusal::TooManyProposers));
    assert_eq!(say(most + 2, 1, 1), Outcome::Registered { incarnation: most + 2 });
}

#[test]
fn a_window_is_bounded_in_bytes_and_as_full_after_a_restart_as_before() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    replica.apply(1, stamp, &register(0, 5));
    let (mut index, mut sequence) = (1, 0);
    let mut step = |replica: &mut Replica, take: bool| {
        index += 1;
        sequence += 1;
        let Command::Session(mut command) = put(sequence, 1, 1) else { unreachable!() };
        let put = Put { value: vec![1; 1024 * 1024].into(), ttl: Ttl::FOREVER, condition: Condition::None };
        let delete = Delete { condition: Condition::None, take: true };
        command.request = if take { Action::Delete(delete) } else { Action::Put(put) }.into();
        replica.apply(index, stamp, &Command::Session(command))
    };
    let mut handed_out = 0;
    while step(&mut replica, false) != Outcome::Refused(Refusal::WindowFull) {
        step(&mut replica, true);
        handed_out += 1024 * 1024;
    }
    assert_eq!(handed_out, sessile_core::MAX_WINDOW_BYTES, "the last one may go beyond");
    let mut restarted = State::default();
    for (key, row) in replica.rows() {
        restarted.restore(key, row).unwrap();
    }
    let mut restarted = Replica { state: restarted, shelf: replica.shelf.clone() };
    assert_eq!(step(&mut restarted, false), Outcome::Refused(Refusal::WindowFull));
}

#[test]
fn the_lowest_outstanding_command_always_finds_room() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    replica.apply(1, stamp, &register(0, 5));
    for sequence in 2..=9 {
        let Command::Session(mut command) = put(sequence, 1, 1) else { unreachable!() };
        let put = Put { value: vec![1; 1024 * 1024].into(), ttl: Ttl::FOREVER, condition: Condition::None };
        let take = Delete { condition: Condition::None, take: true };
        command.request = if sequence % 2 == 0 { Action::Put(put) } else { Action::Delete(take) }.into();
        replica.apply(sequence, stamp, &Command::Session(command));
    }
    assert_eq!(replica.apply(10, stamp, &put(10, 1, 1)), Outcome::Refused(Refusal::WindowFull));
    assert_eq!(replica.apply(11, stamp, &put(1, 1, 1)), Outcome::Written { version: Version::new(11) });
}

#[test]
fn a_state_of_newer_rules_is_not_gone_on_with() {
    let newer = RulesVersion::new(RulesVersion::SUPPORTED.number() + 1);
    let refused = State::default().restore(RowKey::Clock, Row::Clock(LogTime::default(), newer));
    assert_eq!(refused, Err(sessile_core::RestoreError::RulesTooNew { rules: newer }));
}

#[test]
fn a_removed_proposer_is_refused_for_ever_and_what_it_wrote_stays() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    let (other, removed) = (ProposerId::new(8), Outcome::Refused(Refusal::Removed));
    replica.apply(1, stamp, &register(0, 5));
    replica.apply(2, stamp, &put(1, 1, 1));
    let before = replica.state.checksum();
    replica.state.depart([PROPOSER], 3);
    assert!(replica.state.is_tombstoned(PROPOSER) && !replica.state.is_tombstoned(other));
    assert!(replica.state.proposer(PROPOSER).is_none());
    assert_ne!(replica.state.checksum(), before, "members that disagree about it are told apart");
    let rows = replica.rows();
    for (index, command) in (4..).zip([put(1, 1, 1), put(2, 1, 1), register(0, 5), register(1, 6)]) {
        assert_eq!(replica.apply(index, stamp, &command), removed);
    }
    replica.state.depart([PROPOSER], 9);
    assert_eq!(replica.rows(), rows, "nothing of that changed anything");
    assert!(replica.read(&SessionKey::new("awiki:1").unwrap()).is_some());
    replica.assert_counts_equal_a_recount();

    let mut restarted = State::default();
    rows.into_iter().for_each(|(key, row)| restarted.restore(key, row).unwrap());
    let mut restarted = Replica { state: restarted, shelf: replica.shelf.clone() };
    assert_eq!(restarted.apply(10, stamp, &register(0, 7)), removed, "nor does a restart forget");
    let register = Register { proposer: other, previous: 0, nonce: 1 };
    let registered = Outcome::Registered { incarnation: 11 };
    assert_eq!(restarted.apply(11, stamp, &Command::Register(register)), registered, "others go on");
}

#[test]
fn the_checksum_tells_states_apart_by_whatever_is_in_it() {
    let stamp = LogTime::from_millis(START);
    let with = |key: &str, value: &'static [u8], then: &dyn Fn(&mut Replica)| {
        let mut replica = Replica::default();
        replica.apply(1, stamp, &register(0, 5));
        let Command::Session(mut command) = put(1, 1, 1) else { unreachable!() };
        command.key = SessionKey::new(key.to_owned()).unwrap();
        command.request =
            Action::Put(Put { value: Bytes::from_static(value), ttl: day(), condition: Condition::None }).into();
        replica.apply(2, stamp, &Command::Session(command));
        then(&mut replica);
        replica.state.checksum()
    };
    let sums = [
        with("awiki:1", b"v", &|_| {}),
        with("awiki:1", b"w", &|_| {}),
        with("awiki:2", b"v", &|_| {}),
        with("bwiki:1", b"v", &|_| {}),
        with("awiki:1", b"v", &|replica| drop(replica.apply(3, LogTime::from_millis(START + 1), &Command::Tick))),
        with("awiki:1", b"v", &|replica| drop(replica.apply(3, LogTime::NEVER, &Command::Tick))),
        with("awiki:1", b"v", &|replica| replica.state.depart([ProposerId::new(8)], 3)),
        with("awiki:1", b"v", &|replica| replica.state.depart([ProposerId::new(8)], 4)),
        with("awiki:1", b"v", &|replica| replica.state.depart([ProposerId::new(9)], 3)),
    ];
    assert_eq!(BTreeSet::from(sums).len(), sums.len());
    assert_eq!(sums[0], with("awiki:1", b"v", &|_| {}));
}

#[test]
fn the_history_is_the_same_on_every_replica_survives_a_restart_and_counts_from_its_rules_on() {
    let stamp = LogTime::from_millis(START);
    let begins = |what: &str| Command::History(HistoryCommand::Begin(Change::new("an operator", "10.0.0.9:1", what)));
    let ends = |entry, result: &str| Command::History(HistoryCommand::end(entry, result));
    let mut replica = Replica::default();
    let before = replica.rows();
    let refused = Outcome::Refused(Refusal::RulesUnsupported);
    assert_eq!(replica.apply(1, LogTime::default(), &begins("remove n3")), refused);
    assert_eq!(replica.rows(), before, "members of before, who do not know of it, agree");

    replica.apply(2, stamp, &Command::RaiseRules(RulesVersion::HISTORY));
    let sums = [
        replica.state.checksum(),
        {
            replica.apply(3, stamp, &begins("remove n3"));
            replica.state.checksum()
        },
        {
            replica.apply(4, stamp, &ends(3, "n3 was removed"));
            replica.state.checksum()
        },
    ];
    assert_eq!(BTreeSet::from(sums).len(), sums.len(), "members that disagree about it are told apart");
    assert_eq!(replica.apply(5, stamp, &ends(3, "or was it")), Outcome::Noted { entry: 3 }, "said twice");
    assert_eq!(replica.apply(6, stamp, &ends(77, "of nothing")), Outcome::Noted { entry: 77 });
    assert_eq!(replica.state.checksum(), sums[2]);
    for index in 0..MAX_HISTORY as u64 {
        replica.apply(100 + index, stamp, &begins("promote n4"));
    }
    assert_eq!(replica.state.history().next().map(|(index, _)| index), Some(100), "the oldest has gone");
    let (entry, kept) = replica.state.history().last().unwrap();
    assert_eq!(
        (entry, kept.at(), kept.change().what(), kept.result()),
        (99 + MAX_HISTORY as u64, stamp, "promote n4", None)
    );
    let gone = replica.state.take_changes().into_iter().find(|(key, _)| *key == RowKey::History(3));
    assert_eq!(gone, Some((RowKey::History(3), None)), "and goes from the disk");

    let mut restarted = State::default();
    replica.rows().into_iter().for_each(|(key, row)| restarted.restore(key, row).unwrap());
    assert_eq!(restarted.checksum(), replica.state.checksum());
    assert!(restarted.history().eq(replica.state.history()));
}

fn day() -> Ttl {
    Ttl::from_secs(86_400).unwrap()
}

#[test]
fn rules_rise_only_as_far_as_every_member_and_this_program_can_follow() {
    let mut replica = Replica::default();
    let mut raise = |to, rules_supported| {
        let context = Context { index: 1, stamp: LogTime::default(), rules_supported };
        replica.state.apply(&context, &Command::RaiseRules(to), &mut replica.shelf)
    };
    let (now, next) = (RulesVersion::SUPPORTED, RulesVersion::new(RulesVersion::SUPPORTED.number() + 1));
    assert_eq!(raise(next, now).unwrap(), Outcome::Refused(Refusal::RulesUnsupported));
    assert_eq!(raise(now, now).unwrap(), Outcome::Rules { version: now });
    raise(next, next).expect_err("a replica stops at an entry above its own rules");
    let before = RulesVersion::new(now.number() - 1);
    assert_eq!(raise(before, now).unwrap(), Outcome::Refused(Refusal::RulesUnsupported), "they never fall");
}

#[test]
fn keys_of_invented_groups_are_counted_together_once_there_are_too_many() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    replica.apply(1, stamp, &register(0, 5));
    let groups = sessile_core::MAX_GROUPS as u64 + 50;
    for sequence in 1..=groups {
        let Command::Session(mut command) = put(sequence, sequence, 1) else { unreachable!() };
        command.key = SessionKey::new(format!("g{sequence}:x")).unwrap();
        replica.apply(sequence + 1, stamp, &Command::Session(command));
    }
    let names: BTreeSet<_> = replica.state.groups(SESSIONS).map(|(name, _)| name.clone()).collect();
    assert_eq!(names.len(), sessile_core::MAX_GROUPS + 1);
    assert_eq!(replica.state.total(SESSIONS).keys, groups);
    replica.assert_counts_equal_a_recount();
}

#[test]
fn a_recount_finds_whatever_is_not_as_it_was_written() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    replica.apply(1, stamp, &register(0, 5));
    let keys = ["awiki:1", "awiki:2"].map(|key| SessionKey::new(key).unwrap());
    for (sequence, key) in (1..).zip(&keys) {
        let Command::Session(mut command) = put(sequence, sequence, 1) else { unreachable!() };
        command.key = key.clone();
        let (value, ttl) = (vec![u8::try_from(sequence).unwrap(); 9].into(), Ttl::from_secs(90).unwrap());
        command.request = Action::Put(Put { value, ttl, condition: Condition::None }).into();
        replica.apply(sequence + 1, stamp, &Command::Session(command));
    }
    let differs = |change: &dyn Fn(&mut BTreeMap<SessionKey, Record>)| {
        let mut shelf = replica.shelf.0.clone();
        change(&mut shelf);
        let mut recount = Recount::default();
        shelf.iter().for_each(|(key, record)| recount.add(&replica.state, SESSIONS, key, &record.header));
        recount.difference(&replica.state).is_some()
    };
    let [one, other] = &keys;
    let copied_to = |shelf: &mut BTreeMap<SessionKey, Record>, key| {
        shelf.insert(SessionKey::new(key).unwrap(), shelf[one].clone());
    };
    assert!(!differs(&|_| {}));
    assert!(differs(&|shelf| drop(shelf.remove(one))), "a record is lost");
    assert!(differs(&|shelf| copied_to(shelf, "cwiki:1")), "one is there that nobody wrote, in a group of its own");
    assert!(
        differs(&|shelf| {
            copied_to(shelf, "awiki:3");
            shelf.remove(one);
        }),
        "one stands under another's key"
    );
    assert!(
        differs(&|shelf| {
            let swapped = shelf.insert(one.clone(), shelf[other].clone()).unwrap();
            shelf.insert(other.clone(), swapped);
        }),
        "two stand in each other's place"
    );
    // Each keeps the numbers of keys and bytes: what is left to tell them is the checksum.
    type Change = fn(&mut Header);
    let of_header: [(&str, Change); 6] = [
        ("the value", |header| header.value_hash ^= 1),
        ("the version", |header| header.version = Version::new(header.version.log_index() - 1)),
        ("the expiry", |header| header.expires_at = LogTime::from_millis(header.expires_at.as_millis() + 1)),
        ("the bucket", |header| header.bucket = Bucket::of(header.expires_at, LogTime::NEVER)),
        ("the generation of the namespace", |header| header.namespace_generation += 1),
        ("the generation of the group", |header| header.group_generation += 1),
    ];
    for (what, change) in of_header {
        assert!(differs(&|shelf| change(&mut shelf.get_mut(one).unwrap().header)), "{what} is another");
    }
}
