use std::path::PathBuf;
use std::time::Duration;

use sessile_core::{BaseUri, NamespaceName, NamespaceSettings, Ttl, TtlPolicy};

use sessile_trace::Tracer;

use crate::timing::Timing;
use crate::tokens::{Operators, Secret};
use crate::transport::Reach;
use crate::wall_clock::WallClock;

/// The default of [`NodeConfig::keep_entries`]: what a busy node writes in two seconds.
const KEEP_ENTRIES: u64 = 5_000;

/// What an operator chooses about a node.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// A label for people. In a cluster, the name under which a reimaged node takes its old one's place.
    pub name: String,
    /// Where its data is, to ask how much room there is.
    pub data_dir: PathBuf,
    /// Whether operators on this machine are answered by a Unix socket there.
    pub admin_socket: bool,
    /// By which tokens operators from elsewhere are known.
    pub operators: Operators,
    /// Bytes of disk that writes leave free; below it they are refused, and deletes go on.
    pub disk_reserve_bytes: u64,
    /// How long what is applied may stay undurable in the state. It bounds what a restart replays from the log, and
    /// how long the bytes of what has expired stay.
    pub persist_after: Duration,
    /// The version of the program, for people.
    pub version: String,
    /// How long after its end the scan for the bytes of what has expired begins again.
    pub reap_pause: Duration,
    /// How many entries stay in the log behind what is durable in the state, however old they are, for members that lag
    /// a little.
    pub keep_entries: u64,
    /// The most connections that its gRPC listener keeps open: other members', operators', and strangers', which give up
    /// their places first.
    pub max_connections: usize,
    /// How much may wait in it.
    pub queues: QueueBytes,
    /// How long entries stay in the log behind what is durable in the state, for members that were away; as long as
    /// `keep_log_bytes` and the disk have room.
    pub keep_log_for: Duration,
    /// How many bytes the files of the log may take for that. Less where the disk has little room.
    pub keep_log_bytes: u64,
    /// How it reaches other members.
    pub reach: Reach,
    /// How far they are at the most, and what follows from that.
    pub timing: Timing,
    /// What its clock shows.
    pub wall_clock: WallClock,
    /// Which namespaces there are, where nobody has said it yet; one of them is `sessions`.
    pub namespaces: Vec<NamespaceSettings>,
    /// Where spans go of what it does for requests that reached other members; `None` where nothing is traced.
    pub tracer: Option<Tracer>,
    /// How it finds and meets other members; `None` for a cluster of one, which listens for nobody.
    pub peers: Option<PeersConfig>,
}

impl NodeConfig {
    /// The default of [`max_connections`](Self::max_connections): eight other members with eight connections each, twice,
    /// for those that broke and are not given up yet, and as many for operators, probes and strangers.
    pub const DEFAULT_MAX_CONNECTIONS: usize = 256;

    /// The default of [`NodeConfig::keep_log_for`]: what a member misses while its machine is repaired or upgraded.
    pub const DEFAULT_KEEP_LOG_FOR: Duration = Duration::from_secs(3600);
    /// The default of [`NodeConfig::keep_log_bytes`]: an hour at 2,000 sessions of 2 KB a second, which is more than the
    /// busiest hour of a year at Wikimedia.
    pub const DEFAULT_KEEP_LOG_BYTES: u64 = 16 << 30;

    /// A node without a name whose data is there, with the defaults of a server and no peers.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            name: String::new(),
            data_dir,
            admin_socket: false,
            operators: Operators::default(),
            disk_reserve_bytes: 0,
            persist_after: Duration::from_secs(30),
            version: env!("CARGO_PKG_VERSION").into(),
            reap_pause: Duration::from_secs(60),
            keep_entries: KEEP_ENTRIES,
            max_connections: Self::DEFAULT_MAX_CONNECTIONS,
            queues: QueueBytes::default(),
            keep_log_for: Self::DEFAULT_KEEP_LOG_FOR,
            keep_log_bytes: Self::DEFAULT_KEEP_LOG_BYTES,
            reach: Reach::Tcp,
            timing: Timing::default(),
            wall_clock: WallClock::default(),
            namespaces: vec![sessions()],
            tracer: None,
            peers: None,
        }
    }
}

/// `sessions` where nobody says more of it: what asks for no lifetime lives for a day, as with Kask.
fn sessions() -> NamespaceSettings {
    let unlimited = NamespaceSettings::unlimited(NamespaceName::sessions(), BaseUri::default());
    let day = Ttl::from_secs(86_400).and_then(|day| TtlPolicy::new(day, Ttl::FOREVER));
    NamespaceSettings { ttl: day.unwrap_or(TtlPolicy::UNLIMITED), ..unlimited }
}

/// How many bytes of commands and entries may wait at a time. Whoever finds no room waits outside, inside its deadline. One
/// that is larger than all the room has all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueBytes {
    /// Commands that wait for a round of the log, or are in one: this node's own and those of members that do not lead.
    pub proposals: usize,
    /// Commands that were sent to the leader and have no answer yet; and from each member, where this node leads.
    pub forwarded: usize,
    /// Entries from the leader that are not in this node's log yet.
    pub replicated: usize,
}

impl Default for QueueBytes {
    /// As a node with a gigabyte to use has it.
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self { proposals: 96 * MIB, forwarded: 64 * MIB, replicated: 32 * MIB }
    }
}

/// How a node finds and meets other members.
#[derive(Debug, Clone)]
pub struct PeersConfig {
    /// `host:port` at which other members reach this one.
    pub advertise: String,
    /// `host:port` of the first members, this one among them. May be empty for a node that is admitted by command.
    pub seeds: Vec<String>,
    /// How many seeds must answer, all pristine, before they make a cluster; `None` to wait for `cluster init` or a
    /// cluster to join.
    pub expect: Option<usize>,
    /// What proves that a node may join.
    pub join_token: Secret,
    /// Whether members speak without TLS: then whoever reaches them is one.
    pub plaintext: bool,
    /// How long a pristine node listens for a cluster before it takes part in making one.
    pub listen_for: Duration,
    /// How long a learner must have been healthy before it is promoted.
    pub stabilise: Duration,
    /// How long a voter must have been silent before a newcomer of another name takes its place.
    pub dead_after: Duration,
    /// Whether learners are promoted, dead members replaced and nodes admitted without a command.
    pub autopilot: bool,
}

impl PeersConfig {
    /// The default of `cluster.listen_ms`.
    pub const DEFAULT_LISTEN: Duration = Duration::from_secs(3);
    /// The default of `cluster.stabilise_ms`.
    pub const DEFAULT_STABILISE: Duration = Duration::from_secs(10);
    /// The default of `cluster.dead_after_ms`: longer than a machine takes to start again.
    pub const DEFAULT_DEAD_AFTER: Duration = Duration::from_secs(600);
}
