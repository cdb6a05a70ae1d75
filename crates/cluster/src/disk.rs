use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much room the file system under the data directory has, and how much of it writes must leave.
pub(crate) struct Disk {
    dir: PathBuf,
    /// Bytes that are kept free for what must pass: deletes, ticks, and the log of both.
    reserve: u64,
    free: AtomicU64,
}

impl Disk {
    pub(crate) fn new(dir: PathBuf, reserve: u64) -> Self {
        Self { dir, reserve, free: AtomicU64::new(u64::MAX) }
    }

    /// Asks the file system.
    pub(crate) fn measure(&self) -> io::Result<()> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        self.free.store(stat.f_bavail.saturating_mul(stat.f_frsize), Ordering::Relaxed);
        Ok(())
    }

    /// Bytes that were free when it was last asked.
    pub(crate) fn free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Whether writes that take room must wait until there is some.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.free() < self.reserve
    }
}
