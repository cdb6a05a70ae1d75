//! How fast each engine takes writes, and how long one write waits at most, alone, beside a persist and beside a scan.
//!
//! `cargo run --release -p sessile-store --example engine_bench [records] [cache MiB] [directory] [engine]`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sessile_store::engine::{Batch, Engine, EngineKind, EngineOptions, open};

/// The size of a usual session.
const VALUE_BYTES: usize = 1_800;
/// As many commands as an apply batch has under load.
const BATCH_RECORDS: usize = 64;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let records: usize = arguments.next().map_or(300_000, |count| count.parse().unwrap());
    let cache_mib: u64 = arguments.next().map_or(256, |mib| mib.parse().unwrap());
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let only: Option<EngineKind> = arguments.next().map(|name| name.parse().unwrap());
    for kind in EngineKind::ALL.into_iter().filter(|kind| only.is_none_or(|only| only == *kind)) {
        let dir = parent.join(format!("engine_bench.{kind}.{}", std::process::id()));
        measure(kind, &dir, records, cache_mib * 1024 * 1024);
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

fn measure(kind: EngineKind, dir: &std::path::Path, records: usize, cache_bytes: u64) {
    let engine = open(kind, dir, EngineOptions { cache_bytes, ..EngineOptions::default() }).unwrap();
    let (mut counter, mut random) = (0, Random(2));

    report(
        kind,
        "load",
        &write_records(&*engine, records, || {
            counter += 1;
            counter
        }),
    );
    report(kind, "rewrite", &write_records(&*engine, records / 4, || 1 + random.next() % records as u64));

    let (longest_persist, persists) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let beside = beside(&*engine, records, &mut random, |engine, running| {
        while running.load(Ordering::Relaxed) {
            let begin = Instant::now();
            engine.persist().unwrap();
            longest_persist.fetch_max(micros(begin.elapsed()), Ordering::Relaxed);
            persists.fetch_add(1, Ordering::Relaxed);
        }
    });
    report(kind, "beside persist", &beside);
    let (count, longest) = (persists.into_inner(), longest_persist.into_inner() / 1000);
    println!("{kind:>6}  {count} persists, longest {longest} ms");

    let scanned = AtomicUsize::new(0);
    let beside = beside_scan(&*engine, records, &mut random, &scanned);
    report(kind, "beside scan", &beside);
    println!("{kind:>6}  scanned {} records", scanned.into_inner());

    let begin = Instant::now();
    for _ in 0..20_000 {
        engine.get(&key(1 + random.next() % records as u64)).unwrap();
    }
    println!("{kind:>6}  get {:.1} us", begin.elapsed().as_secs_f64() * 1e6 / 20_000.0);
    println!("{kind:>6}  {} MB on disk", engine.disk_bytes() / 1_000_000);

    let begin = Instant::now();
    engine.shutdown().unwrap();
    let stopped = begin.elapsed();
    let begin = Instant::now();
    let engine = open(kind, dir, EngineOptions { cache_bytes, ..EngineOptions::default() }).unwrap();
    println!("{kind:>6}  shut down in {stopped:.2?}, reopened in {:.2?}", begin.elapsed());
    engine.shutdown().unwrap();
}

struct Written {
    records: usize,
    took: Duration,
    waits: Vec<Duration>,
}

fn write_records(engine: &dyn Engine, records: usize, mut number: impl FnMut() -> u64) -> Written {
    let begin = Instant::now();
    let mut filler = Random(begin.elapsed().subsec_nanos().into());
    let mut waits = Vec::new();
    let mut written = 0;
    while written < records {
        let mut batch = Batch::new();
        for _ in 0..BATCH_RECORDS {
            batch.put(key(number()), value(&mut filler));
        }
        let begin = Instant::now();
        engine.write(batch).unwrap();
        waits.push(begin.elapsed());
        written += BATCH_RECORDS;
    }
    waits.sort_unstable();
    Written { records: written, took: begin.elapsed(), waits }
}

/// Rewrites a tenth of the records while `other` runs.
fn beside(
    engine: &dyn Engine,
    records: usize,
    random: &mut Random,
    other: impl Fn(&dyn Engine, &AtomicBool) + Sync,
) -> Written {
    let running = AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| other(engine, &running));
        let written = write_records(engine, records / 10, || 1 + random.next() % records as u64);
        running.store(false, Ordering::Relaxed);
        written
    })
}

fn beside_scan(engine: &dyn Engine, records: usize, random: &mut Random, scanned: &AtomicUsize) -> Written {
    beside(engine, records, random, |engine, running| {
        let view = engine.view().unwrap();
        for record in view.scan_prefix(b"") {
            record.unwrap();
            scanned.fetch_add(1, Ordering::Relaxed);
            if !running.load(Ordering::Relaxed) {
                break;
            }
        }
    })
}

fn report(kind: EngineKind, what: &str, written: &Written) {
    let (count, last) = (written.waits.len(), written.waits.len() - 1);
    println!(
        "{kind:>6}  {what:<15} {:>7.0} records/s   write of {BATCH_RECORDS}: median {:.2?}, p99 {:.2?}, longest {:.1?}, {} over 50 ms",
        written.records as f64 / written.took.as_secs_f64(),
        written.waits[count / 2],
        written.waits[last * 99 / 100],
        written.waits[last],
        written.waits.iter().filter(|wait| **wait > Duration::from_millis(50)).count(),
    );
}

/// A numbered key in random order, as session ids are.
fn key(number: u64) -> Vec<u8> {
    format!("s:enwiki:MWSession:{:032x}", u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 32).into_bytes()
}

fn value(random: &mut Random) -> Vec<u8> {
    (0..VALUE_BYTES / 8).flat_map(|_| random.next().to_le_bytes()).collect()
}

fn micros(duration: Duration) -> usize {
    usize::try_from(duration.as_micros()).unwrap_or(usize::MAX)
}

/// Numbers that look random and are the same at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }
}
