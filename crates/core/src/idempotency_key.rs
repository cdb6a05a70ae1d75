use std::fmt;

use bytes::Bytes;

/// The most bytes of an idempotency key: a UUID has 36, and what clients put together themselves has room.
pub const MAX_IDEMPOTENCY_KEY_BYTES: usize = 128;

/// What a client calls one request by, so that it may send it again (draft-ietf-httpapi-idempotency-key-header): 1 to
/// [`MAX_IDEMPOTENCY_KEY_BYTES`] visible ASCII characters. Who knows it may be told a value again, so it is secret:
/// `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "Vec<u8>", try_from = "Vec<u8>")]
pub struct IdempotencyKey(Bytes);

/// Bytes that are no idempotency key. Never repeats them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to {MAX_IDEMPOTENCY_KEY_BYTES} visible ASCII characters")]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// The key of these characters.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, IdempotencyKeyError> {
        let bytes = bytes.into();
        let fits = (1..=MAX_IDEMPOTENCY_KEY_BYTES).contains(&bytes.len());
        if fits && bytes.iter().all(u8::is_ascii_graphic) { Ok(Self(bytes)) } else { Err(IdempotencyKeyError) }
    }

    /// Its characters.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The same, shared.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdempotencyKey({} bytes)", self.0.len())
    }
}

impl From<IdempotencyKey> for Vec<u8> {
    fn from(key: IdempotencyKey) -> Self {
        key.0.into()
    }
}

impl TryFrom<Vec<u8>> for IdempotencyKey {
    type Error = IdempotencyKeyError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, IdempotencyKeyError> {
        Self::new(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_and_visible_and_is_never_printed() {
        let longest = "k".repeat(MAX_IDEMPOTENCY_KEY_BYTES);
        for (text, good) in [("8e03978e-40d5", true), (&*longest, true), (&*format!("{longest}k"), false)]
            .into_iter()
            .chain([("", false), ("a b", false), ("a\n", false), ("\u{e9}", false)])
        {
            let key = IdempotencyKey::new(text.to_owned());
            assert_eq!(key.is_ok(), good, "{text:?}");
            let shown = format!("{key:?}");
            assert!(text.is_empty() || !shown.contains(text), "{shown}");
        }
    }
}
