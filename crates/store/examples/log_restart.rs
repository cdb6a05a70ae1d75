//! How long a log of some size takes to open, as it was left, and how long if every byte of it has to be read.
//!
//! `cargo run --release --example log_restart -- DIRECTORY [GIB]`: entries of 1.8 KB, a log that is not closed.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use bytes::Bytes;
use sessile_store::log::{LogOptions, LogPosition, LogRecord, LogWriter, RaftLog};

const BATCH: u64 = 512;
const PAYLOAD_BYTES: usize = 1800;
const DEFAULT_GIB: u64 = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("name a directory on the disk to measure")?;
    let gib = arguments.next().map_or(Ok(DEFAULT_GIB), |gib| gib.parse())?;
    let directory = Path::new(&directory).join("log-restart");
    // As the server has it.
    let options = LogOptions { segment_bytes: 16 << 20, ..LogOptions::default() };
    let log = RaftLog::create(&directory, b"bench", options.clone())?;
    let payload = Bytes::from(vec![0x5a; PAYLOAD_BYTES]);
    let mut next = 1;
    let begun = Instant::now();
    while log.bytes() < gib << 30 {
        let position = |index| LogPosition { term: 1, index };
        let records =
            (next..next + BATCH).map(|index| LogRecord { position: position(index), payload: payload.clone() });
        let (sender, receiver) = sync_channel(1);
        log.append(records.collect(), Box::new(move |result| drop(sender.send(result))))?;
        receiver.recv()??;
        next += BATCH;
    }
    let mut out = io::stdout();
    writeln!(out, "{} entries, {} MiB, written in {:.1?}", next - 1, log.bytes() >> 20, begun.elapsed())?;
    drop(log);
    let begun = Instant::now();
    let log = RaftLog::open(&directory, options.clone())?;
    writeln!(out, "opened in {:.3?}", begun.elapsed())?;
    let begun = Instant::now();
    let read = log.read(next / 2..next, 4 << 20)?;
    writeln!(out, "{} entries from the middle in {:.3?}", read.len(), begun.elapsed())?;
    drop(log);
    // With a writer that is a task, nothing is left to verify later.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let writer = LogWriter::Task(std::sync::Arc::new(|| std::time::Duration::ZERO));
    let begun = Instant::now();
    drop(RaftLog::open(&directory, LogOptions { writer, ..options })?);
    writeln!(out, "opened, with every byte read, in {:.1?}", begun.elapsed())?;
    fs::remove_dir_all(&directory)?;
    Ok(())
}
