//! Values on the command line that commands of several families take.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sessile_store::engine::EngineKind;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::ListenAddress;

/// The engines, each with what it is for.
pub(crate) fn engines() -> impl TypedValueParser<Value = EngineKind> {
    let possible = EngineKind::ALL.map(|engine| {
        let help = match engine {
            EngineKind::Fjall => "For every size",
            EngineKind::Sled => "For small stores; outlives kill -9, not a power cut",
            EngineKind::Other(_) => "Of a test",
        };
        PossibleValue::new(engine.name()).help(help)
    });
    PossibleValuesParser::new(possible).try_map(|name| name.parse::<EngineKind>())
}

/// A member, and where it is.
pub(crate) fn member_at(text: &str) -> Result<(String, ListenAddress), String> {
    let expected = "MEMBER=HOST:PORT was expected, such as n2=10.1.0.2:7081";
    let (member, at) = text.split_once('=').filter(|(member, _)| !member.is_empty()).ok_or(expected)?;
    Ok((member.to_owned(), address(at)?))
}

/// An address to connect to.
pub(crate) fn address(text: &str) -> Result<ListenAddress, String> {
    let expected = "HOST:PORT was expected, such as 127.0.0.1:7081 or n1.example:7081";
    ListenAddress::parse(text).ok().filter(|address| address.port() != 0).ok_or_else(|| expected.to_owned())
}

/// A time from a millisecond to an hour.
pub(crate) fn patience(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(3600);
    let digits = text.trim_end_matches(|character: char| character.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => Duration::from_millis(1),
        "" | "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => Duration::ZERO,
    };
    let number = digits.parse::<u32>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
    let time = number.and_then(|number| unit.checked_mul(number));
    let fits = time.filter(|time| !time.is_zero() && *time <= LONGEST);
    fits.ok_or_else(|| "a time from 1ms to 60m was expected, such as 500ms, 10s or 2m".to_owned())
}

/// A point in time, in milliseconds since the Unix epoch.
pub(crate) fn point_in_time(text: &str) -> Result<u64, String> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok();
    let millis = time.and_then(|time| u64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok());
    let expected =
        "a date and time of RFC 3339 was expected, such as 2026-11-30T12:00:00Z or 2026-11-30T13:00:00+01:00";
    millis.ok_or_else(|| expected.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_has_a_date_a_time_and_an_offset() {
        for (text, millis) in [
            ("2026-11-30T12:00:00Z", 1_796_040_000_000),
            ("2026-11-30T13:00:00.250+01:00", 1_796_040_000_250),
            ("1970-01-01T00:00:00Z", 0),
        ] {
            assert_eq!(point_in_time(text), Ok(millis), "{text}");
        }
        for text in [
            "",
            "now",
            "12:00",
            "2026-11-30",
            "2026-11-30T12:00:00",
            "2026-13-30T12:00:00Z",
            "1796040000",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(point_in_time(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        for (text, millis) in
            [("1ms", 1), ("500ms", 500), ("3", 3_000), ("10s", 10_000), ("2m", 120_000), ("60m", 3_600_000)]
        {
            assert_eq!(patience(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "s", "0", "0s", "61m", "3601", "-1s", "+1s", "1.5s", "1h", "1 s", "1s ", "99999999999999s", "ä"]
        {
            assert!(patience(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_can_be_connected_to() {
        for text in ["127.0.0.1:7081", "[::1]:1", "n1.example:65535"] {
            assert_eq!(address(text).unwrap().to_string(), text);
        }
        for text in ["", "n1", "n1:0", ":7081", "n1:x", "http://n1:7081"] {
            assert!(address(text).is_err(), "{text:?}");
        }
    }
}
