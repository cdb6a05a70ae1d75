use std::fmt::Write;

use sessile_core::Ttl;

use super::{Config, Flavour, OpenApi};

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
        for line in self.lines() {
            let _ = writeln!(text, "{line}");
        }
        text
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
            format!("base_uri: {}", quote(self.base_uri.as_str())),
            format!("listen_address: {}", quote(&self.listen.host_text())),
            format!("listen_port: {}", self.listen.port()),
            format!("default_ttl: {}", seconds(self.ttl.grant(None))),
            format!("max_ttl: {}", seconds(self.ttl.grant(Some(Ttl::FOREVER)))),
            format!("log_level: {}", self.log_level),
        ];
        lines.extend(openapi);
        lines.extend([
            "storage:".to_owned(),
            format!("  data_dir: {}", quote(&storage.data_dir.to_string_lossy())),
            format!("  engine: {}", storage.engine),
            format!("  cache_mb: {}", storage.cache_bytes / 1024 / 1024),
            format!("  reserve_mb: {}", storage.reserve_bytes / 1024 / 1024),
            "http:".to_owned(),
            format!("  max_value_bytes: {}", http.max_value_bytes),
            format!("  request_timeout_ms: {}", http.request_timeout.as_millis()),
            format!("  header_timeout_ms: {}", http.header_timeout.as_millis()),
            format!("  body_timeout_ms: {}", http.body_timeout.as_millis()),
            format!("  idle_timeout_ms: {}", http.idle_timeout.as_millis()),
            format!("  max_connections: {}", http.max_connections),
            "shutdown:".to_owned(),
            format!("  grace_ms: {}", self.shutdown_grace.as_millis()),
        ]);
        lines
    }
}

/// As a JSON string, which is a YAML string whatever it holds.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
