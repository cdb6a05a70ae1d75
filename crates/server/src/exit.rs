//! How the program ends: an exit code, and one sentence on standard error.

use std::fmt;
use std::process::ExitCode;

use sessile_store::StoreError;

use crate::config::ConfigError;
use crate::output;

/// Why the program ends early, as an exit code: those of BSD's sysexits(3) where one fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Anything that has no code of its own.
    Failure,
    /// EX_USAGE: the command line or the configuration is wrong. Starting again without a change is futile.
    Usage,
    /// EX_DATAERR: the cluster understood what was asked, and refused it as things are.
    Refused,
    /// EX_NOHOST: the cluster has no such member.
    NotFound,
    /// EX_UNAVAILABLE: something it needs is not to be had, such as a port that is in use or a node that answers.
    Unavailable,
    /// EX_CANTCREAT: a file or directory cannot be made or written, or another process has it.
    CannotCreate,
    /// EX_TEMPFAIL: the cluster has no quorum or no leader now, or nobody answered in time.
    NoQuorum,
    /// EX_NOPERM: the join token is wrong or missing.
    Denied,
}

impl Status {
    /// The number that the caller sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Failure => 1,
            Self::Usage => 64,
            Self::Refused => 65,
            Self::NotFound => 68,
            Self::Unavailable => 69,
            Self::CannotCreate => 73,
            Self::NoQuorum => 75,
            Self::Denied => 77,
        }
    }
}

impl From<&StoreError> for Status {
    /// Of what is wrong with a data directory or a backup.
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Backup { .. } | StoreError::Unsuited { .. } => Self::Refused,
            StoreError::BackupUnwritable { .. }
            | StoreError::Foreign { .. }
            | StoreError::Locked { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::Io { .. } => Self::CannotCreate,
            _ => Self::Failure,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status.code())
    }
}

/// An error with an exit code of its own. As an `anyhow::Error`'s root or context it decides the code:
/// `result.map_err(|error| Failure::new(Status::Unavailable, format!("cannot listen on {address}: {error}")))?`.
#[derive(Debug, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    status: Status,
    sentence: String,
}

impl Failure {
    /// What happened and what to do, in one sentence without a full stop.
    pub fn new(status: Status, sentence: impl fmt::Display) -> Self {
        Self { status, sentence: sentence.to_string() }
    }

    /// Its exit code.
    pub fn status(&self) -> Status {
        self.status
    }
}

/// Says the error on standard error, in one line, and gives the code to exit with.
pub fn report(error: &anyhow::Error) -> ExitCode {
    output::to_stderr(&format!("{}\n", sentence(error)));
    status(error).into()
}

/// The error and its causes as one line.
fn sentence(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let line: Vec<&str> = text.split_whitespace().collect();
    format!("sessile: {}", line.join(" "))
}

fn status(error: &anyhow::Error) -> Status {
    // As a context it is found by anyhow alone, as a cause by the chain alone.
    let failure = error.downcast_ref::<Failure>().or_else(|| error.chain().find_map(|cause| cause.downcast_ref()));
    match failure {
        Some(failure) => failure.status,
        None if error.chain().any(|cause| cause.is::<ConfigError>()) => Status::Usage,
        None => Status::Failure,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;
    use crate::config::Config;

    #[test]
    fn every_error_becomes_one_line_and_a_code() {
        let config = Config::parse("listen_port: x\n").unwrap_err();
        let busy = || Failure::new(Status::Unavailable, "port 8081 is in use; stop what uses it");
        for (error, code, line) in [
            (anyhow!("a\n  b\r\n"), 1, "sessile: a b"),
            (anyhow!("disk").context("cannot open"), 1, "sessile: cannot open: disk"),
            (anyhow::Error::new(config), 64, "sessile: line 1: `listen_port` must be"),
            (anyhow::Error::new(busy()).context("outer"), 69, "sessile: outer: port 8081 is in use; stop what uses it"),
            (anyhow!("EADDRINUSE").context(busy()), 69, "sessile: port 8081 is in use; stop what uses it: EADDRINUSE"),
            (anyhow!("no").context(busy()).context("outer"), 69, "sessile: outer: port 8081"),
            (anyhow::Error::new(Failure::new(Status::CannotCreate, "d")), 73, "sessile: d"),
        ] {
            assert_eq!(status(&error).code(), code, "{error:#}");
            assert!(sentence(&error).starts_with(line) && !sentence(&error).contains('\n'), "{}", sentence(&error));
        }
        let read = Err::<(), _>(Config::parse("a: 1").unwrap_err()).context("reading").unwrap_err();
        assert_eq!(status(&read), Status::Usage);
    }
}
