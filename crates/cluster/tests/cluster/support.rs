//! Nodes inside the test's process, each on a directory and a port of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use sessile_cluster::admin::{AdminClient, StatusResponse};
use sessile_cluster::{
    Cluster, Incoming, Node, NodeConfig, OperatorToken, Operators, PeersConfig, Right, Secret, StartError,
};
use sessile_core::{Action, Condition, NamespaceId, Outcome, Put, SessionKey, Ttl};
use sessile_store::engine::EngineKind;
use sessile_store::log::LogOptions;
use sessile_store::{DataDir, Opening, PristineStore, StoreError, StoreOptions};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

pub(crate) const SESSIONS: NamespaceId = NamespaceId::SESSIONS;
/// Far beyond what anything here takes, so that only a hang ends a test this way.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Often enough that nobody waits long for what has happened, seldom enough that the looks do not keep it from happening.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(crate) fn open(dir: &Path) -> Opening {
    try_open(dir, EngineKind::Fjall).unwrap()
}

pub(crate) fn try_open(dir: &Path, engine: EngineKind) -> Result<Opening, StoreError> {
    let log = LogOptions { segment_bytes: 1024 * 1024, ..LogOptions::default() };
    let options = StoreOptions { engine, log, ..StoreOptions::default() };
    Opening::open(DataDir::open(dir).unwrap(), &options)
}

pub(crate) async fn start(dir: &Path, change: impl FnOnce(&mut NodeConfig)) -> Node {
    let mut config = NodeConfig::new(dir.into());
    change(&mut config);
    Node::start(open(dir), config, None).await.unwrap()
}

/// By what every node knows whoever asks here.
pub(crate) fn operator() -> OperatorToken {
    OperatorToken { name: "tests".into(), right: Right::Admin, secret: Secret::new("a token of the tests' operator") }
}

pub(crate) fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

pub(crate) fn key(number: usize) -> SessionKey {
    SessionKey::new(format!("awiki:MWSession:{number}")).unwrap()
}

pub(crate) fn put(value: &'static [u8]) -> Put {
    Put { value: Bytes::from_static(value), ttl: Ttl::from_secs(86_400).unwrap(), condition: Condition::None }
}

pub(crate) async fn write(cluster: &Cluster, key: SessionKey, put: Put) -> Outcome {
    cluster.write(SESSIONS, key, Action::Put(put), deadline()).await.unwrap()
}

pub(crate) async fn read(cluster: &Cluster, key: &SessionKey) -> Option<Bytes> {
    cluster.read(SESSIONS, key, deadline()).await.unwrap().map(|found| found.record.value)
}

/// Polls until it holds; the reason is what a hang is reported with. Only for what tells nobody that it has changed:
/// what a node says of its cluster is watched (`Cast::until`).
pub(crate) async fn eventually(reason: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = deadline();
    while !holds().await {
        assert!(Instant::now() < end, "never: {reason}");
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Some nodes with a common list of seeds, by name.
pub(crate) struct Cast {
    dir: TempDir,
    seeds: Vec<String>,
    expect: usize,
    engine: EngineKind,
    nodes: BTreeMap<String, Member>,
    tasks: TaskTracker,
}

struct Member {
    address: String,
    /// The port is taken for as long as the test runs, so that nobody else gets it between two lives of a node.
    listener: std::net::TcpListener,
    running: Option<JoinHandle<Node>>,
}

impl Cast {
    /// The first `expect` of `count` nodes are the seeds. None is started.
    pub(crate) fn new(count: usize, expect: usize) -> Self {
        Self::on(EngineKind::Fjall, count, expect)
    }

    /// The same, with their states on that engine.
    pub(crate) fn on(engine: EngineKind, count: usize, expect: usize) -> Self {
        // What the nodes logged is shown with a test that fails.
        let _ = tracing_subscriber::fmt().with_test_writer().with_max_level(tracing::Level::INFO).try_init();
        let member = |number| {
            let (address, listener) = listener();
            (format!("n{number}"), Member { address, listener, running: None })
        };
        let nodes: BTreeMap<String, Member> = (1..=count).map(member).collect();
        let seeds = nodes.values().take(expect).map(|member| member.address.clone()).collect();
        Self { dir: tempfile::tempdir().unwrap(), seeds, expect, engine, nodes, tasks: TaskTracker::new() }
    }

    pub(crate) fn data_dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn address(&self, name: &str) -> String {
        self.nodes[name].address.clone()
    }

    /// The disk of a node that was never started.
    pub(crate) fn pristine(&mut self, name: &str) -> PristineStore {
        match try_open(&self.data_dir(name), self.engine).unwrap() {
            Opening::Pristine(store) => store,
            Opening::Member(..) | Opening::Recovering(_) => panic!("{name} was started before"),
        }
    }

    /// From its next start on it listens at another address, as its seeds and those of whoever starts later say.
    pub(crate) fn moves(&mut self, name: &str) {
        let (address, listener) = listener();
        let member = self.nodes.get_mut(name).unwrap();
        assert!(member.running.is_none(), "{name} runs");
        let was = std::mem::replace(&mut member.address, address.clone());
        member.listener = listener;
        self.seeds.iter_mut().filter(|seed| **seed == was).for_each(|seed| seed.clone_from(&address));
    }

    /// Why a node's disk is refused.
    pub(crate) fn refusal(&self, name: &str) -> String {
        try_open(&self.data_dir(name), self.engine).err().expect("a refusal").to_string()
    }

    /// Why a node does not start without peers.
    pub(crate) async fn start_alone(&mut self, name: &str) -> String {
        let dir = self.data_dir(name);
        let refused = Node::start(open(&dir), NodeConfig::new(dir), None).await;
        refused.err().expect("a refusal").to_string()
    }

    pub(crate) fn start(&mut self, name: &str) {
        self.start_with(name, |_| {});
    }

    pub(crate) fn start_with(&mut self, name: &str, change: impl FnOnce(&mut NodeConfig)) {
        let starting = self.starting(name, change);
        let running = self.tasks.spawn(async move { starting.await.unwrap() });
        self.nodes.get_mut(name).unwrap().running = Some(running);
    }

    /// Why a node ends before it is a member.
    pub(crate) async fn start_refused(&mut self, name: &str, change: impl FnOnce(&mut NodeConfig)) -> String {
        let refused = tokio::time::timeout(PATIENCE, self.starting(name, change)).await.expect("an answer in time");
        refused.err().expect("a refusal").to_string()
    }

    fn starting(
        &self,
        name: &str,
        change: impl FnOnce(&mut NodeConfig),
    ) -> BoxFuture<'static, Result<Node, StartError>> {
        let dir = self.data_dir(name);
        let (seeds, expect) = (self.seeds.clone(), self.expect);
        let member = &self.nodes[name];
        let mut config = NodeConfig::new(dir.clone());
        config.name = name.into();
        config.peers = Some(PeersConfig {
            advertise: member.address.clone(),
            seeds,
            expect: Some(expect),
            join_token: Secret::new("a token of the tests"),
            plaintext: false,
            listen_for: Duration::from_millis(200),
            stabilise: Duration::from_millis(300),
            dead_after: PeersConfig::DEFAULT_DEAD_AFTER,
            autopilot: true,
        });
        config.operators = Operators::new(vec![operator()]);
        change(&mut config);
        let listener = TcpListener::from_std(member.listener.try_clone().unwrap()).unwrap();
        let opening = try_open(&dir, self.engine).unwrap();
        Node::start(opening, config, Some(Incoming::Tcp(listener)))
    }

    pub(crate) fn start_all(&mut self) {
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        names.iter().for_each(|name| self.start(name));
    }

    /// The handle of a node, once it is a member.
    pub(crate) async fn cluster(&mut self, name: &str) -> Cluster {
        let running = self.nodes.get_mut(name).unwrap().running.take().unwrap();
        let node = tokio::time::timeout(PATIENCE, running).await.expect("a member in time").unwrap();
        let cluster = node.cluster().clone();
        self.nodes.get_mut(name).unwrap().running = Some(self.tasks.spawn(async move { node }));
        cluster
    }

    pub(crate) async fn stop(&mut self, name: &str) {
        let running = self.nodes.get_mut(name).unwrap().running.take().unwrap();
        running.await.unwrap().stop().await.unwrap();
    }

    /// Has a node leave well: it hands over, and stops.
    pub(crate) async fn leave(&mut self, name: &str) {
        let node = self.nodes.get_mut(name).unwrap().running.take().unwrap().await.unwrap();
        node.hand_over(PATIENCE).await;
        node.stop().await.unwrap();
    }

    /// Why a node says that it must stop.
    pub(crate) async fn fault(&mut self, name: &str) -> String {
        let running = self.nodes.get_mut(name).unwrap().running.take().unwrap();
        let node = tokio::time::timeout(PATIENCE, running).await.expect("a member in time").unwrap();
        let fault = tokio::time::timeout(PATIENCE, node.faulted()).await.expect("a fault in time");
        self.nodes.get_mut(name).unwrap().running = Some(self.tasks.spawn(async move { node }));
        fault
    }

    /// Ends a node that has a fault, as the program does.
    pub(crate) async fn crash(&mut self, name: &str) {
        self.stop(name).await;
    }

    /// Stops a node and takes its disk away.
    pub(crate) async fn wipe(&mut self, name: &str) {
        self.stop(name).await;
        std::fs::remove_dir_all(self.data_dir(name)).unwrap();
    }

    pub(crate) async fn admin(&self, name: &str) -> AdminClient {
        AdminClient::connect(&self.address(name), Some(&operator().secret), PATIENCE).await.unwrap()
    }

    pub(crate) async fn status(&self, name: &str) -> StatusResponse {
        self.admin(name).await.status().await.unwrap()
    }

    /// Waits until what that node says of its cluster is so.
    pub(crate) async fn until(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&StatusResponse) -> bool,
    ) -> StatusResponse {
        let mut admin = self.admin(name).await;
        let mut statuses = Box::pin(admin.watch().await.unwrap());
        let mut last = None;
        let told = async {
            while let Some(status) = statuses.next().await {
                let status = status.unwrap();
                if holds(&status) {
                    return Some(status);
                }
                last = Some(status);
            }
            None
        };
        let told = tokio::time::timeout(PATIENCE, told).await.ok().flatten();
        told.unwrap_or_else(|| panic!("never: {what}: {last:#?}"))
    }
}

/// The names of the voters, in order.
pub(crate) fn voters(status: &StatusResponse) -> Vec<&str> {
    status.members.iter().filter(|member| member.voter).map(|member| &*member.name).collect()
}

/// A port that nobody else gets, and its address.
fn listener() -> (String, std::net::TcpListener) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    (listener.local_addr().unwrap().to_string(), listener)
}
