//! How far an import is, in a file that outlives it. No key, value, password or token is in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::counts::Counts;

/// What such a file is called by in itself.
const KIND: &str = "sessile import";
/// A state file has 1 KB.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Where an import stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// What is copied: source, database, which keys, what they are called, how values are changed. A cursor means something
    /// only for the same.
    pub(super) what: String,
    /// The run of the server that the cursor is of.
    pub(super) run_id: Option<String>,
    /// Where its SCAN goes on; 0 is the beginning.
    pub(super) cursor: u64,
    pub(super) counts: Counts,
    pub(super) finished: bool,
}

/// What a state that was found means for the import that begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// There was none, or the import that it is of was finished, or had not come further than the first keys.
    Anew,
    /// It goes on where it stood.
    GoOn,
    /// The server was started again since, or does not say so: its cursors lead nowhere.
    FromTheBeginning,
}

impl State {
    pub(super) fn new(what: String) -> Self {
        Self { what, run_id: None, cursor: 0, counts: Counts::default(), finished: false }
    }

    /// Takes over the run of the server that is asked now.
    pub(super) fn begin(&mut self, run_id: Option<String>) -> Begin {
        let begin = if self.finished || *self == Self::new(self.what.clone()) {
            *self = Self::new(std::mem::take(&mut self.what));
            Begin::Anew
        } else if self.cursor == 0 {
            // It broke off among the first keys, or when all had been gone through and some were to be looked for again.
            self.counts.begin_again();
            Begin::Anew
        } else if self.run_id.is_some() && self.run_id == run_id {
            Begin::GoOn
        } else {
            self.cursor = 0;
            self.counts.begin_again();
            Begin::FromTheBeginning
        };
        self.run_id = run_id;
        begin
    }

    fn json(&self) -> Value {
        json!({
            "kind": KIND,
            "what": self.what,
            "run_id": self.run_id,
            // JSON's numbers have fewer digits than cursors.
            "cursor": self.cursor.to_string(),
            "finished": self.finished,
            "counts": self.counts.json(),
        })
    }

    fn of_json(document: &Value) -> Option<Self> {
        Some(Self {
            what: document["what"].as_str().filter(|_| document["kind"] == KIND)?.to_owned(),
            run_id: document["run_id"].as_str().map(str::to_owned),
            cursor: document["cursor"].as_str()?.parse().ok()?,
            counts: Counts::of_json(&document["counts"])?,
            finished: document["finished"].as_bool()?,
        })
    }
}

/// Where the state is kept.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
}

/// Why a state file is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum StateError {
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    #[error("{0} is no state of an import; name another file, or delete it")]
    NoState(PathBuf),
    #[error("{0} is of another import ({1}); name another file, or delete it to begin anew")]
    OfAnother(PathBuf, String),
    #[error("{0} cannot be written: {1}; what was copied stays, and is not copied again")]
    Unwritable(PathBuf, io::Error),
}

impl StateFile {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What it holds of that import; a new state if there is no file.
    pub(super) fn read(&self, what: String) -> Result<State, StateError> {
        let mut text = String::new();
        match File::open(&self.path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(State::new(what)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(StateError::NoState(self.path.clone()));
            }
            Err(error) => return Err(StateError::Unreadable(self.path.clone(), error)),
            Ok(_) => {}
        }
        let state = serde_json::from_str(&text).ok().and_then(|document| State::of_json(&document));
        let state = state.ok_or_else(|| StateError::NoState(self.path.clone()))?;
        if state.what != what {
            return Err(StateError::OfAnother(self.path.clone(), state.what));
        }
        Ok(state)
    }

    /// Puts the state in the place of the one of before, in one step.
    pub(super) fn write(&self, state: &State) -> Result<(), StateError> {
        let half = self.path.with_extension("half");
        let written = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&half)?;
            file.write_all(format!("{:#}\n", state.json()).as_bytes())?;
            file.sync_all()?;
            fs::rename(&half, &self.path)
        };
        written().map_err(|error| StateError::Unwritable(self.path.clone(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::fate::Skip;

    fn half_done() -> State {
        let mut counts = Counts { scanned: 3, copied: 2, ..Counts::default() };
        counts.skip(Skip::LongKey);
        counts.other_type("hash".to_owned());
        State { what: "a".to_owned(), run_id: Some("r1".to_owned()), cursor: u64::MAX, counts, finished: false }
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::at(&directory.path().join("import.state"));
        assert_eq!(file.read("a".to_owned()).unwrap(), State::new("a".to_owned()));
        file.write(&half_done()).unwrap();
        file.write(&half_done()).unwrap();
        assert_eq!(file.read("a".to_owned()).unwrap(), half_done());
        let other = file.read("b".to_owned()).unwrap_err().to_string();
        assert!(other.contains("is of another import (a)"), "{other}");
        for nonsense in ["", "{}", "[]", "\u{e9}", "{\"kind\": \"sessile import\", \"what\": \"a\"}"] {
            fs::write(&file.path, nonsense).unwrap();
            let said = file.read("a".to_owned()).unwrap_err().to_string();
            assert!(said.contains("is no state of an import"), "{nonsense}: {said}");
        }
        let nowhere = StateFile::at(Path::new("/nowhere/import.state"));
        let said = nowhere.write(&half_done()).unwrap_err().to_string();
        assert!(said.starts_with("/nowhere/import.state cannot be written"), "{said}");
    }

    /// The order of keys is drawn when the server starts, so that a cursor of another run would leave keys out.
    #[test]
    fn an_import_goes_on_only_in_the_same_run_of_the_server() {
        let begins = |state: State, run: Option<&str>| {
            let mut state = state;
            let begin = state.begin(run.map(str::to_owned));
            (begin, state.cursor, state.counts.copied, state.counts.scanned)
        };
        assert_eq!(begins(State::new("a".to_owned()), Some("r1")), (Begin::Anew, 0, 0, 0));
        assert_eq!(begins(half_done(), Some("r1")), (Begin::GoOn, u64::MAX, 2, 3));
        assert_eq!(begins(half_done(), Some("r2")), (Begin::FromTheBeginning, 0, 2, 0));
        assert_eq!(begins(half_done(), None), (Begin::FromTheBeginning, 0, 2, 0));
        let unknown = State { run_id: None, ..half_done() };
        assert_eq!(begins(unknown, None), (Begin::FromTheBeginning, 0, 2, 0));
        let first = State { cursor: 0, ..half_done() };
        assert_eq!(begins(first, Some("r1")), (Begin::Anew, 0, 2, 0));
        let finished = State { finished: true, ..half_done() };
        assert_eq!(begins(finished, Some("r1")), (Begin::Anew, 0, 0, 0));
    }
}
