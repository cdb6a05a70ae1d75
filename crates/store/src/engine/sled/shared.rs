use std::fs::File;

use bytes::Bytes;
use parking_lot::RwLock;

use super::overlay::Overlays;
use crate::engine::guard::{Fault, Guard};
use crate::engine::home::Home;

/// A store that is open: the library's handle and what goes with it.
pub(super) struct Open {
    pub(super) database: sled::Db,
    pub(super) segment_bytes: usize,
    /// Bytes that were written since a write waited for them. When they fill a segment, the write waits for them: with the largest
    /// batch, three of a new store's segments are under way by then, and one each for a `persist` and for sled's own flush.
    pub(super) unflushed_bytes: usize,
    /// Held from the start, for its own view of write-back errors.
    pub(super) file: File,
    pub(super) home: Home,
}

/// What the engine and its views share.
pub(super) struct Shared {
    pub(super) guard: Guard,
    /// A write holds it alone while it keeps aside and applies, a reader shares it for one key or one chunk of a scan.
    /// So a view never sees half of "kept aside, then replaced", and a write waits for one chunk at most.
    pub(super) open: RwLock<Option<Open>>,
    pub(super) overlays: Overlays,
}

/// One value; sled's bytes cannot be shared, so it is a copy.
pub(super) fn get(database: &sled::Db, key: &[u8]) -> Result<Option<Bytes>, Fault> {
    Ok(database.get(key)?.map(|value| Bytes::copy_from_slice(&value)))
}
