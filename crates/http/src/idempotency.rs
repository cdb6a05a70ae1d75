use http::{HeaderMap, HeaderName, HeaderValue};
use sessile_core::{Idempotency, IdempotencyKey, Ttl};

/// draft-ietf-httpapi-idempotency-key-header: what a client calls a request by that it may send again.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What a request is called by that asks for that lifetime, if it is called by anything.
pub(crate) fn of(headers: &HeaderMap, asked: Option<Ttl>) -> Result<Option<Idempotency>, &'static str> {
    Ok(key(headers)?.map(|key| Idempotency { key, asked }))
}

/// A string of RFC 8941, 3.3.3, or the same without its quotes, as many clients
/// send it.
fn key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, &'static str> {
    let mut lines = headers.get_all(IDEMPOTENCY_KEY).iter().map(HeaderValue::as_bytes);
    let Some(line) = lines.next() else { return Ok(None) };
    if lines.next().is_some() {
        return Err("there is more than one Idempotency-Key");
    }
    let text = line.trim_ascii();
    let inner = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")).unwrap_or(text);
    if inner.iter().any(|byte| matches!(byte, b'"' | b'\\')) {
        return Err("the Idempotency-Key is malformed");
    }
    let key = IdempotencyKey::new(inner.to_vec());
    key.map(Some).map_err(|_| "the Idempotency-Key has not 1 to 128 visible characters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_string_with_or_without_quotes() {
        let long = "k".repeat(129);
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&["8e03978e-40d5"], Ok(Some("8e03978e-40d5"))),
            (&["\"8e03978e-40d5\""], Ok(Some("8e03978e-40d5"))),
            (&["  a  "], Ok(Some("a"))),
            (&["a", "a"], Err(())),
            (&[""], Err(())),
            (&["\"\""], Err(())),
            (&["\"a"], Err(())),
            (&["a b"], Err(())),
            (&["a\\b"], Err(())),
            (&[&*long], Err(())),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IDEMPOTENCY_KEY, line.parse().unwrap());
            }
            let expected = expected.map(|key| key.map(|key: &str| IdempotencyKey::new(key.to_owned()).unwrap()));
            assert_eq!(key(&headers).map_err(|_| ()), expected, "{lines:?}");
        }
    }
}
