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
    use crate::{
        Action, Condition, Delete, LogTime, NamespaceId, ProposerId, Put, Refusal, Register, RulesVersion,
        SessionCommand, SessionKey, Taken, Ttl, Version,
    };

    fn session(action: Action) -> Vec<u8> {
        let command = SessionCommand {
            proposer: ProposerId::new(0x0123_4567_89ab_cdef),
            incarnation: 7,
            sequence: 300,
            lowest_outstanding: 299,
            namespace: NamespaceId::SESSIONS,
            key: SessionKey::new("awiki:MWSession:0").unwrap(),
            action,
        };
        Command::Session(command).encode().into()
    }

    fn put(ttl: Ttl, condition: Condition) -> Vec<u8> {
        session(Action::Put(Put { value: Bytes::from_static(b"a value"), ttl, condition }))
    }

    #[test]
    fn every_seed_of_a_command_is_one_and_comes_back() {
        let hour = Ttl::from_secs(3600).unwrap();
        let versions = vec![Version::new(1), Version::new(u64::MAX)];
        let register = Register { proposer: ProposerId::new(5), previous: 3, nonce: u64::MAX };
        let made = [
            ("put", put(hour, Condition::None)),
            ("put_for_ever", put(Ttl::FOREVER, Condition::Absent)),
            ("put_matches", put(hour, Condition::Matches(versions.clone()))),
            ("put_differs", put(hour, Condition::Differs(versions))),
            ("delete", session(Action::Delete(Delete { condition: Condition::Present, take: true }))),
            ("register", Command::Register(register).encode().into()),
            ("tick", Command::Tick.encode().into()),
            ("raise_rules", Command::RaiseRules(RulesVersion::FIRST).encode().into()),
        ];
        seeds::hold("command", &made, command);
        for (name, bytes) in made {
            assert_eq!(Command::decode(bytes.clone().into()).unwrap().encode(), bytes, "{name}");
        }
    }

    #[test]
    fn every_seed_of_an_outcome_is_one_and_comes_back() {
        let taken = Taken {
            value: Bytes::from_static(b"a value"),
            version: Version::new(9),
            expires_at: LogTime::NEVER,
            clock: LogTime::from_millis(1_700_000_000_000),
        };
        let encode = |outcome: Outcome| -> Vec<u8> { outcome.encode().into() };
        let made = [
            ("written", encode(Outcome::Written { version: Version::new(300) })),
            ("deleted", encode(Outcome::Deleted { existed: false, taken: None })),
            ("taken", encode(Outcome::Deleted { existed: true, taken: Some(taken) })),
            ("registered", encode(Outcome::Registered { incarnation: 12 })),
            ("ticked", encode(Outcome::Ticked)),
            ("rules", encode(Outcome::Rules { version: RulesVersion::FIRST })),
            ("refused", encode(Outcome::Refused(Refusal::ConditionFailed))),
            ("unknown", encode(Outcome::Refused(Refusal::UnknownIncarnation { current: 8 }))),
        ];
        seeds::hold("outcome", &made, outcome);
        for (name, bytes) in made {
            assert_eq!(Outcome::decode(bytes.clone().into()).unwrap().encode(), bytes, "{name}");
        }
    }
}
