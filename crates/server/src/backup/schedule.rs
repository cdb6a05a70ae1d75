//! Backups that a node makes by itself, and how many it keeps.

use std::convert::Infallible;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use futures_util::StreamExt as _;
use sessile_cluster::Cluster;
use sessile_store::{BackupSummary, BackupWriter};
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{info, warn};

use super::destination::{Destination, PARTIAL};
use crate::config::BackupSchedule;
use crate::logging::wall_clock;

/// What the names of backups end with.
const SUFFIX: &str = ".backup";
/// How long after one that failed the next is tried: an election or a restart is over by then.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// How long the node may take to prove that it knows everything, and how long before it is asked again.
const PROOF_TIMEOUT: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How many chunks wait for the disk.
const CHUNKS_AHEAD: usize = 4;
/// Who it is in the history of changes.
const WHO: &str = "the schedule of backups";

/// What /metrics tells of them.
#[derive(Debug, Default)]
pub(crate) struct Backups {
    /// When the newest one was whole, in seconds since the Unix epoch; 0 if there is none.
    pub(crate) last_success: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// How often one is wanted, in seconds; 0 if never.
    pub(crate) every: AtomicU64,
}

/// Makes one whenever it is time, until it is dropped. The newest one that is there counts, whoever made it.
pub(crate) async fn run(schedule: &BackupSchedule, name: &str, cluster: &Cluster, figures: &Backups) -> Infallible {
    figures.every.store(schedule.every.as_secs(), Ordering::Relaxed);
    let shelf = Shelf { directory: schedule.directory.clone(), prefix: format!("sessile-{}-", file_name(name)) };
    let mut wait = first_wait(&shelf, schedule, figures);
    loop {
        tokio::time::sleep(wait).await;
        // A cluster that is just forming, or without a quorum, has nothing to keep that is known to be all.
        while cluster.is_current(Instant::now() + PROOF_TIMEOUT).await.is_err() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        wait = match make(&shelf, schedule.keep, cluster).await {
            Ok((path, summary)) => {
                figures.last_success.store(summary.head.taken_at_ms / 1_000, Ordering::Relaxed);
                info!(path = %path.display(), sessions = summary.records, bytes = summary.bytes, "a backup was made");
                schedule.every
            }
            Err(why) => {
                figures.failures.fetch_add(1, Ordering::Relaxed);
                warn!(directory = %shelf.directory.display(), why, "no backup could be made; it is tried again in a minute");
                TRY_AGAIN.min(schedule.every)
            }
        };
    }
}

fn first_wait(shelf: &Shelf, schedule: &BackupSchedule, figures: &Backups) -> Duration {
    let Some(newest) = shelf.files().ok().and_then(|files| files.last().cloned()) else { return Duration::ZERO };
    let made = fs::metadata(newest).and_then(|metadata| metadata.modified()).unwrap_or(UNIX_EPOCH);
    let seconds = made.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    figures.last_success.store(seconds, Ordering::Relaxed);
    // One of the future is of a clock that was wrong.
    let age = wall_clock().duration_since(made).unwrap_or(schedule.every);
    schedule.every.saturating_sub(age)
}

async fn make(shelf: &Shelf, keep: usize, cluster: &Cluster) -> Result<(PathBuf, BackupSummary), String> {
    let mut parts = cluster.back_up(WHO).await?;
    let head = parts.next().await.ok_or("the node ended it before it began")??;
    let (chunks, coming) = mpsc::channel(CHUNKS_AHEAD);
    let shelf = shelf.clone();
    // The disk that it is written to may be slow, and nobody else is to wait for it.
    let written = tokio::task::spawn_blocking(move || {
        let path = shelf.next(OffsetDateTime::from(wall_clock()))?;
        let summary = write(&path, head, coming)?;
        shelf.keep(keep)?;
        Ok((path, summary))
    });
    while let Some(part) = parts.next().await {
        // Who takes no more has failed, and says why.
        if chunks.send(part?).await.is_err() {
            break;
        }
    }
    drop(chunks);
    written.await.map_err(|_| "writing it panicked; this is a defect".to_owned())?
}

fn write(path: &Path, head: bytes::Bytes, mut chunks: mpsc::Receiver<bytes::Bytes>) -> Result<BackupSummary, String> {
    let destination = Destination::new(path).map_err(|failure| failure.to_string())?;
    let mut writer = BackupWriter::new(destination, head).map_err(|error| error.to_string())?;
    while let Some(chunk) = chunks.blocking_recv() {
        writer.chunk(chunk).map_err(|error| error.to_string())?;
    }
    let (destination, summary) = writer.finish().map_err(|error| error.to_string())?;
    destination.settle().map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(summary)
}

/// The backups of one node in their directory.
#[derive(Debug, Clone)]
struct Shelf {
    directory: PathBuf,
    prefix: String,
}

impl Shelf {
    /// Where the next one goes; makes the directory.
    fn next(&self, now: OffsetDateTime) -> Result<PathBuf, String> {
        let cannot = |error: std::io::Error| format!("{} cannot be made: {error}", self.directory.display());
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory).map_err(cannot)?;
        let form = format_description!("[year][month][day]T[hour][minute][second]Z");
        let at = now.format(&form).map_err(|error| error.to_string())?;
        Ok(self.directory.join(format!("{}{at}{SUFFIX}", self.prefix)))
    }

    /// Those that are there, the oldest first: their names hold the time.
    fn files(&self) -> Result<Vec<PathBuf>, String> {
        let mut files = self.named(SUFFIX)?;
        files.sort();
        Ok(files)
    }

    /// Keeps so many of the newest, and nothing of one that was cut short.
    fn keep(&self, newest: usize) -> Result<(), String> {
        let files = self.files()?;
        let old = &files[..files.len().saturating_sub(newest)];
        for path in old.iter().chain(&self.named(PARTIAL)?) {
            fs::remove_file(path).map_err(|error| format!("{} cannot be removed: {error}", path.display()))?;
        }
        Ok(())
    }

    fn named(&self, suffix: &str) -> Result<Vec<PathBuf>, String> {
        let cannot = |error: std::io::Error| format!("{} cannot be listed: {error}", self.directory.display());
        let entries = fs::read_dir(&self.directory).map_err(cannot)?;
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let ours = names.filter(|name| name.starts_with(&self.prefix) && name.ends_with(suffix));
        Ok(ours.map(|name| self.directory.join(name)).collect())
    }
}

/// A node's name as part of a file's.
fn file_name(name: &str) -> String {
    let sign = |sign: char| if sign.is_ascii_alphanumeric() || ".-_".contains(sign) { sign } else { '_' };
    name.chars().map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_and_of_others_nothing_is_touched() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf { directory: dir.path().join("backups"), prefix: "sessile-n1-".to_owned() };
        let at = |second: i64| OffsetDateTime::from_unix_timestamp(1_790_000_000 + second).unwrap();
        let paths: Vec<PathBuf> = (0..5).map(|second| shelf.next(at(second)).unwrap()).collect();
        assert!(paths[0].ends_with("backups/sessile-n1-20260921T141320Z.backup"), "{paths:?}");
        let others = ["sessile-n2-20200101T000000Z.backup", "notes.txt", "sessile-n1-x.backup.partial"];
        for path in paths.iter().cloned().chain(others.map(|name| shelf.directory.join(name))) {
            fs::write(path, "x").unwrap();
        }
        shelf.keep(2).unwrap();
        assert_eq!(shelf.files().unwrap(), paths[3..]);
        assert!(shelf.directory.join(others[0]).exists() && shelf.directory.join(others[1]).exists());
        assert!(!shelf.directory.join(others[2]).exists(), "what was cut short is gone");
        assert_eq!(file_name("n 1/../x"), "n_1_.._x");
    }

    #[test]
    fn after_a_restart_the_next_one_waits_for_its_time() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf { directory: dir.path().to_owned(), prefix: "sessile-n1-".to_owned() };
        let schedule = BackupSchedule { directory: dir.path().to_owned(), every: Duration::from_secs(3_600), keep: 2 };
        let figures = Backups::default();
        assert_eq!(first_wait(&shelf, &schedule, &figures), Duration::ZERO, "there is none");
        fs::write(shelf.next(OffsetDateTime::from(wall_clock())).unwrap(), "x").unwrap();
        let wait = first_wait(&shelf, &schedule, &figures);
        assert!(wait > Duration::from_secs(1_800) && wait <= schedule.every, "{wait:?}");
        assert!(figures.last_success.load(Ordering::Relaxed) > 0);
    }
}
