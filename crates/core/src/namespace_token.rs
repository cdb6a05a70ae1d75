//! The tokens of a namespace: who shows one may do what it allows. A namespace without tokens is open to everybody.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::wire;
use crate::{LogTime, NamespaceName};

/// The most tokens of a namespace. A kind of client has one, and a second one while it is being replaced; each is compared
/// with what every request shows, and is in memory on every member.
pub const MAX_TOKENS: usize = 16;

/// How exactly it is kept when a token was last used. More would be an entry of the log for every request.
const USE_PRECISION: Duration = Duration::from_secs(3_600);

/// The name of a token, unique in its namespace. It is formed as that of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(NamespaceName);

/// Text that is no token's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token's name is 1 to {max} of a-z 0-9 _ -, and begins with a letter", max = crate::MAX_NAMESPACE_NAME_BYTES)]
pub struct TokenNameError;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenRight {
    /// To read.
    Read,
    /// To write and to remove.
    Write,
    /// All of it.
    Both,
}

/// The SHA-256 of a token. The token itself is nowhere: whoever has the state cannot show it. `Debug` shows none of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenHash([u8; 32]);

/// A token, as a namespace knows it. Encoded as protobuf wherever it is stored or sent, so that later programs can add to it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(into = "Vec<u8>", try_from = "Vec<u8>")]
pub struct NamespaceToken {
    /// What it allows.
    pub right: TokenRight,
    /// By what it is recognised.
    pub hash: TokenHash,
    /// The replicated clock when it was added.
    pub added_at: LogTime,
    /// The beginning of the hour in which it was used last ([`NamespaceToken::use_at`]); `None` if it never was.
    pub used_at: Option<LogTime>,
}

/// Bytes that are no token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a namespace's token: {0}")]
pub struct TokenError(&'static str);

impl TokenName {
    /// Takes the text when it is a token's name.
    ///
    /// # Errors
    /// It is none.
    pub fn new(text: &str) -> Result<Self, TokenNameError> {
        NamespaceName::new(text).map(Self).map_err(|_| TokenNameError)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> Self {
        name.as_str().to_owned()
    }
}

/// What is read back from a disk passes here.
impl TryFrom<String> for TokenName {
    type Error = TokenNameError;

    fn try_from(name: String) -> Result<Self, TokenNameError> {
        Self::new(&name)
    }
}

impl TokenRight {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Both];

    /// As commands and people name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Both => "both",
        }
    }

    /// The right of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
    }

    /// Whether it is enough where that one is needed.
    pub fn covers(self, needed: Self) -> bool {
        self == Self::Both || self == needed
    }
}

impl TokenHash {
    /// Of a token whose SHA-256 that is.
    pub const fn new(sha256: [u8; 32]) -> Self {
        Self(sha256)
    }

    /// The same from bytes of any length; `None` if they are not 32.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes. Who compares them with what a stranger shows does so in constant time.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

impl NamespaceToken {
    /// The bytes that stand for it everywhere.
    pub fn encode(&self) -> Bytes {
        wire::NamespaceToken {
            right: right_to_wire(self.right).into(),
            sha256: Bytes::copy_from_slice(self.hash.as_bytes()),
            added_at_ms: self.added_at.as_millis(),
            used_at_ms: self.used_at.map(LogTime::as_millis),
        }
        .encode_to_vec()
        .into()
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// The bytes are damaged, or hold a right that only a newer program knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, TokenError> {
        let wire = wire::NamespaceToken::decode(bytes).map_err(|_| TokenError("the protobuf is damaged"))?;
        Ok(Self {
            right: right_from_wire(wire.right).ok_or(TokenError("its right is unknown"))?,
            hash: TokenHash::from_bytes(&wire.sha256).ok_or(TokenError("its hash has not 32 bytes"))?,
            added_at: LogTime::from_millis(wire.added_at_ms),
            used_at: wire.used_at_ms.map(LogTime::from_millis),
        })
    }

    /// How a use at that time is kept, if it is news: as the beginning of its hour.
    pub fn use_at(&self, clock: LogTime) -> Option<LogTime> {
        let hour = clock.round_down(USE_PRECISION);
        self.used_at.is_none_or(|known| known < hour).then_some(hour)
    }
}

impl From<NamespaceToken> for Vec<u8> {
    fn from(token: NamespaceToken) -> Self {
        token.encode().into()
    }
}

impl TryFrom<Vec<u8>> for NamespaceToken {
    type Error = TokenError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, TokenError> {
        Self::decode(&bytes)
    }
}

pub(crate) fn right_to_wire(right: TokenRight) -> wire::TokenRight {
    match right {
        TokenRight::Read => wire::TokenRight::Read,
        TokenRight::Write => wire::TokenRight::Write,
        TokenRight::Both => wire::TokenRight::Both,
    }
}

/// `None` for one that only a newer program knows.
pub(crate) fn right_from_wire(right: i32) -> Option<TokenRight> {
    match wire::TokenRight::try_from(right) {
        Ok(wire::TokenRight::Read) => Some(TokenRight::Read),
        Ok(wire::TokenRight::Write) => Some(TokenRight::Write),
        Ok(wire::TokenRight::Both) => Some(TokenRight::Both),
        Ok(wire::TokenRight::Unspecified) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(used_at: Option<u64>) -> NamespaceToken {
        NamespaceToken {
            right: TokenRight::Write,
            hash: TokenHash::new([7; 32]),
            added_at: LogTime::from_millis(1_700_000_000_000),
            used_at: used_at.map(LogTime::from_millis),
        }
    }

    #[test]
    fn a_token_comes_back_as_it_went_and_nonsense_is_refused() {
        for right in TokenRight::ALL {
            for used_at in [None, Some(0), Some(3_600_000)] {
                let token = NamespaceToken { right, ..token(used_at) };
                assert_eq!(NamespaceToken::decode(&token.encode()), Ok(token));
            }
            assert_eq!(TokenRight::named(right.name()), Some(right));
        }
        let wire = wire::NamespaceToken::decode(token(None).encode()).unwrap();
        for broken in [
            wire::NamespaceToken { right: 0, ..wire.clone() },
            wire::NamespaceToken { right: 9, ..wire.clone() },
            wire::NamespaceToken { sha256: Bytes::from_static(&[7; 31]), ..wire },
        ] {
            NamespaceToken::decode(&broken.encode_to_vec()).expect_err("it breaks a rule");
        }
    }

    #[test]
    fn a_right_covers_itself_and_both_covers_all() {
        use TokenRight::{Both, Read, Write};
        for (has, needed, enough) in [
            (Read, Read, true),
            (Read, Write, false),
            (Read, Both, false),
            (Write, Read, false),
            (Write, Write, true),
            (Write, Both, false),
            (Both, Read, true),
            (Both, Write, true),
            (Both, Both, true),
        ] {
            assert_eq!(has.covers(needed), enough, "{has:?} for {needed:?}");
        }
    }

    #[test]
    fn a_use_is_news_once_an_hour() {
        let hour = 3_600_000;
        for (used_at, clock, news) in [
            (None, 5 * hour + 1, Some(5 * hour)),
            (Some(5 * hour), 6 * hour - 1, None),
            (Some(5 * hour), 6 * hour, Some(6 * hour)),
            (Some(5 * hour), 4 * hour, None),
        ] {
            let news = news.map(LogTime::from_millis);
            assert_eq!(token(used_at).use_at(LogTime::from_millis(clock)), news, "{used_at:?} {clock}");
        }
    }

    #[test]
    fn a_name_is_that_of_a_namespace_also_when_it_is_read_back_and_a_hash_is_not_shown() {
        assert!(TokenName::new("wiki-2").is_ok() && TokenName::try_from("a".repeat(64)).is_ok());
        for text in ["", "Wiki", "2nd", "a b", &"a".repeat(65)] {
            assert_eq!(TokenName::try_from(text.to_owned()), Err(TokenNameError), "{text:?}");
        }
        let shown = format!("{:?}", token(None));
        assert!(!shown.contains("07") && !shown.contains("7, 7"), "{shown}");
    }
}
