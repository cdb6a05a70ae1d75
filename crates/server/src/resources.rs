//! What a node may take of its machine, and the options of its parts that follow from that and the configuration.

use sessile_cluster::Operators;
use sessile_embed::{Config as NodeConfig, Memory, OldData};
use sessile_http::{ApiConfig, Limits, Traces};
use sessile_trace::Tracer;
use tracing::{info, warn};

use crate::build_info::build_info;
use crate::config::{Config, OpenApi};
use crate::descriptors::{Descriptors, Listens, raise_limit};
use crate::exit::{Failure, Status};

/// A configuration, and the descriptors and the memory that it is run with here.
pub(crate) struct Resources<'a> {
    pub(crate) config: &'a Config,
    descriptors: Descriptors,
    memory: Memory,
    /// Where spans go; `None` where nothing is traced.
    pub(crate) tracer: Option<Tracer>,
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
        let memory = config.storage.memory(config.http.max_value_bytes);
        info!(
            memory_bytes = memory.total(),
            cache_bytes = memory.cache,
            write_buffer_bytes = memory.write_buffers,
            body_bytes = memory.bodies,
            connections = descriptors.api,
            table_files = descriptors.tables,
            "what this node may take"
        );
        Ok(Self { config, descriptors, memory, tracer: None })
    }

    /// The same, with spans that go there.
    pub(crate) fn traced(self, tracer: Option<Tracer>) -> Self {
        Self { tracer, ..self }
    }

    /// What the node is told.
    pub(crate) fn node(&self, old_data: OldData, operators: Operators) -> NodeConfig {
        let config = self.config;
        NodeConfig {
            data_dir: config.storage.data_dir.clone(),
            old_data,
            engine: config.storage.engine,
            memory: self.memory,
            table_files: self.descriptors.tables,
            reserve_bytes: config.storage.reserve_bytes,
            log_keep: config.storage.log_keep,
            log_keep_bytes: config.storage.log_keep_bytes,
            name: config.service_name.clone(),
            namespaces: config.namespaces.clone(),
            operators,
            admin_socket: true,
            tracer: self.tracer.clone(),
            member: config.cluster.as_ref().map(|cluster| cluster.member(self.descriptors.peers)),
        }
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
            traces: self.traces(),
            build: build_info(),
            openapi: match &config.openapi {
                OpenApi::BuiltIn => None,
                OpenApi::File { content, .. } => Some(content.clone()),
            },
        }
    }

    fn traces(&self) -> Option<Traces> {
        let one_of = self.config.traces.as_ref()?.one_of;
        Some(Traces { tracer: self.tracer.clone()?, one_of })
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
