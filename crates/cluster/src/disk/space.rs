use std::io;
use std::path::Path;

/// What a file system has left for this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes that are free for a process without privileges.
    pub(crate) free_bytes: u64,
    /// Files that may still be made; `None` where the file system does not count them.
    pub(crate) free_files: Option<u64>,
    /// Files that there may be in all.
    pub(crate) files: u64,
}

impl Space {
    /// Asks the file system below a directory. May block as long as a disk does that does not answer.
    pub(crate) fn of(dir: &Path) -> io::Result<Self> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(Self {
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
            // btrfs and others count none, and say 0 of 0.
            free_files: (stat.f_files > 0).then_some(stat.f_favail),
            files: stat.f_files,
        })
    }
}
