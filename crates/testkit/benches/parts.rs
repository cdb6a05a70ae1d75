//! What the parts of a request cost by themselves: `cargo bench -p sessile-testkit`, or with a part's name behind `--`.
//!
//! Each is as the program has it, without the others: the rules, an engine in a directory of its own, and the Raft log with
//! its fsync. The session API has its own in `sessile-http`. What all of it comes to together is in docs/performance.md.

use std::hint::black_box;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sessile_core::{
    Action, Bucket, Condition, Delete, Header, Horizon, Limits, LogTime, Place, Put, Record, Ttl, Version, decide,
    value_hash,
};
use sessile_store::engine::{Batch, Engine, EngineKind, EngineOptions, open_cached};
use sessile_store::log::{LogOptions, LogPosition, LogRecord, RaftLog};

/// A usual session.
const VALUE_BYTES: usize = 1_800;
const KEYS: u64 = 20_000;
/// How many commands a busy node applies at a time.
const BATCH: u64 = 32;
const CACHE_BYTES: u64 = 256 << 20;

fn value() -> Bytes {
    vec![0x5a; VALUE_BYTES].into()
}

fn key(number: u64) -> Bytes {
    format!("enwiki:MWSession:{number:032x}").into()
}

fn rules(criterion: &mut Criterion) {
    let clock = LogTime::from_millis(1_700_000_000_000);
    let expires_at = clock.after(Duration::from_secs(86_400));
    let place = Place {
        horizon: Horizon { clock, ..Horizon::default() },
        version: Version::new(7),
        generation: 0,
        counted_by_name: true,
        key_bytes: 60,
        limits: Limits::NONE,
        keeps_lifetime: false,
    };
    let header = Header {
        namespace_generation: 0,
        group_generation: 0,
        expires_at,
        bucket: Bucket::of(clock, expires_at),
        counted_by_name: true,
        version: Version::new(6),
        value_bytes: VALUE_BYTES as u64,
        value_hash: value_hash(&value()),
        lifetime: None,
    };
    let current = Record { header, value: value() };
    let day = Ttl::from_secs(86_400).unwrap_or(Ttl::FOREVER);
    let put = Action::Put(Put { value: value(), ttl: day, condition: Condition::None });
    let delete = Action::Delete(Delete { condition: Condition::None, take: false });
    let mut group = criterion.benchmark_group("decide");
    group.bench_function("put", |bencher| bencher.iter(|| decide(black_box(&place), Some(&current), &put)));
    group.bench_function("delete", |bencher| bencher.iter(|| decide(black_box(&place), Some(&current), &delete)));
    group.finish();
}

fn engines(criterion: &mut Criterion) {
    for kind in [EngineKind::Fjall, EngineKind::Sled] {
        let Ok(directory) = tempfile::tempdir() else { return };
        let options = EngineOptions { cache_bytes: CACHE_BYTES, ..EngineOptions::default() };
        let Ok(engine) = open_cached(kind, &directory.path().join("state"), options) else { return };
        fill(&*engine);
        let mut group = criterion.benchmark_group(format!("{kind}"));
        let next = AtomicU64::new(1);
        let draw = || next.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) % KEYS;
        group.bench_function("get", |bencher| bencher.iter(|| engine.get(&key(draw()))));
        group.bench_function("get what is absent", |bencher| bencher.iter(|| engine.get(&key(KEYS + draw()))));
        group.throughput(Throughput::Elements(BATCH));
        group.bench_function("write a batch", |bencher| {
            bencher.iter(|| {
                let mut batch = Batch::new();
                (0..BATCH).for_each(|_| batch.put(key(draw()), vec![0x5a; VALUE_BYTES]));
                engine.write(batch)
            });
        });
        group.finish();
    }
}

fn fill(engine: &dyn Engine) {
    for first in (0..KEYS).step_by(1_000) {
        let mut batch = Batch::new();
        (first..first + 1_000).for_each(|number| batch.put(key(number), value()));
        if engine.write(batch).is_err() {
            return;
        }
    }
}

fn log(criterion: &mut Criterion) {
    let Ok(directory) = tempfile::tempdir() else { return };
    let mut group = criterion.benchmark_group("log");
    for entries in [1, BATCH] {
        let Some(log) = new_log(&directory.path().join(format!("{entries}"))) else { return };
        let next = AtomicU64::new(1);
        group.throughput(Throughput::Elements(entries));
        group.bench_function(format!("append {entries} and sync"), |bencher| {
            bencher.iter(|| {
                let first = next.fetch_add(entries, Ordering::Relaxed);
                let position = |index| LogPosition { term: 1, index };
                let record = |index| LogRecord { position: position(index), payload: value() };
                log.durably(|done| log.append((first..first + entries).map(record).collect(), done))
            });
        });
    }
    group.finish();
}

fn new_log(directory: &Path) -> Option<RaftLog> {
    RaftLog::create(directory, b"bench", LogOptions::default()).ok()
}

criterion_group!(parts, rules, engines, log);
criterion_main!(parts);
