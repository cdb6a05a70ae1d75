use std::path::Path;

use super::cached::Cached;
use super::lsm::LsmEngine;
use super::sled::SledEngine;
use super::{Engine, EngineError, EngineKind, EngineOptions, MIN_CACHE_BYTES};

/// Opens the store of `kind` in `dir`, or creates it if the directory is absent or empty. Recovers a directory whose
/// creation was cut short.
///
/// # Errors
/// `WrongEngine`, `NewerFormat`, `Foreign`: the directory is somebody else's, and nothing in it was changed. `Locked`:
/// it is open, here or in another process. `Io`, `Backend`: the store is damaged or the disk fails.
pub fn open(kind: EngineKind, dir: &Path, options: EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    let options = EngineOptions { cache_bytes: options.cache_bytes.max(MIN_CACHE_BYTES), ..options };
    Ok(match kind {
        EngineKind::Fjall => Box::new(LsmEngine::open(dir, options)?),
        EngineKind::Sled => Box::new(SledEngine::open(dir, &options)?),
        EngineKind::Other(other) => (other.open)(dir, options)?,
    })
}

/// The same, with half of the memory for whole values and half for the engine's blocks or pages.
///
/// # Errors
/// As [`open`].
pub fn open_cached(kind: EngineKind, dir: &Path, options: EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    let cache_bytes = options.cache_bytes / 2;
    let engine = open(kind, dir, EngineOptions { cache_bytes, ..options })?;
    Ok(Box::new(Cached::new(engine, cache_bytes)))
}
