//! What a `kill -9` leaves of a start of sled.
//!
//! Each start writes where sled's pages are to `snap.N.generating`, syncs that, renames it to `snap.N` and removes what
//! was there before (`write_snapshot` in sled 0.34.7). The next start takes whichever `snap.*` has the last name for the
//! newest (`get_snapshot_files`), a half-written one too, calls it corrupt, and refuses the whole store.
//!
//! A half-written one can go. sled has never gone on from it, and it is written before the one before it is removed, before a
//! torn segment is overwritten and before a segment is given to anything new: of the file, the start that was killed had
//! overwritten what follows the last whole message, and nothing else. So the next one finds what that one found. A whole one
//! is sled's business: it may have gone on from there.

use std::fs;
use std::path::Path;

use tracing::warn;

use crate::engine::guard::Fault;
use crate::engine::home::sync_dir;

/// What stands behind the bytes of one: their number, in 8 bytes, and their CRC-32.
const TRAILER: usize = 12;

/// Removes what a start that was killed left half-written.
pub(super) fn remove_unfinished(data: &Path) -> Result<(), Fault> {
    let mut removed = false;
    for entry in fs::read_dir(data)? {
        let path = entry?.path();
        if is_being_made(&path) && !is_whole(&fs::read(&path)?) {
            warn!("{} was left half-written by a start that was killed, and is removed", path.display());
            fs::remove_file(&path)?;
            removed = true;
        }
    }
    if removed {
        sync_dir(data)?;
    }
    Ok(())
}

fn is_being_made(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("snap.") && name.ends_with(".generating")
}

/// By sled's own measure.
fn is_whole(bytes: &[u8]) -> bool {
    let Some((body, trailer)) = bytes.len().checked_sub(TRAILER).map(|body| bytes.split_at(body)) else { return false };
    !body.is_empty() && trailer[8..] == crc32fast::hash(body).to_le_bytes()
}
