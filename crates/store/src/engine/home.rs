//! The directory of a store: whose it is, that it was created to the end, and that one process has it.
//!
//! ```text
//! dir/ENGINE        "sessile-engine <format>\n<name>\n<creating|ready>\n", replaced atomically
//! dir/ENGINE.lock   locked while the store is open
//! dir/data/         the library's own files, and nothing of ours
//! ```
//!
//! `ENGINE` is on disk before the library makes its first file, and says `ready` only after the library is done. So a
//! crash in between is told from a store whose files were lost: the first is begun anew (nobody can have written to
//! it), the second is refused. fjall would otherwise fail for ever on its own half-made files, and take a lost
//! `version` file for an empty store.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::guard::Guard;
use super::{EngineError, EngineKind};
use crate::access;

/// The newest format of a store's directory. Raise it when an older version must not open what this one writes.
const FORMAT: u32 = 2;
/// The format of a store of sled's, which has not changed. In the second, tables are listed by this program and not by fjall.
const SLED_FORMAT: u32 = 1;
const MAGIC: &str = "sessile-engine";
const MARK: &str = "ENGINE";
const MARK_DRAFT: &str = "ENGINE.new";
const LOCK: &str = "ENGINE.lock";
const DATA: &str = "data";
/// A mark is three short lines; whatever is longer is none, and is not read into memory.
const MAX_MARK_BYTES: u64 = 128;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The library may have made some of its files; no write was ever accepted.
    Creating,
    Ready,
}

/// A directory that is ours, locked until this is dropped.
#[derive(Debug)]
pub(super) struct Home {
    dir: PathBuf,
    kind: EngineKind,
    stage: Stage,
    format: u32,
    guard: Guard,
    lock: File,
}

impl Home {
    /// Claims `dir` for `kind`. A directory that is refused is left exactly as it was.
    pub(super) fn claim(kind: EngineKind, dir: &Path) -> Result<Self, EngineError> {
        let guard = Guard::new(kind, dir);
        let io = |operation| move |error: io::Error| Guard::new(kind, dir).error(operation, error.into());
        if !dir.try_exists().map_err(io("looking for the directory"))? {
            create_dir_synced(dir).map_err(io("creating the directory"))?;
        }
        let found = read_mark(kind, dir)?;
        if found.is_none() {
            refuse_strangers(dir).map_err(io("listing the directory"))??;
        }
        let lock = take_lock(dir).map_err(io("locking the directory"))??;
        // Read again under the lock: another process may have created the store while this one looked.
        let (format, stage) = match read_mark(kind, dir)? {
            Some(mark) => mark,
            None => {
                write_mark(dir, kind, Stage::Creating).map_err(io("writing the ENGINE file"))?;
                (format_of(kind), Stage::Creating)
            }
        };
        let home = Self { dir: dir.to_path_buf(), kind, stage, format, guard, lock };
        if stage == Stage::Creating {
            home.begin_anew().map_err(io("preparing the data directory"))?;
        }
        Ok(home)
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the library's files are.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.join(DATA)
    }

    /// Whether the library has yet to create its files.
    pub(super) fn is_new(&self) -> bool {
        self.stage == Stage::Creating
    }

    /// The border guard for calls on this store.
    pub(super) fn guard(&self) -> Guard {
        self.guard.clone()
    }

    /// From now on an older version may not open it: to be called before anything is written that it would not know.
    pub(super) fn upgrade(&mut self) -> io::Result<()> {
        if self.format < format_of(self.kind) {
            write_mark(&self.dir, self.kind, self.stage)?;
            self.format = format_of(self.kind);
        }
        Ok(())
    }

    /// The library's files are complete and on disk: from now on they may not go missing.
    pub(super) fn created(&mut self) -> Result<(), EngineError> {
        if self.stage == Stage::Creating {
            // Libraries sync what they put into a directory, and not always the name of the directory itself.
            sync_dirs(&self.data())
                .and_then(|()| write_mark(&self.dir, self.kind, Stage::Ready))
                .map_err(|error| self.guard.error("writing the ENGINE file", error.into()))?;
            self.stage = Stage::Ready;
        }
        Ok(())
    }

    /// An empty data directory. Only for a store whose creation was cut short: no write was accepted, nothing is lost.
    fn begin_anew(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.data()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        access::create_dir(self.data())?;
        sync_dir(&self.dir)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        // Said aloud, because closing is not enough while a process that is being spawned still has the descriptor.
        // Closing it, which follows, is all that is left if this fails.
        let _ = self.lock.unlock();
    }
}

/// Bytes of all files below `dir`, by the blocks they take; what cannot be read counts as nothing.
pub(super) fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
            Ok(metadata) => allocated(&metadata),
            Err(_) => 0,
        })
        .sum()
}

/// What a file takes: fjall's journal is 64 MiB long from the start, and holes are free.
#[cfg(unix)]
fn allocated(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    metadata.blocks() * 512
}

#[cfg(not(unix))]
fn allocated(metadata: &fs::Metadata) -> u64 {
    metadata.len()
}

/// The names in a directory are on disk.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The same for all directories below it.
fn sync_dirs(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_dirs(&entry.path())?;
        }
    }
    sync_dir(dir)
}

fn create_dir_synced(dir: &Path) -> io::Result<()> {
    access::create_dir_all(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent),
        _ => Ok(()),
    }
}

/// A directory without a mark must be empty, but for what a claim that was cut short leaves.
fn refuse_strangers(dir: &Path) -> io::Result<Result<(), EngineError>> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if name != LOCK && name != MARK_DRAFT {
            let reason = format!("it has no {MARK} file, but holds {}", name.to_string_lossy());
            return Ok(Err(EngineError::Foreign { dir: dir.to_path_buf(), reason }));
        }
    }
    Ok(Ok(()))
}

fn take_lock(dir: &Path) -> io::Result<Result<File, EngineError>> {
    let lock = access::options().create(true).truncate(false).write(true).open(dir.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(Ok(lock)),
        Err(TryLockError::WouldBlock) => Ok(Err(EngineError::Locked { dir: dir.to_path_buf() })),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What the mark says about the store's format and its creation; `None` without a mark.
fn read_mark(kind: EngineKind, dir: &Path) -> Result<Option<(u32, Stage)>, EngineError> {
    let mut text = String::new();
    let read = File::open(dir.join(MARK)).and_then(|file| file.take(MAX_MARK_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => text.clear(),
        Err(error) => return Err(Guard::new(kind, dir).error("reading the ENGINE file", error.into())),
    }
    let (format, found, stage) = parse_mark(&text).ok_or_else(|| EngineError::Foreign {
        dir: dir.to_path_buf(),
        reason: format!("its {MARK} file is damaged or not ours"),
    })?;
    let dir = dir.to_path_buf();
    match (found, stage) {
        _ if format > FORMAT => Err(EngineError::NewerFormat { dir, found: format, supported: FORMAT }),
        (Some(found), Some(_)) if found == kind && format > format_of(kind) => {
            Err(EngineError::NewerFormat { dir, found: format, supported: format_of(kind) })
        }
        (Some(found), Some(stage)) if found == kind => Ok(Some((format, stage))),
        (Some(found), Some(_)) => Err(EngineError::WrongEngine { dir, found: found.name(), wanted: kind.name() }),
        _ => Err(EngineError::Foreign { dir, reason: format!("its {MARK} file is damaged or not ours") }),
    }
}

fn format_of(kind: EngineKind) -> u32 {
    match kind {
        EngineKind::Sled => SLED_FORMAT,
        EngineKind::Fjall | EngineKind::Other(_) => FORMAT,
    }
}

/// Only the first line is read of a newer format; of ours, every byte must be in its place.
fn parse_mark(text: &str) -> Option<(u32, Option<EngineKind>, Option<Stage>)> {
    let (first, rest) = text.split_once('\n')?;
    let digits = first.strip_prefix(MAGIC)?.strip_prefix(' ')?;
    let format: u32 = digits.parse().ok().filter(|format: &u32| *format > 0 && format.to_string() == digits)?;
    let (name, rest) = rest.split_once('\n').unwrap_or_default();
    let stage = match rest {
        "creating\n" => Some(Stage::Creating),
        "ready\n" => Some(Stage::Ready),
        _ => None,
    };
    Some((format, name.parse().ok(), stage))
}

/// Replaces the mark atomically: a reader, or a crash, finds the old one or the new one.
fn write_mark(dir: &Path, kind: EngineKind, stage: Stage) -> io::Result<()> {
    let stage = match stage {
        Stage::Creating => "creating",
        Stage::Ready => "ready",
    };
    let mut draft = access::create(dir.join(MARK_DRAFT))?;
    draft.write_all(format!("{MAGIC} {}\n{kind}\n{stage}\n", format_of(kind)).as_bytes())?;
    draft.sync_all()?;
    fs::rename(dir.join(MARK_DRAFT), dir.join(MARK))?;
    sync_dir(dir)
}
