use std::fmt::{self, Write};
use std::time::SystemTime;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::Level;

/// Kask's `request_id` of a line that belongs to no request.
const NO_REQUEST: &str = "00000000-0000-0000-0000-000000000000";

/// The longest text in a line, in bytes; the rest is cut. Container runtimes split lines at 16 KiB, and half a JSON
/// object is none.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// RFC 3339 in UTC with milliseconds; Kask has seconds.
const RFC_3339: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const CLOCK: &[BorrowedFormatItem<'_>] = format_description!("[hour]:[minute]:[second]");

/// How a line looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// Kask's: a JSON object, for machines.
    Kask {
        /// The `service_name`.
        appname: String,
    },
    /// `12:00:01 INFO message key=value`, in UTC, for people.
    Plain,
}

/// How severe a line is, by the names that Kask prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Severity {
    Debug,
    Info,
    Warning,
    Error,
    Fatal,
}

/// What happened, before it is text.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) severity: Severity,
    pub(super) message: String,
    pub(super) request_id: Option<String>,
    pub(super) fields: Vec<(&'static str, Value)>,
}

impl Severity {
    /// tracing has no FATAL: it is an error that says that it is.
    pub(super) fn of(level: Level, fatal: bool) -> Self {
        match level {
            Level::TRACE | Level::DEBUG => Self::Debug,
            Level::INFO => Self::Info,
            Level::WARN => Self::Warning,
            Level::ERROR if fatal => Self::Fatal,
            Level::ERROR => Self::Error,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

impl Format {
    /// The line with its newline, and no other in it.
    pub(super) fn render(&self, line: &Line, now: SystemTime) -> String {
        let now = OffsetDateTime::from(now);
        match self {
            Self::Kask { appname } => json(line, appname, now),
            Self::Plain => plain(line, now),
        }
    }
}

fn json(line: &Line, appname: &str, now: OffsetDateTime) -> String {
    let request_id = line.request_id.as_deref().unwrap_or(NO_REQUEST);
    let time = now.format(RFC_3339).unwrap_or_default();
    let first = [
        ("msg", line.message.as_str()),
        ("appname", appname),
        ("time", &time),
        ("level", line.severity.name()),
        ("request_id", request_id),
    ];
    let mut text = String::from("{");
    for (name, value) in first {
        member(&mut text, name, &Value::from(value));
    }
    for (name, value) in &line.fields {
        // Two members of one name are read differently by every parser.
        let taken = first.iter().any(|(taken, _)| taken == name);
        member(&mut text, &if taken { format!("{name}_") } else { (*name).to_owned() }, value);
    }
    text.push_str("}\n");
    text
}

fn member(text: &mut String, name: &str, value: &Value) {
    let comma = if text.len() > 1 { "," } else { "" };
    // A String takes all that is written to it.
    let _ = write!(text, "{comma}{}:{value}", Value::from(name));
}

fn plain(line: &Line, now: OffsetDateTime) -> String {
    let time = now.format(CLOCK).unwrap_or_default();
    let mut text = format!("{time} {} {}", line.severity.name(), without_controls(&line.message));
    let request_id = line.request_id.as_deref().map(|id| ("request_id", Value::from(id)));
    for (name, value) in line.fields.iter().chain(&request_id) {
        let _ = match value {
            Value::String(word) if is_bare(word) => write!(text, " {name}={word}"),
            other => write!(text, " {name}={}", without_controls(&other.to_string())),
        };
    }
    text.push('\n');
    text
}

/// Whether a word can stand without quotes and nobody takes it for two, or for something else.
fn is_bare(word: &str) -> bool {
    !word.is_empty() && !word.chars().any(|char| char.is_whitespace() || char.is_control() || "\"=\\".contains(char))
}

/// What a client or a library wrote must not end the line, nor steer a terminal.
fn without_controls(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut text, char| {
        match char.is_control() {
            true => text.extend(char.escape_default()),
            false => text.push(char),
        }
        text
    })
}

/// Text of bounded length; what is written beyond it is cut and marked.
#[derive(Debug, Default)]
pub(super) struct Cut {
    text: String,
    full: bool,
}

impl Cut {
    /// What the arguments print, cut.
    pub(super) fn of(arguments: fmt::Arguments<'_>) -> String {
        let mut cut = Self::default();
        // It takes all that is written to it; an error is that of a Display which fails, and the rest still counts.
        let _ = cut.write_fmt(arguments);
        cut.text
    }
}

impl Write for Cut {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        if self.full {
            return Ok(());
        }
        let room = MAX_TEXT_BYTES - self.text.len();
        if more.len() <= room {
            self.text.push_str(more);
        } else {
            self.text.push_str(&more[..more.floor_char_boundary(room)]);
            self.text.push('…');
            self.full = true;
        }
        Ok(())
    }
}
