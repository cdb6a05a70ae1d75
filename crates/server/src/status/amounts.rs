//! Amounts as a person reads them.

/// Bytes in the largest unit of 1024 that leaves one before the point: `0 B`, `1.5 KiB`, `20 GiB`.
#[allow(clippy::cast_precision_loss, reason = "two digits are told")]
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut amount, mut unit) = (bytes as f64 / 1024.0, 0);
    // What would be rounded to 1024 is one of the next.
    while amount >= 1023.5 && unit + 1 < UNITS.len() {
        (amount, unit) = (amount / 1024.0, unit + 1);
    }
    format!("{} {}", short(amount), UNITS[unit])
}

/// So many a second: `0`, `0.3`, `12`.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 0.05 { "under 0.1".to_owned() } else { short(per_second) }
}

/// A wait in seconds: `0.8 ms`, `25 ms`, and `over 1 s` for what no bound says more of.
pub(crate) fn wait(seconds: f64) -> String {
    if seconds > 1.0 { "over 1 s".to_owned() } else { format!("{} ms", short(seconds * 1000.0)) }
}

/// Below ten with one digit behind the point, if that is not 0.
fn short(amount: f64) -> String {
    let tenths = format!("{amount:.1}");
    if amount < 9.95 && !tenths.ends_with(".0") { tenths } else { format!("{amount:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_two_digits_and_a_unit() {
        for (amount, said) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (10 << 10, "10 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (1 << 40, "1 TiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(bytes(amount), said);
        }
        assert_eq!([0.0, 0.01, 0.25, 9.94, 9.96, 1234.4].map(rate), ["0", "under 0.1", "0.2", "9.9", "10", "1234"]);
        assert_eq!([0.0004, 0.025, 1.0, f64::INFINITY].map(wait), ["0.4 ms", "25 ms", "1000 ms", "over 1 s"]);
    }
}
