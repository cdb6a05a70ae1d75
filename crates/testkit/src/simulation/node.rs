//! One run of the program on a simulated host: the store, the cluster and the session API as `sessile serve` wires them.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::Registry;
use sessile::ClusterSessions;
use sessile_cluster::{Node, NodeConfig, Operators, PeersConfig, Reach, Secret, WallClock};
use sessile_http::{ApiConfig, HttpMetrics, Limits, Server};
use sessile_store::log::{LogOptions, LogWriter};
use sessile_store::{DataDir, Opening, StoreOptions};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::engine;
use super::invariants::kept_state;
use super::namespaces::settings;
use super::net::{Doubles, Simulated, incoming, listen};
use super::operator::operator;
use super::plan::Constants;
use super::planted::{Defect, PlantedSessions};
use super::versions::this_program_follows;
use super::world::{Host, World, lock};

/// Where the session API is served.
pub(super) const HTTP: u16 = 8081;
const HAND_OVER: Duration = Duration::from_secs(2);

type Failed = Box<dyn std::error::Error>;

/// What a machine gives to the program that runs on it.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) host: Arc<Host>,
    /// Whose clock it shows.
    pub(super) clock: Arc<Host>,
    pub(super) world: Arc<World>,
    pub(super) constants: Constants,
    /// Which of its connections are double.
    pub(super) doubles: Arc<Doubles>,
    /// Of all machines the one that nobody hears, if it is one.
    pub(super) silent: Arc<Mutex<Option<String>>>,
    pub(super) planted: Option<Defect>,
}

/// Runs it until it is told to stop or has a fault; what it says at its end is kept with the host.
pub(super) async fn run(setting: Setting) {
    let host = setting.host.clone();
    host.begins();
    this_program_follows(host.follows());
    let served = tokio::select! {
        served = Box::pin(serve(setting)) => served,
        never = finds_its_time_ahead(&host) => match never {},
    };
    host.ends(served.map_or_else(|error| error.to_string(), |()| "stopped".to_owned()));
}

/// Lets the program's time jump whenever it has stood still.
async fn finds_its_time_ahead(host: &Host) -> Infallible {
    loop {
        tokio::time::advance(host.next_jump().await).await;
    }
}

/// What it is called. With one defect nobody takes the place of his own earlier life, because he comes under another name.
fn name_of(host: &Host, planted: Option<Defect>) -> String {
    let name = lock(&host.copy_of).clone().unwrap_or_else(|| host.name.clone());
    match host.emptied.load(Ordering::Relaxed) {
        lives @ 1.. if planted == Some(Defect::DeadVoterKept) => format!("{name}-{lives}"),
        _ => name,
    }
}

async fn serve(setting: Setting) -> Result<(), Failed> {
    let Setting { host, clock, world, constants, doubles, silent, planted } = setting;
    let mut seeds = world.seeds();
    let data_dir = host.disk().root().to_path_buf();
    let pause = host.clone();
    let options = StoreOptions {
        engine: engine::KIND,
        cache_bytes: constants.engine_cache_bytes,
        log: LogOptions {
            segment_bytes: constants.segment_bytes,
            cache_bytes: constants.log_cache_bytes,
            recycled_segments: constants.recycled_segments,
            max_batch_bytes: constants.log_batch_bytes,
            writer: LogWriter::Task(Arc::new(move || pause.disk_delay())),
            ..LogOptions::default()
        },
        ..StoreOptions::default()
    };
    let opening = match Opening::open(DataDir::open(&data_dir)?, &options) {
        // As `serve` does it.
        Err(refused) if refused.discards_by_itself() => {
            let dir = DataDir::open(&data_dir)?;
            dir.discard()?;
            Opening::open(dir, &options)?
        }
        opening => opening?,
    };
    kept_state(&host, &opening)?;
    let sessions = Arc::new(ClusterSessions::new(Duration::ZERO));
    let mut listeners = JoinSet::new();
    let listener = listen(HTTP).await?;
    let metrics = HttpMetrics::register(&Registry::new())?;
    let config = ApiConfig { request_timeout: constants.request, ..ApiConfig::default() };
    let router = match planted {
        None => sessile_http::router(sessions.clone(), config, metrics.clone(), String::new),
        Some(defect) => {
            let planted = Arc::new(PlantedSessions::new(sessions.clone(), host.clone(), defect));
            sessile_http::router(planted, config, metrics.clone(), String::new)
        }
    };
    let server = Server::new(router, Limits::default(), &metrics, "api");
    listeners.spawn(async move {
        let mut accepted = 0;
        while let Ok((stream, _)) = listener.accept().await {
            server.attend(accepted, stream);
            accepted += 1;
        }
    });
    if planted == Some(Defect::BootstrapWithOneSeedSilent) && matches!(opening, Opening::Pristine(_)) {
        // For longer than a machine that only starts late is silent. Then the list leaves out who says nothing to anybody.
        sleep(3 * constants.listen_for).await;
        let silent = lock(&silent).clone();
        seeds.retain(|seed| {
            silent.as_ref().is_none_or(|name| *name == host.name || *seed != world.host(name).address())
        });
    }
    let peers = PeersConfig {
        advertise: host.address(),
        expect: Some(seeds.len()),
        seeds,
        join_token: Secret::new("a token of the simulation"),
        plaintext: false,
        listen_for: constants.listen_for,
        stabilise: constants.stabilise,
        dead_after: PeersConfig::DEFAULT_DEAD_AFTER,
        autopilot: true,
    };
    let config = NodeConfig {
        name: name_of(&host, planted),
        operators: Operators::new(vec![operator()]),
        persist_after: constants.persist_after,
        reap_pause: constants.reap_pause,
        keep_entries: constants.keep_entries,
        queues: constants.queues,
        namespaces: settings(),
        timing: constants.timing,
        keep_log_for: Duration::ZERO,
        reach: Reach::Through(Arc::new(Simulated { doubles: Some(doubles) })),
        wall_clock: WallClock::new(move || clock.wall_clock()),
        peers: Some(peers),
        ..NodeConfig::new(data_dir)
    };
    let listener = listen(host.port.load(Ordering::Relaxed)).await?;
    let stop = host.stop();
    let node = tokio::select! {
        node = Box::pin(Node::start(opening, config, Some(incoming(listener)))) => node?,
        () = stop.cancelled() => return Ok(()),
    };
    sessions.serve(node.cluster().clone());
    host.serves(node.cluster().clone());
    tokio::select! {
        fault = node.faulted() => return Err(format!("a fault: {fault}").into()),
        () = stop.cancelled() => {}
    }
    node.hand_over(HAND_OVER).await;
    node.stop().await?;
    Ok(())
}
