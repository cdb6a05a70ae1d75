//! A node: storage, consensus and HTTP, wired by one configuration.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use sessile_cluster::{Node, NodeConfig};
use sessile_http::{ApiConfig, Limits, Server};
use sessile_store::engine::EngineKind;
use sessile_store::log::LogOptions;
use sessile_store::{ClusterId, DataDir, Opened, Opening, Store, StoreError, StoreOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::build_info::build_info;
use crate::config::{Config, OpenApi};
use crate::exit::{Failure, Status};
use crate::metrics::Metrics;
use crate::sessions::ClusterSessions;

/// How much of the log one file holds. The next one is made ready while requests wait, so it is small enough to be
/// written in a few tens of milliseconds.
const LOG_SEGMENT_BYTES: u32 = 16 * 1024 * 1024;
/// How many files of purged log are kept for reuse: as much as gathers between two purges.
const LOG_RECYCLED_SEGMENTS: usize = 4;

/// Runs a node until `stop` is cancelled and the requests in flight are done, at most `config.shutdown_grace` later.
/// Both `serve` and `dev` call it; they differ in the configuration and in `listening`, which is called once, with the
/// address that was bound, when the node has started.
///
/// A failure that deserves an exit code of its own is a [`Failure`].
pub async fn run(
    config: Config,
    stop: CancellationToken,
    listening: impl FnOnce(SocketAddr) + Send,
) -> anyhow::Result<ExitCode> {
    // The port first: when it is taken, nothing has changed on disk.
    let listener = bind(&config).await?;
    let address = listener.local_addr().context("the listening address cannot be told")?;
    raise_file_limit();
    // HTTP from here on: a check of the state may take a while, and whoever asks meanwhile is told that this node lives
    // and is not ready. Requests wait for it inside their deadline.
    let sessions = Arc::new(ClusterSessions::default());
    let metrics = Arc::new(Metrics::new()?);
    let router = sessile_http::router(sessions.clone(), api_config(&config), metrics.http.clone(), {
        let metrics = metrics.clone();
        move || metrics.render()
    });
    let close_listener = CancellationToken::new();
    let server = Server::new(router, limits(&config), &metrics.http, "api").serve(listener, close_listener.clone());
    let serve_until_closed = async {
        let drained = server.await;
        if drained.cut_off > 0 {
            warn!(connections = drained.cut_off, "requests were cut off at the end of the grace period");
        }
    };
    let run_node = async {
        let ended = run_node(&config, &stop, &sessions, &metrics, || listening(address)).await;
        // Not ready first, so that a balancer looks away while what is in flight is finished.
        sessions.stop_being_ready();
        close_listener.cancel();
        ended
    };
    let (ended, ()) = tokio::join!(run_node, serve_until_closed);
    let Some((node, fault)) = ended? else { return Ok(ExitCode::SUCCESS) };
    if let Some(fault) = fault {
        // Not dropped: a destructor would write to the disk that has just failed, and sled's panics there. The process
        // ends, and nothing that it holds outlives it.
        std::mem::forget(node);
        anyhow::bail!(
            "the node stopped, so as not to answer wrongly: {fault}; mend the cause, and start it again: it finds what \
             it acknowledged, or says what it does not find"
        );
    }
    node.stop().await.context("the node did not stop cleanly, and will check its state at the next start")?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Starts the node and returns it when it is told to stop or has a fault, which comes with it. `None` if it was told to
/// stop before it had started: what it had begun is as after a crash, and the next start deals with it.
async fn run_node(
    config: &Config,
    stop: &CancellationToken,
    sessions: &ClusterSessions,
    metrics: &Metrics,
    started: impl FnOnce() + Send,
) -> anyhow::Result<Option<(Node, Option<String>)>> {
    let start = async {
        let store = open_store(config).await?;
        anyhow::Ok(Node::start(store, node_config(config)).await?)
    };
    let Some(node) = stop.run_until_cancelled(start).await.transpose()? else { return Ok(None) };
    metrics.add_node(node.cluster().clone())?;
    sessions.serve(node.cluster().clone());
    started();
    let fault = tokio::select! {
        () = stop.cancelled() => None,
        fault = node.faulted() => Some(fault),
    };
    Ok(Some((node, fault)))
}

async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let addresses = {
        let listen = config.listen.clone();
        tokio::task::spawn_blocking(move || listen.resolve()).await?
    };
    let unavailable = |error: std::io::Error| {
        let sentence = format!(
            "cannot listen on {}: {error}; stop what uses the address, or choose another with listen_address and \
             listen_port (dev: --listen)",
            config.listen
        );
        Failure::new(Status::Unavailable, sentence)
    };
    let addresses = addresses.map_err(unavailable)?;
    Ok(TcpListener::bind(&addresses[..]).await.map_err(unavailable)?)
}

/// As many files and connections as the system allows without asking anybody.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        warn!(%error, "the limit of open files cannot be raised");
    }
}

async fn open_store(config: &Config) -> anyhow::Result<Store> {
    let options = store_options(config);
    let data_dir = config.storage.data_dir.clone();
    let opened = tokio::task::spawn_blocking(move || open_alone(DataDir::open(data_dir)?, &options)).await;
    // What the panic said stays unsaid: it may hold what was stored.
    let opened = opened.map_err(|_| {
        let dir = config.storage.data_dir.display();
        anyhow::anyhow!(
            "the storage engine gave up while {dir} was opened, as it does when the disk fails under it or its files \
             are damaged; see to the disk and start again, or restore a backup"
        )
    })?;
    let (store, opened) = opened.map_err(|error| match error {
        StoreError::Io { .. }
        | StoreError::Foreign { .. }
        | StoreError::Locked { .. }
        | StoreError::NewerFormat { .. } => Failure::new(Status::CannotCreate, error).into(),
        other => anyhow::Error::from(other),
    })?;
    match &opened {
        Opened::New => info!(node = %store.node(), cluster = %store.cluster(), "this is a new node"),
        Opened::Clean => info!("the last stop was clean"),
        Opened::Checked(report) => {
            info!(records = report.records, bytes = report.bytes, "the state was checked and is whole");
        }
        Opened::Rebuilt { reason, aside } => {
            let aside = aside.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
            warn!(reason, aside, "the state was lost or damaged; the log, which is whole, makes it again");
        }
    }
    if config.storage.engine == EngineKind::Sled {
        warn!(
            "storage.engine is sled: what is acknowledged outlives a crash of the process; the state is for small stores"
        );
    }
    Ok(store)
}

/// The store of a cluster of one: a new node makes one by itself.
fn open_alone(dir: DataDir, options: &StoreOptions) -> Result<(Store, Opened), StoreError> {
    let path = dir.path().to_path_buf();
    let refused = |what: String| StoreError::Disagree { dir: path, what };
    match Opening::open(dir, options)? {
        Opening::Pristine(pristine) if pristine.former().is_some() => {
            Err(refused("it once held a cluster, so it may join one and must not begin one".into()))
        }
        Opening::Pristine(pristine) => Ok((pristine.adopt(ClusterId::random())?, Opened::New)),
        Opening::Member(store, opened) => Ok((store, opened)),
        Opening::Stateless(stateless) => Err(refused(format!(
            "its state is lost or damaged ({}), and its log no longer reaches back to the beginning",
            stateless.reason()
        ))),
    }
}

fn store_options(config: &Config) -> StoreOptions {
    StoreOptions {
        engine: config.storage.engine,
        cache_bytes: config.storage.cache_bytes,
        log: LogOptions {
            segment_bytes: LOG_SEGMENT_BYTES,
            recycled_segments: LOG_RECYCLED_SEGMENTS,
            ..LogOptions::default()
        },
    }
}

fn node_config(config: &Config) -> NodeConfig {
    NodeConfig {
        name: config.service_name.clone(),
        disk_reserve_bytes: config.storage.reserve_bytes,
        ..NodeConfig::new(config.storage.data_dir.clone())
    }
}

fn api_config(config: &Config) -> ApiConfig {
    ApiConfig {
        base_uri: config.base_uri.clone(),
        ttl: config.ttl,
        max_value_bytes: config.http.max_value_bytes,
        request_timeout: config.http.request_timeout,
        body_timeout: config.http.body_timeout,
        build: build_info(),
        openapi: match &config.openapi {
            OpenApi::BuiltIn => None,
            OpenApi::File { content, .. } => Some(content.clone()),
        },
        ..ApiConfig::default()
    }
}

fn limits(config: &Config) -> Limits {
    Limits {
        max_connections: config.http.max_connections,
        header_timeout: config.http.header_timeout,
        idle_timeout: config.http.idle_timeout,
        drain: config.shutdown_grace,
        ..Limits::default()
    }
}
