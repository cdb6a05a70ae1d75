//! Logs that lose or keep what they should not, made while the node does not run.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use sessile_store::DataDir;
use sessile_store::log::{LogError, LogOptions, MIN_SEGMENT_BYTES, RaftLog};

use super::defect::Defect;
use crate::simulation::disk::Tree;
use crate::simulation::world::Host;

/// Empties a disk. With one defect a log is left that has nothing in it but the node's id.
pub(in crate::simulation) fn wipe(host: &Host, defect: Option<Defect>) -> Result<(), String> {
    let log = directory(host);
    let identity = match defect {
        Some(Defect::IdentityReusedAfterWipe) => open(&log).map_err(failed)?.map(|log| log.identity()),
        _ => None,
    };
    becomes(host, &Tree::Directory([].into()))?;
    let Some(identity) = identity else { return Ok(()) };
    let root = host.disk().root().to_path_buf();
    let _ours = DataDir::open(root).map_err(failed)?;
    create(&log, &identity).and_then(|log| log.close()).map_err(failed)?;
    all_is_durable(host)
}

/// Takes every vote out of a log: what a node has that writes none down.
pub(in crate::simulation) fn forget_votes(host: &Host) -> Result<(), String> {
    let (path, beside) = (directory(host), host.disk().root().join("log.new"));
    let Some(log) = open(&path).map_err(failed)? else { return Ok(()) };
    let fresh = create(&beside, &log.identity()).map_err(failed)?;
    copy_entries(&log, &fresh).map_err(failed)?;
    fs::remove_dir_all(&path).and_then(|()| fs::rename(&beside, &path)).map_err(failed)?;
    all_is_durable(host)
}

fn copy_entries(log: &RaftLog, fresh: &RaftLog) -> Result<(), LogError> {
    if let Some(purged) = log.purged() {
        fresh.durably(|done| fresh.purge(purged, done))?;
    }
    if let Some(first) = log.first_index() {
        let entries = log.read(first..u64::MAX, usize::MAX)?;
        fresh.durably(|done| fresh.append(entries, done))?;
    }
    if let Some(committed) = log.committed() {
        fresh.save_committed(committed)?;
    }
    log.close()?;
    fresh.close()
}

fn directory(host: &Host) -> PathBuf {
    host.disk().root().join("log")
}

/// The log there; `None` if there is none that can be opened, which is for the node to find.
fn open(path: &Path) -> Result<Option<RaftLog>, LogError> {
    if !RaftLog::exists(path)? {
        return Ok(None);
    }
    Ok(RaftLog::open(path, options()).ok())
}

fn create(path: &Path, identity: &Bytes) -> Result<RaftLog, LogError> {
    RaftLog::create(path, identity, options())
}

fn options() -> LogOptions {
    LogOptions { segment_bytes: 4 * MIN_SEGMENT_BYTES, recycled_segments: 1, ..LogOptions::default() }
}

fn all_is_durable(host: &Host) -> Result<(), String> {
    let all = host.disk().cached().map_err(failed)?;
    becomes(host, &all)
}

fn becomes(host: &Host, tree: &Tree) -> Result<(), String> {
    host.disk().becomes(tree).map_err(failed)
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: impl ToString) -> String {
    error.to_string()
}
