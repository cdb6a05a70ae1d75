use std::collections::{BTreeMap, VecDeque};

/// The distance of the indices whose checksums are kept for members that are close to each other.
const NEAR_STEP: u64 = 64;
/// How many of these: members that are 4,096 entries apart still share one.
const NEAR_KEPT: usize = 64;
/// The distance for members that are far apart.
const FAR_STEP: u64 = 16_384;
/// How many of these: a quarter of a million entries.
const FAR_KEPT: usize = 16;

/// Whether members compare the state's checksum right after the entry at this index.
pub(super) fn is_compared(index: u64) -> bool {
    index.is_multiple_of(NEAR_STEP)
}

/// The state's checksum at chosen places of the log, so that two members that applied differently far still have one
/// to compare. Kept in memory only: a start finds the next ones soon.
#[derive(Debug, Default)]
pub(super) struct Checksums {
    near: VecDeque<(u64, u64)>,
    far: VecDeque<(u64, u64)>,
}

impl Checksums {
    /// Notes the checksum right after an entry at one of those places.
    pub(super) fn note(&mut self, index: u64, checksum: u64) {
        let noted = (index, checksum);
        let keep = |kept: &mut VecDeque<_>, most| {
            if kept.len() == most {
                kept.pop_front();
            }
            kept.push_back(noted);
        };
        keep(&mut self.near, NEAR_KEPT);
        if index.is_multiple_of(FAR_STEP) {
            keep(&mut self.far, FAR_KEPT);
        }
    }

    /// All of them, each place once, in the log's order.
    pub(super) fn all(&self) -> Vec<(u64, u64)> {
        let all: BTreeMap<u64, u64> = self.far.iter().chain(&self.near).copied().collect();
        all.into_iter().collect()
    }
}
