//! How much room there is on this node's disk, measured, judged and foretold without knowing Raft or other members.

mod room;
mod space;
mod trend;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;
use sessile_store::{LogStore, SessionState};
use tokio::time::Instant;

pub(crate) use room::{FULL, Refuses, Room, Shortage};
pub(crate) use space::Space;
use trend::Trend;

/// An operator is told while it is that long until a disk is full: somebody who sleeps finds it in time.
const FORETOLD: Duration = Duration::from_secs(24 * 3_600);
/// How often the bytes of the state are counted: every file of it is asked for its size.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// How much room the file system under the data directory has, and how much of it writes must leave.
pub(crate) struct Disk {
    dir: PathBuf,
    /// Bytes that are kept free for what must pass: deletes, ticks, and the log of both. What the engine's largest merge
    /// needs comes on top.
    reserve: u64,
    /// Never held while the file system is asked.
    seen: Mutex<Seen>,
}

/// What was measured last.
struct Seen {
    free_bytes: u64,
    state_bytes: u64,
    counted: Option<Instant>,
    room: Room,
    is_exhausted: bool,
    trend: Trend,
}

/// What others are told of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskReport {
    pub(crate) free_bytes: u64,
    /// Below that writes are refused.
    pub(crate) limit_bytes: u64,
    pub(crate) shortage: Option<Shortage>,
    /// Whether there is a shortage, and what is reserved for deletes and ticks is nearly used up too.
    pub(crate) is_exhausted: bool,
    /// Whether little is left, or will be within a day.
    pub(crate) is_low: bool,
    /// Until the limit is reached, by the trend of the last hour; `None` if the disk does not fill up.
    pub(crate) time_left: Option<Duration>,
    /// What the session state takes.
    pub(crate) state_bytes: u64,
}

impl Disk {
    pub(crate) fn new(dir: PathBuf, reserve: u64) -> Self {
        let seen = Seen {
            free_bytes: u64::MAX,
            state_bytes: 0,
            counted: None,
            room: Room::default(),
            is_exhausted: false,
            trend: Trend::default(),
        };
        Self { dir, reserve, seen: Mutex::new(seen) }
    }

    /// Asks the file system, the engine and the log, and judges what they say. May block on the disk; whoever asks for the result
    /// meanwhile gets the one before.
    pub(crate) fn measure(&self, state: &SessionState, log: &LogStore, now: Instant) -> io::Result<()> {
        let count =
            self.seen.lock().counted.is_none_or(|counted| now.saturating_duration_since(counted) >= COUNT_EVERY);
        let state_bytes = count.then(|| state.disk_bytes());
        let space = Space::of(&self.dir)?;
        let limit_bytes = self.reserve.saturating_add(state.reserve_bytes());
        let refused = state.is_out_of_space();
        let reserve_is_used_up = state.is_exhausted() || log.is_exhausted();
        let mut seen = self.seen.lock();
        if let Some(state_bytes) = state_bytes {
            (seen.state_bytes, seen.counted) = (state_bytes, Some(now));
        }
        seen.free_bytes = space.free_bytes;
        seen.room.judge(space, limit_bytes, refused);
        seen.is_exhausted = seen.room.shortage().is_some() && reserve_is_used_up;
        seen.trend.note(now, space.free_bytes);
        Ok(())
    }

    /// How it was when it was last asked.
    pub(crate) fn report(&self) -> DiskReport {
        let seen = self.seen.lock();
        let limit_bytes = seen.room.limit_bytes();
        let time_left = seen.trend.time_left(seen.free_bytes, limit_bytes);
        DiskReport {
            free_bytes: seen.free_bytes,
            limit_bytes,
            shortage: seen.room.shortage(),
            is_exhausted: seen.is_exhausted,
            is_low: seen.room.is_low() || time_left.is_some_and(|left| left < FORETOLD),
            time_left,
            state_bytes: seen.state_bytes,
        }
    }

    /// What must be refused for the sake of this disk.
    pub(crate) fn refuses(&self) -> Refuses {
        let seen = self.seen.lock();
        Refuses::of(seen.room.shortage().is_some(), seen.is_exhausted)
    }

    /// How far it is from where little is left to where there is no room, in thousandths.
    pub(crate) fn pressure(&self) -> u32 {
        self.seen.lock().room.pressure()
    }

    /// Whether writes that take room must wait until there is some.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.seen.lock().room.shortage().is_some()
    }

    /// Whether so many bytes more would leave what writes must leave.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        let seen = self.seen.lock();
        seen.room.shortage().is_none() && seen.free_bytes >= seen.room.limit_bytes().saturating_add(bytes)
    }
}

impl DiskReport {
    /// What an operator is to know of the disk of `name`, if anything.
    pub(crate) fn alert(&self, name: &str) -> Option<String> {
        alert(
            name,
            self.shortage.map(|shortage| (shortage.to_string(), self.is_exhausted)),
            self.is_low,
            self.free_bytes,
            self.limit_bytes,
            self.time_left,
        )
    }
}

/// What an operator is to know of a disk, if anything. `shortage` says why writes have no room, and whether deletes have
/// none either.
pub(crate) fn alert(
    name: &str,
    shortage: Option<(String, bool)>,
    is_low: bool,
    free_bytes: u64,
    limit_bytes: u64,
    time_left: Option<Duration>,
) -> Option<String> {
    const MIB: u64 = 1 << 20;
    if let Some((shortage, is_exhausted)) = shortage {
        let refused = if is_exhausted { "writes and deletes are refused" } else { "writes are refused, deletes go on" };
        return Some(format!(
            "{shortage} on {name}: {refused}; {} MiB are free, and {} MiB must be; writes come back \
             by themselves once there is room",
            free_bytes / MIB,
            limit_bytes / MIB
        ));
    }
    if !is_low {
        return None;
    }
    let when = time_left.map_or_else(String::new, |left| format!(", in {} by the trend of the last hour", hours(left)));
    Some(format!(
        "the disk of {name} has {} MiB left; below {} MiB writes are refused{when}: give it room",
        free_bytes / MIB,
        limit_bytes / MIB
    ))
}

/// As a person would say it.
fn hours(left: Duration) -> String {
    match left.as_secs() / 3_600 {
        0 => "less than an hour".to_owned(),
        1 => "an hour".to_owned(),
        hours => format!("{hours} hours"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_is_told_of_a_disk_in_one_sentence() {
        let told = |shortage: Option<Shortage>, is_low, left: Option<u64>| {
            let left = left.map(Duration::from_secs);
            alert("n1", shortage.map(|shortage| (shortage.to_string(), false)), is_low, 700 << 20, 500 << 20, left)
        };
        assert_eq!(told(None, false, Some(90_000)), None);
        for (said, sentence) in [
            (told(None, true, None), "the disk of n1 has 700 MiB left; below 500 MiB writes are refused: give it room"),
            (
                told(None, true, Some(20_000)),
                "the disk of n1 has 700 MiB left; below 500 MiB writes are refused, in 5 hours by the trend of the last \
                 hour: give it room",
            ),
            (
                told(Some(Shortage::Bytes), true, Some(0)),
                "the disk is nearly full on n1: writes are refused, deletes go on; 700 MiB are free, and 500 MiB must be; \
                 writes come back by themselves once there is room",
            ),
        ] {
            assert_eq!(said.as_deref(), Some(sentence));
        }
        assert_eq!(
            [60, 4_000, 9_000].map(|left| hours(Duration::from_secs(left))),
            ["less than an hour", "an hour", "2 hours"]
        );
    }
}
