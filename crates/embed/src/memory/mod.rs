//! A node's memory as one budget: how large it is, and how it is divided. Every queue between HTTP, the log and the
//! other members has a bound in bytes, and this is where all of them come from.

mod limit;

use std::path::Path;

const MIB: u64 = 1024 * 1024;

/// The default budget is so much, one part in so many, of what the machine or cgroup has. The rest is for what no
/// budget counts: the kernel's cache of files, which serves the tables, what the allocator holds back, connections,
/// the program itself.
const PART_OF_AVAILABLE: u64 = 3;
/// Above 1 GiB the kernel's cache serves the tables as well as one in the process would, and outlives a restart. Who
/// wants more says so.
const MOST_BY_DEFAULT: u64 = 1024 * MIB;

/// What the cache gets when nothing else is said: so many parts, of the others' and its own together.
const CACHE_PARTS: u64 = 12;
/// What the others get together: the sum of their parts below.
const OTHER_PARTS: u64 = 20;

/// The smallest cache that still holds the upper index blocks of a store of a few GB.
const LEAST_CACHE: u64 = 8 * MIB;
/// What a value has around it as a command: key, condition, numbers.
const AROUND_A_VALUE: u64 = 64 * 1024;

/// One purpose: its parts of [`OTHER_PARTS`], and between what bounds.
struct Share {
    parts: u64,
    least: u64,
    most: u64,
}

/// Two buffers of which one is written out while the other fills. Above 192 MiB, tables that are written at once grow
/// no better.
const WRITE_BUFFERS: Share = Share { parts: 7, least: 16 * MIB, most: 192 * MIB };
/// Each body is held once more as a command: the next share. A quarter is for small ones (`sessile-http`).
const BODIES: Share = Share { parts: 3, least: MIB, most: 256 * MIB };
/// Commands of this node and of members that do not lead.
const PROPOSALS: Share = Share { parts: 3, least: MIB, most: 256 * MIB };
/// Only what the clients' sockets did not take yet.
const ANSWERS: Share = Share { parts: 1, least: MIB, most: 128 * MIB };
/// 64 MiB are a second of all that a gigabit brings, unanswered.
const FORWARDED: Share = Share { parts: 2, least: MIB, most: 64 * MIB };
/// A cache of 32 MiB and two batches of 8, as large as the log takes them by itself.
const LOG: Share = Share { parts: 2, least: 4 * MIB, most: 48 * MIB };
/// What two connections' windows of 16 MiB may hold.
const REPLICATED: Share = Share { parts: 2, least: 2 * MIB, most: 32 * MIB };

/// The shares of a node's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// For what was read and written lately, and for the tables' filters and indices.
    pub cache: u64,
    /// Writes that are in no table yet.
    pub write_buffers: u64,
    /// Bodies of requests, from before they are read to the answer. For whoever serves the session API, as the next.
    pub bodies: usize,
    /// Answers that clients have not taken yet.
    pub answers: usize,
    /// Commands that wait for a round of the log, or are in one.
    pub proposals: usize,
    /// Commands that were sent to the leader and have no answer.
    pub forwarded: usize,
    /// Entries that a leader sent and that are not in this node's log yet.
    pub replicated: usize,
    /// The log's newest entries, for readers, and those that are being written.
    pub log: usize,
}

impl Share {
    fn of(&self, others: u64) -> u64 {
        (others / OTHER_PARTS * self.parts).clamp(self.least, self.most)
    }
}

impl Memory {
    /// The smallest budget, in bytes: below 64 MiB a few of the largest values fill every queue.
    pub const LEAST_BYTES: u64 = 64 * MIB;

    /// Divides that budget, of [`LEAST_BYTES`](Self::LEAST_BYTES) at least. A cache of that size, where one is asked for, is taken from a budget that was chosen with it
    /// in mind, and else comes on top of what the others get of it. Nothing is so small that a value of `max_value` would
    /// not fit.
    pub fn divide(budget: u64, cache: Option<u64>, max_value: usize) -> Self {
        let budget = budget.max(Self::LEAST_BYTES);
        let others = match cache {
            Some(cache) if cache + Self::LEAST_BYTES <= budget => budget - cache,
            Some(_) | None => budget / (CACHE_PARTS + OTHER_PARTS) * OTHER_PARTS,
        };
        let value = max_value as u64;
        let command = value + AROUND_A_VALUE;
        let write_buffers = WRITE_BUFFERS.of(others);
        let bodies = BODIES.of(others).max(2 * value);
        let proposals = PROPOSALS.of(others).max(command);
        let answers = ANSWERS.of(others).max(value);
        let forwarded = FORWARDED.of(others).max(command);
        let log = LOG.of(others);
        let replicated = REPLICATED.of(others).max(command);
        let rest = write_buffers + bodies + proposals + answers + forwarded + log + replicated;
        let cache = cache.unwrap_or_else(|| budget.saturating_sub(rest)).max(LEAST_CACHE);
        Self {
            cache,
            write_buffers,
            bodies: size(bodies),
            answers: size(answers),
            proposals: size(proposals),
            forwarded: size(forwarded),
            replicated: size(replicated),
            log: size(log),
        }
    }

    /// The budget of a process that is a node and nothing else, in bytes: a third of what the machine or its control group
    /// has, from 64 MiB to 1 GiB.
    pub fn default_budget() -> u64 {
        part_of(limit::available(Path::new("/")))
    }

    /// All shares together.
    pub fn total(&self) -> u64 {
        let &Self { cache, write_buffers, bodies, answers, proposals, forwarded, replicated, log } = self;
        let queues = [bodies, answers, proposals, forwarded, replicated, log];
        cache + write_buffers + queues.iter().map(|&bytes| bytes as u64).sum::<u64>()
    }
}

/// What cannot be asked is taken for a machine that is large enough.
fn part_of(available: Option<u64>) -> u64 {
    available.map_or(MOST_BY_DEFAULT, |bytes| (bytes / PART_OF_AVAILABLE).clamp(Memory::LEAST_BYTES, MOST_BY_DEFAULT))
}

/// No share of a queue is above 256 MiB and a value.
fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: usize = 1 << 20;
    const LARGEST_VALUE: usize = 4 << 20;

    #[test]
    fn the_shares_never_pass_the_budget_and_always_hold_value() {
        for max_value in [1, 4_096, VALUE, LARGEST_VALUE] {
            for megabytes in (64..2_048).chain([4_096, 65_536, 1_048_576]) {
                let shares = Memory::divide(megabytes * MIB, None, max_value);
                assert!(shares.total() <= megabytes * MIB, "{megabytes}, {max_value}: {shares:?}");
                let queues = [shares.bodies, shares.answers, shares.proposals, shares.forwarded, shares.replicated];
                assert!(queues.iter().all(|&bytes| bytes >= max_value), "{megabytes}, {max_value}: {shares:?}");
                assert!(shares.cache >= LEAST_CACHE && shares.write_buffers >= 16 * MIB);
            }
        }
    }

    #[test]
    fn the_shares_of_usual_budgets_in_mebibytes() {
        for (budget, cache, expected) in [
            // The least there is, and what is below.
            (0, None, [22, 16, 6, 2, 6, 4, 4, 4]),
            (64, None, [22, 16, 6, 2, 6, 4, 4, 4]),
            // A third of 512 MiB.
            (170, None, [63, 37, 15, 5, 15, 10, 10, 10]),
            (1_024, None, [464, 192, 96, 32, 96, 64, 48, 32]),
            (16_384, None, [15_408, 192, 256, 128, 256, 64, 48, 32]),
            // A cache that was chosen alone leaves the others what they would have.
            (170, Some(256), [256, 37, 15, 5, 15, 10, 10, 10]),
            // One that was chosen with the budget leaves them the rest.
            (512, Some(256), [256, 89, 38, 12, 38, 25, 25, 25]),
            (512, Some(448), [448, 22, 9, 3, 9, 6, 6, 6]),
        ] {
            let shares = Memory::divide(budget * MIB, cache.map(|cache| cache * MIB), VALUE);
            let Memory { cache, write_buffers, bodies, answers, proposals, forwarded, replicated, log } = shares;
            let queues = [bodies, answers, proposals, forwarded, log, replicated].map(|bytes| bytes as u64);
            let found: Vec<_> = [cache, write_buffers].into_iter().chain(queues).map(|bytes| bytes / MIB).collect();
            assert_eq!(found, expected, "{budget}");
        }
    }

    #[test]
    fn the_default_is_a_third_within_bounds() {
        for (available, budget) in [
            (Some(0), 64),
            (Some(191), 64),
            (Some(513), 171),
            (Some(3_072), 1_024),
            (Some(3_075), 1_024),
            (Some(1 << 30), 1_024),
            (None, 1_024),
        ] {
            assert_eq!(part_of(available.map(|megabytes| megabytes * MIB)), budget * MIB, "{available:?}");
        }
    }
}
