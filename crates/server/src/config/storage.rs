use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use sessile_embed::Memory;
use sessile_store::engine::EngineKind;

/// Where and how the state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// An absolute path: later changes of the working directory change nothing.
    pub data_dir: PathBuf,
    /// What keeps it.
    pub engine: EngineKind,
    /// For everything that the node holds in memory, in bytes; `None` for a share of what the machine or its control
    /// group has.
    pub memory_bytes: Option<u64>,
    /// The part of it for the engine's cache, in bytes; `None` for what the other parts leave.
    pub cache_bytes: Option<u64>,
    /// Disk space that writes must leave free, in bytes; deletes may use it.
    pub reserve_bytes: u64,
    /// How long entries stay in the Raft log for members that were away.
    pub log_keep: Duration,
    /// Disk space that they may take, in bytes.
    pub log_keep_bytes: u64,
}

impl Storage {
    /// What the node holds in memory on this machine, where a value has so many bytes at the most.
    pub(crate) fn memory(&self, max_value: usize) -> Memory {
        Memory::divide(self.memory_bytes.unwrap_or_else(Memory::default_budget), self.cache_bytes, max_value)
    }

    /// Where `serve` keeps it when the file names no place.
    pub const DEFAULT_DATA_DIR: &'static str = "/var/lib/sessile";
    /// Below 64 MiB a few of the largest values fill every queue; a TiB is more than any machine this runs on has.
    pub(super) const MEMORY_MB: RangeInclusive<u64> = 64..=1024 * 1024;
}
