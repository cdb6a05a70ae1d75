use std::ops::RangeInclusive;

use sessile_cluster::NodeConfig;
use sessile_store::engine::EngineKind;

use super::key::{Fallback, Key, KeyBlock, Number, Takes};
use crate::config::storage::Storage;

/// Room for deletes, ticks and a few files of log while somebody makes space.
const DEFAULT_RESERVE_MB: u64 = 256;
/// Below 8 MiB index blocks push each other out; a TiB is more than any machine this runs on has.
const CACHE_MB: RangeInclusive<u64> = 8..=1024 * 1024;
/// Nothing to a PiB.
const RESERVE_MB: RangeInclusive<u64> = 0..=1024 * 1024 * 1024;
/// No longer than what is durable in the state, to a week: the disk has no room for more on a busy node.
const LOG_KEEP_MINUTES: RangeInclusive<u64> = 0..=7 * 24 * 60;
/// What gathers before the state is made durable, to a TiB.
const LOG_KEEP_MB: RangeInclusive<u64> = 64..=1024 * 1024;

pub(super) const STORAGE: KeyBlock = KeyBlock {
    name: "storage",
    words: "Where and how the state is kept. `MiB` are 1,048,576 bytes. [limits.md](limits.md) says what memory and disk are used \
            for.",
    keys: &[
        Key {
            name: "data_dir",
            takes: Takes::Text(|| "the path of a directory".to_owned()),
            default: Fallback::Text(Storage::DEFAULT_DATA_DIR),
            words: "The directory of all that the node keeps; it is made if it is not there. One process has it at a time. A path \
                    that is not absolute is taken from the working directory at start.",
        },
        Key {
            name: "engine",
            takes: Takes::Word(|| EngineKind::ALL.map(EngineKind::name).to_vec()),
            default: Fallback::Text("fjall"),
            words: "What keeps the sessions. `sled` is for small stores, and promises `kill -9`, not the power cord.",
        },
        Key {
            name: "memory_mb",
            takes: Takes::Number(Number {
                unit: "MiB",
                range: Storage::MEMORY_MB,
                least: "a few of the largest values fill every queue, and clients get 503 `overloaded` sooner",
                most: "a TiB: more than the machines that this is for",
            }),
            default: Fallback::Follows(
                "a third of what the machine or the control group has, from 64 to 1024; `sessile check-config` says what \
                 that is",
            ),
            words: "The budget for all that the node holds in memory and that grows with its work: cache, buffers, queues.",
        },
        Key {
            name: "cache_mb",
            takes: Takes::Number(Number {
                unit: "MiB",
                range: CACHE_MB,
                least: "index blocks push each other out, and many reads go to the disk twice",
                most: "a TiB",
            }),
            default: Fallback::Follows("what the other parts of `memory_mb` leave"),
            words: "The cache's part of the budget. Beside `memory_mb` it must leave 64 MiB for the others; alone it comes on top \
                    of what the others get.",
        },
        Key {
            name: "reserve_mb",
            takes: Takes::Number(Number {
                unit: "MiB",
                range: RESERVE_MB,
                least: "writes go on until only the engine's own reserve is left",
                most: "a PiB: every write is refused on a disk that has less free",
            }),
            default: Fallback::Number(DEFAULT_RESERVE_MB),
            words: "Disk space that writes leave free. With less free on any voter's disk, writes get a 507; reads and deletes go on.",
        },
        Key {
            name: "log_keep_minutes",
            takes: Takes::Number(Number {
                unit: "minutes",
                range: LOG_KEEP_MINUTES,
                least: "entries go as soon as the state holds them durably: a member that was away takes the state whole",
                most: "a week",
            }),
            default: Fallback::Number(NodeConfig::DEFAULT_KEEP_LOG_FOR.as_secs() / 60),
            words: "How long the Raft log keeps entries for members that were away.",
        },
        Key {
            name: "log_keep_mb",
            takes: Takes::Number(Number {
                unit: "MiB",
                range: LOG_KEEP_MB,
                least: "what gathers before the state is made durable",
                most: "a TiB",
            }),
            default: Fallback::Number(NodeConfig::DEFAULT_KEEP_LOG_BYTES / 1024 / 1024),
            words: "The most disk that the kept log takes. It never takes more than a quarter of what is free.",
        },
    ],
};
