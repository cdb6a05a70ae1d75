//! What a `kill -9` in the middle of sled's start leaves, byte by byte.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::open;
use super::{EngineKind, OPTIONS, Scratch, State, copy_tree, puts, state_of};

/// A store with a snapshot of its first start, more records behind it, and the file that the next start would write.
struct Killed {
    scratch: Scratch,
    expected: State,
    unfinished: PathBuf,
    whole: Vec<u8>,
}

impl Killed {
    fn new() -> Self {
        let scratch = Scratch::in_memory(EngineKind::Sled);
        let mut expected = State::new();
        for round in 0..3_u32 {
            let engine = scratch.open();
            let records = (0..200_u32).map(|number| (format!("{round}/{number}"), "v".repeat(number as usize)));
            for (key, value) in records {
                expected.insert(key.clone().into(), value.clone().into());
                engine.write(puts([(key, value)])).unwrap();
            }
            engine.persist().unwrap();
            engine.shutdown().unwrap();
        }
        let next = tempfile::tempdir().unwrap();
        copy_tree(&scratch.path(), next.path());
        open(EngineKind::Sled, next.path(), OPTIONS).unwrap().shutdown().unwrap();
        let (before, after) = (snapshots(&scratch.path()), snapshots(next.path()));
        let [name] = &after[..] else { panic!("a start leaves one snapshot: {after:?}") };
        assert_ne!(before, after, "and it is another one");
        let whole = fs::read(next.path().join("data").join(name)).unwrap();
        let unfinished = scratch.path().join("data").join(format!("{name}.generating"));
        Self { scratch, expected, unfinished, whole }
    }

    fn opens_with(&self, bytes: &[u8]) {
        let image = tempfile::tempdir().unwrap();
        copy_tree(&self.scratch.path(), image.path());
        let unfinished = image.path().join("data").join(self.unfinished.file_name().unwrap());
        fs::write(unfinished, bytes).unwrap();
        let engine = open(EngineKind::Sled, image.path(), OPTIONS)
            .unwrap_or_else(|error| panic!("{} of {} bytes were written: {error}", bytes.len(), self.whole.len()));
        assert_eq!(state_of(&*engine), self.expected, "{} bytes were written", bytes.len());
        engine.shutdown().unwrap();
    }
}

fn snapshots(store: &Path) -> Vec<String> {
    let names =
        fs::read_dir(store.join("data")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("snap.")).collect()
}

#[test]
fn a_start_of_sled_that_was_killed_while_it_wrote_its_snapshot_loses_nothing() {
    let killed = Killed::new();
    let length = killed.whole.len();
    // sled writes the body, its length and its checksum one after the other.
    for written in [0, 1, 12, 13, length / 2, length - 12, length - 4, length - 1, length] {
        killed.opens_with(&killed.whole[..written]);
    }
}
