//! The list of tables on disk: which there are, in which runs. A table that it does not name is none.
//!
//! ```text
//! MANIFEST: sealed (version byte, xxh3-64, bincode): next number | runs, newest first { number | tables }
//! ```
//!
//! It is written whole for each change, 60 bytes or so a table, beside the old one, and takes its place in one step.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::runs::{Run, RunId, Runs, in_order};
use super::table::{Facts, Table, TableContext};
use crate::access;
use crate::codec::{seal, unseal};
use crate::engine::guard::Fault;
use crate::engine::home::sync_dir;

const MANIFEST: &str = "MANIFEST";
/// The next list, before it takes the place of the one that counts.
pub(super) const DRAFT: &str = "MANIFEST.new";
/// The directory of the tables.
pub(super) const TABLES: &str = "tables";

/// As it stands in the file.
#[derive(Default, serde::Serialize, serde::Deserialize)]
pub(super) struct Listed {
    /// The number that the next table or run gets.
    pub(super) next: u64,
    /// Newest first.
    pub(super) runs: Vec<(RunId, Vec<Facts>)>,
}

/// The file.
pub(super) struct Manifest {
    data: PathBuf,
}

impl Manifest {
    /// In the directory of the library's files.
    pub(super) fn new(data: &Path) -> Self {
        Self { data: data.to_path_buf() }
    }

    pub(super) fn exists(&self) -> io::Result<bool> {
        self.data.join(MANIFEST).try_exists()
    }

    /// Writes a list beside the one that counts, durably.
    pub(super) fn draft(&self, listed: &Listed) -> io::Result<()> {
        let draft = self.data.join(DRAFT);
        let written = access::create(&draft).and_then(|mut file| {
            file.write_all(&seal(listed))?;
            file.sync_all()
        });
        if written.is_err() {
            // It may hold the last room of a full disk. What cannot be removed is written over by the next.
            let _ = fs::remove_file(&draft);
        }
        written
    }

    /// Makes the list that was drafted the one that counts, durably. After an error nobody knows which one counts.
    pub(super) fn put_in_place(&self) -> Result<(), Fault> {
        let placed = fs::rename(self.data.join(DRAFT), self.data.join(MANIFEST)).and_then(|()| sync_dir(&self.data));
        // Never one of those that are tried again.
        let failed = |error| io::Error::other(format!("the list of tables could not be replaced: {error}"));
        placed.map_err(|error| Fault::Io(failed(error)))
    }

    /// Opens every table that is listed, and removes the files of those that are not: what a crash left half-written, or
    /// merged away.
    pub(super) fn load(&self, context: &TableContext) -> Result<(Runs, u64), Fault> {
        let path = self.data.join(MANIFEST);
        let bytes = fs::read(&path)?;
        let damaged = |what: String| Fault::Library(format!("{} is damaged: {what}", path.display()));
        let listed: Listed = unseal(&bytes).map_err(|error| damaged(error.to_string()))?;
        let mut runs = Vec::with_capacity(listed.runs.len());
        for (id, tables) in listed.runs {
            let open = |facts| Table::open(context, facts).map(Arc::new);
            let tables = tables.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
            runs.push(Run { id, tables: in_order(tables)? });
        }
        let runs = Runs(runs);
        remove_others(&context.dir, &runs)?;
        Ok((runs, listed.next))
    }
}

impl Listed {
    pub(super) fn of(runs: &Runs, next: u64) -> Self {
        let facts = |run: &Run| run.tables.iter().map(|table| table.facts().clone()).collect();
        Self { next, runs: runs.0.iter().map(|run| (run.id, facts(run))).collect() }
    }
}

fn remove_others(dir: &Path, runs: &Runs) -> io::Result<()> {
    let listed: HashSet<String> = runs.tables().map(|table| table.id.to_string()).collect();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| listed.contains(name)) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}
