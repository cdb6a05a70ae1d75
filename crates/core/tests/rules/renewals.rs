//! What it takes to live on, and to be told the same again.

use super::*;

const MINUTE: u64 = 60;

struct Story {
    replica: Replica,
    index: u64,
    clock: u64,
}

impl Story {
    /// Under the newest rules, in a namespace whose records reads renew.
    fn new() -> Self {
        let mut story = Self { replica: Replica::default(), index: 0, clock: START };
        story.say(&Command::Register(Register { proposer: PROPOSER, previous: 0, nonce: 9 }));
        story.say(&Command::RaiseRules(RulesVersion::SUPPORTED));
        story.say(&Command::Namespace(NamespaceCommand::Seed(vec![renewed_by_reads()])));
        story
    }

    fn say(&mut self, command: &Command) -> Outcome {
        self.index += 1;
        self.replica.apply(self.index, LogTime::from_millis(self.clock), command)
    }

    fn ask(&mut self, action: Action, name: Option<&str>) -> Outcome {
        let sequence = self.index;
        let named = name.map(|name| IdempotencyKey::new(name.to_owned()).unwrap());
        let idempotency = named.map(|key| Idempotency { key, asked: asked(&action) });
        self.say(&Command::Session(SessionCommand {
            proposer: PROPOSER,
            incarnation: 1,
            sequence,
            lowest_outstanding: sequence,
            namespace: SESSIONS,
            key: key(),
            request: SessionRequest { action, idempotency },
        }))
    }

    fn pass(&mut self, seconds: u64) {
        self.clock += seconds * 1_000;
        self.say(&Command::Tick);
    }

    fn version(&self) -> Option<Version> {
        self.replica.read(&key()).map(|(_, version)| version)
    }
}

fn key() -> SessionKey {
    SessionKey::new("awiki:1").unwrap()
}

fn put(value: &'static str, condition: Condition) -> Action {
    Action::Put(Put { value: value.into(), ttl: Ttl::from_secs(MINUTE).unwrap(), condition })
}

fn renew(seconds: u64, condition: Condition, if_due: bool) -> Action {
    Action::Renew(Renew { ttl: Ttl::from_secs(seconds).unwrap(), condition, if_due })
}

fn take() -> Action {
    Action::Delete(Delete { condition: Condition::None, take: true })
}

#[test]
fn a_renewed_record_lives_on_as_the_write_it_is() {
    let mut story = Story::new();
    assert_eq!(story.ask(renew(MINUTE, Condition::None, false), None), Outcome::Renewed { version: None });
    let Outcome::Written { version } = story.ask(put("v", Condition::None), None) else { panic!() };
    story.pass(MINUTE - 1);
    let renewed = Outcome::Renewed { version: Some(version) };
    assert_eq!(story.ask(renew(MINUTE, Condition::Matches(vec![version]), false), None), renewed);
    story.pass(MINUTE - 1);
    assert_eq!(story.version(), Some(version), "who has its tag may still write by it");
    story.replica.assert_counts_equal_a_recount();
    story.pass(1);
    assert_eq!(story.version(), None, "and it ends when the renewal says");
    assert_eq!(story.ask(renew(MINUTE, Condition::None, false), None), Outcome::Renewed { version: None });
    let failed = Outcome::Refused(Refusal::ConditionFailed);
    assert_eq!(story.ask(renew(MINUTE, Condition::Present, false), None), failed);
}

#[test]
fn a_read_renews_a_record_in_the_last_half_of_its_lifetime_and_once() {
    let mut story = Story::new();
    let Outcome::Written { version } = story.ask(put("v", Condition::None), None) else { panic!() };
    let same = Outcome::Renewed { version: Some(version) };
    let expires_at = |story: &Story| story.replica.shelf.0[&key()].header.expires_at.as_millis() - START;
    let mut read_after = |seconds| {
        story.pass(seconds);
        assert_eq!(story.ask(renew(MINUTE, Condition::Matches(vec![version]), true), None), same);
        expires_at(&story) / 1_000
    };
    assert_eq!(read_after(29), 60, "in the first half");
    assert_eq!(read_after(1), 90, "in the last");
    assert_eq!(read_after(0), 90, "another read that asked as well");
    assert_eq!(read_after(30), 120);
}

#[test]
fn a_record_of_a_namespace_that_reads_do_not_renew_keeps_no_lifetime() {
    let mut replica = Replica::default();
    let stamp = LogTime::from_millis(START);
    replica.apply(1, stamp, &Command::Register(Register { proposer: PROPOSER, previous: 0, nonce: 9 }));
    let command = |sequence, action: Action| {
        Command::Session(SessionCommand {
            proposer: PROPOSER,
            incarnation: 1,
            sequence,
            lowest_outstanding: sequence,
            namespace: SESSIONS,
            key: key(),
            request: action.into(),
        })
    };
    let refused = Outcome::Refused(Refusal::RulesUnsupported);
    assert_eq!(
        replica.apply(2, stamp, &command(1, renew(MINUTE, Condition::None, false))),
        refused,
        "before its rules"
    );
    replica.apply(3, stamp, &Command::RaiseRules(RulesVersion::SUPPORTED));
    replica.apply(4, stamp, &command(1, put("v", Condition::None)));
    assert_eq!(replica.shelf.0[&key()].header.lifetime, None);
    let later = stamp.after(std::time::Duration::from_secs(50));
    let left = replica.apply(5, later, &command(2, renew(MINUTE, Condition::None, true)));
    assert_eq!(left, Outcome::Renewed { version: Some(Version::new(4)) });
    assert_eq!(replica.shelf.0[&key()].header.expires_at.as_millis(), START + MINUTE * 1_000, "as it was");
}

#[test]
fn a_value_is_taken_once_and_told_again_to_who_asks_with_the_same_key() {
    let mut story = Story::new();
    story.ask(put("v", Condition::None), None);
    let taken = story.ask(take(), Some("request-1"));
    assert!(matches!(&taken, Outcome::Deleted { taken: Some(taken), .. } if taken.value == "v"));
    assert_eq!(story.version(), None);
    story.ask(put("another", Condition::None), None);
    story.pass(599);
    assert_eq!(story.ask(take(), Some("request-1")), taken, "the first answer");
    assert!(story.version().is_none(), "the other one has expired by itself");
    story.ask(put("another", Condition::None), None);
    assert_eq!(story.ask(take(), Some("request-1")), taken);
    assert!(story.version().is_some(), "and what is there now stays");
    assert_eq!(
        story.ask(put("v", Condition::None), Some("request-1")),
        Outcome::Refused(Refusal::IdempotencyKeyReused),
        "another request"
    );
    story.pass(1);
    story.ask(put("third", Condition::None), None);
    let again = story.ask(take(), Some("request-1"));
    assert!(
        matches!(again, Outcome::Deleted { taken: Some(taken), .. } if taken.value == "third"),
        "ten minutes later"
    );
}

#[test]
fn a_conditional_write_that_comes_again_is_told_what_it_did_and_not_that_it_fails() {
    let mut story = Story::new();
    let first = story.ask(put("v", Condition::Absent), Some("a"));
    assert!(matches!(first, Outcome::Written { .. }));
    assert_eq!(story.ask(put("v", Condition::Absent), Some("a")), first);
    let failed = Outcome::Refused(Refusal::ConditionFailed);
    assert_eq!(story.ask(put("v", Condition::Absent), Some("b")), failed);
    story.pass(MINUTE);
    assert_eq!(story.ask(put("v", Condition::Absent), Some("b")), failed, "a refusal is an answer, too");
    assert!(matches!(story.ask(put("v", Condition::Absent), Some("c")), Outcome::Written { .. }));
}
