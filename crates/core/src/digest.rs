//! Hashes that replicas compare. They find damage, not malice: whoever can write the disk can write the hash.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{Header, NamespaceId, SessionKey};

/// The hash of a value that its header holds.
pub fn value_hash(value: &[u8]) -> u64 {
    xxh3_64(value)
}

/// A record's part in the checksum of the state: over namespace, key and every field of the header, and through the
/// header's hash over the value. Parts are added, so their order does not matter.
pub(crate) fn record(namespace: NamespaceId, key: &SessionKey, header: &Header) -> u128 {
    let Header {
        namespace_generation,
        group_generation,
        expires_at,
        bucket,
        counted_by_name,
        version,
        value_bytes,
        value_hash,
    } = header;
    let mut hasher = Xxh3::new();
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
