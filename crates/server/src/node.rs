//! A node: storage, consensus and HTTP, wired by one configuration. The wiring is not here yet.

use std::net::SocketAddr;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use crate::config::Config;

/// Runs a node until `stop` is cancelled and the requests in flight are done, at most `config.shutdown_grace` later.
/// Both `serve` and `dev` call it; they differ in the configuration and in `listening`, which is called once, with the
/// address that was bound, as soon as requests are answered there.
///
/// A failure that deserves an exit code of its own is a [`Failure`](crate::exit::Failure).
pub async fn run(
    config: Config,
    stop: CancellationToken,
    listening: impl FnOnce(SocketAddr) + Send,
) -> anyhow::Result<ExitCode> {
    let _ = (config, stop, listening);
    anyhow::bail!("this build can only check configurations: it has no node in it")
}
