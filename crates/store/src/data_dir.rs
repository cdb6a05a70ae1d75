use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{StoreError, access};

/// The newest layout of a data directory that this program knows, and the one it makes.
const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "FORMAT";
const FORMAT_PREFIX: &str = "sessile data directory, format ";
const LOCK_FILE: &str = "LOCK";
/// The Unix socket of the node that runs here, made anew at each start. What it holds is nothing that a node keeps.
pub const ADMIN_SOCKET: &str = "admin.sock";
/// Where the Raft log is.
pub(crate) const LOG_DIR: &str = "log";
/// Where the session state is.
const STATE_DIR: &str = "state";
/// What a new file system may hold of its own.
const NOT_OURS_BUT_HARMLESS: &str = "lost+found";

/// A directory that is this program's, in a format it knows, and that no other process uses while this value lives.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Takes the directory, and makes it one of ours if it is absent or empty. Whatever is refused is left untouched.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let is_new = !Self::is_ours(&path)?;
        if is_new {
            create_durably(&path)?;
        }
        let lock_path = path.join(LOCK_FILE);
        let lock = access::options().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(StoreError::io("write to", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { dir: path }),
            Err(TryLockError::Error(source)) => {
                return Err(StoreError::Io { action: "lock", path: lock_path, source });
            }
        }
        let dir = Self { path, _lock: lock };
        access::close_to_others(&dir.path);
        if is_new {
            dir.write_durably(FORMAT_FILE, format!("{FORMAT_PREFIX}{FORMAT}\n").as_bytes())?;
        }
        dir.assert_writable()?;
        Ok(dir)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its Raft log is.
    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(LOG_DIR)
    }

    /// Where its session state is.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join(STATE_DIR)
    }

    /// The error that what is in it does not belong together.
    pub(crate) fn disagreement(&self, what: impl Into<String>) -> StoreError {
        StoreError::Disagree { dir: self.path.clone(), what: what.into() }
    }

    /// The bytes of a small file in it; `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        read(&self.path.join(name))
    }

    /// Puts a small file in place, whole or not at all, and durably.
    pub(crate) fn write_durably(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        write_durably(&self.path.join(name), bytes)
    }

    /// Removes a file, durably. That there was none is fine.
    pub(crate) fn remove_durably(&self, name: &str) -> Result<(), StoreError> {
        remove_durably(&self.path, name)
    }

    /// Whether the directory is ours; `false` if it is absent or empty and may become so.
    fn is_ours(path: &Path) -> Result<bool, StoreError> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(StoreError::Io { action: "list", path: path.into(), source }),
        };
        let mut foreign = None;
        for entry in entries {
            let name = entry.map_err(StoreError::io("list", path))?.file_name();
            if name == FORMAT_FILE {
                return Self::check_format(path).map(|()| true);
            }
            // A crash right after the first lock leaves a lock and perhaps a half-made FORMAT, and nothing else.
            let half_made = name == LOCK_FILE || name == temporary_name(FORMAT_FILE).as_str();
            if !half_made && name != NOT_OURS_BUT_HARMLESS {
                foreign = Some(name);
            }
        }
        match foreign {
            Some(name) => Err(StoreError::Foreign { dir: path.into(), found: name.to_string_lossy().into_owned() }),
            None => Ok(false),
        }
    }

    fn check_format(path: &Path) -> Result<(), StoreError> {
        let file = path.join(FORMAT_FILE);
        let text = fs::read_to_string(&file).map_err(StoreError::io("read", &file))?;
        let format = text.strip_prefix(FORMAT_PREFIX).and_then(|rest| rest.strip_suffix('\n'));
        match format.and_then(|format| format.parse().ok()) {
            Some(found @ 1..=FORMAT) => {
                debug_assert_eq!(found, FORMAT, "there has been one format so far");
                Ok(())
            }
            Some(found) => Err(StoreError::NewerFormat { dir: path.into(), found, known: FORMAT }),
            None => Err(StoreError::Foreign {
                dir: path.into(),
                found: format!("{FORMAT_FILE} does not say what a Sessile directory says"),
            }),
        }
    }

    /// Whether a name belongs to the directory itself, and not to what it keeps.
    pub(crate) fn is_frame(name: &str) -> bool {
        [FORMAT_FILE, LOCK_FILE, ADMIN_SOCKET, NOT_OURS_BUT_HARMLESS].contains(&name) || name.starts_with('.')
    }

    fn assert_writable(&self) -> Result<(), StoreError> {
        let probe = self.path.join(temporary_name("PROBE"));
        access::create(&probe).and_then(|_| fs::remove_file(&probe)).map_err(StoreError::io("write to", &self.path))
    }
}

/// The bytes of a small file; `None` if there is none.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io { action: "read", path: path.into(), source }),
    }
}

/// Removes a file of a directory, durably. That there was none is fine.
pub(crate) fn remove_durably(dir: &Path, name: &str) -> Result<(), StoreError> {
    let path = dir.join(name);
    match fs::remove_file(&path) {
        Ok(()) => sync_dir(dir),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(StoreError::Io { action: "remove", path, source }),
    }
}

fn temporary_name(name: &str) -> String {
    format!(".{name}.new")
}

/// Writes beside, syncs, renames over, syncs the directory: after a crash the file is the old one or the new one.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(StoreError::io("write", path)(std::io::ErrorKind::InvalidInput.into()));
    };
    let temporary = dir.join(temporary_name(&name.to_string_lossy()));
    access::create(&temporary)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(StoreError::io("write", path))?;
    sync_dir(dir)
}

/// Makes a directory and what is missing above it, each name durable in its parent.
fn create_durably(path: &Path) -> Result<(), StoreError> {
    let parent = match path.parent() {
        None => return Ok(()),
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
    };
    if path.is_dir() {
        return match sync_dir(parent) {
            // Whoever made it for us, in a place that is closed to us, answers for its name.
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
            synced => synced,
        };
    }
    create_durably(parent)?;
    access::create_dir(path).map_err(StoreError::io("create", path))?;
    sync_dir(parent)
}

/// Makes what was created, renamed or removed in a directory durable.
pub(crate) fn sync_dir(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(StoreError::io("sync", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_directory_is_taken_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let first = DataDir::open(&path).unwrap();
        assert!(matches!(DataDir::open(&path), Err(StoreError::Locked { .. })));
        drop(first);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn a_foreign_directory_is_refused_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("diary.txt"), "mine").unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("diary.txt") && error.contains("storage.data_dir"), "{error}");
        assert_eq!(names(dir.path()), ["diary.txt"]);
    }

    #[test]
    fn a_new_file_system_and_a_half_made_directory_are_taken() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("lost+found")).unwrap();
        fs::write(dir.path().join("LOCK"), "").unwrap();
        fs::write(dir.path().join(".FORMAT.new"), "sess").unwrap();
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_by_name_and_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FORMAT_FILE), format!("{FORMAT_PREFIX}2\n")).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("format 2") && error.contains("up to 1"), "{error}");
        assert_eq!(names(dir.path()), ["FORMAT"]);
        for damaged in ["", "sessile data directory, format x\n", "something else"] {
            fs::write(dir.path().join(FORMAT_FILE), damaged).unwrap();
            assert!(matches!(DataDir::open(dir.path()), Err(StoreError::Foreign { .. })), "{damaged:?}");
        }
    }
}
