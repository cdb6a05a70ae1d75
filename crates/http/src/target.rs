use std::borrow::Cow;

use bytes::Bytes;
use sessile_core::{KeyError, SessionKey};

use crate::BaseUri;
use crate::problem::Problem;

/// The key in a request's path, decoded once; or what to tell the client, and why.
pub(crate) fn key(base: &BaseUri, path: &str) -> Result<SessionKey, (Problem, &'static str)> {
    let base = base.as_str();
    let key = if path.contains('%') {
        let decoded = decode(path).ok_or((Problem::BadRequest, "the path's percent-encoding is invalid"))?;
        if std::str::from_utf8(&decoded).is_err() {
            return Err((Problem::BadRequest, "the path is not UTF-8"));
        }
        let key = decoded.starts_with(base.as_bytes()).then(|| Bytes::from(decoded).slice(base.len()..));
        key.ok_or((Problem::NotFound, "the path is outside the base URI"))?
    } else {
        let key = path.strip_prefix(base).ok_or((Problem::NotFound, "the path is outside the base URI"))?;
        Bytes::copy_from_slice(key.as_bytes())
    };
    if key.contains(&b'/') {
        return Err((Problem::NotFound, "the key has a slash"));
    }
    SessionKey::new(key).map_err(|error| match error {
        KeyError::Empty => (Problem::NotFound, "the key is empty"),
        KeyError::TooLong { .. } => (Problem::UriTooLong, "the key is too long"),
        KeyError::NotUtf8 => (Problem::BadRequest, "the key is not UTF-8"),
    })
}

/// The path as an error's body shows it: decoded, or as it came if it cannot be.
pub(crate) fn instance(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    decode(path).and_then(|bytes| String::from_utf8(bytes).ok()).map_or(Cow::Borrowed(path), Cow::Owned)
}

/// Decodes `%XX`, and nothing else; `None` if a `%` is not followed by two hexadecimal digits (RFC 3986, 2.1).
fn decode(path: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => (digit(bytes.next()?)? << 4) | digit(bytes.next()?)?,
            plain => plain,
        };
        decoded.push(byte);
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_once_and_only_where_it_is_valid() {
        let table: &[(&str, Option<&[u8]>)] = &[
            ("a%3Ab", Some(b"a:b")),
            ("a%3ab", Some(b"a:b")),
            ("a+b", Some(b"a+b")),
            ("%2525", Some(b"%25")),
            ("%ff", Some(b"\xff")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%4g", None),
            ("%+1", None),
            ("a%", None),
        ];
        for (path, decoded) in table {
            assert_eq!(decode(path).as_deref(), *decoded, "{path}");
        }
    }
}
