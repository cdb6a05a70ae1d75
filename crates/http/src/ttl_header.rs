use http::{HeaderMap, HeaderName};
use sessile_core::Ttl;

/// RFC 8030, 5.2: asks for a lifetime in seconds, and tells what is left of one.
pub(crate) const TTL: HeaderName = HeaderName::from_static("ttl");

/// The lifetime that a request asks for, if it asks. Any number of digits is a number: more than can be granted is cut
/// to what can.
pub(crate) fn requested(headers: &HeaderMap) -> Result<Option<Ttl>, &'static str> {
    let mut values = headers.get_all(TTL).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("there is more than one TTL");
    }
    let digits = value.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err("the TTL is no number of seconds");
    }
    let seconds =
        digits.iter().fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Ttl::from_secs(seconds).map(Some).ok_or("the TTL is 0")
}
