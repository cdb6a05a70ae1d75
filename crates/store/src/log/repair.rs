//! Makes a recovered log fit to be written to. Every step can be cut off and done again at the next opening.

use std::path::Path;

use super::LogError;
use super::directory::Listing;
use super::disk::{Disk, parent_of};
use super::frame::{Kind, Stamp, encode};
use super::recovery::{Recovered, UnprovenSeal};
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
    if let Some(seal) = &log.seal {
        mend_seal(disk, seal)?;
    }
    let resume = mend_tail(disk, current, log)?;
    let stale = log.unfinished.iter().chain(&log.leftover);
    let stale: Vec<_> = stale.chain(log.purged.iter().map(|(_, path)| path)).collect();
    for path in &stale {
        disk.remove(path)?;
    }
    // Always: a process killed before it could sync the directory leaves names that are seen here and not on the disk.
    disk.sync_directory(directory)?;
    disk.sync_directory(parent_of(directory))?;
    Ok(resume)
}

/// Writes the end of a sealed segment again and syncs it. The seal's marker only saves the next opening from doing it once
/// more, so it need not be synced.
fn mend_seal(disk: &Disk, UnprovenSeal { segment, proven, bytes }: &UnprovenSeal) -> Result<(), LogError> {
    let (file, path) = (&*segment.file()?, &segment.path);
    disk.write(file, path, bytes, u64::from(*proven))?;
    disk.sync_all(file, path)?;
    let end = proven + u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    write_marker(disk, segment, end).map(drop)
}

/// Says that everything below `end` is synced. Returns where the marker ends.
fn write_marker(disk: &Disk, segment: &SegmentFile, end: u32) -> Result<u32, LogError> {
    let mut marker = Vec::new();
    let stamp = Stamp { salt: segment.salt, offset: end, proven: end };
    encode(&mut marker, stamp, Kind::Synced, None, &[]);
    disk.write(&*segment.file()?, &segment.path, &marker, u64::from(end))?;
    Ok(end + u32::try_from(marker.len()).unwrap_or(u32::MAX))
}

fn mend_tail(disk: &Disk, current: &SegmentFile, log: &Recovered) -> Result<Resume, LogError> {
    let (file, path, tail) = (&*current.file()?, &current.path, &log.tail);
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
    let end = write_marker(disk, current, tail.end)?;
    disk.sync_data(file, path)?;
    Ok(Resume { end, proven: tail.end })
}

/// Whether `directory` holds a log, or what a purge left of one.
pub(super) fn holds_a_log(directory: &Path) -> Result<bool, LogError> {
    Ok(directory.is_dir() && Listing::of(directory)?.holds_a_log())
}
