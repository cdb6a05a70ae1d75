//! What a node may take of its machine, and the options of its parts that follow from that and the configuration.

use sessile_cluster::{NodeConfig, Operators, QueueBytes};
use sessile_http::{ApiConfig, Limits};
use sessile_store::StoreOptions;
use sessile_store::log::LogOptions;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::build_info::build_info;
use crate::config::{Config, OpenApi};
use crate::descriptors::{Descriptors, Listens, raise_limit};
use crate::exit::{Failure, Status};
use crate::listeners::address_of;
use crate::memory::Memory;

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

/// A configuration, and the descriptors and the memory that it is run with here.
pub(crate) struct Resources<'a> {
    pub(crate) config: &'a Config,
    descriptors: Descriptors,
    memory: Memory,
}

impl<'a> Resources<'a> {
    /// Raises this process's limit of open files, and shares out what there is. An error if that is too little.
    pub(crate) fn of(config: &'a Config) -> anyhow::Result<Self> {
        let listens = Listens {
            api: config.http.max_connections,
            peers: config.cluster.is_some(),
            admin: config.admin.is_some(),
        };
        let limit = raise_limit();
        let descriptors =
            Descriptors::divide(limit, listens).map_err(|too_few| Failure::new(Status::Unavailable, too_few))?;
        if descriptors.api < listens.api {
            warn!(
                open_files = limit,
                configured = listens.api,
                connections = descriptors.api,
                "the limit of open files allows fewer connections than http.max_connections"
            );
        }
        let memory = Memory::of(&config.storage, config.http.max_value_bytes);
        info!(
            memory_bytes = memory.total(),
            cache_bytes = memory.cache,
            write_buffer_bytes = memory.write_buffers,
            body_bytes = memory.bodies,
            connections = descriptors.api,
            table_files = descriptors.tables,
            "what this node may take"
        );
        Ok(Self { config, descriptors, memory })
    }

    pub(crate) fn store_options(&self) -> StoreOptions {
        let log_batch = (self.memory.log / 4).min(MAX_LOG_BATCH_BYTES);
        StoreOptions {
            engine: self.config.storage.engine,
            cache_bytes: self.memory.cache,
            write_buffer_bytes: self.memory.write_buffers,
            open_files: self.descriptors.tables,
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

    pub(crate) fn node_config(&self, peers: Option<&TcpListener>, operators: Operators) -> anyhow::Result<NodeConfig> {
        let config = self.config;
        let peers = match (&config.cluster, peers) {
            (Some(cluster), Some(listener)) => {
                let address = address_of(listener)?;
                let peers = cluster.peers(address);
                info!(%address, advertise = peers.advertise, name = cluster.name, "listening for peers");
                Some(peers)
            }
            _ => None,
        };
        Ok(NodeConfig {
            name: config.cluster.as_ref().map_or(&config.service_name, |cluster| &cluster.name).clone(),
            admin_socket: true,
            operators,
            disk_reserve_bytes: config.storage.reserve_bytes,
            keep_log_for: config.storage.log_keep,
            keep_log_bytes: config.storage.log_keep_bytes,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            max_connections: self.descriptors.peers,
            queues: QueueBytes {
                proposals: self.memory.proposals,
                forwarded: self.memory.forwarded,
                replicated: self.memory.replicated,
            },
            namespaces: config.namespaces.clone(),
            timing: config.cluster.as_ref().map(|cluster| cluster.timing).unwrap_or_default(),
            peers,
            ..NodeConfig::new(config.storage.data_dir.clone())
        })
    }

    pub(crate) fn api_config(&self) -> ApiConfig {
        let config = self.config;
        ApiConfig {
            base_uri: config.base_uri.clone(),
            ttl: config.ttl,
            read_consistency: config.read_consistency,
            max_value_bytes: config.http.max_value_bytes,
            max_body_bytes: self.memory.bodies,
            max_answer_bytes: self.memory.answers,
            request_timeout: config.http.request_timeout,
            body_timeout: config.http.body_timeout,
            build: build_info(),
            openapi: match &config.openapi {
                OpenApi::BuiltIn => None,
                OpenApi::File { content, .. } => Some(content.clone()),
            },
        }
    }

    /// Of the session API's listener.
    pub(crate) fn api_limits(&self) -> Limits {
        self.limits(self.descriptors.api, self.descriptors.api_last)
    }

    /// Of the operators' listener. Whoever waits for a place there when the node stops sees that it does.
    pub(crate) fn admin_limits(&self) -> Limits {
        self.limits(self.descriptors.admin, 0)
    }

    fn limits(&self, max_connections: usize, last_connections: usize) -> Limits {
        let config = self.config;
        Limits {
            max_connections,
            last_connections,
            header_timeout: config.http.header_timeout,
            idle_timeout: config.http.idle_timeout,
            drain: config.shutdown_grace,
            ..Limits::default()
        }
    }
}
