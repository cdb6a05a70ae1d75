//! A consistent view of a sled store, whose own iterators see every write that overtakes them.
//!
//! ```text
//! write(k)  ──► for each live view without k: overlay[k] = what k holds now ──► replace k in the tree
//! view(k)   ◄── overlay[k] if there is one, else the tree
//! scan      ◄── both, merged by key, a chunk at a time
//! ```
//!
//! Memory: the bytes that writes replace or add while views live, a copy for each view, bounded for all of them
//! together. The view that would pass the bound is given up with [`EngineError::ViewOverflow`]; writes never are.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use super::engine::{Shared, get};
use crate::engine::guard::Fault;
use crate::engine::{EngineError, Scan, View, check_key, is_empty_range};

/// A scan looks at so many records under the lock that writes need: about a millisecond, if they are in the cache.
const CHUNK_RECORDS: usize = 256;
/// The same in bytes, for large values, of which one may pass it.
const CHUNK_BYTES: usize = 256 * 1024;
/// What a record kept aside costs besides its bytes: two handles, their counts and its share of a tree node.
const RECORD_OVERHEAD: usize = 160;

/// What the live views of one store keep aside.
pub(super) struct Overlays {
    live: Mutex<Vec<Weak<Overlay>>>,
    held_bytes: Arc<AtomicUsize>,
    limit_bytes: usize,
}

/// What one view keeps aside: the value each replaced key had, or that it had none.
struct Overlay {
    /// `None` after an overflow.
    replaced: Mutex<Option<Replaced>>,
    held_bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Replaced {
    before: BTreeMap<Bytes, Option<Bytes>>,
    bytes: usize,
}

impl Overlays {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { live: Mutex::default(), held_bytes: Arc::default(), limit_bytes }
    }

    /// Bytes kept aside for all live views.
    #[cfg(test)]
    pub(super) fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    fn register(&self) -> Arc<Overlay> {
        let overlay =
            Arc::new(Overlay { replaced: Mutex::new(Some(Replaced::default())), held_bytes: self.held_bytes.clone() });
        let mut live = self.live.lock();
        live.retain(|overlay| overlay.strong_count() > 0);
        live.push(Arc::downgrade(&overlay));
        overlay
    }

    /// Called by a write, alone, before it replaces `keys`. Without a view this reads nothing.
    pub(super) fn keep_aside<'a>(
        &self,
        keys: impl Iterator<Item = &'a Bytes>,
        read: impl Fn(&[u8]) -> Result<Option<Bytes>, Fault>,
    ) -> Result<(), Fault> {
        let live: Vec<Arc<Overlay>> = {
            let mut live = self.live.lock();
            live.retain(|overlay| overlay.strong_count() > 0);
            live.iter().filter_map(Weak::upgrade).collect()
        };
        if live.is_empty() {
            return Ok(());
        }
        for key in keys {
            let mut before = None;
            for overlay in &live {
                if overlay.lacks(key) {
                    let before = match &before {
                        Some(before) => before,
                        None => before.insert(read(key)?),
                    };
                    overlay.keep(key, before, self.limit_bytes);
                }
            }
        }
        Ok(())
    }
}

impl Overlay {
    fn lacks(&self, key: &Bytes) -> bool {
        self.replaced.lock().as_ref().is_some_and(|replaced| !replaced.before.contains_key(key))
    }

    fn keep(&self, key: &Bytes, before: &Option<Bytes>, limit_bytes: usize) {
        let mut slot = self.replaced.lock();
        let Some(replaced) = slot.as_mut() else { return };
        let cost = RECORD_OVERHEAD + key.len() + before.as_ref().map_or(0, Bytes::len);
        if self.held_bytes.fetch_add(cost, Ordering::Relaxed) + cost > limit_bytes {
            self.held_bytes.fetch_sub(cost + replaced.bytes, Ordering::Relaxed);
            *slot = None;
            return;
        }
        replaced.bytes += cost;
        // A copy of the key: the caller's may be a slice of a whole message.
        replaced.before.insert(Bytes::copy_from_slice(key), before.clone());
    }
}

impl Drop for Overlay {
    fn drop(&mut self) {
        if let Some(replaced) = self.replaced.get_mut() {
            self.held_bytes.fetch_sub(replaced.bytes, Ordering::Relaxed);
        }
    }
}

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
