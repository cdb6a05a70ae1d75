//! How fast the log appends, against the same bytes appended to a raw preallocated file, on the same disk.
//!
//! `cargo run --release --example log_bench -- DIRECTORY [ROUNDS]`: batches of 128 entries of 1 KiB, one sync for each
//! batch, the next batch when the last is durable; the two take turns, so that a busy disk is unfair to both.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sessile_store::log::{LogOptions, LogPosition, LogRecord, RaftLog};

const BATCH: u16 = 128;
const PAYLOAD_BYTES: usize = 1024;

/// Batches in one turn: long enough to time, short enough that both see the same weather.
const BATCHES_A_TURN: u64 = 100;

const DEFAULT_ROUNDS: u64 = 20;

struct Raw {
    file: File,
    offset: u64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name a directory on the disk to measure")?;
    let rounds = arguments.next().map_or(Ok(DEFAULT_ROUNDS), |rounds| rounds.parse())?;
    let directory = Path::new(&directory).join("log-bench");
    fs::create_dir_all(&directory)?;
    let mut raw = raw_file(&directory.join("raw"), rounds)?;
    let log = RaftLog::create(&directory.join("log"), b"bench", LogOptions::default())?;
    let payload = Bytes::from(vec![0x5a; PAYLOAD_BYTES]);
    let (mut raw_time, mut log_time) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..rounds {
        raw_time += raw_turn(&mut raw, &payload)?;
        log_time += log_turn(&log, &payload)?;
    }
    log.close()?;
    fs::remove_dir_all(&directory)?;
    let entries = rounds * BATCHES_A_TURN * u64::from(BATCH);
    let rate = |time: Duration| entries as f64 / time.as_secs_f64();
    let mut out = io::stdout();
    writeln!(out, "{entries} entries of {PAYLOAD_BYTES} bytes, {BATCH} to a sync")?;
    writeln!(out, "raw file: {:>9.0} entries/s", rate(raw_time))?;
    writeln!(out, "log:      {:>9.0} entries/s", rate(log_time))?;
    writeln!(out, "ratio:    {:>9.2}", rate(log_time) / rate(raw_time))?;
    Ok(())
}

/// A file with every block written, so that the raw side too syncs data only.
fn raw_file(path: &Path, rounds: u64) -> io::Result<Raw> {
    let mut file = File::create(path)?;
    let zeros = vec![0; usize::from(BATCH) * PAYLOAD_BYTES];
    for _ in 0..rounds * BATCHES_A_TURN {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    Ok(Raw { file, offset: 0 })
}

fn raw_turn(raw: &mut Raw, payload: &[u8]) -> io::Result<Duration> {
    let start = Instant::now();
    for _ in 0..BATCHES_A_TURN {
        let batch = payload.repeat(usize::from(BATCH));
        raw.file.write_all_at(&batch, raw.offset)?;
        raw.file.sync_data()?;
        raw.offset += batch.len() as u64;
    }
    Ok(start.elapsed())
}

fn log_turn(log: &RaftLog, payload: &Bytes) -> Result<Duration, Box<dyn std::error::Error>> {
    let start = Instant::now();
    for _ in 0..BATCHES_A_TURN {
        let first = log.last().map_or(1, |last| last.index + 1);
        let records = (first..first + u64::from(BATCH))
            .map(|index| LogRecord { position: LogPosition { term: 1, index }, payload: payload.clone() })
            .collect();
        let (sender, durable) = sync_channel(1);
        log.append(records, Box::new(move |result| drop(sender.send(result))))?;
        durable.recv()??;
    }
    // As a node does once a snapshot stands: what the first turns purge, later ones recycle.
    if let Some(last) = log.last() {
        let position = LogPosition { term: 1, index: last.index.saturating_sub(BATCH.into()) };
        log.purge(position, Box::new(|_| ()))?;
    }
    Ok(start.elapsed())
}
