//! How a log comes into being, and how it is opened: what was found is mended, and those who write, verify and make
//! segments ahead begin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;

use bytes::Bytes;
use parking_lot::Mutex;

use super::checkpoint::Checkpoint;
use super::directory::Listing;
use super::disk::{Disk, parent_of};
use super::queue::{Shared, State};
use super::raft_log::{Handle, RaftLog, Running, bounded};
use super::recovery::{Recovered, recover};
use super::repair::{Resume, holds_a_log, repair};
use super::segment::SegmentFile;
use super::spares::Spares;
use super::summary::summary_at;
use super::verify::Verifier;
use super::writer::{HeldSegment, Writer};
use super::{LogError, LogOptions, LogWriter, MAX_IDENTITY_BYTES, MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};

impl RaftLog {
    /// Creates a log for `identity` (at most [`MAX_IDENTITY_BYTES`]) in `directory`, which must be absent or empty.
    /// Durable when it returns; cut off earlier, it leaves what [`RaftLog::exists`] calls no log and can be done again.
    ///
    /// # Errors
    /// [`LogError::NotEmpty`], [`LogError::OutOfBounds`], [`LogError::Io`].
    pub fn create(directory: &Path, identity: &[u8], options: LogOptions) -> Result<RaftLog, LogError> {
        RaftLog::create_on(Disk::default(), directory, identity, options)
    }

    pub(super) fn create_on(
        disk: Disk,
        directory: &Path,
        identity: &[u8],
        options: LogOptions,
    ) -> Result<RaftLog, LogError> {
        check(&options)?;
        bounded("identity length", identity.len(), MAX_IDENTITY_BYTES)?;
        disk.create_directory(directory)?;
        disk.sync_directory(parent_of(directory))?;
        let listing = Listing::of(directory)?;
        let present = listing.segments.values().chain(&listing.spares).next();
        if let Some(found) = present.map(|path| path.display().to_string()).or(listing.foreign) {
            return Err(LogError::NotEmpty { directory: directory.to_path_buf(), found });
        }
        let checkpoint = Checkpoint { identity: Bytes::copy_from_slice(identity), ..Checkpoint::default() };
        SegmentFile::create(&disk, directory, 1, options.segment_bytes, &checkpoint, None)?;
        RaftLog::open_on(disk, directory, options)
    }

    /// Whether `directory` holds a log, whole or not.
    ///
    /// # Errors
    /// [`LogError::Io`] if it cannot be listed; [`LogError::Missing`] if a segment in it was renamed.
    pub fn exists(directory: &Path) -> Result<bool, LogError> {
        holds_a_log(directory)
    }

    /// Opens the log in `directory`: reads and verifies what is not sealed with a summary, cuts what a crash left of its
    /// last write, and starts the writer thread and those that verify the rest and make segments ahead. An error has
    /// changed nothing, unless it is a write that failed.
    ///
    /// # Errors
    /// [`LogError::NoLog`]; [`LogError::Damaged`] or [`LogError::Missing`] where bytes that had been synced are no
    /// longer what they were; [`LogError::OutOfBounds`] for the options; [`LogError::Io`].
    pub fn open(directory: &Path, options: LogOptions) -> Result<RaftLog, LogError> {
        RaftLog::open_on(Disk::default(), directory, options)
    }

    pub(super) fn open_on(disk: Disk, directory: &Path, options: LogOptions) -> Result<RaftLog, LogError> {
        check(&options)?;
        if !directory.is_dir() {
            return Err(LogError::NoLog { directory: directory.to_path_buf() });
        }
        // Where one thread does everything, nothing could be verified later.
        let believes_summaries = matches!(options.writer, LogWriter::Thread);
        let mut recovered = recover(directory, believes_summaries)?;
        let resume = repair(&disk, directory, &recovered)?;
        recovered.seal = None;
        let spares = std::mem::take(&mut recovered.spares);
        let (kept, removed): (Vec<_>, Vec<_>) = spares
            .into_iter()
            .partition(|path| fs::metadata(path).is_ok_and(|m| m.len() == options.segment_bytes.into()));
        let surplus = kept.len().saturating_sub(options.recycled_segments.max(options.reserved_segments));
        for path in removed.iter().chain(&kept[..surplus]) {
            disk.remove(path)?;
        }
        let spares = kept[surplus..].to_vec();
        RaftLog::start(disk, directory, options, recovered, &resume, spares)
    }

    fn start(
        disk: Disk,
        directory: &Path,
        options: LogOptions,
        recovered: Recovered,
        resume: &Resume,
        spares: Vec<PathBuf>,
    ) -> Result<RaftLog, LogError> {
        let Recovered { checkpoint, index, fold, segments, unread, .. } = recovered;
        let highest: BTreeMap<u32, u64> = index.highest_by_segment().collect();
        let spare_bytes = spares.len() as u64 * u64::from(options.segment_bytes);
        let disk_bytes = spare_bytes + segments.iter().map(|file| u64::from(file.size)).sum::<u64>();
        let mut state = State::new(checkpoint.identity.clone(), index);
        state.vote.clone_from(&checkpoint.vote);
        state.committed = checkpoint.committed;
        state.purged = checkpoint.purged;
        state.segments = segments.iter().map(|file| (file.number, Arc::clone(file))).collect();
        let (who, reserved, verify_after) = (options.writer.clone(), options.reserved_segments, options.verify_after);
        let shared = Arc::new(Shared::new(state, options.max_batch_bytes, options.cache_bytes));
        let counts = (options.reserved_segments, options.recycled_segments);
        let spares = Spares::new(disk.clone(), directory, options.segment_bytes, counts, spares, disk_bytes);
        let last = segments.last().map_or(MIN_SEGMENT_BYTES, |file| file.size);
        shared.room.store(summary_at(last).saturating_sub(resume.end).into(), Ordering::Relaxed);
        let held = segments.into_iter().map(|file| HeldSegment { highest: highest.get(&file.number).copied(), file });
        let mut writer = Writer {
            shared: Arc::clone(&shared),
            disk: disk.clone(),
            directory: directory.to_path_buf(),
            options,
            checkpoint,
            held: held.collect(),
            spares: Arc::clone(&spares),
            end: resume.end,
            proven: resume.proven,
            covered: 0,
            buffer: Vec::new(),
            placed: Vec::new(),
            fold,
        };
        // What a crash kept a purge from removing.
        while writer.drop_purged()? {}
        let makes_spares = matches!(who, LogWriter::Thread) && reserved > 0;
        let maker = if makes_spares {
            let spares = Arc::clone(&spares);
            let thread = thread::Builder::new().name("raft-log-spares".to_owned()).spawn(move || spares.run());
            Some(thread.map_err(LogError::io("start the thread that makes segments for", directory))?)
        } else {
            None
        };
        let verifier = Verifier::new(disk, Arc::clone(&shared), verify_after, unread);
        let verifying = if verifier.is_needed() {
            let verifier = Arc::clone(&verifier);
            let thread = thread::Builder::new().name("raft-log-verify".to_owned()).spawn(move || verifier.run());
            Some(thread.map_err(LogError::io("start the thread that verifies", directory))?)
        } else {
            None
        };
        let writer = match who {
            LogWriter::Thread => {
                let thread = thread::Builder::new().name("raft-log".to_owned()).spawn(move || writer.run());
                let thread = thread.map_err(LogError::io("start the writer thread for", directory))?;
                Running::Thread(Mutex::new(Some(thread)))
            }
            LogWriter::Task(pause) => {
                let writer = Arc::new(Mutex::new(Some(writer)));
                #[expect(clippy::disallowed_methods, reason = "it ends with the log, which has its writer")]
                tokio::spawn(Writer::run_as_task(Arc::clone(&shared), Arc::clone(&writer), pause));
                Running::Task(writer)
            }
        };
        let helpers = Mutex::new(maker.into_iter().chain(verifying).collect());
        Ok(RaftLog::of(Handle { shared, writer, spares, verifier, helpers }))
    }
}

fn check(options: &LogOptions) -> Result<(), LogError> {
    let (size, bounds) = (options.segment_bytes, MIN_SEGMENT_BYTES..=MAX_SEGMENT_BYTES);
    if bounds.contains(&size) {
        return Ok(());
    }
    let bound = if size < MIN_SEGMENT_BYTES { MIN_SEGMENT_BYTES } else { MAX_SEGMENT_BYTES };
    Err(LogError::OutOfBounds { what: "segment_bytes", size: size.into(), bound: bound.into() })
}
