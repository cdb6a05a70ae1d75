use std::collections::VecDeque;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use sessile_core::State;
use sessile_core::injected::chunks;
use xxhash_rust::xxh3::Xxh3;

use super::offer::Offer;
use super::snapshot_wire::{Item, encode_chunk};
use super::stored::{APPLIED_KEY, Applied, OWNER_KEY, Owner, ROW_SPACE, decode_record, parse_record_key, parse_row};
use crate::codec::{CodecError, unseal};
use crate::engine::View;
use crate::types::position;
use crate::{StoreError, wire};

/// The most bytes of a chunk; one large item may exceed it. Far below what a gRPC message may have, and large enough
/// that its own costs do not matter.
const MAX_CHUNK_BYTES: usize = 256 * 1024;
/// What a chunk has besides its items' bytes: numbers and lengths.
const CHUNK_OVERHEAD: usize = 64;
/// What an item has besides its own bytes: a tag and a length.
const ITEM_OVERHEAD: usize = 8;

/// How many chunks back the stream can go on from, 32 MiB: more than what can be on its way between two nodes (a window of
/// 8 MiB, the queues of both ends, and what the kernels hold).
const KEPT_PLACES: usize = 128;

/// A snapshot as a stream of chunks. Ends after the last one, or after the first error, which is a fault of this node's
/// state: it must stop.
///
/// After a transfer broke, it goes on from where the receiver is ([`SnapshotChunks::go_on_from`]).
pub struct SnapshotChunks {
    view: Option<Arc<dyn View>>,
    dir: PathBuf,
    /// Why there is nothing to read.
    failed: Option<StoreError>,
    /// The rows so far: they come first, and tell which records still count.
    state: State,
    /// The last row in it. What is read again after a break is counted once.
    last_row: Bytes,
    place: Place,
    /// Where the chunks lately made began.
    kept: VecDeque<Place>,
    ended: bool,
    /// Kept, so that others get the same snapshot meanwhile.
    _offer: Option<Arc<Offer>>,
}

/// Where a chunk begins, and what came before it.
#[derive(Clone)]
struct Place {
    sequence: u64,
    /// The last key that was looked at.
    from: Bytes,
    records: u64,
    bytes: u64,
    hasher: Xxh3,
}

impl SnapshotChunks {
    pub(super) fn new(view: Result<Arc<dyn View>, StoreError>, dir: PathBuf) -> Self {
        let (view, failed) = match view {
            Ok(view) => (Some(view), None),
            Err(error) => (None, Some(error)),
        };
        let from = Bytes::from_static(&[ROW_SPACE]);
        Self {
            view,
            dir,
            failed,
            state: State::default(),
            last_row: from.clone(),
            place: Place { sequence: 0, from, records: 0, bytes: 0, hasher: Xxh3::new() },
            kept: VecDeque::new(),
            ended: false,
            _offer: None,
        }
    }

    pub(super) fn of(offer: &Arc<Offer>) -> Self {
        Self { _offer: Some(offer.clone()), ..Self::new(Ok(offer.view.clone()), offer.dir.clone()) }
    }

    /// Makes that chunk the next one: the first that the receiver has not taken. Says whether it is known where it begins;
    /// if not, nothing was changed, and the transfer must begin anew.
    pub fn go_on_from(&mut self, sequence: u64) -> bool {
        if sequence == self.place.sequence {
            return true;
        }
        let Some(place) = self.kept.iter().find(|place| place.sequence == sequence).cloned() else { return false };
        self.kept.retain(|kept| kept.sequence < sequence);
        (self.place, self.ended) = (place, false);
        true
    }

    /// As many items as fit one chunk; none at the end.
    fn items(&mut self, view: &dyn View) -> Result<Vec<wire::SnapshotItem>, StoreError> {
        let (mut items, mut bytes) = (Vec::new(), CHUNK_OVERHEAD);
        let most = chunks().map_or(MAX_CHUNK_BYTES, |chunks| chunks.most_bytes);
        let from = self.place.from.clone();
        for pair in view.scan(Bound::Excluded(&from), Bound::Unbounded) {
            let (key, stored) = pair?;
            let item = self.item(&key, &stored).map_err(|error| StoreError::damaged_state(&self.dir, &error))?;
            if let Some(item) = item {
                bytes += item.encoded_len() + ITEM_OVERHEAD;
                if bytes > most && !items.is_empty() {
                    break;
                }
                self.place.records += u64::from(matches!(item.kind, Some(wire::snapshot_item::Kind::Record(_))));
                items.push(item);
            }
            self.place.from = key;
        }
        Ok(items)
    }

    /// What a pair says, verified; `None` for a record that has left the counts, whose bytes may go at any time.
    fn item(&mut self, key: &Bytes, stored: &Bytes) -> Result<Option<wire::SnapshotItem>, CodecError> {
        if key.first() == Some(&ROW_SPACE) {
            let (name, row) = parse_row(key, stored)?;
            if *key > self.last_row {
                let restored = self.state.restore(name.clone(), row.clone());
                restored.map_err(|_| CodecError::Damaged("a row is stored under the name of another kind"))?;
                self.last_row = key.clone();
            }
            return Item::Row(name, row).into_wire().map(Some);
        }
        let (namespace, session_key) = parse_record_key(key)?;
        let record = decode_record(key, stored)?;
        if self.state.counted_in(namespace, &session_key, &record.header).is_none() {
            return Ok(None);
        }
        Item::Record(namespace, session_key, record).into_wire().map(Some)
    }

    fn totals(&self, view: &dyn View) -> Result<wire::SnapshotTotals, StoreError> {
        let stored = |key| -> Result<Bytes, StoreError> {
            view.get(key)?
                .ok_or_else(|| StoreError::damaged_state(&self.dir, &"it does not say whose it is, or of when"))
        };
        let unreadable = |error: CodecError| StoreError::damaged_state(&self.dir, &error);
        let owner: Owner = unseal(&stored(OWNER_KEY)?).map_err(unreadable)?;
        let applied = Applied::decode(&stored(APPLIED_KEY)?).map_err(unreadable)?;
        Ok(wire::SnapshotTotals {
            records: self.place.records,
            bytes: self.place.bytes,
            xxh3: self.place.hasher.digest(),
            cluster: Bytes::copy_from_slice(&owner.cluster.to_bytes()),
            applied: applied.log_id.map(|id| wire::LogId { term: position(&id).term, index: id.index }),
        })
    }

    fn chunk(&mut self, view: &dyn View) -> Result<Bytes, StoreError> {
        if self.kept.len() == KEPT_PLACES {
            self.kept.pop_front();
        }
        self.kept.push_back(self.place.clone());
        let items = self.items(view)?;
        let totals = if items.is_empty() { Some(self.totals(view)?) } else { None };
        self.ended = totals.is_some();
        let body = Bytes::from(wire::SnapshotBody { items, totals }.encode_to_vec());
        self.place.hasher.update(&body);
        self.place.bytes += body.len() as u64;
        let chunk = encode_chunk(self.place.sequence, body);
        self.place.sequence += 1;
        Ok(chunk)
    }
}

impl Iterator for SnapshotChunks {
    type Item = Result<Bytes, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        if self.ended {
            return None;
        }
        let view = self.view.clone()?;
        let chunk = self.chunk(&*view);
        if chunk.is_err() {
            self.view = None;
        }
        Some(chunk)
    }
}
