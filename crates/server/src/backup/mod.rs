//! Backups: `sessile backup`, `verify`, `inspect` and `restore`, and those that a node makes by itself. What is asked for is in
//! `args`, where a backup is kept in `destination`, how it comes about in `take`, by the clock in `schedule`, and what is said
//! of one in `show`.

mod args;
mod destination;
mod restoring;
mod schedule;
mod show;
mod take;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use sessile_store::{BackupSummary, StoreError, verify};
use tokio::runtime::Builder;

pub(crate) use args::{Backup, Look, Restore};
pub(crate) use restoring::restore;
pub(crate) use schedule::{Backups, run as keep_making};

use crate::exit::{Failure, Status};
use crate::operate::show::print;
use crate::progress::Progress;

/// What stands for standard input and output.
const STANDARD: &str = "-";

/// `sessile backup`.
pub(crate) fn backup(asked: &Backup) -> anyhow::Result<ExitCode> {
    let runtime = Builder::new_current_thread().enable_all().build().context("there is no runtime")?;
    runtime.block_on(take::run(asked))
}

/// `sessile verify`.
pub(crate) fn verify_file(asked: &Look) -> anyhow::Result<ExitCode> {
    let summary = read(&asked.file)?;
    print(&if asked.json { show::document(&summary) } else { show::sentence(&name_of(&asked.file), &summary) })?;
    Ok(ExitCode::SUCCESS)
}

/// `sessile inspect`.
pub(crate) fn inspect(asked: &Look) -> anyhow::Result<ExitCode> {
    let summary = read(&asked.file)?;
    print(&if asked.json { show::document(&summary) } else { show::whole(&name_of(&asked.file), &summary) })?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &Path) -> Result<BackupSummary, Failure> {
    let (input, bytes) = open(file)?;
    let mut progress = Progress::new(format!("reading {}", name_of(file)), bytes);
    let summary = verify(input, |read| progress.at(read)).map_err(|error| failure(&name_of(file), &error))?;
    progress.end();
    Ok(summary)
}

/// A backup to read from, and its bytes where they are known.
fn open(file: &Path) -> Result<(Box<dyn Read>, Option<u64>), Failure> {
    if file == Path::new(STANDARD) {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let opened = File::open(file)
        .map_err(|error| Failure::new(Status::CannotCreate, format!("{} cannot be read: {error}", file.display())))?;
    let bytes = opened.metadata().ok().map(|metadata| metadata.len());
    Ok((Box::new(BufReader::with_capacity(1 << 20, opened)), bytes))
}

fn name_of(file: &Path) -> String {
    if file == Path::new(STANDARD) { "the backup on standard input".to_owned() } else { file.display().to_string() }
}

/// The exit code for what went wrong with that backup, and where.
fn failure(of: &str, error: &StoreError) -> Failure {
    Failure::new(error.into(), format!("{of}: {error}"))
}
