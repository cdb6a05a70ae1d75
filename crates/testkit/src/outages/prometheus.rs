//! A stock Prometheus.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::alerts::{self, Alert};
use crate::{Client, PATIENCE, Port, Process, looks_for};

/// As deploy/prometheus/README.md has it: how often nodes are scraped and rules are looked at.
pub(super) const INTERVAL_SECONDS: u32 = 15;
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// Shown of what it said, if it does not start.
const LAST_LINES: usize = 5;

/// Prometheus as a process, with the job `sessile`. Dropped, it is killed.
pub(super) struct Prometheus {
    process: Process,
    port: Port,
    targets: PathBuf,
    // After the process that writes there.
    _dir: TempDir,
}

impl Prometheus {
    /// Starts one with these rules that scrapes these nodes. `before` is what it is to find of the hours before, in the
    /// OpenMetrics text format, if anything.
    pub(super) fn start(rules: &Path, nodes: &[(String, SocketAddr)], before: Option<&str>) -> Result<Self, String> {
        let written = |error| format!("Prometheus's directory: {error}");
        let dir = tempfile::Builder::new().prefix("sessile-prometheus-").tempdir().map_err(written)?;
        let data = dir.path().join("data");
        let rules = fs::canonicalize(rules).map_err(|error| format!("{}: {error}", rules.display()))?;
        let targets = dir.path().join("targets.json");
        fs::write(&targets, listed(nodes)).map_err(written)?;
        let config = dir.path().join("prometheus.yml");
        fs::write(&config, configuration(&rules, &targets)).map_err(written)?;
        if let Some(before) = before {
            fill_in(dir.path(), &data, before)?;
        }
        let port = Port::reserve();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", data.display()));
        command.arg(format!("--web.listen-address={}", port.address()));
        let process = Process::start(command).map_err(|error| format!("prometheus (Debian's package): {error}"))?;
        let mut prometheus = Self { process, port, targets, _dir: dir };
        prometheus.becomes_ready()?;
        Ok(prometheus)
    }

    /// From now on it scrapes these, under the same names.
    pub(super) fn scrapes(&self, nodes: &[(String, SocketAddr)]) -> Result<(), String> {
        // Renamed into its place: it must not read half of it.
        let next = self.targets.with_extension("next");
        let replaced = fs::write(&next, listed(nodes)).and_then(|()| fs::rename(&next, &self.targets));
        replaced.map_err(|error| format!("{}: {error}", self.targets.display()))
    }

    /// The value of the first series that an expression gives now; `None` if it gives none.
    pub(super) fn value(&self, expression: &str) -> Result<Option<f64>, String> {
        let result = self.ask(&format!("query?query={}", encoded(expression)))?;
        Ok(result[0]["value"][1].as_str().and_then(|value| value.parse().ok()))
    }

    /// Whether an alert of that name fires now.
    pub(super) fn fires(&self, alert: &str) -> Result<bool, String> {
        self.value(&format!("ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}}")).map(|value| value.is_some())
    }

    /// Every alert that fired between two moments of the wall clock.
    pub(super) fn alerts(&self, begin: f64, end: f64) -> Result<Vec<Alert>, String> {
        Ok(alerts::fired(&self.range("ALERTS", begin, end, 1)?, begin, end))
    }

    /// What an expression gave every so many seconds between two moments: seconds since the first of them, and the value.
    pub(super) fn points(&self, expression: &str, begin: f64, end: f64) -> Result<Vec<(f64, f64)>, String> {
        let result = self.range(expression, begin, end, INTERVAL_SECONDS)?;
        let values = result[0]["values"].as_array().cloned().unwrap_or_default();
        let point = |pair: &Value| Some((pair[0].as_f64()? - begin, pair[1].as_str()?.parse().ok()?));
        Ok(values.iter().filter_map(point).collect())
    }

    fn range(&self, expression: &str, begin: f64, end: f64, step: u32) -> Result<Value, String> {
        self.ask(&format!("query_range?query={}&start={begin:.3}&end={end:.3}&step={step}", encoded(expression)))
    }

    fn ask(&self, what: &str) -> Result<Value, String> {
        let failed = |error: std::io::Error| format!("Prometheus does not answer: {error}");
        let mut client = Client::connect(self.port.address()).map_err(failed)?;
        // HTTP/1.0: the answer ends with its connection, and is not chunked.
        client.send(format!("GET /api/v1/{what} HTTP/1.0\r\n\r\n").as_bytes()).map_err(failed)?;
        let answer = client.answer("GET").map_err(failed)?.text();
        let mut answer: Value =
            serde_json::from_str(&answer).map_err(|error| format!("Prometheus: {error}: {answer}"))?;
        match answer["status"].as_str() {
            Some("success") => Ok(answer["data"]["result"].take()),
            _ => Err(format!("Prometheus refuses {what}: {}", answer["error"])),
        }
    }

    fn becomes_ready(&mut self) -> Result<(), String> {
        let ready = looks_for(PATIENCE, LOOK_AGAIN, || {
            if self.process.has_ended() {
                return Some(false);
            }
            let mut client = Client::connect(self.port.address()).ok()?;
            let answer = client.request("GET", "/-/ready", "", b"").ok()?;
            (answer.status == 200).then_some(true)
        });
        if ready == Some(true) {
            return Ok(());
        }
        let words = self.process.stderr();
        let lines: Vec<_> = words.lines().collect();
        Err(format!("Prometheus does not start:\n{}", lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")))
    }
}

fn configuration(rules: &Path, targets: &Path) -> String {
    format!(
        "global: {{ scrape_interval: {INTERVAL_SECONDS}s, evaluation_interval: {INTERVAL_SECONDS}s }}\n\
         rule_files: [{rules:?}]\n\
         scrape_configs:\n  \
           - job_name: sessile\n    \
             file_sd_configs: [{{ files: [{targets:?}] }}]\n"
    )
}

/// Each node under its name, wherever it is.
fn listed(nodes: &[(String, SocketAddr)]) -> String {
    let listed =
        nodes.iter().map(|(name, address)| json!({"targets": [address.to_string()], "labels": {"instance": name}}));
    Value::Array(listed.collect()).to_string()
}

/// Writes what was before into its data, by the tool that comes with it.
fn fill_in(dir: &Path, data: &Path, before: &str) -> Result<(), String> {
    let text = dir.join("before.txt");
    fs::write(&text, before).map_err(|error| format!("{}: {error}", text.display()))?;
    let mut promtool = Command::new("promtool");
    promtool.args(["tsdb", "create-blocks-from", "openmetrics", "-q"]).args([&text, data]);
    let ended = promtool.output().map_err(|error| format!("promtool: {error}"))?;
    if ended.status.success() {
        return Ok(());
    }
    Err(format!("promtool takes no history: {}", String::from_utf8_lossy(&ended.stderr).trim()))
}

/// For the query of a URL.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            encoded.push(byte.into());
        } else {
            // A String takes all that is written to it.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_configured_as_the_readme_says() {
        let yaml = configuration(Path::new("/r.yml"), Path::new("/t.json"));
        let readme = include_str!("../../../../deploy/prometheus/README.md");
        assert!(readme.contains(&format!("scrape_interval: {INTERVAL_SECONDS}s")));
        assert!(yaml.contains("rule_files: [\"/r.yml\"]\n") && yaml.contains("files: [\"/t.json\"]"), "{yaml}");
        let node = ("n1".to_owned(), SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!(listed(&[node]), r#"[{"labels":{"instance":"n1"},"targets":["127.0.0.1:80"]}]"#);
        assert_eq!(encoded("a{b=\"c\"}"), "a%7Bb%3D%22c%22%7D");
    }
}
