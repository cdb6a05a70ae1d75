//! The sessile program: its configuration, command line, logs and signals, and the session API before a node.
//!
//! It deliberately knows nothing of how sessions are stored, replicated or served, and of how a node starts and stops: it
//! reads what it was told, hands it to `sessile-embed` ([`node::run`]) and turns how that ends into an exit code.

#[cfg(not(any(tokio_unstable, fuzzing, doc)))]
compile_error!(
    "build with the flags of .cargo/config.toml: without them another scheduler runs than the one that is tested. The \
     variable RUSTFLAGS replaces them; unset it, or add --cfg tokio_unstable to it"
);

use std::ffi::OsString;
use std::process::ExitCode;

mod backup;
mod bench;
mod build_info;
mod cli;
pub mod config;
mod descriptors;
mod dispatch;
pub mod exit;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
#[cfg(test)]
mod golden;
mod hardening;
mod import;
mod listeners;
pub mod logging;
mod metrics;
mod namespace;
pub mod node;
mod operate;
pub mod output;
mod plain_http;
mod progress;
mod ready_patience;
pub mod reloads;
mod resources;
mod serve;
mod session_client;
mod sessions;
pub mod signals;
mod status;
pub mod systemd;
mod traces;
mod unix_socket;
mod unix_user;
mod value_parsers;
mod watchdog;

pub use serve::{Keeping, banner};
pub use sessile_embed::OldData;
pub use sessions::{ClusterSessions, live};

/// The whole program: does what the command line says, the program's name first, and gives the code to exit with.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let ended = match cli::parse(arguments) {
        Ok(cli::Request::Run(command)) => dispatch::run(*command),
        Ok(cli::Request::Tell(text)) => output::to_stdout(&text).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Err(wrong) => Err(wrong.into()),
    };
    ended.unwrap_or_else(|error| exit::report(&error))
}
