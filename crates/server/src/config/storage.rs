use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Where and how the state is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// An absolute path: later changes of the working directory change nothing.
    pub data_dir: PathBuf,
    /// What keeps it.
    pub engine: Engine,
    /// For the engine's block cache, in bytes.
    pub cache_bytes: u64,
}

impl Storage {
    /// Where `serve` keeps it when the file names no place.
    pub const DEFAULT_DATA_DIR: &'static str = "/var/lib/sessile";
    /// A quarter of a million sessions of 1 KB: what is rewritten and read again within minutes on a busy wiki.
    pub const DEFAULT_CACHE_MB: u64 = 256;
    /// Below 8 MiB index blocks push each other out; a TiB is more than any machine this runs on has.
    pub(super) const CACHE_MB: RangeInclusive<u64> = 8..=1024 * 1024;
}

/// A storage engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// The default.
    #[default]
    Fjall,
    /// For small stores; outlives `kill -9`, not the power cord.
    Sled,
}

impl Engine {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Fjall, Self::Sled];

    /// The engine of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|engine| engine.name() == name)
    }

    /// As it stands in a file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
