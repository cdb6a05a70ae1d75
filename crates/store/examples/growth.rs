//! How an engine takes unbroken new keys: `growth DIR GB [VALUE_BYTES] [KEYS_PER_BATCH]`. A line for each GB of values.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use sessile_store::engine::{Batch, EngineKind, EngineOptions, open};

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = PathBuf::from(args.next().unwrap());
    let gb: u64 = args.next().unwrap().parse().unwrap();
    let value_bytes: usize = args.next().map_or(1_800, |n| n.parse().unwrap());
    let engine = open(EngineKind::Fjall, &dir, EngineOptions::with_cache(128 << 20)).unwrap();
    let mut random = SmallRng::seed_from_u64(7);
    let mut noise = vec![0_u8; 4 << 20];
    random.fill_bytes(&mut noise);
    let noise = bytes::Bytes::from(noise);
    let (mut live, mut said, mut began, mut longest) = (0_u64, 0_u64, Instant::now(), Duration::ZERO);
    let mut waits = Vec::new();
    while live < gb << 30 {
        let mut batch = Batch::new();
        for _ in 0..32 {
            let key = format!("enwiki:MWSession:{:032x}", random.random::<u128>());
            live += (key.len() + value_bytes) as u64;
            let at = random.random_range(0..noise.len() - value_bytes);
            batch.put(
                [b"\x10\0\0\0\x01", key.as_bytes()].concat(),
                bytes::Bytes::copy_from_slice(&noise[at..at + value_bytes]),
            );
        }
        let start = Instant::now();
        engine.write(batch).unwrap();
        let took = start.elapsed();
        longest = longest.max(took);
        waits.push(took);
        if live >> 30 > said {
            said = live >> 30;
            waits.sort_unstable();
            let p99 = waits[waits.len() * 99 / 100];
            let cpu = std::fs::read_to_string("/proc/self/stat").unwrap();
            let fields: Vec<&str> = cpu.rsplit_once(')').unwrap().1.split_whitespace().collect();
            let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
            let rss = std::fs::read_to_string("/proc/self/statm").unwrap();
            let rss: u64 = rss.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096 >> 20;
            let io = std::fs::read_to_string("/proc/self/io").unwrap();
            let written: u64 = io.lines().find_map(|l| l.strip_prefix("write_bytes: ")).unwrap().parse().unwrap();
            println!(
                "{said} GB: {:.0} MB/s, batch p99 {:?}, longest {:?}, disk {:.2}, written/live {:.1}, cpu {:.0} s, rss {rss} MB",
                1024.0 / began.elapsed().as_secs_f64(),
                p99,
                longest,
                engine.disk_bytes() as f64 / live as f64,
                written as f64 / live as f64,
                ticks as f64 / 100.0
            );
            began = Instant::now();
            longest = Duration::ZERO;
            waits.clear();
        }
    }
    let rest = Instant::now();
    engine.persist().unwrap();
    std::thread::sleep(Duration::from_secs(20));
    println!("after {:?}: disk {:.2}", rest.elapsed(), engine.disk_bytes() as f64 / live as f64);
    let stop = Instant::now();
    engine.shutdown().unwrap();
    println!("stopped in {:?}", stop.elapsed());
    let start = Instant::now();
    let engine = open(EngineKind::Fjall, &dir, EngineOptions::with_cache(128 << 20)).unwrap();
    println!("opened in {:?}", start.elapsed());
    drop(engine);
}
