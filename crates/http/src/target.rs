use std::borrow::Cow;

use bytes::Bytes;
use sessile_core::{KeyError, NamespaceId, NamespaceSettings, NamespaceTable, SessionKey};

use crate::problem::Problem;

/// What a request is about.
#[derive(Debug, PartialEq)]
pub(crate) struct Target<'table> {
    pub(crate) namespace: NamespaceId,
    pub(crate) settings: &'table NamespaceSettings,
    pub(crate) key: SessionKey,
}

/// Why a path is about nothing that is known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Miss {
    /// It is outside every base URI of the table, or its key has a slash.
    Outside,
    /// What to tell the client, whatever namespaces there are, and why.
    Never(Problem, &'static str),
}

/// The namespace and the key in a request's path, decoded once. A key has no slash, so what stands before it ends with the
/// last one.
pub(crate) fn of<'table>(table: &'table NamespaceTable, path: &str) -> Result<Target<'table>, Miss> {
    let decoded;
    let (base, key) = if path.contains('%') {
        decoded = Bytes::from(
            decode(path).ok_or(Miss::Never(Problem::BadRequest, "the path's percent-encoding is invalid"))?,
        );
        if std::str::from_utf8(&decoded).is_err() {
            return Err(Miss::Never(Problem::BadRequest, "the path is not UTF-8"));
        }
        let begin = key_begin(&decoded);
        (&decoded[..begin], decoded.slice(begin..))
    } else {
        let (base, key) = path.as_bytes().split_at(key_begin(path.as_bytes()));
        (base, Bytes::copy_from_slice(key))
    };
    let (namespace, found) = table.under(base).ok_or(Miss::Outside)?;
    let key = SessionKey::new(key).map_err(|error| match error {
        KeyError::Empty => Miss::Never(Problem::NotFound, "the key is empty"),
        KeyError::TooLong { .. } => Miss::Never(Problem::UriTooLong, "the key is too long"),
        KeyError::NotUtf8 => Miss::Never(Problem::BadRequest, "the key is not UTF-8"),
    })?;
    Ok(Target { namespace, settings: &found.settings, key })
}

fn key_begin(path: &[u8]) -> usize {
    path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1)
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
    use sessile_core::{BaseUri, NamespaceName};

    #[test]
    fn a_path_names_a_namespace_by_all_that_stands_before_its_last_slash() {
        let name = NamespaceName::new("echo").unwrap();
        let settings = NamespaceSettings::unlimited(name, BaseUri::new("/echoseen/v1").unwrap());
        let table = NamespaceTable::of([settings]);
        for (path, key) in [
            ("/echoseen/v1/a:b", Some("a:b")),
            ("/echoseen%2Fv1%2Fa%3Ab", Some("a:b")),
            ("/echoseen/v1/", None),
            ("/echoseen/v1", None),
            ("/echoseen/v1/a/b", None),
            ("/echoseen/v1/a%2Fb", None),
            ("/echoseen/v10/a", None),
            ("/sessions/v1/a", None),
            ("a", None),
            ("*", None),
        ] {
            let found = of(&table, path);
            assert_eq!(found.as_ref().ok().map(|target| target.key.as_bytes()), key.map(str::as_bytes), "{path}");
            let is_404 = matches!(found, Ok(_) | Err(Miss::Outside | Miss::Never(Problem::NotFound, _)));
            assert!(is_404, "{path}");
        }
    }

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
