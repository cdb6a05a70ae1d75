//! Who has time leaves the disk to who has not.

use std::thread;
use std::time::{Duration, Instant};

/// Nobody rests longer than that, however long a sync took: a disk that stalled has others waiting too.
const LONGEST_REST: Duration = Duration::from_millis(500);

/// Syncs a piece of a file that no request waits for, and rests for as long as that took. On a disk that is not busy this
/// is nothing; on one that is, the syncs of the Raft log find it free for half of the time.
pub(crate) fn sync_and_rest<E>(sync: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    let began = Instant::now();
    sync()?;
    thread::sleep(began.elapsed().min(LONGEST_REST));
    Ok(())
}
