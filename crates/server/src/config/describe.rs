use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use sessile_core::{NamespaceName, Ttl};
use sessile_embed::Memory;
use sessile_http::TlsFiles;

use super::namespaces::{self, is_plain};
use super::{
    AdminListener, BackupSchedule, ClusterConfig, Config, Flavour, ListenAddress, ListenUnix, OpenApi, Origins,
    Plaintext, TraceExport,
};

impl Config {
    /// The effective values as a file that would give the same node, the warnings and the kind of file as comments.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for warning in &self.warnings {
            // A String takes all that is written to it.
            let _ = writeln!(text, "# warning: {warning}");
        }
        let _ = match self.flavour {
            Flavour::Sessile => writeln!(text, "# what the file leaves out has its default"),
            Flavour::Kask => writeln!(text, "# a Kask file: what it leaves out has Kask's default"),
        };
        let _ = writeln!(text, "# {}", self.runs_as());
        for line in self.lines() {
            let _ = writeln!(text, "{line}");
        }
        text
    }

    /// The same, with where each value comes from behind it.
    pub fn describe_with(&self, origins: &Origins) -> String {
        origins.annotate(&self.describe())
    }

    /// What it would run as, in a sentence.
    fn runs_as(&self) -> String {
        let Some(ClusterConfig { name, expect, seeds, .. }) = &self.cluster else {
            return "runs as a single node, which listens for no peers".to_owned();
        };
        match expect {
            Some(expect) => format!("runs as member {name} of a cluster of {expect}, or joins the one that is there"),
            None if seeds.is_empty() => {
                format!("runs as {name}, which waits for `sessile cluster init` or `add-learner`")
            }
            None => {
                format!("runs as {name}, which joins the cluster of its seeds, or waits for `sessile cluster init`")
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let seconds = |ttl: Ttl| ttl.as_secs().unwrap_or(0);
        let openapi = match &self.openapi {
            OpenApi::BuiltIn => None,
            OpenApi::File { path, .. } => Some(format!("openapi_spec: {}", quote(&path.to_string_lossy()))),
        };
        let (storage, http) = (&self.storage, &self.http);
        let mut lines = vec![
            format!("service_name: {}", quote(&self.service_name)),
            format!("listen_address: {}", quote(&self.listen.host_text())),
            format!("listen_port: {}", self.listen.port()),
        ];
        lines.extend(self.listen_unix.iter().flat_map(ListenUnix::lines));
        lines.extend(self.tls.iter().flat_map(tls_lines));
        if self.namespaces.iter().any(|settings| settings.name == NamespaceName::sessions() && is_plain(settings)) {
            lines.extend([
                format!("base_uri: {}", quote(self.base_uri.as_str())),
                format!("default_ttl: {}", seconds(self.ttl.default_ttl())),
                format!("max_ttl: {}", seconds(self.ttl.max_ttl())),
                format!("read_consistency: {}", self.read_consistency.name()),
            ]);
        }
        lines.extend(namespaces::lines(&self.namespaces));
        lines.push(format!("log_level: {}", self.log_level));
        lines.extend(openapi);
        lines.extend([
            "storage:".to_owned(),
            format!("  data_dir: {}", quote(&storage.data_dir.to_string_lossy())),
            format!("  engine: {}", storage.engine),
        ]);
        lines.extend(self.memory_lines());
        lines.extend([
            format!("  reserve_mb: {}", storage.reserve_bytes / 1024 / 1024),
            format!("  log_keep_minutes: {}", storage.log_keep.as_secs() / 60),
            format!("  log_keep_mb: {}", storage.log_keep_bytes / 1024 / 1024),
            "http:".to_owned(),
            format!("  max_value_bytes: {}", http.max_value_bytes),
            format!("  request_timeout_ms: {}", http.request_timeout.as_millis()),
            format!("  header_timeout_ms: {}", http.header_timeout.as_millis()),
            format!("  body_timeout_ms: {}", http.body_timeout.as_millis()),
            format!("  idle_timeout_ms: {}", http.idle_timeout.as_millis()),
            format!("  max_connections: {}", http.max_connections),
            format!("  ready_patience_ms: {}", http.ready_patience.as_millis()),
            "shutdown:".to_owned(),
            format!("  grace_ms: {}", self.shutdown_grace.as_millis()),
            format!("  notice_ms: {}", self.shutdown_notice.as_millis()),
        ]);
        lines.extend(self.cluster.iter().flat_map(ClusterConfig::lines));
        lines.extend(self.admin.iter().flat_map(AdminListener::lines));
        lines.extend(self.backup.iter().flat_map(BackupSchedule::lines));
        lines.extend(self.traces.iter().flat_map(TraceExport::lines));
        lines
    }
}

impl Config {
    /// What it may take of memory, and what becomes of it on the machine that this is asked on.
    fn memory_lines(&self) -> Vec<String> {
        let megabytes = |bytes: u64| bytes / 1024 / 1024;
        let shares = self.storage.memory(self.http.max_value_bytes);
        let budget = match self.storage.memory_bytes {
            Some(bytes) => format!("  memory_mb: {}", megabytes(bytes)),
            None => {
                format!(
                    "  # memory_mb: {}, by what this machine or its control group has",
                    megabytes(Memory::default_budget())
                )
            }
        };
        let cache = match self.storage.cache_bytes {
            Some(bytes) => format!("  cache_mb: {}", megabytes(bytes)),
            None => format!("  # cache_mb: {}, what the other parts of memory_mb leave", megabytes(shares.cache)),
        };
        vec![budget, cache]
    }
}

fn tls_lines(files: &TlsFiles) -> Vec<String> {
    let path = |key: &str, path: &Path| format!("  {key}: {}", quote(&path.to_string_lossy()));
    let mut lines = vec!["tls:".to_owned(), path("cert", &files.cert), path("key", &files.key)];
    lines.extend(files.client_ca.as_deref().map(|file| path("client_ca", file)));
    lines
}

impl TraceExport {
    fn lines(&self) -> Vec<String> {
        let endpoint = format!("  endpoint: {}", quote(&self.endpoint.to_string()));
        vec!["traces:".to_owned(), endpoint, format!("  one_of: {}", self.one_of)]
    }
}

impl BackupSchedule {
    fn lines(&self) -> Vec<String> {
        vec![
            "backup:".to_owned(),
            format!("  directory: {}", quote(&self.directory.to_string_lossy())),
            format!("  every: {}", self.every.as_secs()),
            format!("  keep: {}", self.keep),
        ]
    }
}

impl AdminListener {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec!["admin:".to_owned(), format!("  listen: {}", quote(&self.listen.to_string()))];
        let token = self.token.as_ref();
        lines.extend(token.map(|file| format!("  token_file: {}", quote(&file.path.to_string_lossy()))));
        let tls = self.tls.iter().flat_map(tls_lines).map(|line| format!("  {line}"));
        lines.extend(tls);
        lines
    }
}

impl ListenUnix {
    fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("listen_unix: {}", quote(&self.path.to_string_lossy())),
            format!("listen_unix_mode: 0{:o}", self.mode),
        ];
        lines.extend(self.group.map(|group| format!("listen_unix_group: {group}")));
        lines
    }
}

impl ClusterConfig {
    fn lines(&self) -> Vec<String> {
        let quoted = |address: &ListenAddress| quote(&address.to_string());
        let mut lines = vec!["cluster:".to_owned(), format!("  name: {}", quote(&self.name))];
        lines.push(format!("  listen: {}", quoted(&self.listen)));
        lines.extend(self.advertise.as_ref().map(|address| format!("  advertise: {}", quoted(address))));
        let seeds: Vec<_> = self.seeds.iter().map(quoted).collect();
        lines.push(format!("  seeds: [{}]", seeds.join(", ")));
        lines.extend(self.expect.map(|expect| format!("  expect: {expect}")));
        lines.push(format!("  join_token_file: {}", quote(&self.join_token.path.to_string_lossy())));
        let operators = self.operators.as_ref();
        lines.extend(operators.map(|file| format!("  operator_token_file: {}", quote(&file.path.to_string_lossy()))));
        lines.extend(match self.plaintext {
            Plaintext::No => None,
            Plaintext::Loopback => Some("  plaintext: true".to_owned()),
            Plaintext::Insecure => Some("  plaintext: insecure".to_owned()),
        });
        lines.extend([
            format!("  listen_ms: {}", self.listen_for.as_millis()),
            format!("  stabilise_ms: {}", self.stabilise.as_millis()),
            format!("  dead_after_ms: {}", self.dead_after.as_millis()),
            format!("  max_rtt_ms: {}", self.timing.max_rtt().as_millis()),
            self.follows_from_max_rtt(),
            format!("  autopilot: {}", self.autopilot),
        ]);
        lines
    }

    /// What `max_rtt_ms` means.
    fn follows_from_max_rtt(&self) -> String {
        let (timing, election) = (self.timing, self.timing.election_timeout());
        let millis = |duration: Duration| duration.as_millis();
        format!(
            "  # from max_rtt_ms follow: a heartbeat every {} ms, answered within {}, no writes after {} ms without a quorum, an election after {} \
             to {} ms of silence; a request outlasts the death of a leader within {} ms",
            millis(timing.heartbeat()),
            millis(timing.heartbeat_answer()),
            millis(timing.lease()),
            millis(timing.first_campaign()),
            millis(timing.lease() + *election.end()),
            millis(timing.request()),
        )
    }
}

/// As a JSON string, which is a YAML string whatever it holds.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
