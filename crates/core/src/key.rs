use std::fmt;

use bytes::Bytes;

/// Longest key in bytes, decoded. Kask's own keys stay below 100; a kibibyte leaves room and keeps an index small.
pub const MAX_KEY_BYTES: usize = 1024;

/// Longest group name in bytes. A MediaWiki database name has at most 64.
pub const MAX_GROUP_BYTES: usize = 64;

/// The key of a session: 1 to [`MAX_KEY_BYTES`] bytes of UTF-8. A credential: neither `Debug` nor any error shows it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionKey(Bytes);

/// Why bytes are no session key. Never repeats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There are no bytes.
    #[error("the key is empty")]
    Empty,
    /// There are more than [`MAX_KEY_BYTES`].
    #[error("the key has {bytes} bytes; at most {MAX_KEY_BYTES} are allowed")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// They are not UTF-8.
    #[error("the key is not UTF-8")]
    NotUtf8,
}

impl SessionKey {
    /// Takes the bytes when they are a key.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, KeyError> {
        let bytes = bytes.into();
        if bytes.is_empty() {
            return Err(KeyError::Empty);
        }
        if bytes.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong { bytes: bytes.len() });
        }
        if std::str::from_utf8(&bytes).is_err() {
            return Err(KeyError::NotUtf8);
        }
        Ok(Self(bytes))
    }

    /// The key's bytes, which are UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The key's bytes, shared.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// What stands before the first `:` (in MediaWiki: the wiki). A key without one, or with something there that is
    /// no plain name, belongs to no group: such text could be part of a credential, and group names are shown.
    pub fn group(&self) -> &str {
        group_of(&self.0)
    }
}

/// [`SessionKey::group`] of a key's bytes.
pub fn group_of(key: &[u8]) -> &str {
    let end = key.iter().take(MAX_GROUP_BYTES + 1).position(|&byte| byte == b':');
    let name = end.map_or(&[][..], |end| &key[..end]);
    let plain = name.iter().all(|&byte| GroupName::allows(byte));
    if plain { std::str::from_utf8(name).unwrap_or("") } else { "" }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({} bytes)", self.0.len())
    }
}

/// The name of a group: up to [`MAX_GROUP_BYTES`] of `A-Z a-z 0-9 _ . -`; empty for the keys that belong to none.
/// Unlike a key it may be shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct GroupName(String);

/// Text that is no group's name. Never repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a group's name is up to {MAX_GROUP_BYTES} of A-Z a-z 0-9 _ . -")]
pub struct GroupNameError;

impl GroupName {
    /// Takes the bytes when they are a group's name.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let valid = bytes.len() <= MAX_GROUP_BYTES && bytes.iter().all(|&byte| Self::allows(byte));
        valid.then(|| Self(bytes.iter().map(|&byte| char::from(byte)).collect()))
    }

    fn allows(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
    }

    /// The name; empty for no group.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is read back from a disk passes here.
impl TryFrom<String> for GroupName {
    type Error = GroupNameError;

    fn try_from(name: String) -> Result<Self, GroupNameError> {
        Self::new(name.as_bytes()).ok_or(GroupNameError)
    }
}

impl std::borrow::Borrow<str> for GroupName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_1024_bytes_of_utf8() {
        let table: &[(Vec<u8>, Result<(), KeyError>)] = &[
            (vec![], Err(KeyError::Empty)),
            (vec![b'k'; 1], Ok(())),
            (vec![b'k'; 1023], Ok(())),
            (vec![b'k'; 1024], Ok(())),
            (vec![b'k'; 1025], Err(KeyError::TooLong { bytes: 1025 })),
            (vec![0xff], Err(KeyError::NotUtf8)),
            ("schlüssel".into(), Ok(())),
            (vec![0], Ok(())),
        ];
        for (bytes, expected) in table {
            assert_eq!(SessionKey::new(bytes.clone()).map(|_| ()), *expected, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_group_is_what_stands_before_the_first_colon() {
        let table = [
            ("enwiki:MWSession:0123", "enwiki"),
            ("global:group:db:id", "global"),
            ("nocolon", ""),
            (":x", ""),
            ("not a name:x", ""),
            ("schlüssel:x", ""),
        ];
        for (key, group) in table {
            assert_eq!(SessionKey::new(key).unwrap().group(), group);
        }
        let long = format!("{}:x", "g".repeat(MAX_GROUP_BYTES + 1));
        assert_eq!(SessionKey::new(long).unwrap().group(), "");
    }

    #[test]
    fn a_key_is_never_printed() {
        let key = SessionKey::new("enwiki:MWSession:topsecret").unwrap();
        assert_eq!(format!("{key:?}"), "SessionKey(26 bytes)");
    }
}
