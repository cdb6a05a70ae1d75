//! Makes a recovered log fit to be written to. Every step can be cut off and done again at the next opening.

use std::path::Path;

use super::LogError;
use super::directory::Listing;
use super::disk::Disk;
use super::frame::{Kind, Stamp, encode};
use super::recovery::Recovered;
use super::segment::{SegmentFile, write_zeros};

/// Where the writer goes on in the last segment.
pub(super) struct Resume {
    /// Where the next frame goes.
    pub(super) end: u32,
    /// Below this every byte is synced.
    pub(super) proven: u32,
}

/// Cuts the torn tail and clears away what a crash left lying about.
pub(super) fn repair(disk: &Disk, directory: &Path, log: &Recovered) -> Result<Resume, LogError> {
    let current = log.segments.last().ok_or_else(|| LogError::NoLog { directory: directory.to_path_buf() })?;
    let resume = mend_tail(disk, current, log)?;
    let stale = [&log.unfinished, &log.leftover].into_iter().flatten();
    let stale: Vec<_> = stale.chain(log.purged.iter().map(|(_, path)| path)).collect();
    for path in &stale {
        disk.remove(path)?;
    }
    if !stale.is_empty() {
        disk.sync_directory(directory)?;
    }
    Ok(resume)
}

fn mend_tail(disk: &Disk, current: &SegmentFile, log: &Recovered) -> Result<Resume, LogError> {
    let (file, path, tail) = (&current.file, &current.path, &log.tail);
    let short = tail.file_bytes < u64::from(current.size);
    if short {
        write_zeros(disk, file, path, tail.file_bytes, u64::from(current.size))?;
    }
    if let Some(rubbish_end) = tail.rubbish_end {
        write_zeros(disk, file, path, u64::from(tail.end), u64::from(rubbish_end))?;
    }
    // Written again, not only synced: after a failed fsync these pages may be clean in memory and absent on disk.
    if !tail.unproven.is_empty() {
        disk.write(file, path, &tail.unproven, u64::from(tail.proven))?;
    }
    if short || tail.rubbish_end.is_some() || !tail.unproven.is_empty() {
        disk.sync_all(file, path)?;
    }
    if tail.unproven.is_empty() {
        return Ok(Resume { end: tail.end, proven: tail.proven });
    }
    let mut marker = Vec::new();
    let stamp = Stamp { salt: current.salt, offset: tail.end, proven: tail.end };
    encode(&mut marker, stamp, Kind::Synced, None, &[]);
    disk.write(file, path, &marker, u64::from(tail.end))?;
    disk.sync_data(file, path)?;
    let marker_bytes = u32::try_from(marker.len()).unwrap_or(u32::MAX);
    Ok(Resume { end: tail.end + marker_bytes, proven: tail.end })
}

/// Whether `directory` holds a log, or what a purge left of one.
pub(super) fn holds_a_log(directory: &Path) -> Result<bool, LogError> {
    Ok(directory.is_dir() && Listing::of(directory)?.holds_a_log())
}
