use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::buffer::{Changes, source};
use super::merge::{Entry, MergeIter};
use super::runs::Runs;
use super::shared::Shared;
use crate::engine::guard::Fault;
use crate::engine::{EngineError, Operation, Scan, View, check_key, is_empty_range};

/// The state of one moment: what was written lately, over tables, whose files stay as long as the view.
pub(super) struct LsmView {
    /// Oldest first.
    layers: Vec<Arc<Changes>>,
    runs: Arc<Runs>,
    shared: Arc<Shared>,
}

impl LsmView {
    pub(super) fn new(layers: Vec<Arc<Changes>>, runs: Arc<Runs>, shared: Arc<Shared>) -> Self {
        Self { layers, runs, shared }
    }
}

impl View for LsmView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        check_key(key)?;
        let _open = self.shared.open()?;
        match self.layers.iter().rev().find_map(|layer| layer.get(key)) {
            Some(Operation::Put(value)) => Ok(Some(value.clone())),
            Some(Operation::Remove) => Ok(None),
            None => self.shared.read("get", || self.runs.get(key)),
        }
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        if is_empty_range(from, to) {
            return Box::new(std::iter::empty());
        }
        let entries = self.shared.open().and_then(|_open| {
            self.shared.read("scan", || {
                let layers = self.layers.iter().rev().map(|layer| source(layer, from, to));
                Ok::<_, Fault>(MergeIter::new(layers.chain(self.runs.sources(from, to)).collect()))
            })
        });
        match entries {
            Ok(entries) => Box::new(Pairs { entries: Some(entries), shared: &self.shared }),
            Err(error) => Box::new(std::iter::once(Err(error))),
        }
    }
}

/// What is there, in ascending order.
struct Pairs<'a> {
    /// `None` after the end or an error.
    entries: Option<MergeIter<'a>>,
    shared: &'a Shared,
}

impl Iterator for Pairs<'_> {
    type Item = Result<(Bytes, Bytes), EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let entries = self.entries.as_mut()?;
        let next = self.shared.open().and_then(|_open| {
            self.shared.read("scan", || {
                let there = entries.find_map(|entry| match entry {
                    Ok(Entry { key, value }) => value.map(|value| Ok((Bytes::from(key), Bytes::from(value)))),
                    Err(fault) => Some(Err(fault)),
                });
                there.transpose()
            })
        });
        let next = next.transpose();
        if !matches!(next, Some(Ok(_))) {
            self.entries = None;
        }
        next
    }
}
