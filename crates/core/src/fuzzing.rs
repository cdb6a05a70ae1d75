//! What holds of whatever bytes are read as a command or as an outcome. Here for the targets in fuzz/, and for the tests
//! that hold the seeds to it.

use bytes::Bytes;

use crate::{Command, Outcome};

/// Bytes are refused, or a command that comes back as it went.
pub fn command(bytes: &[u8]) {
    let Ok(command) = Command::decode(Bytes::copy_from_slice(bytes)) else { return };
    let encoded = command.encode();
    assert_eq!(Command::decode(encoded.clone()).as_ref(), Ok(&command));
}

/// Bytes are refused, or an outcome that comes back as it went.
pub fn outcome(bytes: &[u8]) {
    let Ok(outcome) = Outcome::decode(Bytes::copy_from_slice(bytes)) else { return };
    assert_eq!(Outcome::decode(outcome.encode()).as_ref(), Ok(&outcome));
}

#[cfg(test)]
#[path = "../../../fuzz/seeds.rs"]
mod seeds;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::{hour, named, put, register, session, settings, taken, versions};
    use crate::{
        Action, Change, Condition, Delete, GroupName, HistoryCommand, Limit, NamespaceChanged, NamespaceCommand,
        NamespaceId, NamespaceRefusal, Refusal, Renew, RulesVersion, Ttl, Version,
    };

    #[test]
    fn every_seed_of_a_command_is_one_and_comes_back() {
        let encode = |command: Command| -> Vec<u8> { command.encode().into() };
        let delete = Delete { condition: Condition::Present, take: true };
        let renew = Renew { ttl: hour(), condition: Condition::Matches(versions()), if_due: true };
        let truncate = NamespaceCommand::Truncate { namespace: NamespaceId::SESSIONS, group: GroupName::new(b"awiki") };
        let made = [
            ("put", encode(put(hour(), Condition::None))),
            ("put_for_ever", encode(put(Ttl::FOREVER, Condition::Absent))),
            ("put_matches", encode(put(hour(), Condition::Matches(versions())))),
            ("put_differs", encode(put(hour(), Condition::Differs(versions())))),
            ("delete", encode(session(Action::Delete(delete)))),
            ("renew", encode(session(Action::Renew(renew)))),
            ("put_named", encode(named(put(hour(), Condition::Absent)))),
            ("register", encode(register())),
            ("tick", encode(Command::Tick)),
            ("raise_rules", encode(Command::RaiseRules(RulesVersion::FIRST))),
            ("change_begins", encode(Command::History(HistoryCommand::Begin(Change::new("a", "b", "c"))))),
            ("change_ends", encode(Command::History(HistoryCommand::end(300, "done")))),
            ("namespace_seed", encode(Command::Namespace(NamespaceCommand::Seed(vec![settings()])))),
            ("namespace_truncate", encode(Command::Namespace(truncate))),
        ];
        seeds::hold("command", &made, command);
        for (name, bytes) in made {
            assert_eq!(Command::decode(bytes.clone().into()).unwrap().encode(), bytes, "{name}");
        }
    }

    #[test]
    fn every_seed_of_an_outcome_is_one_and_comes_back() {
        let encode = |outcome: Outcome| -> Vec<u8> { outcome.encode().into() };
        let changed = NamespaceChanged { namespace: NamespaceId::SESSIONS, keys: 3, bytes: 60 };
        let not_empty = NamespaceRefusal::NotEmpty { keys: 3, bytes: 60 };
        let made = [
            ("written", encode(Outcome::Written { version: Version::new(300) })),
            ("deleted", encode(Outcome::Deleted { existed: false, taken: None })),
            ("taken", encode(Outcome::Deleted { existed: true, taken: Some(taken()) })),
            ("renewed", encode(Outcome::Renewed { version: Some(Version::new(300)) })),
            ("reused", encode(Outcome::Refused(Refusal::IdempotencyKeyReused))),
            ("registered", encode(Outcome::Registered { incarnation: 12 })),
            ("ticked", encode(Outcome::Ticked)),
            ("rules", encode(Outcome::Rules { version: RulesVersion::FIRST })),
            ("refused", encode(Outcome::Refused(Refusal::ConditionFailed))),
            ("namespace", encode(Outcome::Namespace(changed))),
            ("limit", encode(Outcome::Refused(Refusal::Limit(Limit::Keys)))),
            ("not_empty", encode(Outcome::Refused(Refusal::Namespace(not_empty)))),
            ("unknown", encode(Outcome::Refused(Refusal::UnknownIncarnation { current: 8 }))),
        ];
        seeds::hold("outcome", &made, outcome);
        for (name, bytes) in made {
            assert_eq!(Outcome::decode(bytes.clone().into()).unwrap().encode(), bytes, "{name}");
        }
    }
}
