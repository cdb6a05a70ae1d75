//! A node: storage, consensus and HTTP, wired by one configuration.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::RwLock;
use sessile_cluster::{Cluster, Incoming, Node, OperatorToken, Operators, Right};
use sessile_core::NamespaceSettings;
use sessile_http::{Drained, Server, Tls};
use sessile_store::engine::EngineKind;
use sessile_store::{Opening, StoreError};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{Config, OperatorTokens, TokenFile};
use crate::exit::{Failure, Status};
use crate::listeners::{Listeners, address_of};
use crate::metrics::Metrics;
use crate::opening::{self, OldData};
use crate::reloads::Reloads;
use crate::resources::Resources;
use crate::sessions::ClusterSessions;
use crate::status::page;
use crate::systemd::{Notifier, Sockets};
use crate::watchdog::Watchdog;

/// How long giving leadership away may take when this node leaves: a healthy voter takes it within a heartbeat.
const HAND_OVER: Duration = Duration::from_secs(2);

/// How long a single node that has started waits for its namespaces to be as its file says: some entries of its own log.
const NAMESPACES_PATIENCE: Duration = Duration::from_secs(5);

/// What whoever runs a node gives it, and hears from it.
#[derive(Debug, Default)]
pub struct Supervision {
    /// Sockets to use in the place of addresses.
    pub sockets: Sockets,
    /// Who is told that it has started, and that it lives.
    pub notifier: Notifier,
    /// Where its parts say how they are reloaded.
    pub reloads: Reloads,
}

/// How a node's end begins, by what tells it to stop and what tells its listeners to take no more connections; and who is
/// told how far it is.
struct Course {
    stop: CancellationToken,
    close_listeners: CancellationToken,
    notifier: Notifier,
}

/// Runs a node until `stop` is cancelled, the notice period is over, and the requests in flight are done, at most
/// `config.shutdown_grace` after that. Both `serve` and `dev` call it; they differ in the configuration and in
/// `listening`, which is called once, with the session API's address, when the node is a member of a cluster.
///
/// A failure that deserves an exit code of its own is a [`Failure`].
pub async fn run(
    config: Config,
    old: OldData,
    Supervision { sockets, notifier, reloads }: Supervision,
    stop: CancellationToken,
    listening: impl FnOnce(SocketAddr) + Send,
) -> anyhow::Result<ExitCode> {
    let resources = Resources::of(&config)?;
    // The ports first: when one is taken, nothing has changed on disk.
    let Listeners { api, unix, peers, admin } = Listeners::bind(&config, sockets).await?;
    let address = address_of(&api)?;
    // HTTP from here on: a check of the state may take a while, and whoever asks meanwhile is told that this node lives
    // and is not ready. Requests wait for it inside their deadline.
    let sessions = Arc::new(ClusterSessions::new(config.http.ready_patience));
    let metrics = Arc::new(Metrics::new()?);
    let tls = config.tls.clone().map(|files| metrics.tls("api", files)).transpose();
    let tls = tls.map_err(|error| Failure::new(Status::Usage, error))?;
    if let Some(tls) = tls.clone() {
        reloads.add("certificate", move || tls.reload().map_err(|error| error.to_string()));
    }
    if let (Some(_), Some(listen)) = (&unix, &config.listen_unix) {
        info!(path = %listen.path.display(), "listening for clients on this machine");
    }
    let course = Course { stop, close_listeners: CancellationToken::new(), notifier };
    let serve = async {
        let watch = watch(tls.clone(), course.close_listeners.clone());
        let api = (api, unix, tls.clone());
        let api = serve_api(&resources, api, &sessions, &metrics, course.close_listeners.clone());
        let admin = serve_admin(&resources, admin, &sessions, &metrics, &reloads, course.close_listeners.clone());
        let (api, admin, ()) = tokio::try_join!(api, admin, watch)?;
        let cut_off = api.cut_off + admin.map_or(0, |admin| admin.cut_off);
        if cut_off > 0 {
            warn!(connections = cut_off, "requests were cut off at the end of the grace period");
        }
        anyhow::Ok(())
    };
    let operators = operators(&config, &reloads);
    let run_node = async {
        let started = || listening(address);
        let ended = run_node(&resources, old, (peers, operators), &course, &sessions, &metrics, started).await;
        // The node is not ready any more, so that a balancer looks away while what is in flight is finished.
        course.close_listeners.cancel();
        ended
    };
    let (ended, served) = tokio::join!(run_node, serve);
    served?;
    let Some((node, fault)) = ended? else { return Ok(ExitCode::SUCCESS) };
    if let Some(fault) = fault {
        // Not dropped: a destructor would write to the disk that has just failed, and sled's panics there. The process
        // ends, and nothing that it holds outlives it.
        std::mem::forget(node);
        anyhow::bail!(
            "the node stopped, so as not to answer wrongly: {fault}; unless that says otherwise, mend the cause and start \
             it again: it finds what it acknowledged, or says what it does not find"
        );
    }
    node.stop().await.context("the node did not stop cleanly, and will check its state at the next start")?;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Starts the node and returns it when it has left after it was told to stop, or has a fault, which comes with it.
/// `None` if it was told to stop before it had started: what it had begun is as after a crash, and the next start deals
/// with it.
async fn run_node(
    resources: &Resources<'_>,
    old: OldData,
    (peers, operators): (Option<TcpListener>, Operators),
    Course { stop, close_listeners, notifier }: &Course,
    sessions: &ClusterSessions,
    metrics: &Metrics,
    started: impl FnOnce() + Send,
) -> anyhow::Result<Option<(Node, Option<String>)>> {
    let node_config = resources.node_config(peers.as_ref(), operators)?;
    let watchdog = Watchdog::start(&resources.config.storage.data_dir, notifier.clone());
    let watchdog = watchdog.context("no thread for the watchdog")?;
    let start = async {
        let opening = open_data(resources, old).await?;
        // The ports are bound and the disk is in order. What is waited for from here on are other nodes, which may wait for
        // this one to have started: three that are started one after the other would wait for ever.
        notifier.started("waiting for its cluster");
        anyhow::Ok(Node::start(opening, node_config, peers.map(Incoming::Tcp)).await?)
    };
    let Some(node) = stop.run_until_cancelled(Box::pin(start)).await.transpose()? else { return Ok(None) };
    watchdog.watch(node.cluster().work());
    metrics.add_node(node.cluster().clone())?;
    settle_namespaces(resources.config, node.cluster()).await;
    sessions.serve(node.cluster().clone());
    started();
    notifier.status("a member of its cluster");
    let leave = async {
        stop.cancelled().await;
        leave(&node, resources.config.shutdown_notice, close_listeners).await;
    };
    let fault = tokio::select! {
        () = leave => None,
        fault = node.faulted() => Some(fault),
    };
    Ok(Some((node, fault)))
}

/// A single node does what its file says of namespaces, before it serves. In a cluster of several that is there, what the
/// file says otherwise has no effect.
async fn settle_namespaces(config: &Config, cluster: &Cluster) {
    if config.cluster.is_none() {
        // Where it was refused, that is in the log.
        let _ = timeout(NAMESPACES_PATIENCE, cluster.namespaces_follow(&config.namespaces)).await;
        return;
    }
    let table = cluster.namespaces();
    let differs = |own: &&NamespaceSettings| {
        table.named(own.name.as_str()).is_none_or(|(_, namespace)| namespace.settings != **own)
    };
    for own in config.namespaces.iter().filter(|_| table.is_seeded()).filter(differs) {
        warn!(
            namespace = own.name.as_str(),
            "the configuration says of this namespace what is not so in the cluster, and has no effect: it is for new \
             clusters; `sessile namespace list` shows what is so, and `sessile namespace set` changes it"
        );
    }
}

/// Says that it is not ready, gives leadership away, and meanwhile serves: with a notice period as before, because a
/// balancer needs a few of its checks to look away; without one, on the connections that it has, and each answer is the
/// last of its connection.
async fn leave(node: &Node, notice: Duration, close_listeners: &CancellationToken) {
    let seen = async {
        if notice.is_zero() {
            close_listeners.cancel();
        } else {
            info!(notice_ms = notice.as_millis(), "not ready any more, and serving on until the notice period is over");
            tokio::time::sleep(notice).await;
        }
    };
    tokio::join!(biased; node.hand_over(HAND_OVER), seen);
}

/// By what operators from elsewhere are known: by tokens that are read again whenever all is reloaded; where none are named,
/// by the join token, if that is a strong one. Whoever has it could become a member, and so do all that operators may.
fn operators(config: &Config, reloads: &Reloads) -> Operators {
    let Some(cluster) = &config.cluster else { return Operators::default() };
    let Some(file) = cluster.operators.clone() else {
        let strong = Some(&cluster.join_token).filter(|file| file.weakness.is_none());
        let token = |file: &TokenFile| OperatorToken {
            name: "join token".to_owned(),
            right: Right::Admin,
            secret: file.token.clone(),
        };
        return Operators::new(strong.map(token).into_iter().collect());
    };
    let operators = Operators::new(file.tokens);
    let (used, path) = (operators.clone(), file.path);
    reloads.add("operators' tokens", move || {
        let read = OperatorTokens::read(&path).map_err(|why| format!("{} {why}", path.display()))?;
        let count = read.tokens.len();
        used.replace(read.tokens);
        Ok(format!("{count} of {}", path.display()))
    });
    operators
}

/// Reads the certificate again when it changes, if there is one.
async fn watch(tls: Option<Tls>, close: CancellationToken) -> anyhow::Result<()> {
    if let Some(tls) = tls {
        tls.watch(sessile_http::LOOK_EVERY, close).await;
    }
    Ok(())
}

async fn serve_api(
    resources: &Resources<'_>,
    (listener, unix, tls): (TcpListener, Option<UnixListener>, Option<Tls>),
    sessions: &Arc<ClusterSessions>,
    metrics: &Arc<Metrics>,
    close: CancellationToken,
) -> anyhow::Result<Drained> {
    let page = {
        let metrics = Arc::clone(metrics);
        move || metrics.render()
    };
    let router = sessile_http::router(Arc::clone(sessions), resources.api_config(), metrics.http.clone(), page);
    let server = Server::with_tls(router, resources.api_limits(), &metrics.http, "api", tls);
    Ok(server.serve_both(listener, unix, close).await)
}

/// Serves the operator's listener, if there is one.
async fn serve_admin(
    resources: &Resources<'_>,
    listener: Option<TcpListener>,
    sessions: &Arc<ClusterSessions>,
    metrics: &Arc<Metrics>,
    reloads: &Reloads,
    close: CancellationToken,
) -> anyhow::Result<Option<Drained>> {
    let Some(listener) = listener else { return Ok(None) };
    info!(address = %address_of(&listener)?, "listening for operators");
    let (token, tls) =
        resources.config.admin.as_ref().map_or((None, None), |admin| (admin.token.clone(), admin.tls.clone()));
    let tls = tls.map(|files| metrics.tls("admin", files)).transpose();
    let tls = tls.map_err(|error| Failure::new(Status::Usage, error))?;
    if let Some(tls) = tls.clone() {
        reloads.add("certificate of admin", move || tls.reload().map_err(|error| error.to_string()));
    }
    let exposition = {
        let metrics = Arc::clone(metrics);
        move || metrics.render()
    };
    let page = {
        let sessions = Arc::clone(sessions);
        move || {
            let sessions = Arc::clone(&sessions);
            async move {
                match sessions.started() {
                    Some(cluster) => page::render(Some(&cluster.cluster_status().await)),
                    None => page::render(None),
                }
            }
        }
    };
    let router = sessile_http::admin_router(sessions, resources.config.http.request_timeout, exposition, page);
    let router = match token {
        Some(file) => sessile_http::bearer_only(router, is_token(file, reloads)),
        None => router,
    };
    let server = Server::with_tls(router, resources.admin_limits(), &metrics.http, "admin", tls.clone());
    let (drained, watched) = tokio::join!(server.serve(listener, close.clone()), watch(tls, close));
    watched.map(|()| Some(drained))
}

/// Whether somebody shows what is in that file: read again whenever all is reloaded.
fn is_token(file: TokenFile, reloads: &Reloads) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    let (known, path) = (Arc::new(RwLock::new(file.token)), file.path);
    let used = Arc::clone(&known);
    reloads.add("token of admin", move || {
        let read = TokenFile::read_strong(&path).map_err(|why| format!("{} {why}", path.display()))?;
        *used.write() = read.token;
        Ok(format!("that of {}", path.display()))
    });
    move |shown| known.read().is_same(shown)
}

async fn open_data(resources: &Resources<'_>, old: OldData) -> anyhow::Result<Opening> {
    let config = resources.config;
    let options = resources.store_options();
    let data_dir = config.storage.data_dir.clone();
    let is_alone = config.cluster.is_none();
    let opened = tokio::task::spawn_blocking(move || {
        let opening = opening::open(&data_dir, old, &options)?;
        if is_alone { opening::refuse_alone(opening, &data_dir) } else { Ok(opening) }
    })
    .await;
    // What the panic said stays unsaid: it may hold what was stored.
    let opened = opened.map_err(|_| {
        let dir = config.storage.data_dir.display();
        anyhow::anyhow!(
            "the storage engine gave up while {dir} was opened, as it does when the disk fails under it or its files \
             are damaged; see to the disk and start again, or restore a backup"
        )
    })?;
    let opening = opened.map_err(|error| match error {
        StoreError::Io { .. } => {
            let what = "name a directory that this user may write to, with storage.data_dir (dev: --data-dir)";
            Failure::new(Status::CannotCreate, format!("{error}; {what}, and if it is one, see to its disk")).into()
        }
        StoreError::Foreign { .. } | StoreError::Locked { .. } | StoreError::NewerFormat { .. } => {
            Failure::new(Status::CannotCreate, error).into()
        }
        other => anyhow::Error::from(other),
    })?;
    opening::tell(&opening);
    if config.storage.engine == EngineKind::Sled {
        warn!(
            "storage.engine is sled: what is acknowledged outlives a crash of the process; the state is for small stores"
        );
    }
    Ok(opening)
}
