//! Every change the log makes to the file system passes here, so that tests can watch it and break it.

use std::fs::{self, File, OpenOptions};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Advice, FallocateFlags};
use rustix::io::Errno;

use super::LogError;
use crate::access;

/// The file system as the log uses it: each method is one system call, and its error names file and operation.
#[derive(Clone, Default)]
pub(super) struct Disk {
    #[cfg(test)]
    pub(super) probe: Option<std::sync::Arc<dyn Probe>>,
}

/// One change, told to a test before it is made.
#[cfg(test)]
pub(super) enum Change<'a> {
    Write { path: &'a Path, offset: u64, bytes: &'a [u8] },
    Sync { path: &'a Path },
    SyncDirectory { path: &'a Path },
    Create { path: &'a Path },
    Allocate,
    Rename { from: &'a Path, to: &'a Path },
    Remove { path: &'a Path },
}

/// A test that watches changes; an error keeps the change from being made.
#[cfg(test)]
pub(super) trait Probe: Send + Sync {
    fn before(&self, change: Change<'_>) -> std::io::Result<()>;
}

/// Tells the probe of a test, if there is one, and returns early with its error.
macro_rules! probed {
    ($disk:expr, $operation:expr, $path:expr, $change:expr) => {
        #[cfg(test)]
        if let Some(probe) = &$disk.probe {
            probe.before($change).map_err(LogError::io($operation, $path))?;
        }
    };
}

/// The directory that holds `path`'s name.
pub(super) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

impl Disk {
    /// Opens a segment for reading and writing; changes nothing.
    pub(super) fn open(path: &Path) -> Result<File, LogError> {
        OpenOptions::new().read(true).write(true).open(path).map_err(LogError::io("open", path))
    }

    /// Creates an empty file, replacing any of that name.
    pub(super) fn create(&self, path: &Path) -> Result<File, LogError> {
        probed!(self, "create", path, Change::Create { path });
        let mut options = access::options();
        options.read(true).write(true).create(true).truncate(true);
        options.open(path).map_err(LogError::io("create", path))
    }

    /// Reserves blocks for `bytes`, where the file system can; a file of zeros has them once it is synced anyway. Fails at
    /// once where there is no room.
    pub(super) fn allocate(&self, file: &File, path: &Path, bytes: u64) -> Result<(), LogError> {
        probed!(self, "allocate", path, Change::Allocate);
        match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(LogError::io("allocate", path)(error.into())),
        }
    }

    /// Writes all of `bytes` at `offset`. An error may leave a part written.
    pub(super) fn write(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> Result<(), LogError> {
        probed!(self, "write", path, Change::Write { path, offset, bytes });
        file.write_all_at(bytes, offset).map_err(LogError::io("write", path))
    }

    /// `fdatasync`: enough where the file's size and blocks do not change.
    pub(super) fn sync_data(&self, file: &File, path: &Path) -> Result<(), LogError> {
        probed!(self, "sync", path, Change::Sync { path });
        file.sync_data().map_err(LogError::io("sync", path))
    }

    /// Lets go of the memory in which the kernel keeps what was synced of a file. It is advice: nothing depends on it.
    pub(super) fn forget(file: &File, from: u64, to: u64) {
        if let Some(length) = NonZeroU64::new(to.saturating_sub(from)) {
            let _ = rustix::fs::fadvise(file, from, Some(length), Advice::DontNeed);
        }
    }

    /// `fsync`: for a file whose size changed.
    pub(super) fn sync_all(&self, file: &File, path: &Path) -> Result<(), LogError> {
        probed!(self, "sync", path, Change::Sync { path });
        file.sync_all().map_err(LogError::io("sync", path))
    }

    /// Makes the names in a directory durable.
    pub(super) fn sync_directory(&self, path: &Path) -> Result<(), LogError> {
        probed!(self, "sync directory", path, Change::SyncDirectory { path });
        let directory = File::open(path).map_err(LogError::io("open directory", path))?;
        directory.sync_all().map_err(LogError::io("sync directory", path))
    }

    /// Gives a file another name, replacing what bore it.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), LogError> {
        probed!(self, "rename", from, Change::Rename { from, to });
        fs::rename(from, to).map_err(LogError::io("rename", from))
    }

    /// Removes a file.
    pub(super) fn remove(&self, path: &Path) -> Result<(), LogError> {
        probed!(self, "remove", path, Change::Remove { path });
        fs::remove_file(path).map_err(LogError::io("remove", path))
    }

    /// Creates a directory and what is missing above it, each name durable in its parent.
    pub(super) fn create_directory(&self, path: &Path) -> Result<(), LogError> {
        if !path.is_dir() {
            let parent = parent_of(path);
            self.create_directory(parent)?;
            access::create_dir(path).map_err(LogError::io("create directory", path))?;
            self.sync_directory(parent)?;
        }
        Ok(())
    }
}
