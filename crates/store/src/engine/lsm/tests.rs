//! The engine by itself: what its merges, its list of tables and its room on the disk promise.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::ended::Ended;
use super::plan::{Busy, Job, choose};
use super::store::Store;
use super::table::Table;
use super::{flush, merges};
use crate::engine::home::Home;
use crate::engine::{Batch, EngineKind, EngineOptions, Operation, Retention};

/// A clock that a test moves. A value begins with the time until when it is needed; keys that begin with `r` may lapse.
#[derive(Debug, Default)]
pub(super) struct Clock(pub(super) AtomicU64);

impl Retention for Clock {
    fn may_lapse(&self, key: &[u8]) -> bool {
        key.first() == Some(&b'r')
    }

    fn needed_until(&self, key: &[u8], value: &[u8]) -> u64 {
        let until = value.first_chunk::<8>().map_or(u64::MAX, |bytes| u64::from_be_bytes(*bytes));
        if self.may_lapse(key) { until } else { u64::MAX }
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A store without threads: a test flushes and merges when it likes.
struct Bench {
    store: Store,
    clock: Arc<Clock>,
    dir: tempfile::TempDir,
    busy: Busy,
}

/// Small, so that a run of a few dozen keys has several tables.
const TABLE_BYTES: u64 = 150;
const OPTIONS: EngineOptions = EngineOptions::with_cache(8 * 1024 * 1024);

fn opened(dir: &Path, clock: &Arc<Clock>) -> Store {
    let home = Home::claim(EngineKind::Fjall, dir).unwrap();
    let mut store = Store::open(home, EngineOptions { retention: Some(clock.clone()), ..OPTIONS }).unwrap();
    store.home_mut().created().unwrap();
    store.throttle.set_behind(true);
    store.set_table_bytes(TABLE_BYTES);
    store
}

impl Bench {
    fn new() -> Self {
        // In memory where the system has a place for it: it syncs thousands of files.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let clock = Arc::<Clock>::default();
        let store = opened(&dir.path().join("engine"), &clock);
        Self { store, clock, dir, busy: Busy::default() }
    }

    fn reopen(self) -> Self {
        let Self { store, clock, dir, .. } = self;
        drop(store);
        let store = opened(&dir.path().join("engine"), &clock);
        Self { store, clock, dir, busy: Busy::default() }
    }

    fn write(&self, changes: impl IntoIterator<Item = (Bytes, Operation)>) {
        let mut batch = Batch::new();
        for (key, operation) in changes {
            match operation {
                Operation::Put(value) => batch.put(key, value),
                Operation::Remove => batch.remove(key),
            }
        }
        self.store.buffer(|buffer| buffer.add(batch));
    }

    fn flush(&self) {
        assert_eq!(flush::flush(&self.store).unwrap(), Ended::Done);
    }

    fn run(&self, job: &Job) {
        assert_eq!(merges::run(&self.store, job).unwrap(), Ended::Done);
    }

    /// What there is, by a scan; and every key is asked for as well.
    fn state(&self) -> BTreeMap<Bytes, Bytes> {
        let (layers, runs) = self.store.seal();
        let layers = layers.iter().rev().map(|layer| super::buffer::source(layer, Bound::Unbounded, Bound::Unbounded));
        let sources = layers.chain(runs.sources(Bound::Unbounded, Bound::Unbounded)).collect();
        let mut found = BTreeMap::new();
        for entry in super::merge::MergeIter::new(sources) {
            let entry = entry.unwrap();
            let (key, value) = (Bytes::from(entry.key), entry.value.map(Bytes::from));
            assert_eq!(self.store.get(&key).unwrap(), value, "a scan and a get differ");
            found.extend(value.map(|value| (key, value)));
        }
        found
    }

    fn files(&self) -> usize {
        while self.store.remove_one() {}
        fs::read_dir(self.dir.path().join("engine/data/tables")).unwrap().count()
    }

    fn listed(&self) -> usize {
        self.store.runs().tables().count()
    }
}

fn put(until: u64, words: &str) -> Operation {
    Operation::Put([&until.to_be_bytes()[..], words.as_bytes()].concat().into())
}

fn run_ids(bench: &Bench) -> Vec<u64> {
    bench.store.runs().0.iter().map(|run| run.id).collect()
}

/// A merge of all runs between two keys into the base.
fn sink(bench: &Bench, from: Bound<Bytes>, to: Bound<Bytes>) -> Job {
    let bounds = (from.as_ref().map(AsRef::as_ref), to.as_ref().map(AsRef::as_ref));
    let runs = bench.store.runs();
    let tables = |run: &super::runs::Run| run.overlapping(bounds.0, bounds.1).iter().map(|table| table.id).collect();
    let runs = runs.0.iter().map(|run| (run.id, tables(run))).collect();
    Job::Sink { from, to, runs }
}

/// By a model: whatever is written, flushed, joined, sunk, dropped and opened again, in whatever order, what is there is what
/// a plain map has, but for what has lapsed, and no lapsed key shows an older value.
#[test]
fn no_order_of_flushes_merges_and_restarts_changes_what_is_there() {
    for seed in 0..60 {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut bench = Bench::new();
        let mut model: BTreeMap<Bytes, Bytes> = BTreeMap::new();
        for turn in 0..120 {
            match random.random_range(0..20) {
                0..8 => {
                    let changes: Vec<(Bytes, Operation)> = (0..random.random_range(1..40))
                        .map(|_| {
                            let key =
                                format!("{}{:02}", ["r", "s"][random.random_range(0..2)], random.random_range(0..60));
                            let until = bench.clock.now() + random.random_range(0..30);
                            let gone = random.random_range(0..4) == 0;
                            (key.into(), if gone { Operation::Remove } else { put(until, &turn.to_string()) })
                        })
                        .collect();
                    for (key, operation) in &changes {
                        match operation {
                            Operation::Put(value) => drop(model.insert(key.clone(), value.clone())),
                            Operation::Remove => drop(model.remove(key)),
                        }
                    }
                    bench.write(changes);
                }
                8..12 => bench.flush(),
                12..15 => {
                    let ids = run_ids(&bench);
                    if ids.len() > 2 {
                        let begin = random.random_range(0..ids.len() - 2);
                        let end = random.random_range(begin + 1..ids.len() - 1);
                        bench.run(&Job::Join(ids[begin..=end].to_vec()));
                    }
                }
                15..17 => {
                    let runs = bench.store.runs();
                    if let Some(base) = runs.0.last() {
                        // As a stretch is chosen: where tables of the base begin.
                        let begin = random.random_range(0..base.tables.len());
                        let end = random.random_range(begin + 1..=base.tables.len());
                        let from = if begin == 0 {
                            Bound::Unbounded
                        } else {
                            Bound::Included(base.tables[begin].min().clone())
                        };
                        let to =
                            base.tables.get(end).map_or(Bound::Unbounded, |next| Bound::Excluded(next.min().clone()));
                        bench.run(&sink(&bench, from, to));
                    }
                }
                17 => drop(bench.clock.0.fetch_add(random.random_range(1..20), Ordering::Relaxed)),
                18 => {
                    while let Some(job @ Job::Drop(_)) = choose(&bench.store.shape(), &bench.busy, u64::MAX) {
                        bench.run(&job);
                    }
                }
                _ => {
                    bench.flush();
                    bench = bench.reopen();
                }
            }
            let now = bench.clock.now();
            let found = bench.state();
            for (key, value) in &found {
                assert_eq!(
                    model.get(key),
                    Some(value),
                    "seed {seed}, turn {turn}: {key:?} is another or should be gone"
                );
            }
            for (key, value) in &model {
                let lapsed = bench.clock.needed_until(key, value) <= now;
                assert!(lapsed || found.contains_key(key), "seed {seed}, turn {turn}: {key:?} is lost");
            }
            assert_eq!(
                bench.files(),
                bench.listed(),
                "seed {seed}, turn {turn}: files that no list names, or lost ones"
            );
        }
    }
}

#[test]
fn what_has_lapsed_goes_as_whole_tables_without_a_merge_and_never_uncovers_what_is_older() {
    let bench = Bench::new();
    bench.write([("r1".into(), put(100, "old and long-lived"))]);
    bench.flush();
    bench.write([("r1".into(), put(10, "new and short-lived")), ("r2".into(), put(10, ""))]);
    bench.flush();
    bench.write([("s".into(), put(0, "for ever"))]);
    bench.flush();
    bench.clock.0.store(50, Ordering::Relaxed);
    assert_eq!(choose(&bench.store.shape(), &bench.busy, u64::MAX), None, "something older lies under it");
    bench.clock.0.store(100, Ordering::Relaxed);
    let job = choose(&bench.store.shape(), &bench.busy, u64::MAX).unwrap();
    assert!(matches!(&job, Job::Drop(tables) if tables.len() == 2), "both go at once: {job:?}");
    bench.run(&job);
    assert_eq!(bench.state().keys().collect::<Vec<_>>(), ["s"]);
    assert_eq!(bench.files(), 1);
}

#[test]
fn a_reader_that_is_the_last_to_let_go_of_a_table_does_not_remove_its_file() {
    let bench = Bench::new();
    for round in 0..2 {
        bench.write([("r".into(), put(u64::MAX, &round.to_string()))]);
        bench.flush();
    }
    let reader = bench.store.runs();
    bench.run(&sink(&bench, Bound::Unbounded, Bound::Unbounded));
    assert!(!bench.store.remove_one(), "somebody reads them");
    drop(reader);
    let there = || fs::read_dir(bench.dir.path().join("engine/data/tables")).unwrap().count();
    assert_eq!(there(), 3, "a file system takes its time to free what is in a file, and no request waits for that");
    assert_eq!(bench.files(), 1);
    assert!(!bench.store.has_gone());
}

#[test]
fn a_merge_that_fails_leaves_nothing_behind_and_changes_nothing() {
    let bench = Bench::new();
    for round in 0..3 {
        bench.write((0..50).map(|key| (format!("r{key:02}").into(), put(u64::MAX, &round.to_string()))));
        bench.flush();
    }
    let (before, files) = (bench.state(), bench.files());
    let data = bench.dir.path().join("engine/data");
    // The list cannot be drafted where a directory has its name.
    fs::create_dir(data.join("MANIFEST.new")).unwrap();
    let ids = run_ids(&bench);
    merges::run(&bench.store, &Job::Join(ids[..2].to_vec())).unwrap_err();
    merges::run(&bench.store, &sink(&bench, Bound::Unbounded, Bound::Unbounded)).unwrap_err();
    bench.write([("r00".into(), put(u64::MAX, "waits"))]);
    flush::flush(&bench.store).unwrap_err();
    assert_eq!(bench.files(), files, "what they had written is gone");
    fs::remove_dir(data.join("MANIFEST.new")).unwrap();
    bench.flush();
    bench.run(&sink(&bench, Bound::Unbounded, Bound::Unbounded));
    let mut after = before;
    let Operation::Put(value) = put(u64::MAX, "waits") else { unreachable!() };
    after.insert("r00".into(), value);
    assert_eq!(bench.reopen().state(), after);
}

#[test]
fn a_merge_that_is_stopped_leaves_nothing_behind() {
    let bench = Bench::new();
    for _ in 0..2 {
        bench.write((0..50).map(|key| (format!("r{key:02}").into(), put(u64::MAX, ""))));
        bench.flush();
    }
    let files = bench.files();
    bench.store.stop();
    let job = sink(&bench, Bound::Unbounded, Bound::Unbounded);
    assert_eq!(merges::run(&bench.store, &job).unwrap(), Ended::Stopped);
    assert_eq!(bench.files(), files);
}

#[test]
fn a_part_of_a_run_that_lies_beside_a_merge_stays_where_it_is() {
    let bench = Bench::new();
    bench.write((0..60).map(|key| (format!("r{key:02}").into(), put(u64::MAX, "base"))));
    bench.flush();
    bench.write((0..60).step_by(2).map(|key| (format!("r{key:02}").into(), put(u64::MAX, "over"))));
    bench.flush();
    let before = bench.state();
    let runs = bench.store.runs();
    let (over, base) = (&runs.0[0], &runs.0[1]);
    let (from, to) = (base.tables[1].min().clone(), base.tables[3].min().clone());
    let crosses = |key: &Bytes| over.tables.iter().any(|table| table.min() < key && key <= table.max());
    assert!(crosses(&from) && crosses(&to), "tables of the run lie over both ends");
    bench.run(&sink(&bench, Bound::Included(from.clone()), Bound::Excluded(to.clone())));
    assert_eq!(bench.state(), before);
    let runs = bench.store.runs();
    assert_eq!(runs.0.len(), 2);
    let lies_within = |table: &&Arc<Table>| *table.max() >= from && *table.min() < to;
    assert_eq!(runs.0[0].tables.iter().find(lies_within).map(|table| table.id), None, "there it is in the base");
    assert_eq!(bench.reopen().state(), before);
}

#[test]
fn a_view_keeps_the_files_that_it_reads_and_they_go_with_it() {
    let bench = Bench::new();
    for _ in 0..2 {
        bench.write((0..50).map(|key| (format!("r{key:02}").into(), put(u64::MAX, ""))));
        bench.flush();
    }
    let view = bench.store.runs();
    bench.run(&sink(&bench, Bound::Unbounded, Bound::Unbounded));
    assert_eq!(bench.files(), 3 * bench.listed());
    let read = super::merge::MergeIter::new(view.sources(Bound::Unbounded, Bound::Unbounded)).count();
    assert_eq!(read, 50);
    drop(view);
    assert_eq!(bench.files(), bench.listed());
}
