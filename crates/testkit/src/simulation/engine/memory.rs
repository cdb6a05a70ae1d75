//! An engine in memory with a journal in a file: what it holds is what the journal holds, so it loses what was not synced
//! when the power goes, and keeps a prefix of its batches, as the engines that ship do.
//!
//! As the merges of those do, it leaves out what nobody needs any more: sooner or later, one record and not another that
//! lapsed with it, and after a crash it may be there again, until the journal is written anew without it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BufMut, Bytes};
use sessile_store::engine::{Batch, Engine, EngineError, EngineKind, EngineOptions, Operation, Retention, Scan, View};

use super::KIND;

const JOURNAL: &str = "journal";
const DRAFT: &str = "journal.new";
/// A longer journal is written anew.
const MAX_JOURNAL_BYTES: u64 = 256 * 1024;
/// In front of each batch: its length and its checksum.
const HEAD_BYTES: usize = 8;

/// After so many batches it leaves out some of what has lapsed: often, so that every order of that and of a crash, a
/// snapshot or a write of the same key is met.
const BATCHES_A_MERGE: u64 = 4;

type Pairs = BTreeMap<Bytes, Bytes>;

struct MemoryEngine {
    dir: PathBuf,
    retention: Option<Arc<dyn Retention>>,
    inner: Mutex<Inner>,
}

struct Inner {
    pairs: Arc<Pairs>,
    /// `None` once it is shut down.
    journal: Option<File>,
    journal_bytes: u64,
    /// How many batches were written since it was opened.
    batches: u64,
}

struct MemoryView(Arc<Pairs>);

pub(super) fn open(dir: &Path, options: EngineOptions) -> Result<Box<dyn Engine>, EngineError> {
    let failed = |source| failed("opening it", dir, source);
    let pairs = replay(dir).map_err(failed)?;
    let (journal, journal_bytes) = begin(dir, &pairs).map_err(failed)?;
    let inner = Inner { pairs: Arc::new(pairs), journal: Some(journal), journal_bytes, batches: 0 };
    Ok(Box::new(MemoryEngine { dir: dir.into(), retention: options.retention, inner: Mutex::new(inner) }))
}

fn failed(operation: &'static str, dir: &Path, source: io::Error) -> EngineError {
    EngineError::Io { engine: KIND.name(), operation, dir: dir.into(), source }
}

/// What the batches of the journal come to, up to the first that is not whole.
fn replay(dir: &Path) -> io::Result<Pairs> {
    let mut pairs = Pairs::new();
    let mut journal = match fs::read(dir.join(JOURNAL)) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(pairs),
        Err(error) => return Err(error),
    };
    while journal.len() >= HEAD_BYTES {
        let (length, checksum) = (journal.get_u32_le() as usize, journal.get_u32_le());
        if length == 0 || length > journal.len() {
            break;
        }
        let batch = journal.split_to(length);
        if crc32c::crc32c(&batch) != checksum {
            break;
        }
        apply(&mut pairs, batch);
    }
    Ok(pairs)
}

fn apply(pairs: &mut Pairs, mut batch: Bytes) {
    while batch.has_remaining() {
        let (key, value) = (batch.get_u32_le() as usize, batch.get_u32_le());
        let key = batch.split_to(key);
        match value.checked_sub(1) {
            Some(value) => drop(pairs.insert(key, batch.split_to(value as usize))),
            None => drop(pairs.remove(&key)),
        }
    }
}

/// A journal of one batch that holds all there is, durably in the old one's place.
fn begin(dir: &Path, pairs: &Pairs) -> io::Result<(File, u64)> {
    let mut all = Vec::new();
    pairs.iter().for_each(|(key, value)| encode(&mut all, key, Some(value)));
    let all = if all.is_empty() { all } else { framed(&all) };
    fs::create_dir_all(dir)?;
    let mut draft = File::create(dir.join(DRAFT))?;
    draft.write_all(&all)?;
    draft.sync_all()?;
    fs::rename(dir.join(DRAFT), dir.join(JOURNAL))?;
    File::open(dir)?.sync_all()?;
    Ok((draft, all.len() as u64))
}

fn encode(batch: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    batch.put_u32_le(length(key));
    // One more than its length; nothing for a removal.
    batch.put_u32_le(value.map_or(0, |value| length(value) + 1));
    batch.put_slice(key);
    batch.put_slice(value.unwrap_or_default());
}

fn framed(batch: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(HEAD_BYTES + batch.len());
    framed.put_u32_le(u32::try_from(batch.len()).unwrap_or(u32::MAX));
    framed.put_u32_le(crc32c::crc32c(batch));
    framed.put_slice(batch);
    framed
}

/// Leaves out half of what has lapsed; which half, is another one every time and the same for one seed.
fn merge(pairs: &mut Arc<Pairs>, retention: &dyn Retention, nth: u64) {
    let now = retention.now();
    let drawn = |key: &[u8]| u64::from(crc32c::crc32c(key)).wrapping_add(nth) & 1 == 0;
    let lapsed = |key: &[u8], value: &[u8]| retention.may_lapse(key) && retention.needed_until(key, value) <= now;
    let left_out = pairs.iter().filter(|(key, value)| drawn(key) && lapsed(key, value));
    let left_out: Vec<Bytes> = left_out.map(|(key, _)| key.clone()).collect();
    if !left_out.is_empty() {
        // A view that is open has them still.
        let pairs = Arc::make_mut(pairs);
        left_out.iter().for_each(|key| drop(pairs.remove(key)));
    }
}

impl MemoryEngine {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn closed(&self) -> EngineError {
        EngineError::Closed { dir: self.dir.clone() }
    }
}

impl Engine for MemoryEngine {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        let inner = self.inner();
        if inner.journal.is_none() {
            return Err(self.closed());
        }
        Ok(inner.pairs.get(key).cloned())
    }

    fn write(&self, batch: Batch) -> Result<(), EngineError> {
        let mut encoded = Vec::with_capacity(batch.bytes() + 16 * batch.len());
        for (key, operation) in batch.operations() {
            let value = match operation {
                Operation::Put(value) => Some(&**value),
                Operation::Remove => None,
            };
            encode(&mut encoded, key, value);
        }
        let framed = framed(&encoded);
        let mut inner = self.inner();
        let journal = inner.journal.as_mut().ok_or_else(|| self.closed())?;
        journal.write_all(&framed).map_err(|source| failed("writing", &self.dir, source))?;
        inner.journal_bytes += framed.len() as u64;
        apply(Arc::make_mut(&mut inner.pairs), encoded.into());
        inner.batches += 1;
        if let Some(retention) = &self.retention
            && inner.batches.is_multiple_of(BATCHES_A_MERGE)
        {
            let nth = inner.batches / BATCHES_A_MERGE;
            merge(&mut inner.pairs, &**retention, nth);
        }
        Ok(())
    }

    fn persist(&self) -> Result<(), EngineError> {
        let mut inner = self.inner();
        let journal = inner.journal.as_ref().ok_or_else(|| self.closed())?;
        let synced = if inner.journal_bytes > MAX_JOURNAL_BYTES {
            begin(&self.dir, &inner.pairs).map(|(journal, bytes)| {
                (inner.journal, inner.journal_bytes) = (Some(journal), bytes);
            })
        } else {
            journal.sync_data()
        };
        synced.map_err(|source| failed("persisting", &self.dir, source))
    }

    fn view(&self) -> Result<Box<dyn View>, EngineError> {
        Ok(Box::new(MemoryView(self.inner().pairs.clone())))
    }

    fn shutdown(&self) -> Result<(), EngineError> {
        if self.inner().journal.is_some() {
            self.persist()?;
            self.inner().journal = None;
        }
        Ok(())
    }

    fn disk_bytes(&self) -> u64 {
        self.inner().journal_bytes
    }

    fn kind(&self) -> EngineKind {
        KIND
    }
}

impl View for MemoryView {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, EngineError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, from: Bound<&[u8]>, to: Bound<&[u8]>) -> Scan<'_> {
        let inverted = match (from, to) {
            (Bound::Included(from) | Bound::Excluded(from), Bound::Included(to) | Bound::Excluded(to)) => from >= to,
            _ => false,
        };
        if inverted {
            return Box::new(std::iter::empty());
        }
        let pairs = self.0.range::<[u8], _>((from, to));
        Box::new(pairs.map(|(key, value)| Ok((key.clone(), value.clone()))))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Values are moments up to which they are needed.
    #[derive(Debug, Default)]
    struct Moments(AtomicU64);

    impl Retention for Moments {
        fn may_lapse(&self, key: &[u8]) -> bool {
            key[0] == b'r'
        }

        fn needed_until(&self, _: &[u8], value: &[u8]) -> u64 {
            value[0].into()
        }

        fn now(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn what_has_lapsed_goes_in_its_own_time_and_nothing_else_does() {
        let dir = tempfile::tempdir().unwrap();
        let moments = Arc::new(Moments::default());
        let options = EngineOptions { retention: Some(moments.clone()), ..EngineOptions::with_cache(0) };
        let engine = open(dir.path(), options).unwrap();
        let put = |key: &str, until: u8| {
            let mut batch = Batch::new();
            batch.put(Bytes::copy_from_slice(key.as_bytes()), Bytes::from(vec![until]));
            engine.write(batch).unwrap();
        };
        let there = |of: &str| engine.view().unwrap().scan_prefix(of.as_bytes()).count();
        for nth in 0..20 {
            put(&format!("r early {nth}"), 10);
            put(&format!("r late {nth}"), 20);
            put(&format!("kept {nth}"), 10);
        }
        assert_eq!((there("r early"), there("r late"), there("kept")), (20, 20, 20));
        let before = engine.view().unwrap();
        moments.0.store(10, Ordering::SeqCst);
        let mut left = Vec::new();
        for nth in 0..2 * BATCHES_A_MERGE {
            put(&format!("another {nth}"), 0);
            left.push(there("r early"));
        }
        assert!(left.iter().any(|left| (1..20).contains(left)), "not all at once: {left:?}");
        assert_eq!((left.last(), there("r late"), there("kept")), (Some(&0), 20, 20));
        assert_eq!(before.scan_prefix(b"r early").count(), 20);
    }
}
