//! The checksum of the state, which replicas compare at the same place of the log: a hash over the clock, the rules, what
//! every group counts, the tombstones, the history of changes, the namespaces and the remembered answers. It finds damage, not malice: whoever can write the disk can write the hash.

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::{
    Answer, Bucket, GroupName, HistoryEntry, IdempotencyKey, LogTime, MAX_GROUP_BYTES, NamespaceId, ProposerId,
    RulesVersion, StoredNamespace, Tally, TruncatedGroup,
};

/// The most bytes that are hashed of one group: five words of tag and numbers, and its name.
const GROUP_BYTES: usize = 5 + 4 + 8 + 8 + 16 + MAX_GROUP_BYTES;

/// The sum of the hashes of every group's total, every tombstone, every change in the history, every row about
/// namespaces and every answer, modulo 2^64. Order does not matter, and what was
/// added can be taken out, so one change costs the same whatever the number of groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums(u64);

impl Sums {
    pub(crate) fn add(&mut self, hash: u64) {
        self.0 = self.0.wrapping_add(hash);
    }

    pub(crate) fn subtract(&mut self, hash: u64) {
        self.0 = self.0.wrapping_sub(hash);
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

/// The part of a change of the cluster in the checksum of the state.
pub(crate) fn change(index: u64, entry: &HistoryEntry) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(b"change");
    hasher.update(&index.to_le_bytes());
    hasher.update(&entry.at().as_millis().to_le_bytes());
    let change = entry.change();
    for text in [Some(change.who()), Some(change.from()), Some(change.what()), entry.result()] {
        // With their lengths, so that a letter that moves from one to the next is another hash.
        hasher.update(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
        hasher.update(text.unwrap_or_default().as_bytes());
    }
    hasher.digest()
}

/// The part of the highest id of a namespace in the checksum of the state.
pub(crate) fn last_namespace(last: NamespaceId) -> u64 {
    numbers(b"last namespace", &[u64::from(last.number())], &[])
}

/// A namespace's part in the checksum of the state.
pub(crate) fn namespace(id: NamespaceId, stored: &StoredNamespace) -> u64 {
    let StoredNamespace { settings, changed_at, generation, last_generation } = stored;
    let of = [u64::from(id.number()), *changed_at, *generation, *last_generation];
    numbers(b"namespace", &of, &settings.encode())
}

/// The part of a group that was truncated in the checksum of the state.
pub(crate) fn truncated_group(id: NamespaceId, name: &GroupName, group: &TruncatedGroup) -> u64 {
    let of = [u64::from(id.number()), group.generation, group.until.end().as_millis()];
    numbers(b"truncated group", &of, name.as_str().as_bytes())
}

/// The part of what is counted without its groups' names in the checksum of the state.
pub(crate) fn unnamed(id: NamespaceId, until: Bucket) -> u64 {
    numbers(b"unnamed", &[u64::from(id.number()), until.end().as_millis()], &[])
}

/// The part of an answer in the checksum of the state.
pub(crate) fn answer(id: NamespaceId, key: &IdempotencyKey, answer: &Answer) -> u64 {
    let Answer { request, at, outcome } = answer;
    let length = key.as_bytes().len() as u64;
    let of = [u64::from(id.number()), *request as u64, (*request >> 64) as u64, at.as_millis(), length];
    numbers(b"answer", &of, &[key.as_bytes(), &outcome.encode()].concat())
}

/// Numbers, and last what varies in its length.
fn numbers(tag: &[u8], numbers: &[u64], rest: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(tag);
    numbers.iter().for_each(|number| hasher.update(&number.to_le_bytes()));
    hasher.update(rest);
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
