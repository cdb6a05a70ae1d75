use http::HeaderMap;

/// What stands in for the id of a request that has none; Kask's.
pub const NO_REQUEST_ID: &str = "00000000-0000-0000-0000-000000000000";

/// The longest id that is taken over. Wikimedia's are UUIDs of 36 characters.
const MAX_REQUEST_ID_BYTES: usize = 64;

/// The request's `X-Request-ID`, if it is one that can stand in a log line.
pub(crate) fn of(headers: &HeaderMap) -> &str {
    let id = headers.get("x-request-id").and_then(|value| value.to_str().ok()).unwrap_or("");
    let fits = (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { id } else { NO_REQUEST_ID }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_printable_id_is_taken_over() {
        let long = "x".repeat(MAX_REQUEST_ID_BYTES);
        let longer = "x".repeat(MAX_REQUEST_ID_BYTES + 1);
        for (given, taken) in [
            ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", true),
            (&long, true),
            (&longer, false),
            ("", false),
            ("two words", false),
            ("tab\tbed", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", given.parse().unwrap());
            assert_eq!(of(&headers), if taken { given } else { NO_REQUEST_ID });
        }
        assert_eq!(of(&HeaderMap::new()), NO_REQUEST_ID);
    }
}
