//! A server on a port of its own, over the fake.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus::Registry;
use sessile_http::{ApiConfig, BuildInfo, Drained, HttpMetrics, Limits, Server, Tls, render, router};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Client, PATIENCE};
use crate::fake::Fake;

pub(crate) const BASE: &str = "/sessions/v1/";

pub(crate) struct World {
    pub(crate) address: SocketAddr,
    pub(crate) fake: Arc<Fake>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) registry: Registry,
    server: JoinSet<Drained>,
}

pub(crate) fn config() -> ApiConfig {
    let build = |field: &str| format!("the {field}");
    ApiConfig {
        build: BuildInfo {
            version: build("version"),
            build_date: build("date"),
            build_host: build("host"),
            rust_version: build("compiler"),
        },
        ..ApiConfig::default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(config(), Limits::default()).await
    }

    pub(crate) async fn with(config: ApiConfig, limits: Limits) -> Self {
        Self::over(config, limits, None).await
    }

    /// The same over TLS, if there is any.
    pub(crate) async fn over(config: ApiConfig, limits: Limits, tls: Option<Tls>) -> Self {
        let fake = Fake::new();
        let registry = Registry::new();
        let metrics = HttpMetrics::register(&registry).unwrap();
        let exposed = registry.clone();
        let router = router(Arc::clone(&fake), config, metrics.clone(), move || render(&exposed));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let mut server = JoinSet::new();
        server.spawn(Server::with_tls(router, limits, &metrics, "api", tls).serve(listener, shutdown.clone()));
        Self { address, fake, shutdown, registry, server }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn request(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> Answer {
        self.client().await.request(method, target, headers, body).await
    }

    pub(crate) async fn get(&self, key: &str) -> Answer {
        self.request("GET", &format!("{BASE}{key}"), "", b"").await
    }

    pub(crate) async fn post(&self, key: &str, headers: &str, value: &[u8]) -> Answer {
        self.request("POST", &format!("{BASE}{key}"), headers, value).await
    }

    pub(crate) async fn delete(&self, key: &str, headers: &str) -> Answer {
        self.request("DELETE", &format!("{BASE}{key}"), headers, b"").await
    }

    /// Waits until that many calls have come to the store since the last time.
    pub(crate) async fn arrivals(&self, calls: u32) {
        let arrived = tokio::time::timeout(PATIENCE, self.fake.arrivals.acquire_many(calls)).await;
        arrived.expect("the call has not come to the store").unwrap().forget();
    }

    /// The sum of a metric's samples whose labels all occur.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let text = render(&self.registry);
        let samples = text.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
        let samples = samples.filter(|line| labels.iter().all(|label| line.contains(label)));
        samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Waits for a metric to reach a value.
    pub(crate) async fn eventually(&self, name: &str, labels: &[&str], value: f64) {
        let reached = async {
            while self.metric(name, labels) != value {
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        reached.unwrap_or_else(|_| panic!("{name}{labels:?} is {}, not {value}", self.metric(name, labels)));
    }

    pub(crate) async fn drained(&mut self) -> Drained {
        tokio::time::timeout(PATIENCE, self.server.join_next())
            .await
            .expect("the server does not end")
            .unwrap()
            .unwrap()
    }
}
