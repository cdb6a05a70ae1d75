//! Views of the state on fjall: what was written lately, over the tables.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Readable, Snapshot};

use super::fjall_engine::Shared;
use super::guard::Fault;
use super::pending::{Changes, Merged, merged};
use super::{EngineError, Operation, Scan, View, check_key, is_empty_range};

/// It asks fjall itself, which may keep it waiting: so a view that outlives the engine keeps no table from going.
pub(super) struct FjallView {
    pending: Vec<Arc<Changes>>,
    tables: Snapshot,
    shared: Arc<Shared>,
}

impl FjallView {
    /// Changes, oldest first, over tables.
    pub(super) fn new(pending: Vec<Arc<Changes>>, tables: Snapshot, shared: Arc<Shared>) -> Self {
        Self { pending, tables, shared }
    }
}

impl View for FjallView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(key)?;
        let open = self.shared.open()?;
        match self.pending.iter().rev().find_map(|layer| layer.get(key)) {
            Some(Operation::Put(value)) => Ok(Some(value.clone())),
            Some(Operation::Remove) => Ok(None),
            None => self
                .shared
                .guard
                .read("get", || Ok::<_, fjall::Error>(self.tables.get(&open.keyspace, key)?.map(Bytes::from))),
        }
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        if is_empty_range(from, to) {
            return Box::new(std::iter::empty());
        }
        let iter = self.shared.open().and_then(|open| {
            self.shared.guard.read("scan", || Ok::<_, Fault>(self.tables.range::<&[u8], _>(&open.keyspace, (from, to))))
        });
        match iter {
            Ok(iter) => {
                let tables = FjallScan { iter: Some(iter), shared: &self.shared };
                Box::new(Over { tables: tables.peekable(), pending: merged(&self.pending, from, to).peekable() })
            }
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}

/// Pairs of the tables with the changes over them, in ascending order of both.
struct Over<'a> {
    tables: Peekable<FjallScan<'a>>,
    pending: Peekable<Merged<'a>>,
}

impl Iterator for Over<'_> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // What a damaged table would hide is not to be passed over.
            if let Some(Err(_)) = self.tables.peek() {
                return self.tables.next();
            }
            let Some((changed, _)) = self.pending.peek() else { return self.tables.next() };
            match self.tables.peek() {
                Some(Ok((key, _))) if key < changed => return self.tables.next(),
                Some(Ok((key, _))) if key == *changed => drop(self.tables.next()),
                _ => {}
            }
            if let Some((key, Operation::Put(value))) = self.pending.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}

struct FjallScan<'a> {
    /// `None` after the end or an error: what lies behind a damaged block is not to be taken for the next record.
    iter: Option<fjall::Iter>,
    shared: &'a Shared,
}

impl Iterator for FjallScan<'_> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let iter = self.iter.as_mut()?;
        let item = self
            .shared
            .open()
            .and_then(|_open| self.shared.guard.read("scan", || iter.next().map(fjall::Guard::into_inner).transpose()));
        match item {
            Ok(Some((key, value))) => Some(Ok((key.into(), value.into()))),
            Ok(None) => {
                self.iter = None;
                None
            }
            Err(error) => {
                self.iter = None;
                Some(Err(error))
            }
        }
    }
}
