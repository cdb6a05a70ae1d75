//! When a certificate is valid. rustls keeps that to itself, and for a server's own certificate it does not ask.

use std::time::{Duration, SystemTime};

/// From when to when a certificate is valid (RFC 5280, 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
/// The version, which the first version lacks.
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

impl Validity {
    /// That of a certificate in DER; `None` if it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let certificate = Der(certificate).expect(SEQUENCE)?;
        let mut fields = Der(Der(certificate).expect(SEQUENCE)?);
        if fields.tag() == Some(VERSION) {
            fields.expect(VERSION)?;
        }
        fields.expect(INTEGER)?;
        let (_algorithm, _issuer) = (fields.expect(SEQUENCE)?, fields.expect(SEQUENCE)?);
        let mut validity = Der(fields.expect(SEQUENCE)?);
        Some(Self { not_before: validity.time()?, not_after: validity.time()? })
    }
}

/// What is left of a sequence in DER.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn tag(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The content of the next element, which has that tag.
    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, content)| content)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        // Up to 127 is the length itself; above that it is the length of the length.
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (length.iter().fold(0_usize, |length, byte| (length << 8) | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn time(&mut self) -> Option<SystemTime> {
        let (tag, content) = self.next()?;
        let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
        let (year, rest) = match tag {
            UTC_TIME => {
                let (year, rest) = (number(text.get(..2)?)?, text.get(2..)?);
                (if year < 50 { 2000 + year } else { 1900 + year }, rest)
            }
            GENERALIZED_TIME => (number(text.get(..4)?)?, text.get(4..)?),
            _ => return None,
        };
        if rest.len() != 10 {
            return None;
        }
        let part = |at: usize| number(rest.get(at..at + 2)?);
        let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
        if !(1..=12).contains(&month) {
            return None;
        }
        let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
        let distance = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(distance)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(distance)
        }
    }
}

fn number(digits: &str) -> Option<i64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Days from the Unix epoch to a day of the Gregorian calendar: whole years, with years that begin in March so that a leap
/// day is the last one, and what is left.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, months) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // 0000-03-01 was 719,468 days before the epoch.
    year * 365 + leap_days + (153 * months + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (date, expected) in [
            ((1970, 1, 1), 0),
            ((1969, 12, 31), -1),
            ((2000, 2, 29), 11_016),
            ((2000, 3, 1), 11_017),
            ((2026, 11, 30), 20_787),
            ((9999, 12, 31), 2_932_896),
        ] {
            assert_eq!(days(date.0, date.1, date.2), expected, "{date:?}");
        }
    }

    #[test]
    fn times_of_both_kinds_are_read_and_rubbish_is_not() {
        let time = |tag: u8, text: &str| {
            let mut element = vec![tag, u8::try_from(text.len()).unwrap()];
            element.extend_from_slice(text.as_bytes());
            let time = Der(&element).time()?;
            // `None` within is before the epoch.
            Some(time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs()))
        };
        assert_eq!(time(UTC_TIME, "700101000001Z"), Some(Some(1)));
        assert_eq!(time(UTC_TIME, "491231235959Z"), Some(Some(2_524_607_999)));
        assert_eq!(time(GENERALIZED_TIME, "20500101000000Z"), Some(Some(2_524_608_000)));
        assert_eq!(time(UTC_TIME, "691231235959Z"), Some(None), "before the epoch");
        for rubbish in ["", "Z", "700101000001", "701301000001Z", "70010100000Z", "7001010000+1Z", "ä0101000001Z"] {
            assert_eq!(time(UTC_TIME, rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn a_certificate_is_read_and_every_beginning_of_one_is_none() {
        let (from, to) = (rcgen::date_time_ymd(2001, 2, 3), rcgen::date_time_ymd(2087, 6, 5));
        let mut wanted = rcgen::CertificateParams::new(["x.example".to_owned()]).unwrap();
        (wanted.not_before, wanted.not_after) = (from, to);
        let certificate = wanted.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let der = certificate.der();
        assert_eq!(Validity::of(der), Some(Validity { not_before: from.into(), not_after: to.into() }));
        let end = der.windows(2).position(|pair| pair == [UTC_TIME, 13]).unwrap();
        (0..end).for_each(|length| assert_eq!(Validity::of(&der[..length]), None, "{length}"));
    }
}
