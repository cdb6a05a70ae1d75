use std::fmt;
use std::path::PathBuf;

use super::place::Place;

/// What is wrong with a configuration: where, and one sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    file: Option<PathBuf>,
    place: Option<Place>,
    sentence: String,
}

impl ConfigError {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self { file: None, place: None, sentence: sentence.into() }
    }

    pub(super) fn at(place: impl Into<Place>, sentence: impl Into<String>) -> Self {
        Self { file: None, place: Some(place.into()), sentence: sentence.into() }
    }

    pub(super) fn in_file(self, file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// The line it is about, counted from 1; `None` when it is about the file as a whole, or about a variable.
    pub fn line(&self) -> Option<usize> {
        match self.place {
            Some(Place::Line(line)) => Some(line),
            Some(Place::Variable(_)) | None => None,
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.place) {
            (Some(file), Some(place @ Place::Line(_))) => write!(f, "{}, {place}: {}", file.display(), self.sentence),
            (_, Some(place)) => write!(f, "{place}: {}", self.sentence),
            (Some(file), None) => write!(f, "{}: {}", file.display(), self.sentence),
            (None, None) => f.write_str(&self.sentence),
        }
    }
}

/// Text from a file as it may stand in a sentence: quoted, control characters escaped, and not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 64;
    let cut = if text.chars().count() > SHOWN { "…" } else { "" };
    format!("{:?}", text.chars().take(SHOWN).collect::<String>() + cut)
}
