use std::fmt;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{Bucket, LogTime, NamespaceId, SessionKey, Ttl, Version};

/// What is kept beside a value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Header {
    /// The namespace's generation at the write; a record of an older one is absent.
    pub namespace_generation: u64,
    /// The group's generation at the write; a record of an older one is absent.
    pub group_generation: u64,
    /// From this point of the replicated clock on the record is absent.
    pub expires_at: LogTime,
    /// The bucket in which the record is counted until that passes.
    pub bucket: Bucket,
    /// Whether it is counted under its group's name, or with those for whose groups there was no room.
    pub counted_by_name: bool,
    /// Which write this is.
    pub version: Version,
    /// How many bytes the value has.
    pub value_bytes: u64,
    /// [`value_hash`] of the value; every read verifies it.
    pub value_hash: u64,
    /// The lifetime that its last write or renewal gave, of records that reads renew. Not in the form that a header had
    /// first: whoever stores one stores this behind it.
    #[serde(skip)]
    pub lifetime: Option<Ttl>,
}

impl Header {
    /// A record's part in the checksum of the state: over namespace, key and every field of the header, and through the
    /// header's hash over the value. Parts are added, so their order does not matter.
    pub fn digest(&self, namespace: NamespaceId, key: &SessionKey) -> u128 {
        let Header {
            namespace_generation,
            group_generation,
            expires_at,
            bucket,
            counted_by_name,
            version,
            value_bytes,
            value_hash,
            lifetime,
        } = self;
        // What has none has the digest of before there were lifetimes.
        let mut hasher = Xxh3::with_seed(lifetime.map_or(0, |ttl| ttl.as_secs().unwrap_or(u64::MAX)));
        // The key, the only part whose length varies, comes last, so no two records feed the hash the same bytes.
        for number in [
            u64::from(namespace.number()),
            *namespace_generation,
            *group_generation,
            expires_at.as_millis(),
            bucket.end().as_millis(),
            u64::from(*counted_by_name),
            version.log_index(),
            *value_bytes,
            *value_hash,
        ] {
            hasher.update(&number.to_le_bytes());
        }
        hasher.update(key.as_bytes());
        hasher.digest128()
    }

    /// The lifetime that a read at that time gives the record again: one that is in the last half of it.
    pub fn due_renewal(&self, clock: LogTime) -> Option<Ttl> {
        let lifetime = self.lifetime?;
        let half = lifetime.as_secs()?.saturating_mul(1_000) / 2;
        (self.expires_at.since(clock).as_millis() <= u128::from(half)).then_some(lifetime)
    }
}

/// The hash of a value that its header holds. It finds damage, not malice: whoever can write the disk can write the hash.
pub fn value_hash(value: &[u8]) -> u64 {
    xxh3_64(value)
}

/// A value and its header. The value is secret: `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// What is kept beside the value.
    pub header: Header,
    /// What the client stored; the store never looks inside.
    pub value: Bytes,
}

impl Record {
    /// Whether the value is the one that was written.
    pub fn is_intact(&self) -> bool {
        self.header.value_bytes == self.value.len() as u64 && self.header.value_hash == value_hash(&self.value)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes, {:?})", self.value.len(), self.header)
    }
}
