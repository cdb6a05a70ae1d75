//! What has been written stays readable: encodings as the first format version has them, byte for byte. They stand in
//! logs and travel between programs of two versions, so none of these lines ever changes; a new form gets a new line.

use bytes::Bytes;

use crate::examples::{hour, named, put, register, session, settings, taken, versions};
use crate::{
    Action, Change, Command, Condition, Delete, GroupName, HistoryCommand, Limit, NamespaceChanged, NamespaceCommand,
    NamespaceId, NamespaceRefusal, Outcome, Refusal, Renew, RulesVersion, Ttl, Version,
};

/// The bytes that hexadecimal digits name; blanks are for the reader.
fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// The settings of [`settings`].
const SETTINGS: &str = "0a0165 12032f652f 183c 203c 2801 3002 3803 4001 4804";

fn second() -> NamespaceId {
    NamespaceId::new(2)
}

fn refused(refusal: NamespaceRefusal) -> Outcome {
    Outcome::Refused(Refusal::Namespace(refusal))
}

/// What every command of a session begins with here: tag and length are the caller's.
const SESSION: &str = "0a10 00000000000000000123456789abcdef 1007 18ac02 20ab02 2801
                       3211 6177696b693a4d5753657373696f6e3a30";

#[test]
fn commands_of_the_first_version_are_read_and_written_as_they_were() {
    let take = |condition, take| session(Action::Delete(Delete { condition, take }));
    let table = [
        (format!("0a3d {SESSION} 3a0c 0a07612076616c7565 10901c"), put(hour(), Condition::None)),
        (format!("0a3e {SESSION} 3a0d 0a07612076616c7565 1a020a00"), put(Ttl::FOREVER, Condition::Absent)),
        (
            format!("0a4e {SESSION} 3a1d 0a07612076616c7565 10901c 1a0f1a0d0a0b01ffffffffffffffffff01"),
            put(hour(), Condition::Matches(versions())),
        ),
        (
            format!("0a4e {SESSION} 3a1d 0a07612076616c7565 10901c 1a0f220d0a0b01ffffffffffffffffff01"),
            put(hour(), Condition::Differs(versions())),
        ),
        (format!("0a37 {SESSION} 4206 0a021200 1001"), take(Condition::Present, true)),
        (format!("0a31 {SESSION} 4200"), take(Condition::None, false)),
        (
            format!("0a3a {SESSION} 4a09 08901c 12021200 1801"),
            session(Action::Renew(Renew { ttl: hour(), condition: Condition::Present, if_due: true })),
        ),
        (format!("0a39 {SESSION} 4200 5203612d31 58901c"), named(take(Condition::None, false))),
        ("121f 0a1000000000000000000000000000000005 1003 18ffffffffffffffffff01".to_owned(), register()),
        ("1a00".to_owned(), Command::Tick),
        ("2202 0801".to_owned(), Command::RaiseRules(RulesVersion::FIRST)),
        (
            "320b 0a0161 1203623133 1a0163".to_owned(),
            Command::History(HistoryCommand::Begin(Change::new("a", "b13", "c"))),
        ),
        ("3a07 08ac02 12026f6b".to_owned(), Command::History(HistoryCommand::end(300, "ok"))),
        (format!("521a 0a18 0a16 {SETTINGS}"), Command::Namespace(NamespaceCommand::Seed(vec![settings()]))),
        (format!("5218 1216 {SETTINGS}"), Command::Namespace(NamespaceCommand::Create(settings()))),
        (
            format!("521e 1a1c 0802 1007 1a16 {SETTINGS}"),
            Command::Namespace(NamespaceCommand::Set { namespace: second(), if_changed_at: 7, settings: settings() }),
        ),
        (
            "5206 2204 0802 1001".to_owned(),
            Command::Namespace(NamespaceCommand::Drop { namespace: second(), force: true }),
        ),
        (
            "5207 2a05 0802 120161".to_owned(),
            Command::Namespace(NamespaceCommand::Truncate { namespace: second(), group: GroupName::new(b"a") }),
        ),
        (
            "5204 2a02 0802".to_owned(),
            Command::Namespace(NamespaceCommand::Truncate { namespace: second(), group: None }),
        ),
    ];
    for (golden, command) in table {
        assert_eq!(Command::decode(bytes(&golden)).as_ref(), Ok(&command), "{golden}");
        assert_eq!(command.encode(), bytes(&golden), "{golden}");
    }
}

#[test]
fn outcomes_of_the_first_version_are_read_and_written_as_they_were() {
    let table = [
        ("0a03 08ac02", Outcome::Written { version: Version::new(300) }),
        ("1200", Outcome::Deleted { existed: false, taken: None }),
        (
            "1221 0801 121d 0a07612076616c7565 1009 18ffffffffffffffffff01 2080d095ffbc31",
            Outcome::Deleted { existed: true, taken: Some(taken()) },
        ),
        ("1a02 080c", Outcome::Registered { incarnation: 12 }),
        ("2200", Outcome::Ticked),
        ("2a02 0801", Outcome::Rules { version: RulesVersion::FIRST }),
        ("3202 0a00", Outcome::Refused(Refusal::ConditionFailed)),
        ("3204 1202 0808", Outcome::Refused(Refusal::UnknownIncarnation { current: 8 })),
        ("3202 1a00", Outcome::Refused(Refusal::Forgotten)),
        ("3202 2200", Outcome::Refused(Refusal::WindowFull)),
        ("3202 2a00", Outcome::Refused(Refusal::TooManyProposers)),
        ("3202 3200", Outcome::Refused(Refusal::Malformed)),
        ("3202 3a00", Outcome::Refused(Refusal::RulesUnsupported)),
        ("3202 4200", Outcome::Refused(Refusal::Removed)),
        ("3a03 08ac02", Outcome::Noted { entry: 300 }),
        ("5206 0802 1003 183c", Outcome::Namespace(NamespaceChanged { namespace: second(), keys: 3, bytes: 60 })),
        ("3204 5202 2801", refused(NamespaceRefusal::BaseUriTaken { by: NamespaceId::SESSIONS })),
        ("3208 5206 4204 0801 1002", refused(NamespaceRefusal::NotEmpty { keys: 1, bytes: 2 })),
        ("4203 08ac02", Outcome::Renewed { version: Some(Version::new(300)) }),
        ("4200", Outcome::Renewed { version: None }),
        ("3202 6200", Outcome::Refused(Refusal::IdempotencyKeyReused)),
        ("3202 6a00", Outcome::Refused(Refusal::AnswersFull)),
        ("3202 5802", Outcome::Refused(Refusal::Limit(Limit::Bytes))),
    ];
    for (golden, outcome) in table {
        assert_eq!(Outcome::decode(bytes(golden)).as_ref(), Ok(&outcome), "{golden}");
        assert_eq!(outcome.encode(), bytes(golden), "{golden}");
    }
}
