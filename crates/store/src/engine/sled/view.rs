//! A consistent view of a sled store: what was kept aside for it, over the tree, merged by key, a chunk at a time.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::overlay::Overlay;
use super::shared::{Shared, get};
use crate::engine::guard::Fault;
use crate::engine::{EngineError, Scan, View, check_key, is_empty_range};

/// A scan looks at so many records under the lock that writes need: about a millisecond, if they are in the cache.
const CHUNK_RECORDS: usize = 256;
/// The same in bytes, for large values, of which one may pass it.
const CHUNK_BYTES: usize = 256 * 1024;

/// [`View`] on sled.
pub(super) struct SledView {
    shared: Arc<Shared>,
    overlay: Arc<Overlay>,
}

impl SledView {
    /// The caller holds `shared.open`, so that no write is between its two steps.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let overlay = shared.overlays.register();
        Self { shared, overlay }
    }

    fn overflow(&self) -> EngineError {
        EngineError::ViewOverflow { dir: self.shared.guard.dir(), limit_bytes: self.shared.overlays.limit_bytes }
    }
}

impl View for SledView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(key)?;
        let open = self.shared.open.read();
        let open = open.as_ref().ok_or_else(|| self.shared.guard.closed())?;
        match self.overlay.replaced.lock().as_ref() {
            None => return Err(self.overflow()),
            Some(replaced) => {
                if let Some(before) = replaced.before.get(key) {
                    return Ok(before.clone());
                }
            }
        }
        self.shared.guard.read("get", || get(&open.database, key))
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        if is_empty_range(from, to) {
            return Box::new(std::iter::empty());
        }
        Box::new(SledScan {
            view: self,
            from: from.map(Bytes::copy_from_slice),
            to: to.map(Bytes::copy_from_slice),
            chunk: VecDeque::new(),
            is_done: false,
        })
    }
}

struct SledScan<'a> {
    view: &'a SledView,
    /// Where the next chunk begins.
    from: Bound<Bytes>,
    to: Bound<Bytes>,
    chunk: VecDeque<(Bytes, Bytes)>,
    is_done: bool,
}

impl Iterator for SledScan<'_> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.chunk.is_empty() && !self.is_done {
            if let Err(error) = self.fill() {
                self.is_done = true;
                return Some(Err(error));
            }
        }
        self.chunk.pop_front().map(Ok)
    }
}

impl SledScan<'_> {
    /// Reads the next chunk under the lock, for as long as its bounds say.
    fn fill(&mut self) -> Result<(), EngineError> {
        let shared = &self.view.shared;
        let open = shared.open.read();
        let open = open.as_ref().ok_or_else(|| shared.guard.closed())?;
        let replaced = self.view.overlay.replaced.lock();
        let Some(replaced) = replaced.as_ref() else { return Err(self.view.overflow()) };
        let merged = shared
            .guard
            .read("scan", || merge(&open.database, &replaced.before, self.from.as_ref(), self.to.as_ref()))?;
        match merged.last_seen {
            Some(key) if !is_empty_range(Bound::Excluded(&key), self.to.as_ref().map(|to| &**to)) => {
                self.from = Bound::Excluded(key);
            }
            _ => self.is_done = true,
        }
        self.chunk = merged.records;
        Ok(())
    }
}

struct Merged {
    records: VecDeque<(Bytes, Bytes)>,
    /// The last key looked at, shown or not; `None` at the end of the range.
    last_seen: Option<Bytes>,
}

/// One chunk of tree and overlay, merged by key; the overlay wins. Removed and added keys count towards the chunk too,
/// so that its time is bounded also where nothing is left to show.
fn merge(
    database: &sled::Db,
    before: &BTreeMap<Bytes, Option<Bytes>>,
    from: Bound<&Bytes>,
    to: Bound<&Bytes>,
) -> Result<Merged, Fault> {
    let mut live = database.range::<&[u8], _>((from.map(|key| &**key), to.map(|key| &**key)));
    let mut next_live = live.next().transpose()?;
    let mut kept = before.range::<Bytes, _>((from, to)).peekable();
    let mut records = VecDeque::new();
    let (mut bytes, mut looked_at) = (0, 0);
    loop {
        let live_is_first = match (&next_live, kept.peek()) {
            (None, None) => return Ok(Merged { records, last_seen: None }),
            (Some((live_key, _)), Some((kept_key, _))) => **live_key < ***kept_key,
            (Some(_), None) => true,
            (None, Some(_)) => false,
        };
        let (key, value) = if live_is_first {
            let Some((key, value)) = next_live.take() else { continue };
            next_live = live.next().transpose()?;
            (Bytes::copy_from_slice(&key), Some(Bytes::copy_from_slice(&value)))
        } else {
            let Some((key, value)) = kept.next() else { continue };
            if next_live.as_ref().is_some_and(|(live_key, _)| **live_key == **key) {
                next_live = live.next().transpose()?;
            }
            (key.clone(), value.clone())
        };
        looked_at += 1;
        if let Some(value) = value {
            bytes += key.len() + value.len();
            records.push_back((key.clone(), value));
        }
        if looked_at >= CHUNK_RECORDS || bytes >= CHUNK_BYTES {
            return Ok(Merged { records, last_seen: Some(key) });
        }
    }
}
