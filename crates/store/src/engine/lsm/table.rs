use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::{Bound, Deref};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use lsm_tree::{Cache, Checksum, DescriptorTable, InternalValue, Table as TableFile, UserKey};
use xxhash_rust::xxh3::xxh3_128;

use super::lapses::Lapses;
use super::merge::Entry;
use crate::engine::guard::Fault;

/// A table's number, which is its file's name. Never used again.
pub(super) type TableId = u64;

/// What stands behind the directory of sections at a table's end.
const TRAILER_BYTES: u64 = 4 + 1 + 1 + 16 + 8 + 8;
/// A table has a handful of sections of some 30 bytes each.
const MAX_DIRECTORY_BYTES: u64 = 64 * 1024;
/// The only tree of its cache and of its descriptors.
const TREE: u64 = 0;

/// What the list of tables says of one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Facts {
    pub(super) id: TableId,
    /// Bytes of its file.
    pub(super) bytes: u64,
    /// What the caller's clock showed when it was written.
    pub(super) written_at: u64,
    /// Until when its records are needed.
    pub(super) lapses: Lapses,
}

/// What all tables of a store share.
#[derive(Clone)]
pub(super) struct TableContext {
    /// The directory of the tables.
    pub(super) dir: PathBuf,
    /// Blocks of data and of indices.
    pub(super) cache: Arc<Cache>,
    /// Open files.
    pub(super) descriptors: Arc<DescriptorTable>,
    /// A table that holds so many bytes of keys and values is complete.
    pub(super) table_bytes: u64,
}

impl TableContext {
    pub(super) fn path(&self, id: TableId) -> PathBuf {
        self.dir.join(id.to_string())
    }
}

/// An immutable file of records in ascending order of their keys, each key once. Its filter and the top of its index are in
/// memory. The file goes with the last handle once the table is retired.
pub(super) struct Table {
    facts: Facts,
    min: Bytes,
    max: Bytes,
    file: TableFile,
}

impl Deref for Table {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

impl Table {
    /// Opens what the list of tables names.
    pub(super) fn open(context: &TableContext, facts: Facts) -> Result<Self, Fault> {
        let path = context.path(facts.id);
        let damaged = |what: &str| Fault::Library(format!("{} is damaged: {what}", path.display()));
        check_directory(&path, facts.bytes)?;
        let file = TableFile::recover(
            path.clone(),
            // Blocks carry checksums of their own; that of the whole file is compared by nobody.
            Checksum::from_raw(0),
            0,
            TREE,
            context.cache.clone(),
            Some(context.descriptors.clone()),
            true,
            true,
        )?;
        if file.id() != facts.id {
            return Err(damaged("it is another table"));
        }
        let range = &file.metadata.key_range;
        // Copied: what the library hands out holds on to a whole block.
        let (min, max) = (Bytes::copy_from_slice(range.min()), Bytes::copy_from_slice(range.max()));
        if min > max {
            return Err(damaged("its keys are in no order"));
        }
        Ok(Self { facts, min, max, file })
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The smallest key.
    pub(super) fn min(&self) -> &Bytes {
        &self.min
    }

    /// The largest key.
    pub(super) fn max(&self) -> &Bytes {
        &self.max
    }

    /// What it has under a key, which hashes to `hash`: a value, or that it was removed.
    pub(super) fn get(&self, key: &[u8], hash: u64) -> Result<Option<Option<Bytes>>, Fault> {
        let found = self.file.get(key, u64::MAX, hash)?;
        Ok(found.map(|found| (!found.is_tombstone()).then(|| found.value.into())))
    }

    /// Whether it may have a key that hashes to `hash`. Without the disk.
    pub(super) fn may_have(&self, hash: u64) -> Result<bool, Fault> {
        match &self.file.pinned_filter_block {
            Some(filter) => Ok(filter.maybe_contains_hash(hash)?),
            // One of an earlier program, in parts that are not all in memory.
            None => Ok(true),
        }
    }

    /// All entries from the first on, read from the file by itself: nothing of it comes into the cache.
    pub(super) fn scan(&self) -> Result<impl Iterator<Item = Result<Entry, Fault>> + Send + use<>, Fault> {
        Ok(entries(self.file.scan()?))
    }

    /// The entries between two bounds, through the cache.
    pub(super) fn range(
        &self,
        from: Bound<&[u8]>,
        to: Bound<&[u8]>,
    ) -> impl Iterator<Item = Result<Entry, Fault>> + Send + use<> {
        entries(self.file.range((from.map(UserKey::from), to.map(UserKey::from))))
    }

    /// Lets the file go with the last handle. The list of tables on disk must not name it any more.
    pub(super) fn retire(&self) {
        self.file.is_deleted.store(true, Ordering::Release);
    }
}

/// The newest item of each key: a table of an earlier program may hold older ones behind it.
fn entries<I>(items: I) -> impl Iterator<Item = Result<Entry, Fault>> + Send + use<I>
where
    I: Iterator<Item = lsm_tree::Result<InternalValue>> + Send,
{
    let mut last: Option<UserKey> = None;
    let is_newest = move |item: &lsm_tree::Result<InternalValue>| match item {
        Ok(item) => last.replace(item.key.user_key.clone()).as_ref() != Some(&item.key.user_key),
        Err(_) => true,
    };
    items.filter(is_newest).map(|item| {
        let item = item?;
        let value = (!item.is_tombstone()).then_some(item.value);
        Ok(Entry { key: item.key.user_key, value })
    })
}

/// Compares a table's length with the list, and the directory of sections at its end with its checksum, which the library
/// looks at only after it has allocated what the directory's length field says.
///
/// ```text
/// … | directory | "SFA!" 1 0 | xxh3-128 of the directory u128 | its position u64 | its length u64    (little endian)
/// ```
fn check_directory(path: &Path, listed_bytes: u64) -> Result<(), Fault> {
    let damaged = || Fault::Library(format!("{} is damaged", path.display()));
    let mut table = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Fault::Library(format!("{} is missing", path.display())));
        }
        opened => opened?,
    };
    if table.metadata()?.len() != listed_bytes {
        return Err(damaged());
    }
    let end = listed_bytes.checked_sub(TRAILER_BYTES).ok_or_else(damaged)?;
    let mut trailer = Vec::new();
    table.seek(SeekFrom::Start(end))?;
    table.by_ref().take(TRAILER_BYTES).read_to_end(&mut trailer)?;
    let [b'S', b'F', b'A', b'!', 1, 0, rest @ ..] = trailer.as_slice() else { return Err(damaged()) };
    let (checksum, rest) = rest.split_first_chunk::<16>().ok_or_else(damaged)?;
    let (position, _) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let position = u64::from_le_bytes(*position);
    let length = end.checked_sub(position).filter(|length| *length <= MAX_DIRECTORY_BYTES).ok_or_else(damaged)?;
    let mut directory = Vec::new();
    table.seek(SeekFrom::Start(position))?;
    table.take(length).read_to_end(&mut directory)?;
    if xxh3_128(&directory) == u128::from_le_bytes(*checksum) { Ok(()) } else { Err(damaged()) }
}
