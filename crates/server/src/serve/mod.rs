//! Running a node, `sessile serve` and `sessile dev`, and saying what a configuration would run, `sessile check-config`.

mod args;
mod banner;
mod directory;
mod reload;

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::num::NonZero;
use std::process::ExitCode;

use anyhow::Context;
use sessile_embed::OldData;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

pub(crate) use args::{CheckConfig, Dev, Serve};
pub use banner::{Keeping, banner};
use directory::Directory;

use crate::config::{self, Config, Environment};
use crate::exit::{Failure, Status};
use crate::hardening;
use crate::logging::{self, Format};
use crate::node::{self, Supervision};
use crate::output;
use crate::reloads::Reloads;
use crate::signals::{Hangup, Signals};
use crate::systemd::{Notifier, Sockets};

/// Threads of the runtime: one a core, and on a machine with one core a second. Reads and the application of entries wait for
/// the disk now and then, and timers, heartbeats and probes must not wait with them.
const MIN_THREADS: usize = 2;

/// `sessile serve`.
pub(crate) fn serve(serve: &Serve) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    let config = Config::load(&serve.config, &environment)?;
    let old = old_data(serve, &config)?;
    // Before there are threads.
    let sockets = Sockets::inherited()?;
    let log = logging::start(config.log_level, Format::Kask { appname: config.service_name.clone() })?;
    for warning in &config.warnings {
        warn!("{warning}");
    }
    info!(version = env!("CARGO_PKG_VERSION"), data_dir = %config.storage.data_dir.display(), "starting");
    let base_uri = config.base_uri.clone();
    let reloads = Reloads::default();
    reloads.add("configuration", reload::of(&serve.config, environment, config.clone(), log.level()));
    let supervision = Supervision { sockets, notifier: Notifier::from_environment(), reloads: reloads.clone() };
    let listening = move |address| info!(%address, %base_uri, "listening");
    run_node(config, old, supervision, Hangup::Reloads(reloads), listening)
        // Standard error has the same sentence, but only this one reaches those who read the logs.
        .inspect_err(|error| error!(fatal = true, "{error:#}"))
}

/// A single node that set its data aside would have nobody to get any from, and could begin nothing either.
fn old_data(serve: &Serve, config: &Config) -> Result<OldData, Failure> {
    match (serve.discard_data_and_rejoin, &config.cluster) {
        (false, None) => Ok(OldData::Keep),
        (false, Some(_)) => Ok(OldData::KeepOrRejoin),
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

/// `sessile dev`.
pub(crate) fn dev(dev: Dev) -> anyhow::Result<ExitCode> {
    let directory = Directory::of(dev.data_dir.as_deref())?;
    let config = Config::dev(dev.listen, dev.engine, directory.path().to_owned())?;
    let _log = logging::start(config.log_level, Format::Plain)?;
    let base_uri = config.base_uri.clone();
    let announce = |address| {
        // That nobody can read it is no reason to stop.
        let _ = output::to_stdout(&banner(address, &base_uri, directory.keeping()));
    };
    run_node(config, OldData::Keep, Supervision::default(), Hangup::Stops, announce)
}

/// `sessile check-config`.
pub(crate) fn check_config(check: &CheckConfig) -> anyhow::Result<ExitCode> {
    let (config, origins) = Config::trace(&check.file, &Environment::of_process())?;
    output::to_stdout(&config.describe_with(&origins)).context(output::UNWRITABLE)?;
    Ok(ExitCode::SUCCESS)
}

/// `sessile configuration`.
pub(crate) fn print_configuration() -> anyhow::Result<ExitCode> {
    output::to_stdout(&config::page()).context(output::UNWRITABLE)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the node until it ends by itself or by the first signal; at once by the second.
fn run_node(
    config: Config,
    old: OldData,
    supervision: Supervision,
    hangup: Hangup,
    listening: impl FnOnce(SocketAddr) + Send,
) -> anyhow::Result<ExitCode> {
    if let Err(error) = hardening::close() {
        warn!("core dumps could not be switched off: {error}");
    }
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).max(MIN_THREADS);
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(threads).enable_all();
    // What a task wakes would go before everything else that waits, and rounds would begin before they are full.
    #[cfg(tokio_unstable)]
    builder.disable_lifo_slot();
    let runtime = builder.build().context("no threads for the runtime")?;
    let ended = runtime.block_on(async {
        let signals = Signals::install(hangup).context("the signals could not be taken over")?;
        let stop = CancellationToken::new();
        let (notifier, reloads) = (supervision.notifier.clone(), supervision.reloads.clone());
        tokio::select! {
            ended = node::run(config, old, supervision, stop.clone(), listening) => ended,
            code = signals.watch(stop.clone()) => Ok(code),
            never = reloads.run(&notifier) => match never {},
            never = tell_of_the_end(&stop, &notifier) => match never {},
        }
    });
    // A node that ended left nothing behind; one that was ended by a second signal must not be waited for.
    runtime.shutdown_background();
    ended
}

/// Tells the service manager when the process is asked to stop.
async fn tell_of_the_end(stop: &CancellationToken, notifier: &Notifier) -> Infallible {
    stop.cancelled().await;
    notifier.stopping();
    pending().await
}
