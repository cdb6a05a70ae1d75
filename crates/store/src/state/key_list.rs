//! Which keys of a namespace are live, from one view, a page at a time.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use sessile_core::{GroupName, Header, Horizons, LogTime, NamespaceId, SessionKey};

use super::engine_dir::EngineDir;
use super::session_state::SessionState;
use super::stored::{decode_header, namespace_prefix, parse_record_key};
use crate::StoreError;
use crate::engine::{View, prefix_end};

/// The most records that one page looks at: a page keeps its thread for some milliseconds.
pub const PAGE_RECORDS: usize = 1_000;

/// The live keys of a namespace, or of one group of it, as they were when the list was begun. The engine keeps what is in it
/// on the disk for as long as the list is there.
pub struct KeyList {
    current: Arc<EngineDir>,
    view: Box<dyn View>,
    horizons: Horizons,
    namespace: NamespaceId,
    group: Option<GroupName>,
    /// Where the next page begins, and where the last one ends.
    from: Bound<Bytes>,
    to: Vec<u8>,
}

/// One live key, and what is kept beside its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedKey {
    /// The key; secret.
    pub key: SessionKey,
    /// What is kept beside its value.
    pub header: Header,
}

impl SessionState {
    /// Begins a list of the live keys of a namespace, or of one group of it. May wait for the disk.
    ///
    /// # Errors
    /// The engine; or the state has ended.
    pub fn list_keys(&self, namespace: NamespaceId, group: Option<GroupName>) -> Result<KeyList, StoreError> {
        self.assert_going()?;
        // The clock first and the records after it, as for every read.
        let horizons = self.shown();
        let current = self.current();
        let view = current.engine.view()?;
        let of_namespace = namespace_prefix(namespace);
        // Those without a group are everywhere among the others.
        let named = group.as_ref().map(GroupName::as_str).filter(|name| !name.is_empty());
        let prefix = match named {
            Some(name) => [&of_namespace, name.as_bytes(), b":"].concat(),
            None => of_namespace.to_vec(),
        };
        let to = prefix_end(&prefix).unwrap_or_default();
        Ok(KeyList { current, view, horizons, namespace, group, from: Bound::Included(prefix.into()), to })
    }
}

impl KeyList {
    /// The time as of which its keys are live.
    pub fn clock(&self) -> LogTime {
        self.horizons.clock
    }

    /// The next of them, in the order of their bytes; `None` at the end. A page may be empty: it looks at
    /// [`PAGE_RECORDS`] records, and not all of them are live. Blocks on the disk.
    ///
    /// # Errors
    /// The engine, or a damaged record.
    pub fn next_page(&mut self) -> Result<Option<Vec<ListedKey>>, StoreError> {
        let from = match &self.from {
            Bound::Included(first) => Bound::Included(&first[..]),
            Bound::Excluded(last) => Bound::Excluded(&last[..]),
            Bound::Unbounded => return Ok(None),
        };
        let (mut page, mut looked, mut last) = (Vec::new(), 0, None);
        for pair in self.view.scan(from, Bound::Excluded(&self.to)).take(PAGE_RECORDS) {
            let (stored_key, stored) = pair?;
            let damaged = |error| self.current.damaged(&error);
            let (header, _) = decode_header(&stored_key, &stored).map_err(damaged)?;
            let (namespace, key) = parse_record_key(&stored_key).map_err(damaged)?;
            let is_in = self.group.as_ref().is_none_or(|group| key.group() == group.as_str());
            if is_in && self.horizons.shows(namespace, key.group(), &header) {
                page.push(ListedKey { key, header });
            }
            (looked, last) = (looked + 1, Some(stored_key));
        }
        self.from = match last {
            Some(last) if looked == PAGE_RECORDS => Bound::Excluded(last),
            _ => Bound::Unbounded,
        };
        Ok(Some(page))
    }

    /// Of which namespace it is.
    pub fn namespace(&self) -> NamespaceId {
        self.namespace
    }
}
