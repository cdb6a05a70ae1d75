//! `sessile import`: copies strings of Redis or Valkey, with what is left of their lifetimes, into a namespace, over the session
//! API as any client has it.
//!
//! ```text
//!  source ── SCAN, STRLEN, GETRANGE, PTTL ──► fate, mediawiki ──► target   POST, If-None-Match: *
//!     ▲                                                             │ 201
//!     └── EXISTS, five seconds later ─── unchecked ◄────────────────┘      gone: DELETE, If-Match
//! ```
//!
//! Whatever a client has written in the target stays. Keys and values are in no output; the state file holds a cursor and
//! counts.

mod args;
mod copy;
mod counts;
mod fate;
mod json;
mod mediawiki;
mod php;
mod progress;
mod report;
mod resp;
mod source;
mod source_url;
mod state;
mod target;
mod unchecked;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use hyper::header::HeaderValue;
use tokio::runtime::Builder;
use tokio::time::Instant;

pub(crate) use args::Import;
use copy::{Copying, End};
use fate::{Renaming, Stop, glob_of_prefix};
use mediawiki::Translation;
use progress::Progress;
use report::Report;
use source::{Source, SourceError};
use source_url::SourceUrl;
use state::{Begin, State, StateError, StateFile};
use target::{Pace, Target};
use unchecked::Unchecked;

use crate::config::TokenFile;
use crate::exit::{Failure, Status};
use crate::output;

/// How a shell sees an end by SIGINT.
const INTERRUPTED: u8 = 130;

/// Copies, and says what was copied. Exit code 1 if strings of the source could not be.
pub(crate) fn run(import: &Import) -> anyhow::Result<ExitCode> {
    let url = import.source.0.as_ref().map_err(|wrong| Failure::new(Status::Usage, format!("SOURCE: {wrong}")))?;
    let runtime = Builder::new_multi_thread().enable_all().build().context("no threads for the runtime")?;
    runtime.block_on(copy_all(import, url))
}

async fn copy_all(import: &Import, url: &SourceUrl) -> anyhow::Result<ExitCode> {
    let (begin, progress) = (Instant::now(), Progress::default());
    let mut copying = prepare(import, url, &progress).await?;
    let ended = progress
        .show_until(async {
            tokio::select! {
                ended = copying.run() => Some(ended),
                // Without a handler it ends at once, as it did before.
                Ok(()) = tokio::signal::ctrl_c() => None,
            }
        })
        .await;
    // What was noted a second ago is good enough if this fails, too.
    let saved = copying.save();
    let unchecked = copying.unchecked.len() as u64;
    let report = Report { import, state: &copying.state, lasted: begin.elapsed(), unchecked };
    let text = if import.json { format!("{:#}\n", report.json()) } else { report.text() };
    output::to_stdout(&text).context(output::UNWRITABLE)?;
    match ended {
        Some(Ok(())) => {
            saved.map_err(|end| failure(&end, None))?;
            Ok(if report.left_something() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Some(Err(end)) => Err(failure(&end, Some(&report)).into()),
        None => {
            output::to_stderr(&format!("sessile: interrupted; {}\n", report.how_far()));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// The secret in that file. The error says what is wrong with the file, and nothing of what is in it.
fn secret_in(path: &Path) -> Result<String, Failure> {
    let read = TokenFile::line_of(path);
    let (secret, _) = read.map_err(|why| Failure::new(Status::Usage, format!("{} {why}", path.display())))?;
    Ok(secret)
}

/// Reads the files, connects to both sides, and finds where to go on.
async fn prepare<'a>(import: &Import, url: &SourceUrl, progress: &'a Progress) -> Result<Copying<'a>, Failure> {
    let secret = |path: &Option<std::path::PathBuf>| path.as_deref().map(secret_in).transpose();
    let password = secret(&import.password_file)?.or_else(|| url.password.clone());
    let hmac_key = secret(&import.hmac_key_file)?;
    let token = secret(&import.token_file)?.map(|token| bearer(&token)).transpose()?;
    let translation = import.mediawiki.map(|form| Translation::new(form, hmac_key.as_deref()));

    let file = import.state.as_deref().map(StateFile::at);
    let mut state = match &file {
        Some(file) => file.read(what(import, url)).map_err(|error| failure(&error.into(), None))?,
        None => State::new(what(import, url)),
    };
    let mut source = Source::open(url, password.as_deref()).await.map_err(|error| failure(&error.into(), None))?;
    let run_id = source.run_id().await.map_err(|error| failure(&error.into(), None))?;
    let size = source.size().await.map_err(|error| failure(&error.into(), None))?;
    match state.begin(run_id) {
        Begin::Anew => {}
        Begin::GoOn => output::to_stderr("goes on where it stood\n"),
        Begin::FromTheBeginning => output::to_stderr(
            "the source was started again since, so all of its keys are looked at again; what is there already is not \
             copied again\n",
        ),
    }
    progress.total.store(size, std::sync::atomic::Ordering::Relaxed);
    progress.scanned.store(state.counts.scanned, std::sync::atomic::Ordering::Relaxed);
    progress.copied.store(state.counts.copied, std::sync::atomic::Ordering::Relaxed);

    let connections = if import.dry_run { 0 } else { import.connections.into() };
    let new = |nth| Target::new(&import.to, nth, token.clone(), import.patience);
    let mut targets: Vec<Target> = (0..connections).map(new).collect();
    if let Some(first) = targets.first_mut() {
        first.open().await.map_err(|error| {
            let whom: Vec<String> = import.to.iter().map(ToString::to_string).collect();
            Failure::new(Status::Unavailable, format!("nobody answers at {}: {error}", whom[0]))
        })?;
    }
    Ok(Copying {
        source,
        targets,
        pattern: import.pattern.clone().map(String::into_bytes).or(import.prefix.as_deref().map(glob_of_prefix)),
        renaming: Renaming { prefix: import.prefix.clone().unwrap_or_default(), instead: import.rename.clone() },
        translation,
        pace: Pace::of(import.rate),
        state,
        file,
        saved: Instant::now(),
        unchecked: Unchecked::default(),
        progress,
    })
}

/// What is copied, in a text that is the same for the same.
fn what(import: &Import, url: &SourceUrl) -> String {
    let Import { pattern, prefix, rename, mediawiki, .. } = import;
    let form = mediawiki.map(mediawiki::Form::name);
    let to = import.to.first().map(ToString::to_string).unwrap_or_default();
    let path = to.splitn(4, '/').nth(3).unwrap_or_default();
    format!("{url} to /{path}, match {pattern:?}, prefix {prefix:?}, rename {rename:?}, mediawiki {form:?}")
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let header = HeaderValue::try_from(format!("Bearer {token}"));
    let mut header =
        header.map_err(|_| Failure::new(Status::Usage, "the token has characters that no token of Sessile has"))?;
    header.set_sensitive(true);
    Ok(header)
}

/// The exit code and the sentence of an early end.
fn failure(end: &End, report: Option<&Report<'_>>) -> Failure {
    let status = match end {
        End::Source(SourceError::Denied(..)) | End::Target(Stop::Denied(..)) => Status::Denied,
        End::Source(_) => Status::Unavailable,
        End::Target(Stop::Full(_) | Stop::NotSessile(_)) => Status::Refused,
        End::Target(Stop::NoNamespace) => Status::NotFound,
        End::Target(Stop::GaveUp { .. }) => Status::NoQuorum,
        End::State(StateError::NoState(_) | StateError::OfAnother(..)) => Status::Usage,
        End::State(StateError::Unreadable(..) | StateError::Unwritable(..)) => Status::CannotCreate,
    };
    let how_far = report.map(|report| format!("; {}", report.how_far())).unwrap_or_default();
    Failure::new(status, format!("{end}{how_far}"))
}
