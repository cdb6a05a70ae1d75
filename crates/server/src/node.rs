//! A node and its HTTP listeners, wired by one configuration.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use sessile_cluster::{Cluster, OperatorToken, Operators, Right};
use sessile_embed::{Error, Node, OldData, Setting};
use sessile_http::{Drained, OperatorPages, Server, Tls};
use tokio::net::{TcpListener, UnixListener};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::backup;
use crate::config::{Config, OperatorTokens, TokenFile};
use crate::exit::{Failure, Status};
use crate::listeners::{Listeners, address_of};
use crate::metrics::Metrics;
use crate::reloads::Reloads;
use crate::resources::Resources;
use crate::sessions::ClusterSessions;
use crate::status::last_hour::{DiskBytes, LastHour, SAMPLE_EVERY, Sample};
use crate::status::seen::Seen;
use crate::status::{markup, page, runbook};
use crate::systemd::{Notifier, Sockets};
use crate::traces::Exporter;
use crate::watchdog;

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
    let exporter = exporter(&config);
    let resources = Resources::of(&config)?.traced(exporter.as_ref().map(Exporter::tracer));
    // The ports first: when one is taken, nothing has changed on disk.
    let Listeners { api, unix, peers, admin } = Listeners::bind(&config, sockets).await?;
    let address = address_of(&api)?;
    // HTTP from here on: a check of the state may take a while, and whoever asks meanwhile is told that this node lives
    // and is not ready. Requests wait for it inside their deadline.
    let sessions = Arc::new(ClusterSessions::new(config.http.ready_patience));
    let metrics = Arc::new(Metrics::new(resources.tracer.clone())?);
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
    let (watch, heart) = watchdog::watch(course.notifier.clone());
    let node_config = resources.node(old, operators(&config, &reloads));
    let node = Node::start(node_config, Setting { peers, watch });
    let run_node = async {
        let started = || listening(address);
        let ended = attend(&node, &config, &course, &sessions, &metrics, started).await;
        // The node is not ready any more, so that a balancer looks away while what is in flight is finished.
        course.close_listeners.cancel();
        ended
    };
    let both = async { tokio::join!(run_node, serve) };
    let (ended, served) = match exporter {
        None => both.await,
        Some(mut exporter) => {
            let both = tokio::select! {
                both = both => both,
                never = exporter.run() => match never {},
            };
            exporter.end().await;
            both
        }
    };
    served?;
    ended?;
    node.shutdown().await.map_err(failure)?;
    drop(heart);
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Attends the node until it has left after it was told to stop, or has ended by itself.
async fn attend(
    node: &Node,
    config: &Config,
    Course { stop, close_listeners, notifier }: &Course,
    sessions: &ClusterSessions,
    metrics: &Metrics,
    started: impl FnOnce() + Send,
) -> anyhow::Result<()> {
    let start = async {
        if !node.opened().await {
            return Ok(None);
        }
        // The ports are bound and the disk is in order. What is waited for from here on are other nodes, which may wait for
        // this one to have started: three that are started one after the other would wait for ever.
        notifier.started("waiting for its cluster");
        let Some(cluster) = node.cluster().await else { return Ok(None) };
        metrics.add_node(cluster.clone())?;
        sessions.serve(cluster.clone());
        started();
        notifier.status("a member of its cluster");
        anyhow::Ok(Some(cluster))
    };
    let Some(cluster) = stop.run_until_cancelled(start).await.transpose()?.flatten() else { return Ok(()) };
    let leave = async {
        stop.cancelled().await;
        leave(node, config.shutdown_notice, close_listeners).await;
    };
    tokio::select! {
        () = leave => {}
        never = keep_backups(config, cluster, metrics) => match never {},
        _ = node.failed() => {}
    }
    Ok(())
}

/// What sends spans on, if the configuration names a collector.
fn exporter(config: &Config) -> Option<Exporter> {
    let traces = config.traces.as_ref()?;
    let node = config.cluster.as_ref().map_or(&config.service_name, |cluster| &cluster.name);
    Some(Exporter::new(traces.endpoint.clone(), config.service_name.clone(), node.clone()))
}

/// Makes backups by itself, if the configuration says so.
async fn keep_backups(config: &Config, cluster: Cluster, metrics: &Metrics) -> Infallible {
    let Some(schedule) = &config.backup else { return pending().await };
    let name = config.cluster.as_ref().map_or(&config.service_name, |cluster| &cluster.name);
    backup::keep_making(schedule, name, &cluster, &metrics.backups).await
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
    tokio::join!(biased; node.leave(), seen);
}

/// The exit code of a node's end, and what to do in the words of the configuration file and the command line.
fn failure(error: Error) -> anyhow::Error {
    match error {
        Error::Config(_) => Failure::new(Status::Usage, error).into(),
        Error::Listen { .. } => Failure::new(Status::Unavailable, error).into(),
        Error::Directory(_) => Failure::new(Status::CannotCreate, error).into(),
        Error::Disk(refused) => {
            let what = "name a directory that this user may write to, with storage.data_dir (dev: --data-dir)";
            Failure::new(Status::CannotCreate, format!("{refused}; {what}, and if it is one, see to its disk")).into()
        }
        Error::Store(refused) => Failure::new((&refused).into(), refused).into(),
        Error::EngineGaveUp(_)
        | Error::Watchdog(_)
        | Error::Start(_)
        | Error::Fault(_)
        | Error::Hung(_)
        | Error::Stop(_)
        | Error::Panic => error.into(),
    }
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
    let hour = Arc::new(LastHour::default());
    let status = {
        let (sessions, hour) = (Arc::clone(sessions), Arc::clone(&hour));
        move || {
            let (sessions, hour) = (Arc::clone(&sessions), Arc::clone(&hour));
            async move {
                match sessions.started() {
                    Some(cluster) => page::render(Some(&Seen::of(cluster, &hour).await)),
                    None => page::render(None),
                }
            }
        }
    };
    let pages = OperatorPages { status, runbook: runbook::render(), style: markup::STYLE, script: page::SCRIPT };
    let router = sessile_http::admin_router(sessions, resources.config.http.request_timeout, exposition, pages);
    let router = match token {
        Some(file) => sessile_http::bearer_only(router, is_token(file, reloads)),
        None => router,
    };
    let server = Server::with_tls(router, resources.admin_limits(), &metrics.http, "admin", tls.clone());
    let measure = close.run_until_cancelled(measure(&hour, sessions, metrics));
    let (drained, watched, _) = tokio::join!(server.serve(listener, close.clone()), watch(tls, close.clone()), measure);
    watched.map(|()| Some(drained))
}

/// Keeps what the status page shows of the last hour. Goes on until it is dropped.
async fn measure(hour: &LastHour, sessions: &ClusterSessions, metrics: &Metrics) {
    let mut rounds = interval(SAMPLE_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let status = sessions.started().map(|cluster| cluster.status());
        let used = |status: &sessile_cluster::Status| status.state_bytes.saturating_add(status.log_bytes);
        let disk = status.as_ref().map(|status| DiskBytes { used: used(status), free: status.disk_free_bytes });
        let namespaces = status.iter().flat_map(|status| status.namespaces.iter());
        let namespaces = namespaces.map(|(id, _)| (id, metrics.http.namespace_requests(id))).collect();
        hour.note(Sample { at: Instant::now(), requests: metrics.http.totals(), disk }, namespaces);
    }
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
