//! Stores of fjall, as earlier programs made them: its tables are taken over as they are.
//!
//! ```text
//! data/keyspaces/1/current        number u64 | xxh3-128 of v<number> u128 | 0 u8    (little endian)
//! data/keyspaces/1/v<number>      levels u8 { runs u8 { tables u32 { number u64 | 0 u8 | checksum u128 | sequence u64 } } }
//! data/keyspaces/1/tables/<number>
//! data/<number>.jnl               a journal, which held nothing since those programs wrote tables alone
//! ```

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_128;

use super::lapses::Lapses;
use super::manifest::{Listed, Manifest, TABLES};
use super::table::Facts;
use crate::access;
use crate::engine::guard::Fault;
use crate::engine::home::sync_dir;

/// The only keyspace that was made; 0 is fjall's own.
const KEYSPACE: &str = "keyspaces/1";
/// A list takes 41 bytes a table: this is 1.5 million tables. What is longer is not read into memory.
const MAX_TABLE_LIST_BYTES: u64 = 64 * 1024 * 1024;
/// Read ahead this much: a journal is 64 MiB of zeros.
const BUFFER_BYTES: usize = 256 * 1024;

/// Makes a list of the tables that fjall's list names, and puts them in their place. A crash in between begins again.
pub(super) fn import(data: &Path, manifest: &Manifest) -> Result<(), Fault> {
    let keyspace = data.join(KEYSPACE);
    if !keyspace.join("current").try_exists()? {
        return Err(Fault::Library(format!("{} has neither a list of tables nor a store of fjall's", data.display())));
    }
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jnl") && !is_zero(&path)? {
            let what = format!("{} holds writes that are in no table, of a program that is too old", path.display());
            return Err(Fault::Library(what));
        }
    }
    let (dir, old_dir) = (data.join(TABLES), keyspace.join(TABLES));
    access::create_dir_all(&dir)?;
    let mut listed = Listed::default();
    for (number, tables) in listed_runs(&keyspace)?.into_iter().enumerate() {
        let mut facts = Vec::with_capacity(tables.len());
        for id in tables {
            let (old, new) = (old_dir.join(id.to_string()), dir.join(id.to_string()));
            // Where it is not, a crash came after it was moved.
            if old.try_exists()? {
                fs::rename(&old, &new)?;
            }
            let bytes = fs::metadata(&new)?.len();
            facts.push(Facts { id, bytes, written_at: 0, lapses: Lapses::unknown(bytes) });
            listed.next = listed.next.max(id + 1);
        }
        listed.runs.push((number as u64, facts));
    }
    listed.next = listed.next.max(listed.runs.len() as u64);
    sync_dir(&dir)?;
    manifest.draft(&listed)?;
    manifest.put_in_place()
}

/// Removes what fjall's store had besides tables, once a list of ours names those.
pub(super) fn clean(data: &Path) -> Result<(), Fault> {
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        if is_journal || path.ends_with("version") || path.ends_with("lock") {
            fs::remove_file(path)?;
        } else if path.ends_with("keyspaces") {
            fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// The tables of each run, the newest first, after the list is compared with the checksum beside it.
fn listed_runs(keyspace: &Path) -> Result<Vec<Vec<u64>>, Fault> {
    let damaged = |file: PathBuf| Fault::Library(format!("{} is damaged", file.display()));
    let current = fs::read(keyspace.join("current"))?;
    let (number, checksum) = match current.as_slice().split_first_chunk::<8>() {
        Some((number, rest)) => match rest.split_first_chunk::<16>() {
            Some((checksum, [0])) => (u64::from_le_bytes(*number), u128::from_le_bytes(*checksum)),
            _ => return Err(damaged(keyspace.join("current"))),
        },
        None => return Err(damaged(keyspace.join("current"))),
    };
    let path = keyspace.join(format!("v{number}"));
    let mut list = Vec::new();
    File::open(&path)?.take(MAX_TABLE_LIST_BYTES).read_to_end(&mut list)?;
    if xxh3_128(&list) != checksum {
        return Err(damaged(path));
    }
    let sections = sfa::Reader::from_reader(&mut Cursor::new(&list)).map_err(|_| damaged(path.clone()))?;
    let section = sections.toc().section(b"tables").ok_or_else(|| damaged(path.clone()))?;
    let place = usize::try_from(section.pos()).ok().zip(usize::try_from(section.pos() + section.len()).ok());
    let tables = place.and_then(|(start, end)| list.get(start..end)).ok_or_else(|| damaged(path.clone()))?;
    parse_runs(tables).ok_or_else(|| damaged(path))
}

fn parse_runs(mut section: &[u8]) -> Option<Vec<Vec<u64>>> {
    const AFTER_NUMBER_BYTES: usize = 1 + 16 + 8;
    let mut runs = Vec::new();
    for _level in 0..section.split_off_first()?.to_owned() {
        for _run in 0..section.split_off_first()?.to_owned() {
            let (tables, rest) = section.split_first_chunk::<4>()?;
            section = rest;
            let mut numbers = Vec::new();
            for _table in 0..u32::from_le_bytes(*tables) {
                let (number, rest) = section.split_first_chunk::<8>()?;
                numbers.push(u64::from_le_bytes(*number));
                section = rest.get(AFTER_NUMBER_BYTES..)?;
            }
            runs.push(numbers);
        }
    }
    Some(runs)
}

fn is_zero(path: &Path) -> Result<bool, Fault> {
    let mut file = File::open(path)?;
    // Compared as a whole: one byte after the other, a build without optimisation takes most of a second.
    let (mut buffer, zeros) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(true),
            count if buffer[..count] != zeros[..count] => return Ok(false),
            _ => {}
        }
    }
}
