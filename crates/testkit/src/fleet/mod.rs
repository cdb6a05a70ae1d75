use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use tempfile::TempDir;

use crate::{Host, Network, Port, Process, Signal};

mod asking;
mod node;
mod waiting;

pub use asking::Said;
pub use node::Settings;
use node::{DISK, Node};

/// Some nodes as processes on this machine, each with a configuration, a data directory and ports of its own that stay
/// the same whatever happens to the process. Dropped, all are killed; if a test fails, what they said is shown.
///
/// Nodes are called by the name that they had at first: `n1`, `n2` …
pub struct Fleet {
    program: PathBuf,
    nodes: BTreeMap<String, Node>,
    /// What is mounted on disks of nodes: it goes after the processes and before the directories.
    mounted: Vec<Box<dyn Any + Send>>,
    dir: TempDir,
}

impl Fleet {
    /// `n1` to `n…`, all of them seeds of each other that expect each other; none is started. `program` is the binary.
    pub fn of(program: impl Into<PathBuf>, nodes: usize) -> Self {
        let mut fleet = Self::empty(program);
        for nth in 1..=nodes {
            fleet.add(&format!("n{nth}"));
        }
        let seeds: Vec<_> = fleet.nodes.values().map(|node| node.grpc.address().to_string()).collect();
        for node in fleet.nodes.values_mut() {
            node.settings.seeds = seeds.clone();
            node.settings.expect = Some(nodes);
        }
        fleet
    }

    /// The same, each node on the host of its name.
    pub fn on(network: &Network, program: impl Into<PathBuf>, nodes: usize) -> Self {
        let mut fleet = Self::of(program, nodes);
        for (name, node) in &mut fleet.nodes {
            node.host = Some(network.host(name).clone());
        }
        let seeds: Vec<_> = fleet.nodes.values().map(|node| node.at(&node.grpc).to_string()).collect();
        fleet.nodes.values_mut().for_each(|node| node.settings.seeds = seeds.clone());
        fleet
    }

    /// No node yet.
    pub fn empty(program: impl Into<PathBuf>) -> Self {
        let dir = tempfile::Builder::new().prefix("sessile-fleet-").tempdir();
        let dir = dir.unwrap_or_else(|error| panic!("no directory for the nodes: {error}"));
        Self { program: program.into(), nodes: BTreeMap::new(), mounted: Vec::new(), dir }
    }

    /// One more node, with the seeds of the first one and nobody to expect: it joins. It is not started.
    pub fn add(&mut self, name: &str) {
        let seeds = self.nodes.values().next().map(|first| first.settings.seeds.clone()).unwrap_or_default();
        let settings = Settings {
            name: name.to_owned(),
            advertise: None,
            seeds,
            expect: None,
            join_token: "a token of the tests".to_owned(),
            operator_token: None,
            plaintext: false,
            autopilot: true,
            listen_ms: 300,
            stabilise_ms: 500,
            dead_after_ms: None,
            max_rtt_ms: None,
            engine: "fjall",
            cache_mb: Some(16),
            reserve_mb: Some(0),
            log_keep_minutes: None,
            lines: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            program: None,
        };
        let dir = self.dir.path().join(name);
        let disk = dir.join(DISK);
        fs::create_dir_all(&disk).unwrap_or_else(|error| panic!("{}: {error}", disk.display()));
        let (http, grpc) = (Port::reserve(), Port::reserve());
        let node = Node { settings, host: None, http, grpc, dir, process: None, past: String::new() };
        assert!(self.nodes.insert(name.to_owned(), node).is_none(), "{name} is there already");
    }

    /// All names, in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// The names of those whose process was started and not stopped.
    pub fn running(&self) -> Vec<String> {
        let running = self.nodes.iter().filter(|(_, node)| node.process.is_some());
        running.map(|(name, _)| name.clone()).collect()
    }

    /// What its next start will be configured with.
    pub fn settings(&mut self, name: &str) -> &mut Settings {
        &mut self.node_mut(name).settings
    }

    /// Where it serves sessions.
    pub fn http(&self, name: &str) -> SocketAddr {
        let node = self.node(name);
        node.at(&node.http)
    }

    /// Where peers and administrators reach it.
    pub fn grpc(&self, name: &str) -> SocketAddr {
        let node = self.node(name);
        node.at(&node.grpc)
    }

    /// Where its data directory is: whatever is mounted here is its disk.
    pub fn disk(&self, name: &str) -> PathBuf {
        self.node(name).dir.join(DISK)
    }

    /// Keeps what was mounted on the disk of a node as long as its process may live.
    pub fn keep(&mut self, mounted: impl Any + Send) {
        self.mounted.push(Box::new(mounted));
    }

    /// The file with its join token, once it was started.
    pub fn join_token_file(&self, name: &str) -> PathBuf {
        self.node(name).join_token_file()
    }

    /// The file with the token by which operators are known to it, once it was started.
    pub fn operator_token_file(&self, name: &str) -> PathBuf {
        self.node(name).operator_token_file()
    }

    /// Where its data is.
    pub fn data_dir(&self, name: &str) -> PathBuf {
        self.node(name).data_dir()
    }

    /// From its next start on it listens for peers on another port, which is given. Among its own seeds it is the new one
    /// that stands for itself; nobody else's file changes.
    pub fn move_to_another_port(&mut self, name: &str) -> SocketAddr {
        let node = self.node_mut(name);
        node.moves_to(Port::reserve());
        node.grpc.address()
    }

    /// From its next start on it runs on another host with the disk that it has, so at another address for peers and for
    /// clients. Among its own seeds it is the new one that stands for itself; nobody else's file changes.
    pub fn move_to_host(&mut self, name: &str, host: Host) {
        let node = self.node_mut(name);
        let was = node.at(&node.grpc);
        node.host = Some(host);
        let is = node.at(&node.grpc);
        node.settings.renames_seed(was, is);
    }

    /// From their next start on a node of this fleet and one of another listen for peers where the other one did, with
    /// the same change to their own files and nobody else's.
    pub fn exchange_ports(&mut self, name: &str, other: &mut Self, others: &str) {
        let theirs = other.node_mut(others);
        let ours = self.node_mut(name);
        let (was, is) = (ours.grpc.address(), theirs.grpc.address());
        std::mem::swap(&mut ours.grpc, &mut theirs.grpc);
        ours.settings.renames_seed(was, is);
        theirs.settings.renames_seed(is, was);
    }

    /// Starts it, and does not wait for anything.
    pub fn start(&mut self, name: &str) {
        let program = self.program_of(name).to_owned();
        let node = self.node_mut(name);
        assert!(node.process.is_none(), "{name} was started already");
        let command = node.command(&program);
        let started = Process::start(command);
        node.process = Some(started.unwrap_or_else(|error| panic!("{}: {error}", program.display())));
    }

    /// Starts all that are not started, and waits for nothing.
    pub fn start_all(&mut self) {
        for name in self.names() {
            if self.node(&name).process.is_none() {
                self.start(&name);
            }
        }
    }

    /// SIGTERM, and waits for its end, which must be clean.
    pub fn stop(&mut self, name: &str) {
        self.process(name).signal(Signal::TERM);
        let status = self.ends(name);
        assert!(status.success(), "{name} did not stop cleanly: {status}");
    }

    /// Waits until it ends by itself.
    pub fn ends(&mut self, name: &str) -> ExitStatus {
        let status = self.process(name).ends();
        self.node_mut(name).put_away();
        status
    }

    /// `kill -9`.
    pub fn kill(&mut self, name: &str) {
        self.process(name).kill();
        self.node_mut(name).put_away();
    }

    /// `kill -9` of all that run.
    pub fn kill_all(&mut self) {
        self.running().iter().for_each(|name| self.kill(name));
    }

    /// Deletes the data directory of a node that does not run: an empty disk, and the configuration as it was.
    pub fn reimage(&mut self, name: &str) {
        let node = self.node(name);
        assert!(node.process.is_none(), "{name} runs: stop or kill it first");
        let dir = node.data_dir();
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        }
    }

    /// SIGSTOP: it holds its ports and its connections, and does nothing.
    pub fn freeze(&mut self, name: &str) {
        self.process(name).freeze();
    }

    /// SIGCONT.
    pub fn thaw(&mut self, name: &str) {
        self.process(name).signal(Signal::CONT);
    }

    /// A signal.
    pub fn signal(&mut self, name: &str, signal: Signal) {
        self.process(name).signal(signal);
    }

    /// Its process, which was started.
    pub fn process(&mut self, name: &str) -> &mut Process {
        self.node_mut(name).process.as_mut().unwrap_or_else(|| panic!("{name} was not started"))
    }

    fn program_of(&self, name: &str) -> &Path {
        self.node(name).settings.program.as_ref().unwrap_or(&self.program)
    }

    fn node(&self, name: &str) -> &Node {
        self.nodes.get(name).unwrap_or_else(|| panic!("there is no {name}"))
    }

    fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes.get_mut(name).unwrap_or_else(|| panic!("there is no {name}"))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Frozen ones could not answer.
            self.running().iter().for_each(|name| self.thaw(name));
            #[expect(clippy::print_stderr, reason = "what a failed test needs to be understood")]
            {
                eprintln!("{}", self.describe());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_seeds_of_each_other_and_keep_their_ports() {
        let mut fleet = Fleet::of("/bin/false", 3);
        let seeds: Vec<_> = ["n1", "n2", "n3"].iter().map(|name| fleet.grpc(name).to_string()).collect();
        fleet.add("n4");
        assert_eq!(fleet.settings("n2").seeds, seeds);
        assert_eq!((fleet.settings("n2").expect, fleet.settings("n4").expect), (Some(3), None));
        assert_eq!(fleet.settings("n4").seeds, seeds);
        let before = fleet.grpc("n1");
        let after = fleet.move_to_another_port("n1");
        assert_ne!(after, before);
        assert_eq!(fleet.settings("n1").seeds[0], after.to_string(), "its own file names it");
        assert_eq!(fleet.settings("n2").seeds, seeds, "no other file changes");
        let address = [10, 0, 0, 7].into();
        fleet.move_to_host("n1", Host { namespace: "seventh".into(), address });
        assert_eq!((fleet.grpc("n1"), fleet.http("n1").ip()), ((address, after.port()).into(), address));
        let moved = fleet.grpc("n1").to_string();
        assert_eq!(fleet.settings("n1").seeds[0], moved);
        assert_eq!(fleet.settings("n2").seeds, seeds, "no other file changes");
        assert_eq!(fleet.running(), Vec::<String>::new());
    }

    #[test]
    fn a_disk_is_emptied_and_the_configuration_stays() {
        let mut fleet = Fleet::of("/bin/true", 1);
        fleet.start("n1");
        fleet.ends("n1");
        fs::create_dir_all(fleet.data_dir("n1").join("log")).unwrap();
        fleet.reimage("n1");
        assert!(!fleet.data_dir("n1").exists() && fleet.node("n1").dir.join("config.yaml").exists());
        fleet.reimage("n1");
    }

    #[test]
    fn a_frozen_process_can_be_thawed_and_killed() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "#!/bin/sh\nwhile :; do echo beat; sleep 0.01; done\n").unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let mut fleet = Fleet::of(&program, 1);
        fleet.start("n1");
        fleet.process("n1").says("beat");
        fleet.freeze("n1");
        fleet.thaw("n1");
        let so_far = fleet.words("n1").len();
        fleet.wait_until("it beats again", |fleet| (fleet.words("n1").len() > so_far).then_some(()));
        fleet.freeze("n1");
        fleet.kill("n1");
        assert_eq!(fleet.running(), Vec::<String>::new());
    }
}
