use crate::{Header, NamespaceId, SessionKey};

/// How many records there are, what they weigh, and the sum of their digests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Records.
    pub keys: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// The sum of their digests, modulo 2^128. Order does not matter, and what was added can be taken out.
    pub checksum: u128,
}

impl Tally {
    /// What one record counts.
    pub fn of_one(bytes: u64, digest: u128) -> Self {
        Self { keys: 1, bytes, checksum: digest }
    }

    /// What one stored record counts: itself, the bytes of its key and value, and its digest.
    pub(crate) fn of_record(namespace: NamespaceId, key: &SessionKey, header: &Header) -> Self {
        Self::of_one(key.as_bytes().len() as u64 + header.value_bytes, header.digest(namespace, key))
    }

    /// Adds what the other counts.
    pub fn add(&mut self, other: &Self) {
        self.keys = self.keys.wrapping_add(other.keys);
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.checksum = self.checksum.wrapping_add(other.checksum);
    }

    /// Takes out what the other counts; `false`, and nothing done, if there is not as much in here. That is a broken
    /// invariant: the caller stops the replica.
    #[must_use]
    pub fn subtract(&mut self, other: &Self) -> bool {
        let (Some(keys), Some(bytes)) = (self.keys.checked_sub(other.keys), self.bytes.checked_sub(other.bytes)) else {
            return false;
        };
        *self = Self { keys, bytes, checksum: self.checksum.wrapping_sub(other.checksum) };
        true
    }

    /// Whether nothing is counted. A checksum that is left over counts as something.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_cannot_be_taken_out() {
        let mut tally = Tally::of_one(10, 7);
        assert!(!tally.subtract(&Tally::of_one(11, 7)));
        assert_eq!(tally, Tally::of_one(10, 7));
        assert!(tally.subtract(&Tally::of_one(10, 7)));
        assert!(tally.is_empty());
    }
}
