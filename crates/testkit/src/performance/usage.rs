//! What a process takes, as Linux counts it in `/proc`, and what a directory takes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `stat(2)` counts blocks in, whatever the file system's own are.
const BLOCK_BYTES: u64 = 512;

/// A process to look at.
pub(super) struct Usage(PathBuf);

impl Usage {
    pub(super) fn of(process: u32) -> Self {
        Self(format!("/proc/{process}").into())
    }

    /// Time on processors since it started.
    pub(super) fn processor_time(&self) -> Result<Duration, String> {
        self.read("stat").map(|stat| time_of(&stat))
    }

    /// The same of each of its threads, by number.
    pub(super) fn threads(&self) -> Result<BTreeMap<String, (String, Duration)>, String> {
        let dir = self.0.join("task");
        let entries = fs::read_dir(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        // A thread that ended meanwhile takes nothing.
        let times = names.filter_map(|thread| {
            let stat = self.read(&format!("task/{thread}/stat")).ok()?;
            Some((thread, (name_of(&stat).to_owned(), time_of(&stat))))
        });
        Ok(times.collect())
    }

    /// Bytes of memory.
    pub(super) fn resident_bytes(&self) -> Result<u64, String> {
        let statm = self.read("statm")?;
        let pages = statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
        Ok(pages.unwrap_or(0) * rustix::param::page_size() as u64)
    }

    /// The most bytes of memory that it took so far.
    pub(super) fn peak_resident_bytes(&self) -> Result<u64, String> {
        Ok(field(&self.read("status")?, "VmHWM:").unwrap_or(0) * 1_024)
    }

    /// Bytes that were read from a disk for it: what the page cache had does not count (proc_pid_io(5)).
    pub(super) fn read_bytes(&self) -> Result<u64, String> {
        Ok(field(&self.read("io")?, "read_bytes:").unwrap_or(0))
    }

    /// How many descriptors it has open.
    pub(super) fn descriptors(&self) -> usize {
        fs::read_dir(self.0.join("fd")).map_or(0, Iterator::count)
    }

    fn read(&self, file: &str) -> Result<String, String> {
        let path = self.0.join(file);
        fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The first number of the line that begins so.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// From a `stat`: utime and stime are the 14th and the 15th field (proc_pid_stat(5)); the second, in brackets, may hold
/// anything.
fn time_of(stat: &str) -> Duration {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

fn name_of(stat: &str) -> &str {
    stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')).map_or("", |(name, _)| name)
}

/// What all files below a directory take on disk, by their blocks.
pub(super) fn disk_bytes(dir: &Path) -> u64 {
    // What goes meanwhile takes nothing.
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * BLOCK_BYTES,
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 0 0 0 0 0 300 200 0 0 20 0 4 0 1 1 1";
        let second = rustix::param::clock_ticks_per_second();
        assert_eq!(time_of(stat), Duration::from_micros(500 * 1_000_000 / second));
        assert_eq!(name_of(stat), "a) b (c)");
        assert_eq!(field("VmPeak:\t 9 kB\nVmHWM:\t  1234 kB\n", "VmHWM:"), Some(1_234));
        assert_eq!(field("rchar: 5\nread_bytes: 4096\n", "read_bytes:"), Some(4_096));
        let own = Usage::of(std::process::id());
        assert!(own.peak_resident_bytes().unwrap() >= own.resident_bytes().unwrap() / 2);
        assert!(own.read_bytes().is_ok() && own.descriptors() > 2 && !own.threads().unwrap().is_empty());
    }

    #[test]
    fn a_sparse_file_takes_what_its_blocks_take() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/full"), vec![1; 1 << 20]).unwrap();
        fs::File::create(dir.path().join("sparse")).unwrap().set_len(1 << 30).unwrap();
        // Written back, so that the file system has given it its blocks.
        fs::File::open(dir.path().join("below/full")).unwrap().sync_all().unwrap();
        let taken = disk_bytes(dir.path());
        assert!((1 << 20..1 << 21).contains(&taken), "{taken}");
        assert_eq!(disk_bytes(&dir.path().join("absent")), 0);
    }
}
