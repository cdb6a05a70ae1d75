use std::fmt;

/// The path all keys are under, with a slash at both ends; what follows it is the key.
///
/// Invariants, held by [`BaseUri::new`]: begins and ends with `/`; no empty, `.` or `..` segment; only characters that
/// stand for themselves in a path (RFC 3986, 3.3), so that comparing bytes compares paths.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BaseUri(String);

/// What a base URI must not be, in words that follow its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUriError {
    /// It has more than [`BaseUri::MAX_BYTES`].
    #[error("must not be longer than {} bytes", BaseUri::MAX_BYTES)]
    TooLong,
    /// It has a character that does not stand for itself in a path.
    #[error("must be a plain path, without query or escapes; remove {0:?}")]
    Stray(char),
    /// It has two slashes in a row.
    #[error("must not have an empty segment; remove the double slash")]
    EmptySegment,
    /// It has a segment that clients resolve away.
    #[error("must not have a `.` or `..` segment; remove it")]
    DotSegment,
}

impl BaseUri {
    /// The longest one. Part of every request line and metric; the rest of the line is for the key.
    pub const MAX_BYTES: usize = 256;

    /// Adds the leading and the trailing slash if they are missing, as Kask does.
    pub fn new(text: &str) -> Result<Self, BaseUriError> {
        let leading = if text.starts_with('/') { "" } else { "/" };
        let trailing = if text.is_empty() || text.ends_with('/') { "" } else { "/" };
        let uri = format!("{leading}{text}{trailing}");
        if uri.len() > Self::MAX_BYTES {
            return Err(BaseUriError::TooLong);
        }
        let stray = |char: char| !(char.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@".contains(char));
        if let Some(char) = uri.chars().find(|char| stray(*char)) {
            return Err(BaseUriError::Stray(char));
        }
        if uri.contains("//") {
            return Err(BaseUriError::EmptySegment);
        }
        if uri.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(BaseUriError::DotSegment);
        }
        Ok(Self(uri))
    }

    /// Whether a path under one of them could be taken for a path under the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0) || other.0.starts_with(&self.0)
    }

    /// As text, slashes included.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for BaseUri {
    fn default() -> Self {
        Self("/sessions/v1/".to_owned())
    }
}

impl fmt::Display for BaseUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_overlap_where_one_leads_into_the_other() {
        let uri = |text| BaseUri::new(text).unwrap();
        for (one, other, overlaps) in [
            ("/sessions/v1", "/sessions/v1/", true),
            ("/sessions/v1", "/sessions/v1/x", true),
            ("/", "/sessions/v1", true),
            ("/sessions/v1", "/sessions/v10", false),
            ("/sessions/v1", "/echoseen/v1", false),
        ] {
            assert_eq!((uri(one).overlaps(&uri(other)), uri(other).overlaps(&uri(one))), (overlaps, overlaps));
        }
    }

    #[test]
    fn slashes_are_added_and_whatever_would_make_two_spellings_is_refused() {
        for (text, uri) in [
            ("", "/"),
            ("/", "/"),
            ("v1", "/v1/"),
            ("/sessions/v1", "/sessions/v1/"),
            ("sessions/v1/", "/sessions/v1/"),
            ("/a.b/~c:d/", "/a.b/~c:d/"),
        ] {
            assert_eq!(BaseUri::new(text).unwrap().as_str(), uri);
        }
        for text in ["//", "/a//b/", "/a?b", "/a#b", "/a b", "/a%20b", "/é/", "/a/../b", "/./", "/a\n", "/{key}"] {
            assert!(BaseUri::new(text).is_err(), "{text:?}");
        }
        assert!(BaseUri::new(&"a".repeat(BaseUri::MAX_BYTES - 2)).is_ok());
        assert!(BaseUri::new(&"a".repeat(BaseUri::MAX_BYTES - 1)).is_err());
    }
}
