use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sessile_cluster::{NodeConfig, Operators, QueueBytes};
use sessile_core::NamespaceSettings;
use sessile_store::StoreOptions;
use sessile_store::engine::EngineKind;
use sessile_store::log::LogOptions;
use sessile_trace::Tracer;
use tracing::info;

use crate::member::Member;
use crate::memory::Memory;
use crate::opening::OldData;

/// How much of the log one file holds. Where none was made ahead in time, requests wait while one is made, so it is small
/// enough to be written in a few tens of milliseconds.
const LOG_SEGMENT_BYTES: u32 = 16 * 1024 * 1024;
/// How many files of purged log are kept for reuse: as much as gathers between two purges, which is up to 80 MiB
/// (`cluster::maintenance`).
const LOG_RECYCLED_SEGMENTS: usize = 6;
/// How many files of log are made ahead: deletes and ticks go on in them while the disk is full. 64 MiB are twenty minutes
/// at the 200 deletes a second of Wikimedia's busiest hour.
const LOG_RESERVED_SEGMENTS: usize = 4;
/// The log's queue holds two batches, so a batch is a quarter of what the log may take beside its cache. Above 8 MiB a
/// disk that syncs 200 MB/s would need longer than a heartbeat.
const MAX_LOG_BATCH_BYTES: usize = 8 * 1024 * 1024;

/// What a node is told. [`Config::new`] has a default for everything but the data directory.
///
/// ```
/// use sessile_embed::{Config, Member};
///
/// let addresses = ["10.0.0.1:7081", "10.0.0.2:7081", "10.0.0.3:7081"];
/// let member = Member::new("n1", addresses[0], "a secret of at least sixteen bytes").first_members(addresses);
/// let config = Config { reserve_bytes: 1 << 30, ..Config::new("/var/lib/my-app/sessions").with_member(member) };
/// assert!(config.member.is_some());
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it keeps log and state. Made if it is not there; this process has it alone.
    pub data_dir: PathBuf,
    /// What becomes of what is there and cannot be gone on with.
    pub old_data: OldData,
    /// What keeps the state.
    pub engine: EngineKind,
    /// How much it holds in memory.
    pub memory: Memory,
    /// How many files of the state are open at a time; log and members have about 200 more descriptors. The limit of open
    /// files is the process's own: a node does not change it.
    pub table_files: usize,
    /// Disk space that writes must leave free, in bytes; deletes may use it.
    pub reserve_bytes: u64,
    /// How long entries stay in the Raft log for members that were away.
    pub log_keep: Duration,
    /// Disk space that they may take, in bytes.
    pub log_keep_bytes: u64,
    /// What people call a node that is no member.
    pub name: String,
    /// Which namespaces a new cluster has, `sessions` among them. A single node makes them so at each start.
    pub namespaces: Vec<NamespaceSettings>,
    /// By what operators from other machines are known.
    pub operators: Operators,
    /// Whether `sessile status --data-dir` and its like are answered, on a Unix socket in the data directory, for root and
    /// this process's own user.
    pub admin_socket: bool,
    /// Where spans go of what it does for requests that reached other members; `None` where nothing is traced.
    pub tracer: Option<Tracer>,
    /// Whose member it is; `None` for a cluster of one, which listens for nobody.
    pub member: Option<Member>,
}

impl Config {
    /// The default of [`memory`](Self::memory) as a budget, in bytes: a part of a process that has other things to do. A
    /// gigabyte of sessions has its indices and filters in it, and some of its sessions.
    pub const DEFAULT_MEMORY_BYTES: u64 = 128 << 20;
    /// The default of [`table_files`](Self::table_files): with what log and members need, half of the 1,024 files that a
    /// process may open where nobody has changed that.
    pub const DEFAULT_TABLE_FILES: usize = 256;
    /// The default of [`reserve_bytes`](Self::reserve_bytes): room for deletes, ticks and a few files of log while somebody
    /// makes space.
    pub const DEFAULT_RESERVE_BYTES: u64 = 256 << 20;
    /// The longest value that [`Sessions`](crate::Sessions) stores, in bytes: that of the session API by default. Sessions
    /// are a few KB.
    pub const MAX_VALUE_BYTES: usize = 1 << 20;

    /// A single node whose data is there.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let NodeConfig { data_dir, namespaces, keep_log_for, keep_log_bytes, .. } = NodeConfig::new(data_dir.into());
        Self {
            data_dir,
            old_data: OldData::Keep,
            engine: EngineKind::Fjall,
            memory: Memory::divide(Self::DEFAULT_MEMORY_BYTES, None, Self::MAX_VALUE_BYTES),
            table_files: Self::DEFAULT_TABLE_FILES,
            reserve_bytes: Self::DEFAULT_RESERVE_BYTES,
            log_keep: keep_log_for,
            log_keep_bytes: keep_log_bytes,
            name: "embedded".to_owned(),
            namespaces,
            operators: Operators::default(),
            admin_socket: true,
            tracer: None,
            member: None,
        }
    }

    /// The same as a member of a cluster. What is on its disk is set aside where the cluster has put another node in its
    /// place ([`OldData::KeepOrRejoin`]).
    #[must_use]
    pub fn with_member(self, member: Member) -> Self {
        Self { member: Some(member), old_data: OldData::KeepOrRejoin, ..self }
    }

    pub(crate) fn store_options(&self) -> StoreOptions {
        let log_batch = (self.memory.log / 4).min(MAX_LOG_BATCH_BYTES);
        StoreOptions {
            engine: self.engine,
            cache_bytes: self.memory.cache,
            write_buffer_bytes: self.memory.write_buffers,
            open_files: self.table_files,
            log: LogOptions {
                segment_bytes: LOG_SEGMENT_BYTES,
                recycled_segments: LOG_RECYCLED_SEGMENTS,
                reserved_segments: LOG_RESERVED_SEGMENTS,
                cache_bytes: self.memory.log - 2 * log_batch,
                max_batch_bytes: log_batch,
                ..LogOptions::default()
            },
        }
    }

    /// What the node is told, once it listens for other members at that address.
    pub(crate) fn node_config(&self, listens: Option<SocketAddr>) -> NodeConfig {
        let peers = self.member.as_ref().zip(listens).map(|(member, address)| {
            let peers = member.peers(address);
            info!(%address, advertise = peers.advertise, name = member.name, "listening for peers");
            peers
        });
        let member = self.member.as_ref();
        let usual = NodeConfig::new(self.data_dir.clone());
        NodeConfig {
            name: member.map_or(&self.name, |member| &member.name).clone(),
            admin_socket: self.admin_socket,
            operators: self.operators.clone(),
            disk_reserve_bytes: self.reserve_bytes,
            keep_log_for: self.log_keep,
            keep_log_bytes: self.log_keep_bytes,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_connections: member.map_or(usual.max_connections, |member| member.max_connections),
            queues: QueueBytes {
                proposals: self.memory.proposals,
                forwarded: self.memory.forwarded,
                replicated: self.memory.replicated,
            },
            namespaces: self.namespaces.clone(),
            timing: member.map(|member| member.timing).unwrap_or_default(),
            tracer: self.tracer.clone(),
            peers,
            ..usual
        }
    }
}
