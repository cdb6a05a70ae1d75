use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use sessile_core::Version;

use super::engine_dir::EngineDir;
use super::session_state::SessionState;
use super::stored::{RECORD_SPACE, decode_header, group_of_record};
use crate::StoreError;
use crate::engine::{Batch, EngineError};

/// What one stretch of a slow scan did.
#[derive(Debug, Clone, Default)]
pub struct Reaped {
    /// Records that were looked at.
    pub scanned: usize,
    /// Records whose bytes were removed.
    pub removed: usize,
    /// Where the next stretch begins; `None` when the scan came to the end.
    pub next: Option<Bytes>,
}

impl SessionState {
    /// Whether the engine removes by itself what has expired, so that nobody need [look](Self::reap) for it.
    pub fn removes_lapsed(&self) -> bool {
        self.current().engine.removes_lapsed()
    }

    /// Looks at up to `limit` records from `from` on, and removes the bytes of those that no replay can find counted
    /// again. Each node does this when it suits it: it changes no answer and no count.
    pub fn reap(&self, from: Option<&Bytes>, limit: usize) -> Result<Reaped, StoreError> {
        let current = self.current();
        let (mut reaped, candidates) = match self.look_for_expired(&current, from, limit) {
            // A snapshot took its place, or it was closed: there is nothing of it to remove.
            Err(StoreError::Engine(EngineError::Closed { .. })) => return Ok(Reaped::default()),
            looked => looked?,
        };
        if candidates.is_empty() {
            return Ok(reaped);
        }
        // Under the writer's lock, so that no record written since is taken for the one that was seen.
        let writer = self.inner().writer.lock();
        if self.assert_going().is_err() || !Arc::ptr_eq(&current, &self.current()) {
            // Closed, or replaced by a snapshot: there is nothing of it to remove.
            return Ok(Reaped::default());
        }
        let mut batch = Batch::new();
        for (key, version) in candidates {
            let Some(bytes) = current.engine.get(&key)? else { continue };
            let (header, _) = decode_header(&key, &bytes).map_err(|error| current.damaged(&error))?;
            if header.version == version {
                batch.remove(key);
                reaped.removed += 1;
            }
        }
        if !batch.is_empty() {
            current.engine.write(batch)?;
        }
        drop(writer);
        Ok(reaped)
    }

    fn look_for_expired(
        &self,
        current: &EngineDir,
        from: Option<&Bytes>,
        limit: usize,
    ) -> Result<(Reaped, Vec<(Bytes, Version)>), StoreError> {
        // What the last persist made durable, and nothing newer: a crash rewinds the clock to there.
        let horizons = self.persisted_horizons();
        let start = from.map_or(&[RECORD_SPACE][..], |key| key);
        // Whatever it has let go of was there at the last persist, or will be at the next.
        let view = current.engine.view_since_persist()?;
        let (mut looked, mut candidates) = (Reaped::default(), Vec::new());
        for stored in view.scan(Bound::Excluded(start), Bound::Excluded(&[RECORD_SPACE + 1])) {
            let (key, bytes) = stored?;
            let (header, _) = decode_header(&key, &bytes).map_err(|error| current.damaged(&error))?;
            let (namespace, group) = group_of_record(&key).map_err(|error| current.damaged(&error))?;
            looked.scanned += 1;
            if horizons.have_let_go_of(namespace, group, &header) {
                candidates.push((key.clone(), header.version));
            }
            if looked.scanned == limit {
                looked.next = Some(key);
                break;
            }
        }
        Ok((looked, candidates))
    }
}
