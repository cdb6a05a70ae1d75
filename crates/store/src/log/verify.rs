//! Verifying the sealed segments that an opening did not read, while the log is in use.
//!
//! An opening believes the summary of a sealed segment, so that it takes no longer for a long log than for a short one. An
//! entry is verified when it is read. This finds what has rotted where nobody reads.

use std::io;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::fs::Advice;

use super::LogError;
use super::disk::Disk;
use super::frame::FRAME_HEADER_BYTES;
use super::queue::{Operation, Shared};
use super::recovery::read_sealed;
use super::segment::SegmentFile;
use super::summary::summary_at;

/// It rests so many times as long as it works: it takes a fifth of a disk that has nothing else to do, and less of one
/// that has.
const RESTS: u32 = 4;

/// It reads no more than this in a second, of whatever disk: 16 GiB in nine minutes.
const BYTES_A_SECOND: u64 = 32 << 20;

/// Verifies segments until all are, or it is stopped.
pub(super) struct Verifier {
    disk: Disk,
    shared: Arc<Shared>,
    after: Duration,
    unread: Vec<Weak<SegmentFile>>,
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl Verifier {
    /// Begins `after` so long. Segments that are purged meanwhile are left out.
    pub(super) fn new(
        disk: Disk,
        shared: Arc<Shared>,
        after: Duration,
        unread: Vec<Weak<SegmentFile>>,
    ) -> Arc<Verifier> {
        Arc::new(Verifier { disk, shared, after, unread, stopped: Mutex::new(false), changed: Condvar::new() })
    }

    /// Whether there is anything to verify.
    pub(super) fn is_needed(&self) -> bool {
        !self.unread.is_empty()
    }

    /// Lets [`Verifier::run`] end.
    pub(super) fn stop(&self) {
        *self.stopped.lock() = true;
        self.changed.notify_all();
    }

    /// As a thread. Damage ends the log, and the next opening reads the segment and says the same.
    pub(super) fn run(&self) {
        let mut rest = self.after;
        for segment in &self.unread {
            if self.is_stopped_within(rest) {
                return;
            }
            let begun = Instant::now();
            let Some(segment) = segment.upgrade() else { continue };
            match read_sealed(&segment) {
                Ok(()) => {}
                // It was purged and removed just now.
                Err(LogError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.distrust(&segment);
                    self.shared.lock().push(Operation::Damaged(error), 0, None);
                    self.shared.wake_writer();
                    return;
                }
            }
            if let Ok(file) = segment.file() {
                // Nobody reads it soon, and others need the memory.
                let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
            }
            let paced = Duration::from_millis(u64::from(segment.size) * 1000 / BYTES_A_SECOND);
            rest = paced.max(begun.elapsed() * RESTS);
        }
    }

    /// Takes the summary away. Should that fail, the next opening believes it again, and this finds the damage again.
    fn distrust(&self, segment: &SegmentFile) {
        if let Ok(file) = segment.file() {
            let zeros = [0; FRAME_HEADER_BYTES];
            let _ = self.disk.write(&file, &segment.path, &zeros, summary_at(segment.size).into());
            let _ = self.disk.sync_data(&file, &segment.path);
        }
    }

    fn is_stopped_within(&self, rest: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        let until = Instant::now() + rest;
        while !*stopped && !self.changed.wait_until(&mut stopped, until).timed_out() {}
        *stopped
    }
}
