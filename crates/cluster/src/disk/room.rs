use std::fmt;

use super::space::Space;

/// So many files must be left: what merges, flushes and the log make at a time, some dozen, and as much again for whoever
/// has to find out who took the others.
const FILES_LEFT: u64 = 512;
/// On a file system with few files, a tenth of them is enough.
const FILES_LEFT_PART: u64 = 10;
/// Writes come back when this part of the limit is free beyond it: they would come and go with each file of the log.
const MARGIN_PART: u64 = 16;
/// The pressure on a disk whose free bytes have come to the limit, in thousandths.
pub(crate) const FULL: u32 = 1_000;
/// Little is left below so many times the limit.
const LOW_TIMES: u64 = 2;

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// Fewer bytes are free than must be.
    Bytes,
    /// Fewer files can be made than must be.
    Files,
    /// The file system refused the engine room, whatever it says to be free: a quota, or somebody else took it.
    Refused,
}

/// What the disks make the members refuse, from the least to the most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refuses {
    #[default]
    Nothing,
    /// Writes that take room.
    Puts,
    /// Deletes too: what is left of the reserve is for clock ticks and changes of membership, without which no disk would
    /// ever have room again.
    Deletes,
}

impl Refuses {
    pub(crate) fn of(puts: bool, deletes: bool) -> Self {
        if deletes {
            Self::Deletes
        } else if puts {
            Self::Puts
        } else {
            Self::Nothing
        }
    }
}

/// What writes must leave free, and whether they do. Pure: the same measurements, the same answers.
#[derive(Debug, Default)]
pub(crate) struct Room {
    limit_bytes: u64,
    shortage: Option<Shortage>,
    is_low: bool,
    pressure: u32,
}

impl Room {
    /// Judges a measurement. `limit_bytes` must be free; `refused` says that the engine was refused room.
    pub(crate) fn judge(&mut self, space: Space, limit_bytes: u64, refused: bool) {
        let files_limit = FILES_LEFT.min(space.files / FILES_LEFT_PART);
        // What is short stays short until there is some more than just enough.
        let needed =
            |limit: u64, was_short: bool| if was_short { limit.saturating_add(limit / MARGIN_PART) } else { limit };
        let bytes_short = space.free_bytes < needed(limit_bytes, self.shortage == Some(Shortage::Bytes));
        let files_short =
            space.free_files.is_some_and(|free| free < needed(files_limit, self.shortage == Some(Shortage::Files)));
        self.limit_bytes = limit_bytes;
        self.shortage = match (bytes_short, files_short, refused) {
            (true, ..) => Some(Shortage::Bytes),
            (_, true, _) => Some(Shortage::Files),
            (_, _, true) => Some(Shortage::Refused),
            (false, false, false) => None,
        };
        let low = limit_bytes.saturating_mul(LOW_TIMES);
        self.is_low = self.shortage.is_some() || space.free_bytes < low;
        let gone = u128::from(low.saturating_sub(space.free_bytes)) * u128::from(FULL);
        let span = u128::from(low.saturating_sub(limit_bytes)).max(1);
        self.pressure = u32::try_from(gone / span).map_or(FULL, |pressure| pressure.min(FULL));
    }

    /// Bytes that must be free for writes.
    pub(crate) fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// How far the free bytes are gone from where little is left, 0, to where writes have no room, 1,000.
    pub(crate) fn pressure(&self) -> u32 {
        if self.shortage.is_some() { FULL } else { self.pressure }
    }

    /// Why writes have no room, if they have none.
    pub(crate) fn shortage(&self) -> Option<Shortage> {
        self.shortage
    }

    /// Whether little is left.
    pub(crate) fn is_low(&self) -> bool {
        self.is_low
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "the disk is nearly full",
            Self::Files => "the file system has no room for more files (inodes)",
            Self::Refused => "the file system refuses room (a quota, or another program took it)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(free_bytes: u64) -> Space {
        Space { free_bytes, free_files: Some(1_000_000), files: 2_000_000 }
    }

    #[test]
    fn writes_stop_at_the_limit_and_come_back_by_themselves_a_little_above_it() {
        let mut room = Room::default();
        for (free, shortage) in [
            (1_600, None),
            (1_599, Some(Shortage::Bytes)),
            (1_600, Some(Shortage::Bytes)),
            (1_699, Some(Shortage::Bytes)),
            (1_700, None),
            (1_600, None),
        ] {
            room.judge(space(free), 1_600, false);
            assert_eq!(room.shortage(), shortage, "{free} free");
        }
        room.judge(space(1_700), 1_701, false);
        assert_eq!(room.shortage(), Some(Shortage::Bytes), "a larger merge needs more");
    }

    #[test]
    fn little_room_is_told_long_before_there_is_none() {
        let mut room = Room::default();
        for (free, is_low) in [(3_200, false), (3_199, true), (10, true), (5_000, false)] {
            room.judge(space(free), 1_600, false);
            assert_eq!(room.is_low(), is_low, "{free} free");
        }
        room.judge(space(0), 0, false);
        assert!(!room.is_low() && room.shortage().is_none(), "an operator who keeps nothing free is asked for nothing");
    }

    #[test]
    fn the_pressure_goes_from_where_little_is_left_to_where_there_is_no_room() {
        let mut room = Room::default();
        for (free, pressure) in [(5_000, 0), (3_200, 0), (2_400, 500), (1_601, 999), (1_600, 1_000), (0, 1_000)] {
            room.judge(space(free), 1_600, false);
            assert_eq!(room.pressure(), pressure, "{free} free");
        }
        room.judge(space(5_000), 1_600, true);
        assert_eq!(room.pressure(), FULL, "refused by a quota");
        room.judge(space(0), 0, false);
        assert_eq!(room.pressure(), 0, "nothing is to be kept free");
    }

    #[test]
    fn files_and_quotas_are_room_too() {
        let mut room = Room::default();
        let files = |free, files| Space { free_bytes: u64::MAX, free_files: Some(free), files };
        for (space, refused, shortage) in [
            (files(512, 1_000_000), false, None),
            (files(511, 1_000_000), false, Some(Shortage::Files)),
            (files(543, 1_000_000), false, Some(Shortage::Files)),
            (files(544, 1_000_000), false, None),
            (files(20, 200), false, None),
            (files(19, 200), false, Some(Shortage::Files)),
            (Space { free_files: None, ..files(0, 0) }, false, None),
            (files(544, 1_000_000), true, Some(Shortage::Refused)),
            (files(544, 1_000_000), false, None),
        ] {
            room.judge(space, 1, refused);
            assert_eq!(room.shortage(), shortage, "{space:?}");
        }
    }
}
