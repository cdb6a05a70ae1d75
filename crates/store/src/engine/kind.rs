//! The engines by name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::{Engine, EngineError, EngineOptions};

/// The storage engines there are; the names are those of `storage.engine` in the config and of the `ENGINE` file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// The default: log-structured, for stores larger than memory.
    Fjall,
    /// sled 0.34: for small stores.
    Sled,
    /// One that a test brings along; no configuration names it.
    Other(OtherEngine),
}

/// Opens a store as [`super::open`] does.
pub type OpenEngine = fn(&Path, EngineOptions) -> Result<Box<dyn Engine>, EngineError>;

/// An engine of somebody else's.
#[derive(Debug, Clone, Copy)]
pub struct OtherEngine {
    /// What it is called.
    pub name: &'static str,
    /// Opens the store in a directory, or creates it if the directory is absent or empty.
    pub open: OpenEngine,
}

impl PartialEq for OtherEngine {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OtherEngine {}

impl EngineKind {
    /// All that can be configured, for suites and help texts.
    pub const ALL: [Self; 2] = [Self::Fjall, Self::Sled];

    /// Whether a store that was closed cleanly reports every damage when it is opened or read. fjall's tables carry
    /// checksums; one flipped bit in sled's file hides records without a word, so such a store is counted at each start.
    pub const fn reports_damage(self) -> bool {
        !matches!(self, Self::Sled)
    }

    /// Whether all that a read finds, and that it finds nothing, is verified against checksums of what was written: of the
    /// list of tables, of their indices and filters, of each block. Then a store need not be read whole after an unclean
    /// stop before it serves.
    pub const fn verifies_reads(self) -> bool {
        matches!(self, Self::Fjall)
    }

    /// The name in config and on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fjall => "fjall",
            Self::Sled => "sled",
            Self::Other(other) => other.name,
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A name that no engine has.
#[derive(Debug, thiserror::Error)]
#[error("unknown storage engine {0:?}: it is fjall or sled")]
pub struct UnknownEngine(pub String);

impl FromStr for EngineKind {
    type Err = UnknownEngine;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| UnknownEngine(name.to_owned()))
    }
}
