//! What has been written stays readable: encodings as the first format version has them, byte for byte. They stand in
//! logs and travel between programs of two versions, so none of these lines ever changes; a new form gets a new line.

use bytes::Bytes;

use crate::examples::{hour, put, register, session, taken, versions};
use crate::{Action, Change, Command, Condition, Delete, HistoryCommand, Outcome, Refusal, RulesVersion, Ttl, Version};

/// The bytes that hexadecimal digits name; blanks are for the reader.
fn bytes(hex: &str) -> Bytes {
    let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
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
        ("121f 0a1000000000000000000000000000000005 1003 18ffffffffffffffffff01".to_owned(), register()),
        ("1a00".to_owned(), Command::Tick),
        ("2202 0801".to_owned(), Command::RaiseRules(RulesVersion::FIRST)),
        (
            "320b 0a0161 1203623133 1a0163".to_owned(),
            Command::History(HistoryCommand::Begin(Change::new("a", "b13", "c"))),
        ),
        ("3a07 08ac02 12026f6b".to_owned(), Command::History(HistoryCommand::end(300, "ok"))),
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
    ];
    for (golden, outcome) in table {
        assert_eq!(Outcome::decode(bytes(golden)).as_ref(), Ok(&outcome), "{golden}");
        assert_eq!(outcome.encode(), bytes(golden), "{golden}");
    }
}
