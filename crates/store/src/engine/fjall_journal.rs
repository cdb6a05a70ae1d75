//! fjall's journals, as earlier programs of ours wrote them and a crash left them, read over its shoulder.
//!
//! Its recovery takes a damaged tag or length for the end of the file and drops what follows, persisted or not; and it
//! refuses the whole store for a bad checksum, also where a power cut merely tore what was never persisted (a value of
//! several pages with one of them still zero). The two cannot be told apart from the file alone. So each persist of those
//! programs noted how far the newest journal was good when it was fsynced:
//!
//! ```text
//! dir/JOURNAL: number u64 | length u64 | xxh3-64 of both u64    (little endian), replaced atomically
//! ```
//!
//! At start a bad batch before that length is damage and refused, one behind it is a torn tail and cut. An older journal
//! was fsynced whole before fjall made the next, so it must be good to its end.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::guard::Fault;
use super::home::sync_dir;
use super::{MAX_KEY_BYTES, MAX_VALUE_BYTES};

const MARK: &str = "JOURNAL";
/// fjall's journal entries, as its `journal/entry.rs` writes them.
const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const TRAILER: [u8; 4] = *b"FJL\x03";
/// Read ahead this much: a journal is read once from front to back.
const BUFFER_BYTES: usize = 256 * 1024;

/// How far a journal is known to be on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reach {
    journal: u64,
    bytes: u64,
}

/// The journals of one store.
#[derive(Debug)]
pub(super) struct Journals {
    dir: PathBuf,
    data: PathBuf,
}

impl Journals {
    /// Of the store in `dir`, whose library files are in `data`. Nothing is read yet.
    pub(super) fn new(dir: &Path, data: &Path) -> Self {
        Self { dir: dir.to_path_buf(), data: data.to_path_buf() }
    }

    /// Before fjall opens the store: refuses damage in what was persisted, cuts a torn tail behind it.
    pub(super) fn check(&self) -> Result<(), Fault> {
        let persisted = read_mark(&self.dir)?.unwrap_or_default();
        let journals = list(&self.data)?;
        let newest = journals.last().map(|(number, _)| *number);
        if newest.is_none_or(|newest| newest < persisted.journal) {
            return Err(Fault::Library(format!("the journal is missing in {}", self.data.display())));
        }
        let mut sequence = 0;
        for (number, path) in journals {
            let damaged = |at| Fault::Library(format!("{} is damaged at byte {at}", path.display()));
            let good = good_until(&path, &mut sequence)?;
            if number == persisted.journal && good < persisted.bytes {
                return Err(damaged(good));
            }
            if !is_zero_from(&path, good)? {
                if Some(number) != newest {
                    return Err(damaged(good));
                }
                let journal = File::options().write(true).open(&path)?;
                journal.set_len(good)?;
                journal.sync_all()?;
            }
        }
        Ok(())
    }

    /// After everything was flushed into tables and fjall was closed. The files stay, because fjall takes its next
    /// sequence number from the tables only if it finds a journal; empty, because a batch's sequence number is under no
    /// checksum, and one that a flipped bit made higher would be replayed over newer ones.
    pub(super) fn empty(&self) -> Result<(), Fault> {
        match fs::remove_file(self.dir.join(MARK)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => sync_dir(&self.dir)?,
        }
        for (_, path) in list(&self.data)? {
            let journal = File::options().write(true).open(path)?;
            journal.set_len(0)?;
            journal.sync_all()?;
        }
        Ok(())
    }
}

fn read_mark(dir: &Path) -> Result<Option<Reach>, Fault> {
    let path = dir.join(MARK);
    let mark = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        mark => mark?,
    };
    let word = |at: usize| mark.get(at..at + 8).and_then(|word| word.try_into().ok()).map(u64::from_le_bytes);
    match (word(0), word(8), word(16), mark.len()) {
        (Some(journal), Some(bytes), Some(checksum), 24) if checksum == xxh3_64(&mark[..16]) => {
            Ok(Some(Reach { journal, bytes }))
        }
        _ => Err(Fault::Library(format!("{} is damaged", path.display()))),
    }
}

/// The journals by ascending number.
fn list(data: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == "jnl");
        let number = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
        if let (true, Some(number)) = (is_journal, number) {
            journals.push((number, path));
        }
    }
    journals.sort_unstable();
    Ok(journals)
}

/// Where the last good batch ends. `sequence` is that of the batch before and after.
fn good_until(path: &Path, sequence: &mut u64) -> io::Result<u64> {
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, File::open(path)?);
    let (mut good, mut item) = (0, Vec::new());
    loop {
        match read_batch(&mut reader, &mut item) {
            Ok(Some((bytes, number))) if number > *sequence || good == 0 && *sequence == 0 => {
                good += bytes;
                *sequence = number;
            }
            Ok(_) => return Ok(good),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(good),
            Err(error) => return Err(error),
        }
    }
}

/// The length of the next batch and its sequence number; `None` if it is not a good one. Allocates one item at most,
/// within the bounds of keys and values.
fn read_batch(reader: &mut impl Read, item: &mut Vec<u8>) -> io::Result<Option<(u64, u64)>> {
    let [START, a, b, c, d, sequence @ ..] = read::<13>(reader)? else { return Ok(None) };
    let mut bytes = 13;
    let mut hasher = Xxh3::new();
    for _ in 0..u32::from_le_bytes([a, b, c, d]) {
        // tag, type, compression, keyspace u64, key length u16, value length u32, value length on disk u32
        let header = read::<21>(reader)?;
        let [ITEM, _, 0, _, _, _, _, _, _, _, _, k0, k1, v0, v1, v2, v3, d0, d1, d2, d3] = header else {
            return Ok(None);
        };
        let key_bytes = usize::from(u16::from_le_bytes([k0, k1]));
        let value_bytes = usize::try_from(u32::from_le_bytes([v0, v1, v2, v3])).unwrap_or(usize::MAX);
        if key_bytes > MAX_KEY_BYTES || value_bytes > MAX_VALUE_BYTES || [v0, v1, v2, v3] != [d0, d1, d2, d3] {
            return Ok(None);
        }
        item.resize(key_bytes + value_bytes, 0);
        reader.read_exact(item)?;
        hasher.update(&header);
        hasher.update(item);
        bytes += header.len() as u64 + item.len() as u64;
    }
    let [END, checksum @ .., t0, t1, t2, t3] = read::<13>(reader)? else { return Ok(None) };
    let is_good = [t0, t1, t2, t3] == TRAILER && u64::from_le_bytes(checksum) == hasher.digest();
    Ok(is_good.then_some((bytes + 13, u64::from_le_bytes(sequence))))
}

fn read<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    reader.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Whether nothing was ever written from there on: a new journal is 64 MiB of zeros.
fn is_zero_from(path: &Path, from: u64) -> io::Result<bool> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
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
