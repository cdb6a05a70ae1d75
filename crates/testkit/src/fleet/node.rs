//! One node: what it is configured with, where it is, and its process.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Host, Port, Process};

/// A node's disk, below its own directory.
pub(super) const DISK: &str = "disk";

/// What an operator writes into a node's configuration file. It is written anew before each start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `cluster.name`.
    pub name: String,
    /// `cluster.advertise`, if it is not where the node listens.
    pub advertise: Option<String>,
    /// `cluster.seeds`.
    pub seeds: Vec<String>,
    /// `cluster.expect`, if it is given.
    pub expect: Option<usize>,
    /// What the file at `cluster.join_token_file` holds.
    pub join_token: String,
    /// A token by which operators are known to it, and by which it is asked at its port instead of its socket, if it is
    /// given; earlier programs know none.
    pub operator_token: Option<String>,
    /// `cluster.plaintext`; earlier programs do not know it, and are not told where it is false.
    pub plaintext: bool,
    /// `cluster.autopilot`.
    pub autopilot: bool,
    /// `cluster.listen_ms`.
    pub listen_ms: u64,
    /// `cluster.stabilise_ms`.
    pub stabilise_ms: u64,
    /// `cluster.dead_after_ms`, if it is given; earlier programs do not know it.
    pub dead_after_ms: Option<u64>,
    /// `cluster.max_rtt_ms`, if it is given; earlier programs do not know it.
    pub max_rtt_ms: Option<u64>,
    /// `storage.engine`.
    pub engine: &'static str,
    /// `storage.cache_mb`, if it is given.
    pub cache_mb: Option<u64>,
    /// `storage.reserve_mb`, if it is given.
    pub reserve_mb: Option<u64>,
    /// `storage.log_keep_minutes`, if it is given; earlier programs do not know it.
    pub log_keep_minutes: Option<u64>,
    /// More lines of the file, at its end.
    pub lines: String,
    /// More words of the command line.
    pub arguments: Vec<String>,
    /// More of its environment.
    pub environment: Vec<(String, OsString)>,
    /// The binary that runs it and is asked about it, if that is not the fleet's.
    pub program: Option<PathBuf>,
}

/// A node, whether it runs or not.
pub(super) struct Node {
    pub(super) settings: Settings,
    /// The host that it runs on; this machine itself if there is none.
    pub(super) host: Option<Host>,
    pub(super) http: Port,
    pub(super) grpc: Port,
    pub(super) dir: PathBuf,
    pub(super) process: Option<Process>,
    /// What its earlier processes said.
    pub(super) past: String,
}

impl Settings {
    pub(super) fn renames_seed(&mut self, was: SocketAddr, is: SocketAddr) {
        let was = was.to_string();
        self.seeds.iter_mut().filter(|seed| **seed == was).for_each(|seed| *seed = is.to_string());
    }
}

impl Node {
    pub(super) fn moves_to(&mut self, port: Port) {
        self.settings.renames_seed(self.grpc.address(), port.address());
        self.grpc = port;
    }

    pub(super) fn join_token_file(&self) -> PathBuf {
        self.dir.join("join.token")
    }

    /// What the node reads.
    pub(super) fn operators_file(&self) -> PathBuf {
        self.dir.join("operators")
    }

    /// What whoever asks it reads.
    pub(super) fn operator_token_file(&self) -> PathBuf {
        self.dir.join("operator.token")
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.dir.join(DISK).join("data")
    }

    /// A port of its host.
    pub(super) fn at(&self, port: &Port) -> SocketAddr {
        (self.host.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |host| host.address), port.number()).into()
    }

    pub(super) fn command(&self, program: &Path) -> Command {
        let (config, token) = (self.dir.join("config.yaml"), self.join_token_file());
        for (path, text) in [(&config, self.yaml(&token)), (&token, format!("{}\n", self.settings.join_token))] {
            write_secret(path, &text);
        }
        if let Some(token) = &self.settings.operator_token {
            write_secret(&self.operators_file(), &format!("tests admin {token}\n"));
            write_secret(&self.operator_token_file(), token);
        }
        let mut command = match &self.host {
            Some(host) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", &host.namespace]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.arg("serve").arg("--config").arg(config).args(&self.settings.arguments);
        command.envs(self.settings.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn yaml(&self, token: &Path) -> String {
        let Settings { name, advertise, seeds, expect, autopilot, engine, cache_mb, reserve_mb, lines, .. } =
            &self.settings;
        let (listen_ms, stabilise_ms) = (self.settings.listen_ms, self.settings.stabilise_ms);
        let listen = self.at(&self.grpc);
        let advertise = advertise.clone().unwrap_or_else(|| listen.to_string());
        let log_keep = self.settings.log_keep_minutes;
        let log_keep = log_keep.map(|minutes| format!(", log_keep_minutes: {minutes}")).unwrap_or_default();
        let max_rtt = self.settings.max_rtt_ms.map(|millis| format!("  max_rtt_ms: {millis}\n")).unwrap_or_default();
        let dead_after = self.settings.dead_after_ms.map(|millis| format!("  dead_after_ms: {millis}\n"));
        let dead_after = dead_after.unwrap_or_default();
        let plaintext = if self.settings.plaintext { "  plaintext: true\n" } else { "" };
        let operators = self.settings.operator_token.as_ref();
        let operators = operators.map(|_| format!("  operator_token_file: {}\n", self.operators_file().display()));
        let operators = operators.unwrap_or_default();
        let expect = expect.map(|expect| format!("  expect: {expect}\n")).unwrap_or_default();
        let cache = cache_mb.map(|mb| format!(", cache_mb: {mb}")).unwrap_or_default();
        let reserve = reserve_mb.map(|mb| format!(", reserve_mb: {mb}")).unwrap_or_default();
        format!(
            "service_name: sessile\n\
             listen_address: {address}\n\
             listen_port: {http}\n\
             storage: {{ data_dir: {data_dir}, engine: {engine}{cache}{reserve}{log_keep} }}\n\
             cluster:\n  \
               name: {name}\n  \
               listen: \"{listen}\"\n  \
               advertise: \"{advertise}\"\n  \
               seeds: {seeds:?}\n\
             {expect}{max_rtt}{dead_after}{plaintext}{operators}  \
               join_token_file: {token}\n  \
               listen_ms: {listen_ms}\n  \
               stabilise_ms: {stabilise_ms}\n  \
               autopilot: {autopilot}\n\
             shutdown: {{ grace_ms: 10000, notice_ms: 0 }}\n\
             {lines}",
            address = self.at(&self.http).ip(),
            http = self.http.number(),
            data_dir = self.data_dir().display(),
            token = token.display(),
        )
    }

    /// Keeps what it said.
    pub(super) fn put_away(&mut self) {
        if let Some(process) = self.process.take() {
            self.past.push_str(&said_by(&process));
        }
    }
}

/// A secret that everybody may read is refused.
fn write_secret(path: &Path, text: &str) {
    let file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

pub(super) fn said_by(process: &Process) -> String {
    format!("{}{}", process.stdout(), process.stderr())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fleet;

    #[test]
    fn a_configuration_is_written_as_the_program_reads_it() {
        let mut fleet = Fleet::of("/bin/false", 2);
        fleet.settings("n1").lines = "log_level: debug\n".into();
        fleet.settings("n1").operator_token = Some("a token".into());
        let operators = fleet.node("n1").operators_file();
        let yaml = fleet.node("n1").yaml(Path::new("/t"));
        let (http, first, second) = (fleet.http("n1").port(), fleet.grpc("n1"), fleet.grpc("n2"));
        let data_dir = fleet.data_dir("n1");
        let expected = format!(
            "service_name: sessile\nlisten_address: 127.0.0.1\nlisten_port: {http}\n\
             storage: {{ data_dir: {}, engine: fjall, cache_mb: 16, reserve_mb: 0 }}\n\
             cluster:\n  name: n1\n  listen: \"{first}\"\n  advertise: \"{first}\"\n  \
             seeds: [\"{first}\", \"{second}\"]\n  expect: 2\n  operator_token_file: {}\n  join_token_file: /t\n  listen_ms: 300\n  \
             stabilise_ms: 500\n  autopilot: true\nshutdown: {{ grace_ms: 10000, notice_ms: 0 }}\nlog_level: debug\n",
            data_dir.display(),
            operators.display(),
        );
        assert_eq!(yaml, expected);
    }
}
