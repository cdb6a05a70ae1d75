//! Hashes that replicas compare. They find damage, not malice: whoever can write the disk can write the hash.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{GroupName, Header, LogTime, MAX_GROUP_BYTES, NamespaceId, ProposerId, RulesVersion, SessionKey, Tally};

/// The most bytes that are hashed of one group: five words of tag and numbers, and its name.
const GROUP_BYTES: usize = 5 + 4 + 8 + 8 + 16 + MAX_GROUP_BYTES;

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

/// The sum of the hashes of every group's total and every tombstone, modulo 2^64. Order does not matter, and what was
/// added can be taken out, so one change costs the same whatever the number of groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums(u64);

impl Sums {
    pub(crate) fn add(&mut self, hash: u64) {
        self.0 = self.0.wrapping_add(hash);
    }

    /// A group's total is another now.
    pub(crate) fn replace(&mut self, namespace: NamespaceId, name: &GroupName, before: &Tally, after: &Tally) {
        self.0 = self.0.wrapping_sub(group(namespace, name, before)).wrapping_add(group(namespace, name, after));
    }
}

/// A group's part in the checksum of the state; one that counts nothing has none, as it is not even there.
fn group(namespace: NamespaceId, name: &GroupName, total: &Tally) -> u64 {
    if total.is_empty() {
        return 0;
    }
    // The name, the only part whose length varies, comes last.
    let mut bytes = [0; GROUP_BYTES];
    let parts: [&[u8]; 6] = [
        b"group",
        &namespace.number().to_le_bytes(),
        &total.keys.to_le_bytes(),
        &total.bytes.to_le_bytes(),
        &total.checksum.to_le_bytes(),
        name.as_str().as_bytes(),
    ];
    let mut used = 0;
    for part in parts {
        bytes[used..used + part.len()].copy_from_slice(part);
        used += part.len();
    }
    xxh3_64(&bytes[..used])
}

/// A tombstone's part in the checksum of the state.
pub(crate) fn tombstone(id: ProposerId, index: u64) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(b"tombstone");
    hasher.update(&id.to_bytes());
    hasher.update(&index.to_le_bytes());
    hasher.digest()
}

/// The checksum of the state.
pub(crate) fn summary(clock: LogTime, rules: RulesVersion, sums: Sums) -> u64 {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&clock.as_millis().to_le_bytes());
    bytes[8..12].copy_from_slice(&rules.number().to_le_bytes());
    bytes[12..].copy_from_slice(&sums.0.to_le_bytes());
    xxh3_64(&bytes)
}
