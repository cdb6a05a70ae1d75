use std::any::Any;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{Client, Host, Network, PATIENCE, Port, Process, Signal, Status};

/// How often a cluster is looked at. Each look is a process or more, on a machine that has the cluster to carry.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long one question to one node may take: above the 10 s after which the program itself gives up.
const ONE_QUESTION: Duration = Duration::from_secs(20);
/// `sessile status`, for a test that asks many: who is frozen is not waited for.
const STATUS: [&str; 4] = ["status", "--json", "--timeout", "3s"];
/// A node's disk, below its own directory.
const DISK: &str = "disk";
/// How many lines of each log a failed test shows.
const SHOWN_LINES: usize = 40;

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
    /// `cluster.autopilot`.
    pub autopilot: bool,
    /// `cluster.listen_ms`.
    pub listen_ms: u64,
    /// `cluster.stabilise_ms`.
    pub stabilise_ms: u64,
    /// `storage.engine`.
    pub engine: &'static str,
    /// More lines of the file, at its end.
    pub lines: String,
    /// More words of the command line.
    pub arguments: Vec<String>,
    /// More of its environment.
    pub environment: Vec<(String, OsString)>,
    /// The binary that runs it and is asked about it, if that is not the fleet's.
    pub program: Option<PathBuf>,
}

/// What an administrator's command came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The exit code; `None` if it did not end in time, or was ended by a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

struct Node {
    settings: Settings,
    /// The host that it runs on; this machine itself if there is none.
    host: Option<Host>,
    http: Port,
    grpc: Port,
    dir: PathBuf,
    process: Option<Process>,
    /// What its earlier processes said.
    past: String,
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
            autopilot: true,
            listen_ms: 300,
            stabilise_ms: 500,
            engine: "fjall",
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
        self.process(name).signal(Signal::STOP);
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

    /// A new connection to its session API. Panics if it does not listen.
    pub fn client(&self, name: &str) -> Client {
        Client::connect(self.http(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// What `/readyz` says; `None` if nobody answers.
    pub fn readiness(&self, name: &str) -> Option<u16> {
        let mut client = Client::connect_patiently(self.http(name), ONE_QUESTION).ok()?;
        client.request("GET", "/readyz", "", b"").ok().map(|answer| answer.status)
    }

    /// What `sessile status` says of the cluster at that node; `None` if it cannot be reached. Panics if what it says is
    /// not what it should say. The exit code tells how the cluster is, and is not looked at.
    pub fn status(&self, name: &str) -> Option<Status> {
        let said = self.run(&STATUS, name);
        let parsed = (!said.stdout.is_empty()).then(|| Status::parse(&said.stdout));
        parsed.map(|status| status.unwrap_or_else(|error| panic!("{error}\n{}", said.stdout)))
    }

    /// What `sessile …` says when it is asked at that node: the words, and `--server` behind them.
    pub fn run(&self, words: &[&str], at: &str) -> Said {
        run_to_its_end(self.asking(words, at))
    }

    /// The same, under way: nobody waits for its end, and dropped it is killed.
    pub fn ask(&self, words: &[&str], at: &str) -> Process {
        Process::start(self.asking(words, at)).unwrap_or_else(|error| panic!("{}: {error}", self.program.display()))
    }

    fn asking(&self, words: &[&str], at: &str) -> Command {
        let mut command = Command::new(self.program_of(at));
        command.args(words).arg("--server").arg(self.grpc(at).to_string());
        command
    }

    /// The same, for what must succeed.
    #[track_caller]
    pub fn succeed(&self, words: &[&str], at: &str) -> Said {
        let said = self.run(words, at);
        assert_eq!(said.code, Some(0), "{words:?} at {at}: {said:?}");
        said
    }

    /// The same, for what must be refused: another exit code than 0, a sentence on standard error, and no panic.
    #[track_caller]
    pub fn refused(&self, words: &[&str], at: &str) -> Said {
        let said = self.run(words, at);
        assert!(said.code.is_some_and(|code| code != 0), "{words:?} at {at}: {said:?}");
        assert!(!said.stderr.trim().is_empty() && !said.stderr.contains("panicked"), "{words:?} at {at}: {said:?}");
        said
    }

    /// Looks until there is something, and gives it. Panics when it did not come, with what every node says of itself.
    #[track_caller]
    pub fn wait_until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(begin.elapsed() < PATIENCE, "did not happen within {PATIENCE:?}: {what}");
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Looks again and again for that long, at something that must hold all the while: for what must never happen, and
    /// would have happened by then.
    #[track_caller]
    pub fn holds_for(&mut self, time: Duration, mut look: impl FnMut(&mut Self)) {
        let begin = Instant::now();
        while begin.elapsed() < time {
            look(self);
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until all that run are ready, follow one leader, and know one membership, in which they all have a vote.
    /// Gives what they agree on.
    #[track_caller]
    pub fn wait_until_formed(&mut self) -> Status {
        self.wait_until("all nodes that run are ready voters of one cluster", |fleet| {
            for name in fleet.running() {
                assert!(!fleet.process(&name).has_ended(), "{name} ended instead of becoming ready");
            }
            fleet.agreed()
        })
    }

    /// What all that run say, if they agree on it and are ready.
    pub fn agreed(&mut self) -> Option<Status> {
        let running = self.running();
        if !running.iter().all(|name| self.readiness(name) == Some(200)) {
            return None;
        }
        let mut agreed: Option<Status> = None;
        for name in &running {
            let status = self.status(name)?;
            let name = &self.node(name).settings.name;
            if !status.ready || status.joint || status.leader.is_none() || status.voter(name).is_none() {
                return None;
            }
            let same = agreed.as_ref().is_none_or(|other| {
                (&other.cluster_id, &other.leader, other.membership_index)
                    == (&status.cluster_id, &status.leader, status.membership_index)
            });
            if !same {
                return None;
            }
            agreed = Some(status);
        }
        agreed
    }

    /// Waits until every node has shown one checksum of its state at one entry, and gives both; at no entry may they
    /// differ. For a cluster without load: each shows the last entry that it has applied, and a tick a second is one.
    #[track_caller]
    pub fn wait_until_states_agree(&mut self) -> (u64, String) {
        let mut shown: BTreeMap<u64, BTreeMap<String, String>> = BTreeMap::new();
        self.wait_until("all nodes show one checksum at one entry", |fleet| {
            let names = fleet.names();
            for name in &names {
                let status = fleet.status(name)?;
                let own = status.member(&fleet.node(name).settings.name)?;
                if own.checksum_index > 0 {
                    shown.entry(own.checksum_index).or_default().insert(name.clone(), own.checksum.clone());
                }
            }
            for (index, of) in &shown {
                let checksum = of.values().next()?;
                assert!(of.values().all(|other| other == checksum), "states differ at entry {index}: {of:?}");
                if of.len() == names.len() {
                    return Some((*index, checksum.clone()));
                }
            }
            None
        })
    }

    /// Waits until a node that runs and is ready names a leader that runs.
    #[track_caller]
    pub fn wait_for_leader(&mut self) -> String {
        self.wait_until("a majority that lives has a leader", |fleet| {
            let running = fleet.running();
            running.iter().find_map(|name| {
                let status = fleet.status(name).filter(|status| status.ready)?;
                status.leader.filter(|leader| running.contains(leader))
            })
        })
    }

    /// Waits until it is ready.
    #[track_caller]
    pub fn wait_until_ready(&mut self, name: &str) {
        self.wait_until(&format!("{name} is ready"), |fleet| (fleet.readiness(name) == Some(200)).then_some(()));
    }

    /// Everything that it wrote to standard output and standard error, in its earlier lives too.
    pub fn words(&self, name: &str) -> String {
        let node = self.node(name);
        let now = node.process.as_ref().map(said_by).unwrap_or_default();
        format!("{}{now}", node.past)
    }

    /// What every node says of itself, and the end of its log.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (name, node) in &self.nodes {
            let _ = writeln!(text, "==== {name}, http {}, grpc {}", node.http.number(), node.grpc.number());
            if node.process.is_some() {
                let said = self.run(&STATUS, name);
                let _ = writeln!(text, "status: {:?} {}{}", said.code, said.stdout, said.stderr);
            } else {
                text.push_str("does not run\n");
            }
            let words = self.words(name);
            let lines: Vec<_> = words.lines().collect();
            for line in &lines[lines.len().saturating_sub(SHOWN_LINES)..] {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
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

impl Settings {
    fn renames_seed(&mut self, was: SocketAddr, is: SocketAddr) {
        let was = was.to_string();
        self.seeds.iter_mut().filter(|seed| **seed == was).for_each(|seed| *seed = is.to_string());
    }
}

impl Node {
    fn moves_to(&mut self, port: Port) {
        self.settings.renames_seed(self.grpc.address(), port.address());
        self.grpc = port;
    }

    fn join_token_file(&self) -> PathBuf {
        self.dir.join("join.token")
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.join(DISK).join("data")
    }

    /// A port of its host.
    fn at(&self, port: &Port) -> SocketAddr {
        (self.host.as_ref().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |host| host.address), port.number()).into()
    }

    fn command(&self, program: &Path) -> Command {
        let (config, token) = (self.dir.join("config.yaml"), self.join_token_file());
        for (path, text) in [(&config, self.yaml(&token)), (&token, format!("{}\n", self.settings.join_token))] {
            fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
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
        let Settings { name, advertise, seeds, expect, autopilot, engine, lines, .. } = &self.settings;
        let (listen_ms, stabilise_ms) = (self.settings.listen_ms, self.settings.stabilise_ms);
        let listen = self.at(&self.grpc);
        let advertise = advertise.clone().unwrap_or_else(|| listen.to_string());
        let expect = expect.map(|expect| format!("  expect: {expect}\n")).unwrap_or_default();
        format!(
            "service_name: sessile\n\
             listen_address: {address}\n\
             listen_port: {http}\n\
             storage: {{ data_dir: {data_dir}, engine: {engine}, cache_mb: 16, reserve_mb: 0 }}\n\
             cluster:\n  \
               name: {name}\n  \
               listen: \"{listen}\"\n  \
               advertise: \"{advertise}\"\n  \
               seeds: {seeds:?}\n\
             {expect}  \
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
    fn put_away(&mut self) {
        if let Some(process) = self.process.take() {
            self.past.push_str(&said_by(&process));
        }
    }
}

fn said_by(process: &Process) -> String {
    format!("{}{}", process.stdout(), process.stderr())
}

/// Runs it. One that does not end in time is killed.
fn run_to_its_end(command: Command) -> Said {
    let shown = format!("{command:?}");
    let mut process = Process::start(command).unwrap_or_else(|error| panic!("{shown}: {error}"));
    if process.ends_within(ONE_QUESTION).is_none() {
        process.kill();
    }
    let status = process.ends();
    Said { code: status.code(), stdout: process.stdout(), stderr: process.stderr() }
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
        assert_eq!(fleet.running(), Vec::<String>::new());
    }

    #[test]
    fn a_configuration_is_written_as_the_program_reads_it() {
        let mut fleet = Fleet::of("/bin/false", 2);
        fleet.settings("n1").lines = "log_level: debug\n".into();
        let yaml = fleet.node("n1").yaml(Path::new("/t"));
        let (http, first, second) = (fleet.http("n1").port(), fleet.grpc("n1"), fleet.grpc("n2"));
        let data_dir = fleet.data_dir("n1");
        let expected = format!(
            "service_name: sessile\nlisten_address: 127.0.0.1\nlisten_port: {http}\n\
             storage: {{ data_dir: {}, engine: fjall, cache_mb: 16, reserve_mb: 0 }}\n\
             cluster:\n  name: n1\n  listen: \"{first}\"\n  advertise: \"{first}\"\n  \
             seeds: [\"{first}\", \"{second}\"]\n  expect: 2\n  join_token_file: /t\n  listen_ms: 300\n  \
             stabilise_ms: 500\n  autopilot: true\nshutdown: {{ grace_ms: 10000, notice_ms: 0 }}\nlog_level: debug\n",
            data_dir.display()
        );
        assert_eq!(yaml, expected);
    }

    #[test]
    fn what_an_early_process_said_is_kept_and_its_end_is_told() {
        let mut fleet = Fleet::of("/bin/echo", 1);
        fleet.start("n1");
        assert!(fleet.ends("n1").success());
        fleet.start("n1");
        fleet.ends("n1");
        assert_eq!(fleet.words("n1").matches("serve --config").count(), 2);
        assert_eq!(fleet.run(&["status"], "n1").stdout, format!("status --server {}\n", fleet.grpc("n1")));
    }

    #[test]
    fn a_node_with_a_program_of_its_own_is_run_and_asked_by_that() {
        let mut fleet = Fleet::of("/bin/false", 2);
        fleet.settings("n2").program = Some("/bin/echo".into());
        for (name, code) in [("n1", Some(1)), ("n2", Some(0))] {
            fleet.start(name);
            assert_eq!((fleet.ends(name).code(), fleet.run(&["status"], name).code), (code, code), "{name}");
        }
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
