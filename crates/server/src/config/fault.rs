use std::fmt;
use std::path::PathBuf;

/// What is wrong with a configuration: where, and one sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    file: Option<PathBuf>,
    line: Option<usize>,
    sentence: String,
}

impl ConfigError {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self { file: None, line: None, sentence: sentence.into() }
    }

    pub(super) fn at(line: usize, sentence: impl Into<String>) -> Self {
        Self { file: None, line: Some(line), sentence: sentence.into() }
    }

    pub(super) fn in_file(self, file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// The line it is about, counted from 1; `None` when it is about the file as a whole.
    pub fn line(&self) -> Option<usize> {
        self.line
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{}, line {line}: {}", file.display(), self.sentence),
            (Some(file), None) => write!(f, "{}: {}", file.display(), self.sentence),
            (None, Some(line)) => write!(f, "line {line}: {}", self.sentence),
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

/// A word that is none of those that are known there.
pub(super) fn not_one_of(path: &str, names: &str, value: &str, line: usize) -> ConfigError {
    ConfigError::at(line, format!("`{path}` must be one of {names}, not {}", quoted(value)))
}
