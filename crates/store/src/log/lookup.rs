//! Entries that were looked up and are yet to be read.

use std::sync::Arc;

use super::index::Stretch;
use super::segment::SegmentFile;
use super::walk::Walk;
use super::{LogError, LogRecord};

/// Where entries are: first those on disk, then those in memory. The segments stay while this is held.
pub(crate) struct EntryLookup {
    pub(super) stored: Vec<(Stretch, Arc<SegmentFile>)>,
    pub(super) cached: Vec<LogRecord>,
    pub(super) max_bytes: usize,
}

impl EntryLookup {
    /// Whether reading them asks no disk.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.stored.is_empty()
    }

    /// Reads them in order, until their payloads exceed the bytes that were asked for; at least one, if there is one.
    /// What is read from disk is verified.
    ///
    /// # Errors
    /// [`LogError::Damaged`]; [`LogError::Io`].
    pub(crate) fn read(self) -> Result<Vec<LogRecord>, LogError> {
        if self.stored.is_empty() {
            return Ok(self.cached);
        }
        let mut records = Vec::new();
        let mut bytes: usize = 0;
        for (stretch, segment) in &self.stored {
            let file = segment.file()?;
            let mut walk = Walk::new(segment, &file, stretch.end);
            if !walk.entries(stretch, &mut records, &mut bytes, self.max_bytes)? {
                return Ok(records);
            }
        }
        for record in self.cached {
            bytes = bytes.saturating_add(record.payload.len());
            if bytes > self.max_bytes && !records.is_empty() {
                break;
            }
            records.push(record);
        }
        Ok(records)
    }
}
