//! What this program asks of fjall's files before fjall may open them (its journals: `fjall_journal`).
//!
//! Written against the layout of fjall 3.1: `version`, `keyspaces/<id>/current`, `keyspaces/<id>/v<n>`. A later
//! version that moves them is refused by [`check_files`], not misread.

use std::fs::{self, File};
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::guard::Fault;

/// Names the newest list of tables and its checksum.
const CURRENT: &str = "current";
/// The directory of a keyspace's tables, which are named by their numbers.
pub(super) const TABLES: &str = "tables";
/// A list takes 41 bytes a table: this is 1.5 million tables. What is longer is not read into memory.
const MAX_TABLE_LIST_BYTES: u64 = 64 * 1024 * 1024;
/// What stands behind the directory at a table's end.
const TRAILER_BYTES: u64 = 4 + 1 + 1 + 16 + 8 + 8;
/// A table has a handful of sections of some 30 bytes each.
const MAX_DIRECTORY_BYTES: u64 = 64 * 1024;

/// Refuses a store in which fjall would begin an empty store, keyspace or sequence instead of reporting a loss, or take
/// a damaged list of tables for a good one.
pub(super) fn check_files(data: &Path) -> Result<(), Fault> {
    let missing = |file: &Path| Err(Fault::Library(format!("{} is missing", file.display())));
    let version = data.join("version");
    if !version.try_exists()? {
        return missing(&version);
    }
    // 0 is fjall's own list of keyspaces, 1 the first and only one made here.
    for keyspace in ["0", "1"] {
        let dir = data.join("keyspaces").join(keyspace);
        if !dir.join(CURRENT).try_exists()? {
            return missing(&dir.join(CURRENT));
        }
        // Only what the list names: a table that a crash left half-written is in no list, and fjall removes it.
        for table in listed_tables(&dir)? {
            check_table_directory(&dir.join(TABLES).join(table.to_string()))?;
        }
    }
    Ok(())
}

/// The numbers of the tables that the newest list names, after it is compared with the checksum beside it: lsm-tree
/// writes that checksum and never reads it. A flipped bit in the list would make it take as much memory as a length field
/// says, or forget a table.
///
/// ```text
/// current: number u64 | xxh3-128 of v<number> u128 | 0 u8    (little endian)
/// ```
fn listed_tables(dir: &Path) -> Result<Vec<u64>, Fault> {
    let damaged = |file: PathBuf| Fault::Library(format!("{} is damaged", file.display()));
    let current = fs::read(dir.join(CURRENT))?;
    let (number, checksum) = match current.as_slice().split_first_chunk::<8>() {
        Some((number, rest)) => match rest.split_first_chunk::<16>() {
            Some((checksum, [0])) => (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)),
            _ => return Err(damaged(dir.join(CURRENT))),
        },
        None => return Err(damaged(dir.join(CURRENT))),
    };
    let path = dir.join(format!("v{number}"));
    let mut list = Vec::new();
    File::open(&path)?.take(MAX_TABLE_LIST_BYTES).read_to_end(&mut list)?;
    if xxh3_128(&list) != checksum {
        return Err(damaged(path));
    }
    let sections = sfa::Reader::from_reader(&mut Cursor::new(&list)).map_err(|_| damaged(path.clone()))?;
    let section = sections.toc().section(b"tables").ok_or_else(|| damaged(path.clone()))?;
    let place = usize::try_from(section.pos()).ok().zip(usize::try_from(section.pos() + section.len()).ok());
    let tables = place.and_then(|(start, end)| list.get(start..end)).ok_or_else(|| damaged(path.clone()))?;
    parse_tables(tables).ok_or_else(|| damaged(path))
}

/// ```text
/// levels u8 { runs u8 { tables u32 { number u64 | 0 u8 | checksum u128 | sequence u64 } } }    (little endian)
/// ```
fn parse_tables(mut section: &[u8]) -> Option<Vec<u64>> {
    const AFTER_NUMBER_BYTES: usize = 1 + 16 + 8;
    let mut numbers = Vec::new();
    for _level in 0..section.split_off_first()?.to_owned() {
        for _run in 0..section.split_off_first()?.to_owned() {
            let (tables, rest) = section.split_first_chunk::<4>()?;
            section = rest;
            for _table in 0..u32::from_le_bytes(*tables) {
                let (number, rest) = section.split_first_chunk::<8>()?;
                numbers.push(u64::from_le_bytes(*number));
                section = rest.get(AFTER_NUMBER_BYTES..)?;
            }
        }
    }
    Some(numbers)
}

/// Compares the directory of sections at a table's end with its checksum, which the library looks at only after it has
/// allocated what the directory's length field says.
///
/// ```text
/// … | directory | "SFA!" 1 0 | xxh3-128 of the directory u128 | its position u64 | its length u64    (little endian)
/// ```
fn check_table_directory(path: &Path) -> Result<(), Fault> {
    let damaged = || Fault::Library(format!("{} is damaged", path.display()));
    let mut table = File::open(path)?;
    let bytes = table.metadata()?.len();
    let end = bytes.checked_sub(TRAILER_BYTES).ok_or_else(damaged)?;
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
