//! One run of the program on a simulated host: the store, the cluster and the session API as `sessile serve` wires them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use prometheus::Registry;
use sessile::ClusterSessions;
use sessile_cluster::{JoinToken, Node, NodeConfig, PeersConfig, Reach, WallClock};
use sessile_core::NamespaceId;
use sessile_http::{ApiConfig, HttpMetrics, Limits, Server};
use sessile_store::log::{LogOptions, LogWriter, MIN_SEGMENT_BYTES};
use sessile_store::{DataDir, Opening, StoreOptions};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::engine;
use super::invariants::kept_state;
use super::net::{PEER_PORT, Simulated, incoming, listen};
use super::planted::{Defect, PlantedSessions};
use super::world::{Host, lock};

/// Where the namespaces are served, each on a port of its own. There is one so far.
pub(super) const NAMESPACES: [(u16, NamespaceId); 1] = [(8081, NamespaceId::SESSIONS)];
/// Few, so that members that lag need a snapshot.
const KEEP_ENTRIES: u64 = 40;
const PERSIST_AFTER: Duration = Duration::from_secs(3);
const REAP_PAUSE: Duration = Duration::from_secs(1);
const LISTEN_FOR: Duration = Duration::from_millis(500);
pub(super) const STABILISE: Duration = Duration::from_secs(2);
const HAND_OVER: Duration = Duration::from_secs(2);

type Failed = Box<dyn std::error::Error>;

/// What a machine gives to the program that runs on it.
#[derive(Clone)]
pub(super) struct Setting {
    pub(super) host: Arc<Host>,
    /// Whose clock it shows.
    pub(super) clock: Arc<Host>,
    pub(super) seeds: Vec<String>,
    /// Of all machines the one that nobody hears, if it is one.
    pub(super) silent: Arc<Mutex<Option<String>>>,
    pub(super) planted: Option<Defect>,
}

/// Where a node listens for others.
pub(super) fn address_of(name: &str) -> String {
    format!("{name}:{PEER_PORT}")
}

/// Runs it until it is told to stop or has a fault; what it says at its end is kept with the host.
pub(super) async fn run(setting: Setting) {
    let host = setting.host.clone();
    host.begins();
    let ended = match Box::pin(serve(setting)).await {
        Ok(()) => "stopped".to_owned(),
        Err(error) => error.to_string(),
    };
    host.ends(ended);
}

async fn serve(setting: Setting) -> Result<(), Failed> {
    let Setting { host, clock, mut seeds, silent, planted } = setting;
    let data_dir = host.disk().root().to_path_buf();
    let pause = host.clone();
    let options = StoreOptions {
        engine: engine::KIND,
        cache_bytes: 0,
        log: LogOptions {
            segment_bytes: 4 * MIN_SEGMENT_BYTES,
            cache_bytes: 4096,
            recycled_segments: 1,
            writer: LogWriter::Task(Arc::new(move || pause.disk_delay())),
            ..LogOptions::default()
        },
        ..StoreOptions::default()
    };
    let opening = Opening::open(DataDir::open(&data_dir)?, &options)?;
    kept_state(&host, &opening)?;
    let sessions = Arc::new(ClusterSessions::new(Duration::ZERO));
    let mut listeners = JoinSet::new();
    for (port, namespace) in NAMESPACES {
        let listener = listen(port).await?;
        let metrics = HttpMetrics::register(&Registry::new())?;
        let config = ApiConfig { namespace, ..ApiConfig::default() };
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
    }
    if planted == Some(Defect::BootstrapWithOneSeedSilent) && matches!(opening, Opening::Pristine(_)) {
        // For longer than a machine that only starts late is silent. Then the list leaves out who says nothing to anybody.
        sleep(3 * LISTEN_FOR).await;
        let silent = lock(&silent).clone();
        seeds.retain(|seed| silent.as_ref().is_none_or(|name| *name == host.name || *seed != address_of(name)));
    }
    let address = address_of(&host.name);
    let peers = PeersConfig {
        advertise: address,
        expect: Some(seeds.len()),
        seeds,
        join_token: JoinToken::new("a token of the simulation"),
        plaintext: false,
        listen_for: LISTEN_FOR,
        stabilise: STABILISE,
        dead_after: PeersConfig::DEFAULT_DEAD_AFTER,
        autopilot: true,
    };
    let config = NodeConfig {
        name: host.name.clone(),
        persist_after: PERSIST_AFTER,
        reap_pause: REAP_PAUSE,
        keep_entries: KEEP_ENTRIES,
        keep_log_for: Duration::ZERO,
        reach: Reach::Through(Arc::new(Simulated)),
        wall_clock: WallClock::new(move || clock.wall_clock()),
        peers: Some(peers),
        ..NodeConfig::new(data_dir)
    };
    let listener = listen(PEER_PORT).await?;
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
