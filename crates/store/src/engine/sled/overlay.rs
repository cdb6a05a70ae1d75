//! What views keep aside of a store whose own iterators see every write that overtakes them.
//!
//! ```text
//! write(k)  ──► for each live view without k: overlay[k] = what k holds now ──► replace k in the tree
//! view(k)   ◄── overlay[k] if there is one, else the tree
//! //! ```
//!
//! Memory: the bytes that writes replace or add while views live, a copy for each view, bounded for all of them
//! together. The view that would pass the bound is given up with [`ViewOverflow`](crate::engine::EngineError::ViewOverflow); writes never are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::engine::guard::Fault;

/// What a record kept aside costs besides its bytes: two handles, their counts and its share of a tree node.
const RECORD_OVERHEAD: usize = 160;

/// What the live views of one store keep aside.
pub(super) struct Overlays {
    live: Mutex<Vec<Weak<Overlay>>>,
    held_bytes: Arc<AtomicUsize>,
    pub(super) limit_bytes: usize,
}

/// What one view keeps aside: the value each replaced key had, or that it had none.
pub(super) struct Overlay {
    /// `None` after an overflow.
    pub(super) replaced: Mutex<Option<Replaced>>,
    held_bytes: Arc<AtomicUsize>,
}

#[derive(Default)]
pub(super) struct Replaced {
    pub(super) before: BTreeMap<Bytes, Option<Bytes>>,
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

    /// For a new view.
    pub(super) fn register(&self) -> Arc<Overlay> {
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
