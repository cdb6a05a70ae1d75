use std::time::Duration;

use sessile_cluster::Cluster;
use sessile_core::{NamespaceName, NamespaceTable};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::config::Config;
use crate::driver::{Means, Orders, drive};
use crate::error::Error;
use crate::memory::Memory;
use crate::sessions::Sessions;
use crate::stage::{self, Progress};
use crate::watchdog::Watch;

/// How often it is looked whether a node is ready. A look that finds no leader returns at once, and costs next to nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What a program gives its node besides the configuration.
#[derive(Default)]
pub struct Setting {
    /// A listener for other members that is bound already: to [`Member::listen`](crate::Member::listen), or what stands for
    /// it.
    pub peers: Option<TcpListener>,
    /// What the watchdog looks at and calls besides.
    pub watch: Watch,
}

/// A node of this process, on the runtime that it was started on. It installs no signal handler and no subscriber, and
/// changes no limit of the process.
///
/// Whoever owns it ends it by [`shutdown`](Self::shutdown). Dropped, it does the same, and nobody hears how that went. When
/// its runtime goes before that, it has ended as in a crash: nothing acknowledged is lost, and the next start checks its
/// state.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use sessile_embed::{Condition, Node, WriteOptions};
///
/// let node = Node::dev().await?;
/// node.ready().await?;
/// let sessions = node.sessions();
///
/// let hour = WriteOptions::default().ttl(Duration::from_secs(3600));
/// let version = sessions.put("user:7", "logged in", hour).await?;
/// let found = sessions.get("user:7").await?.expect("it was just stored");
/// assert_eq!((&found.value[..], found.version), (&b"logged in"[..], version));
///
/// // Once, whoever asks how often:
/// assert!(sessions.take("user:7", Condition::None).await?.is_some());
/// assert!(sessions.take("user:7", Condition::None).await?.is_none());
///
/// node.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub struct Node {
    orders: Orders,
    progress: Progress,
    sessions: Sessions,
    /// The one task that runs it. It is told to stop with the end of this value.
    driver: JoinSet<Result<(), Error>>,
}

impl Node {
    /// A single node whose sessions are in a temporary directory, which is removed when it has stopped. For a first try, and
    /// for tests. Returns when its disk is open.
    ///
    /// # Errors
    /// As [`from_config`](Self::from_config); [`Error::Directory`] if there is no directory.
    pub async fn dev() -> Result<Self, Error> {
        let temporary = tempfile::Builder::new().prefix("sessile-embed-").tempdir().map_err(Error::Directory)?;
        let memory = Memory::divide(Memory::LEAST_BYTES, None, Config::MAX_VALUE_BYTES);
        let config = Config { memory, reserve_bytes: 0, ..Config::new(temporary.path()) };
        Self::start_in(config, Setting::default(), Some(temporary)).or_why_not().await
    }

    /// The node that the configuration describes. Returns when its port is bound and its disk is open; a member finds or
    /// makes its cluster after that, for which it may need others to be started ([`ready`](Self::ready)).
    ///
    /// # Errors
    /// If the configuration contradicts itself, the port is not to be had, or the data directory cannot be used.
    pub async fn from_config(config: Config) -> Result<Self, Error> {
        let mut setting = Setting::default();
        if let Some(member) = &config.member {
            member.check()?;
            let bound = TcpListener::bind(&member.listen).await;
            setting.peers = Some(bound.map_err(|source| Error::Listen { address: member.listen.clone(), source })?);
        }
        Self::start(config, setting).or_why_not().await
    }

    /// Starts that node with all that a program may give it, and returns at once. What is wrong is told by
    /// [`shutdown`](Self::shutdown), as soon as [`failed`](Self::failed) returns. A configuration with a member wants a
    /// listener with it; what is wrong with a [`Member`](crate::Member) is not looked at.
    ///
    /// # Panics
    /// If there is no runtime to start it on.
    pub fn start(config: Config, setting: Setting) -> Self {
        Self::start_in(config, setting, None)
    }

    fn start_in(config: Config, Setting { peers, watch }: Setting, temporary: Option<TempDir>) -> Self {
        let (teller, progress) = stage::begin();
        let orders = Orders::default();
        let own = NamespaceTable::of(config.namespaces.clone());
        let sessions = Sessions::new(progress.clone(), own, NamespaceName::sessions());
        let mut driver = JoinSet::new();
        driver.spawn(drive(Means { config, peers, watch, temporary }, orders.clone(), teller));
        Self { orders, progress, sessions, driver }
    }

    /// This node, if its disk could be opened.
    async fn or_why_not(self) -> Result<Self, Error> {
        if self.opened().await {
            return Ok(self);
        }
        // It has ended before anybody told it to, so there is a reason.
        self.shutdown().await.and(Err(Error::Panic))
    }

    /// Returns when its disk is open: whether it is, or the node has ended before.
    pub async fn opened(&self) -> bool {
        self.progress.opened().await
    }

    /// Returns when this node could serve: when it is a member, its state is as new as what a majority knows, and there is a
    /// leader. With a cluster that is not there yet, that may be never.
    ///
    /// # Errors
    /// With the reason, if it has ended before.
    pub async fn ready(&self) -> Result<(), NotReady> {
        let ended = |why: Option<String>| NotReady(why.unwrap_or_else(|| "it was told to stop".to_owned()));
        let cluster = self.progress.member().await.map_err(ended)?;
        let ready = async {
            while cluster.ready(Instant::now() + Sessions::DEADLINE).await.is_err() {
                sleep(LOOK_AGAIN).await;
            }
        };
        tokio::select! {
            () = ready => Ok(()),
            why = self.progress.ended() => Err(ended(why)),
        }
    }

    /// The sessions of the namespace `sessions`, through this node. A handle holds nothing open when the node has ended.
    pub fn sessions(&self) -> Sessions {
        self.sessions.clone()
    }

    /// Those of another namespace.
    pub fn namespace(&self, name: NamespaceName) -> Sessions {
        self.sessions.in_namespace(name)
    }

    /// The whole cluster as this node sees it, once it is a member; `None` if it ends before. For status and metrics. Whoever
    /// keeps it keeps the node's memory, also when the node has ended.
    pub async fn cluster(&self) -> Option<Cluster> {
        self.progress.member().await.ok()
    }

    /// Returns when this node has ended because of a fault of its own, such as a disk that fails, and gives the reason in a
    /// sentence; or when it could not start. Until somebody tells it to stop, it ends for nothing else.
    ///
    /// With a fault it answers nobody and touches its disk no more. The others go on without it. The data directory stays
    /// taken until this process ends, so the right answer to most faults is to end the process and to start it again.
    pub async fn failed(&self) -> String {
        match self.progress.ended().await {
            Some(why) => why,
            None => std::future::pending().await,
        }
    }

    /// Is not ready any more, and gives leadership away; returns when that is done, after two seconds at most. Requests go
    /// on. For a program that has requests to finish before [`shutdown`](Self::shutdown), which does the same first.
    pub async fn leave(&self) {
        self.orders.leave.cancel();
        if let Some(cluster) = self.progress.now() {
            // Before anybody is told that it leaves, and not when its task has its next turn.
            cluster.leaves();
            self.orders.left.cancelled().await;
        }
    }

    /// Ends: leadership goes to another member, everything acknowledged is durable, and the next start need not check the
    /// state. A node that is no member yet ends at once.
    ///
    /// # Errors
    /// With the reason, if it has ended by itself before, or its end was not clean.
    pub async fn shutdown(mut self) -> Result<(), Error> {
        self.orders.stop.cancel();
        match self.driver.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(_)) | None => Err(Error::Panic),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.orders.stop.cancel();
        // Not aborted: what writes to the disk would outlive the lock on it.
        self.driver.detach_all();
    }
}

/// A node ended before it was ready. The sentence says why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the node ended before it was ready: {0}")]
pub struct NotReady(String);
