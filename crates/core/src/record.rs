use std::fmt;

use bytes::Bytes;

use crate::digest::value_hash;
use crate::{Bucket, LogTime, NamespaceId, SessionKey, digest};

/// Tells one write of a key from every other: the log index of the entry that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Version(u64);

impl Version {
    /// The write at that log index.
    pub const fn new(log_index: u64) -> Self {
        Self(log_index)
    }

    /// The log index of the write.
    pub const fn log_index(self) -> u64 {
        self.0
    }
}

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
}

impl Header {
    /// The record's part in the checksum of the state.
    pub fn digest(&self, namespace: NamespaceId, key: &SessionKey) -> u128 {
        digest::record(namespace, key, self)
    }
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
