use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::preload;

const SOURCE: &str = include_str!("failing_disk.c");
/// The size of the C side's `struct report`.
const REPORT_BYTES: usize = 512;

/// A disk that fails on purpose, as a library that is preloaded into a process: from the Nth call on that changes (or
/// reads) something below a directory, such calls fail. Needs a C compiler, as building Sessile does, and a program that
/// is linked dynamically against libc.
#[derive(Debug)]
pub struct FailingDisk {
    library: PathBuf,
    _dir: TempDir,
}

/// How the disk fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// From that call on, every change fails with EIO.
    Broken,
    /// From that call on, every change fails with ENOSPC.
    Full,
    /// That call, if it is a write, does half of what it was asked; after it every change fails with EIO.
    Torn,
    /// That one call fails with EIO, and the disk is well again.
    Hiccup,
    /// From that call on, no change returns before [`Watched::goes_on`].
    Hanging,
    /// From that call on, every read fails with EIO. Reads are counted, changes are not.
    Unreadable,
    /// From that call on, no read returns before [`Watched::goes_on`]. Reads are counted, changes are not.
    HangingReads,
}

/// What the disk saw of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultReport {
    /// Calls that count.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// The first of these: the call, and the file below the directory.
    pub first: String,
}

/// Where the disk tells one process's story.
#[derive(Debug)]
pub struct Watched {
    report: PathBuf,
}

impl FailingDisk {
    /// Compiles it.
    pub fn build() -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("sessile-failing-disk-").tempdir()?;
        let library = preload::compile(dir.path(), "failing_disk", SOURCE)?;
        Ok(Self { library, _dir: dir })
    }

    /// Puts it under the directory `below` of the process that `command` starts. The `at`th call, from 1, is the first to
    /// fail; with 0 none does, and they are only counted. The story is kept in `report`, a file outside of `below`.
    pub fn under(
        &self,
        command: &mut Command,
        below: &Path,
        fault: Fault,
        at: u64,
        report: &Path,
    ) -> io::Result<Watched> {
        let watched = Watched { report: report.to_owned() };
        std::fs::write(report, [0; REPORT_BYTES])?;
        watched.fails_at(at)?;
        let mode = match fault {
            Fault::Broken => "eio",
            Fault::Full => "enospc",
            Fault::Torn => "short",
            Fault::Hiccup => "once",
            Fault::Hanging => "hang",
            Fault::Unreadable => "read",
            Fault::HangingReads => "hang-read",
        };
        command
            .env("LD_PRELOAD", &self.library)
            .env("SESSILE_DISK_DIR", below)
            .env("SESSILE_DISK_REPORT", report)
            .env("SESSILE_DISK_MODE", mode);
        Ok(watched)
    }
}

impl Watched {
    /// Of the calls to come, the next is the first to fail.
    pub fn fails_now(&self) -> io::Result<()> {
        self.fails_at(self.report()?.calls + 1)
    }

    /// No call is to fail any more, and what hangs goes on.
    pub fn goes_on(&self) -> io::Result<()> {
        self.fails_at(0)
    }

    /// The process has this file mapped.
    fn fails_at(&self, at: u64) -> io::Result<()> {
        File::options().write(true).open(&self.report)?.write_all_at(&at.to_ne_bytes(), 16)
    }

    /// What it saw so far.
    pub fn report(&self) -> io::Result<FaultReport> {
        let bytes = std::fs::read(&self.report)?;
        let number = |at: usize| {
            let word = bytes.get(at..at + 8).and_then(|word| word.try_into().ok());
            word.map_or(0, u64::from_ne_bytes)
        };
        let first = bytes.get(24..).unwrap_or_default().split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(FaultReport { calls: number(0), failed: number(8), first: String::from_utf8_lossy(first).into_owned() })
    }
}
