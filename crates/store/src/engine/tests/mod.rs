//! The conformance suite: every promise of [`super::Engine`], held by both engines.

mod atomicity;
mod cached;
mod child;
mod damage;
mod durability;
mod killed_starts;
mod ownership;
mod records;
mod views;

use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tempfile::TempDir;

use super::{Batch, Engine, EngineKind, EngineOptions, View, open};

/// Runs each named function once for each engine, as `on_fjall::name` and `on_sled::name`.
macro_rules! on_each_engine {
    ($($name:ident),+ $(,)?) => {
        mod on_fjall { $(#[test] fn $name() { super::$name(crate::engine::EngineKind::Fjall); })+ }
        mod on_sled { $(#[test] fn $name() { super::$name(crate::engine::EngineKind::Sled); })+ }
    };
}
use on_each_engine;

const OPTIONS: EngineOptions = EngineOptions::with_cache(64 * 1024 * 1024);

/// What a store holds.
type State = BTreeMap<Bytes, Bytes>;

/// A directory for a store, gone when the test is.
struct Scratch {
    kind: EngineKind,
    dir: TempDir,
}

impl Scratch {
    fn new(kind: EngineKind) -> Self {
        Self { kind, dir: tempfile::tempdir().unwrap() }
    }

    /// In memory where the system has a place for it: for tests that open a store hundreds of times.
    fn in_memory(kind: EngineKind) -> Self {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self { kind, dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn open(&self) -> Box<dyn Engine> {
        open(self.kind, &self.path(), OPTIONS).unwrap()
    }
}

/// A batch of puts.
fn puts<K: Into<Bytes>, V: Into<Bytes>>(records: impl IntoIterator<Item = (K, V)>) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in records {
        batch.put(key, value);
    }
    batch
}

fn dump(view: &dyn View) -> State {
    view.scan_prefix(b"").map(Result::unwrap).collect()
}

/// Everything a store holds now.
fn state_of(engine: &dyn Engine) -> State {
    dump(&*engine.view().unwrap())
}

/// Copies what a directory holds, as it is now.
pub(crate) fn copy_tree(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The directory as a crash at one moment leaves it, copied while the engine has it open: again, if the library merged
/// tables meanwhile, so that files of two moments would be in the copy.
pub(crate) fn crash_image(from: &Path) -> TempDir {
    let names = || -> Vec<PathBuf> {
        let (mut names, mut open) = (Vec::new(), vec![from.to_path_buf()]);
        while let Some(entries) = open.pop().map(std::fs::read_dir) {
            // A directory that is gone by now makes another list than the one after it.
            for entry in entries.into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                names.push(path);
            }
        }
        names.sort_unstable();
        names
    };
    loop {
        let (before, image) = (names(), tempfile::tempdir().unwrap());
        let copied = catch_unwind(|| copy_tree(from, image.path()));
        if copied.is_ok() && names() == before {
            return image;
        }
    }
}

/// Every file below `dir`, by its path from there, with what is in it.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(dir).unwrap().to_path_buf(), std::fs::read(&path).unwrap());
            }
        }
    }
    found
}
