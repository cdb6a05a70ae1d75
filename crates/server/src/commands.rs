use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::panic::PanicHookInfo;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::banner::{Keeping, banner};
use crate::cli::{self, CheckConfig, Command, Completions, Dev, Serve};
use crate::config::Config;
use crate::exit::{Failure, Status};
use crate::logging::{self, Format};
use crate::opening::OldData;
use crate::signals::Signals;
use crate::{bench, node, operate, output};

/// Threads of the runtime: one a core, and on a machine with one core a second. Reads and the application of entries wait for
/// the disk now and then, and timers, heartbeats and probes must not wait with them.
const MIN_THREADS: usize = 2;
/// A full disk, mostly.
const UNWRITABLE: &str = "standard output cannot be written";

/// Does what the command says, and blocks until it is done.
pub(crate) fn run(command: Command) -> anyhow::Result<ExitCode> {
    std::panic::set_hook(Box::new(tell_of_a_panic));
    match command {
        Command::Dev(dev) => run_dev(dev),
        Command::Serve(serve) => run_serve(&serve),
        Command::CheckConfig(check) => run_check_config(&check),
        Command::Status(of) => operate::status(&of),
        Command::Cluster { command } => operate::cluster(&command),
        Command::Bench(bench) => bench::run(&bench),
        Command::Completions(completions) => run_completions(&completions),
    }
}

fn run_serve(serve: &Serve) -> anyhow::Result<ExitCode> {
    let config = Config::load(&serve.config)?;
    let old = old_data(serve, &config)?;
    let _log = logging::start(config.log_level, Format::Kask { appname: config.service_name.clone() })?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    info!(version = env!("CARGO_PKG_VERSION"), data_dir = %config.storage.data_dir.display(), "starting");
    let base_uri = config.base_uri.clone();
    run_node(config, old, move |address| info!(%address, %base_uri, "listening"))
        // Standard error has the same sentence, but only this one reaches those who read the logs.
        .inspect_err(|error| error!(fatal = true, "{error:#}"))
}

/// A single node that set its data aside would have nobody to get any from, and could begin nothing either.
fn old_data(serve: &Serve, config: &Config) -> Result<OldData, Failure> {
    match (serve.discard_data_and_rejoin, &config.cluster) {
        (false, _) => Ok(OldData::Keep),
        (true, Some(_)) => Ok(OldData::SetAside),
        (true, None) => {
            let sentence = format!(
                "--discard-data-and-rejoin wants a cluster to join, and {} has no `cluster`; add it, or move {} away to \
                 begin anew",
                serve.config.display(),
                config.storage.data_dir.display()
            );
            Err(Failure::new(Status::Usage, sentence))
        }
    }
}

fn run_dev(dev: Dev) -> anyhow::Result<ExitCode> {
    let directory = Directory::of(dev.data_dir.as_deref())?;
    let config = Config::dev(dev.listen, dev.engine, directory.path().to_owned())?;
    let _log = logging::start(config.log_level, Format::Plain)?;
    let base_uri = config.base_uri.clone();
    let announce = |address| {
        // That nobody can read it is no reason to stop.
        let _ = output::to_stdout(&banner(address, &base_uri, directory.keeping()));
    };
    run_node(config, OldData::Keep, announce)
}

fn run_check_config(check: &CheckConfig) -> anyhow::Result<ExitCode> {
    let config = Config::load(&check.file)?;
    output::to_stdout(&config.describe()).context(UNWRITABLE)?;
    Ok(ExitCode::SUCCESS)
}

fn run_completions(completions: &Completions) -> anyhow::Result<ExitCode> {
    output::to_stdout(&cli::completions(completions.shell)).context(UNWRITABLE)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the node until it ends by itself or by the first signal; at once by the second.
fn run_node(config: Config, old: OldData, listening: impl FnOnce(SocketAddr) + Send) -> anyhow::Result<ExitCode> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).max(MIN_THREADS);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all();
    // What a task wakes would go before everything else that waits, and rounds would begin before they are full.
    #[cfg(tokio_unstable)]
    builder.disable_lifo_slot();
    let runtime = builder.build().context("no threads for the runtime")?;
    let ended = runtime.block_on(async {
        let signals = Signals::install().context("the signals could not be taken over")?;
        let stop = CancellationToken::new();
        tokio::select! {
            ended = node::run(config, old, stop.clone(), listening) => ended,
            code = signals.watch(stop) => Ok(code),
        }
    });
    // A node that ended left nothing behind; one that was ended by a second signal must not be waited for.
    runtime.shutdown_background();
    ended
}

/// Says where a panic was, and never what it said: its text may hold a key or a value. Whoever owns the task that
/// panicked decides what follows.
fn tell_of_a_panic(panic: &PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    error!(location, "a panic; this is a defect, or damage that a library does not expect");
}

/// Where `dev` keeps its state.
enum Directory {
    Kept(PathBuf),
    /// Removed when this is dropped.
    Temporary(TempDir),
}

impl Directory {
    fn of(named: Option<&Path>) -> anyhow::Result<Self> {
        let cannot_create = |error: io::Error| {
            let sentence = format!("no directory for the sessions ({error}); name another one with --data-dir");
            Failure::new(Status::CannotCreate, sentence)
        };
        match named {
            Some(path) => Ok(Self::Kept(std::path::absolute(path).map_err(cannot_create)?)),
            None => {
                Ok(Self::Temporary(tempfile::Builder::new().prefix("sessile-dev-").tempdir().map_err(cannot_create)?))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }

    fn keeping(&self) -> Keeping<'_> {
        match self {
            Self::Kept(path) => Keeping::Kept(path),
            Self::Temporary(directory) => Keeping::Temporary(directory.path()),
        }
    }
}
