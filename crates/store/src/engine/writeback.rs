//! Tables go to the disk while they are written, and not whole at their end.
//!
//! fjall writes a table into the kernel's memory and fsyncs it when it is complete, up to 64 MB at once, and an fdatasync of
//! the Raft log on the same disk waits behind all of that. If the disk has most of a table already, little is left for its
//! end. RocksDB has `bytes_per_sync` for the same reason; lsm-tree has no such option, so its files are watched.
//!
//! That a table is durable is still what fjall's own fsync says. A sync that fails here is a failed write like any other,
//! so that none is overlooked where a system tells of it only once.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;

use super::background::OneAtATime;
use super::guard::Guard;

/// How often the tables are looked at while some are written: so often that a few MB are written in between.
const LOOK: Duration = Duration::from_millis(10);
/// After so many looks at which nothing had grown, nobody looks any more until the next table is begun: a flush has merges
/// in its train, which begin when it has ended.
const LOOKS_AT_REST: u32 = 100;
/// So many tables are looked at, the newest: no more are written at a time, and a store may have thousands.
const NEWEST: usize = 8;

/// The tables in a directory, which are named by numbers that go up.
pub(super) struct Writeback {
    dir: PathBuf,
    guard: Guard,
    watching: OneAtATime,
    /// Held while the tables are looked at.
    has_ended: Mutex<bool>,
}

/// What is known of the newest tables: how many bytes of each are on the disk.
#[derive(Default)]
struct Written(HashMap<u64, u64>);

impl Writeback {
    pub(super) fn new(dir: PathBuf, guard: Guard) -> Arc<Self> {
        Arc::new(Self { dir, guard, watching: OneAtATime::default(), has_ended: Mutex::new(false) })
    }

    /// Watches from now on, until nothing is written any more.
    pub(super) fn begin(self: &Arc<Self>) {
        let writeback = self.clone();
        // It hardly takes a processor, and is of no use when it comes too late: not in the background.
        self.watching.begin("writeback", move || writeback.watch());
    }

    /// Looks no more, and has nothing open any more.
    pub(super) fn end(&self) {
        *self.has_ended.lock() = true;
    }

    fn watch(&self) {
        let mut written = Written::default();
        let mut looks_at_rest = 0;
        while looks_at_rest < LOOKS_AT_REST {
            thread::sleep(LOOK);
            let has_ended = self.has_ended.lock();
            if *has_ended {
                return;
            }
            match written.sync(&self.dir, &self.guard) {
                Some(0) => looks_at_rest += 1,
                Some(_) => looks_at_rest = 0,
                None => return,
            }
        }
    }
}

impl Written {
    /// Writes to the disk what has been added to tables since the last look. How many have grown comes back; nothing, if
    /// there is no more to be looked at.
    fn sync(&mut self, dir: &Path, guard: &Guard) -> Option<usize> {
        let mut tables = Vec::new();
        for entry in fs::read_dir(dir).ok()? {
            tables.extend(entry.ok()?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
        }
        tables.sort_unstable();
        let newest = tables.split_off(tables.len().saturating_sub(NEWEST));
        let before = std::mem::take(&mut self.0);
        let mut grown = 0;
        for number in newest {
            let table = match File::open(dir.join(number.to_string())) {
                // It was merged meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.ok()?,
            };
            let bytes = table.metadata().ok()?.len();
            if before.get(&number).is_none_or(|before| *before < bytes) {
                guard.change("writing a table to the disk", || table.sync_data()).ok()?;
                grown += 1;
            }
            self.0.insert(number, bytes);
        }
        Some(grown)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::engine::EngineKind;

    #[test]
    fn a_table_that_grows_is_written_to_the_disk_at_every_look_and_one_that_rests_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let guard = Guard::new(EngineKind::Fjall, path);
        fs::write(path.join("no table"), "x").unwrap();
        let mut first = File::create(path.join("9")).unwrap();
        let mut second = File::create(path.join("10")).unwrap();
        let mut written = Written::default();
        first.write_all(b"a").unwrap();
        assert_eq!(written.sync(path, &guard), Some(2), "two that were not known");
        assert_eq!(written.sync(path, &guard), Some(0));
        second.write_all(b"b").unwrap();
        assert_eq!(written.sync(path, &guard), Some(1));
        for number in 11..11 + NEWEST - 1 {
            fs::write(path.join(number.to_string()), "x").unwrap();
        }
        first.write_all(b"a").unwrap();
        assert_eq!(written.sync(path, &guard), Some(NEWEST - 1), "only the newest are looked at");
        fs::remove_file(path.join("12")).unwrap();
        assert_eq!(written.sync(path, &guard), Some(1), "one that is gone lets an older one in again");
        fs::remove_dir_all(path).unwrap();
        assert_eq!(written.sync(path, &guard), None);
        guard.change("writing on", || Ok::<_, io::Error>(())).unwrap();
    }

    #[test]
    fn a_sync_that_fails_while_a_table_is_written_is_a_fault_of_the_engine() {
        let dir = tempfile::tempdir().unwrap();
        let guard = Guard::new(EngineKind::Fjall, dir.path());
        // Which has nothing that could be synced.
        symlink("/dev/null", dir.path().join("1")).unwrap();
        assert_eq!(Written::default().sync(dir.path(), &guard), None);
        guard.change("writing on", || Ok::<_, io::Error>(())).unwrap_err();
    }
}
