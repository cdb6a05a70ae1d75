//! A disk that does not fail and does not answer either.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use sessile_testkit::{Answer, Client, Fault, Fleet, Load, LoadOptions, Process, Signal, Verdict, Watched, eventually};
use tempfile::TempDir;

use crate::failing_disk::{Story, disk};
use crate::ledger::Tried;
use crate::world::{BASE, seed, sentence, sessile};

/// Writes before the disk hangs: every key is there then.
const WRITES: usize = 100;
/// Who reads at once: more than the runtime has threads, on any machine that tests run on.
const READERS: usize = 512;
/// How long it is looked at what goes on while a disk stalls: for several elections.
const STALLED: Duration = Duration::from_secs(3);
/// Longer than any stall here, so that what is answered meanwhile was not given up.
const NO_DEADLINES: &str = "http: { request_timeout_ms: 60000, body_timeout_ms: 60000, header_timeout_ms: 60000 }\n";

/// Starts a node on a disk that may hang below that directory, and is well.
fn start(story: &Story, fault: Fault, below: &Path) -> (Process, SocketAddr, Watched) {
    let mut command = story.place.serve_with_default_deadlines("");
    let watched = disk().under(&mut command, below, fault, 0, &story.report()).unwrap();
    let mut node = Process::start(command).unwrap();
    let address = node.ready();
    (node, address, watched)
}

fn write(story: &mut Story, address: SocketAddr) {
    let mut client = Client::connect(address).unwrap();
    for _ in 0..WRITES {
        assert!(matches!(story.ledger.act(&mut client), Tried::Answered));
    }
}

/// What is at the end of a node that a watchdog ended, and that everything acknowledged is there at the next start.
fn ends(story: &mut Story, mut node: Process, hung: &str) {
    assert_eq!(node.ends().code(), Some(1), "{}", node.stderr());
    let stderr = node.stderr();
    let sentence = sentence(&stderr);
    assert!(sentence.contains(hung), "{sentence}");
    assert!(sentence.contains(&story.place.data_dir().display().to_string()), "{sentence}");
    assert!(node.stdout().lines().last().is_some_and(|line| line.contains(hung)), "its log says so last");
    story.restart(true);
}

/// It would lead for ever, and nobody would get an answer to a write.
#[test]
fn a_node_whose_log_hangs_ends_and_loses_nothing() {
    let mut story = Story::new("fjall", seed("hanging log"));
    let (node, address, watched) = start(&story, Fault::Hanging, &story.place.data_dir());
    write(&mut story, address);
    watched.fails_now().unwrap();
    let mut client = Client::connect(address).unwrap();
    while let Tried::Answered = story.ledger.act(&mut client) {}
    drop(client);
    ends(&mut story, node, "writing the Raft log has not come back");
}

/// Reads wait for the disk where they hold up nobody, so that requests which memory answers go on; but the node cannot serve
/// what it has.
#[test]
fn a_node_whose_reads_hang_ends_and_loses_nothing() {
    let mut story = Story::new("fjall", seed("hanging reads"));
    let state = story.place.data_dir().join("state");
    let (mut node, address, _) = start(&story, Fault::HangingReads, &state);
    write(&mut story, address);
    node.signal(Signal::TERM);
    assert!(node.ends().success(), "{}", node.stderr());
    // What it read by then is not in its memory any more.
    let (node, address, watched) = start(&story, Fault::HangingReads, &state);
    watched.fails_now().unwrap();
    let keys = story.ledger.keys();
    let reader = |reader: usize| {
        let target = format!("{BASE}{}", keys[reader % keys.len()]);
        thread::spawn(move || Client::connect(address)?.request("GET", &target, "", b"").map(drop))
    };
    let readers: Vec<_> = (0..READERS).map(reader).collect();
    ends(&mut story, node, "reading a session from the state has not come back");
    // They were answered, or saw the end.
    readers.into_iter().for_each(|reader| drop(reader.join().unwrap()));
}

/// Nodes of one cluster, each on a disk that hangs and goes on when it is told to.
struct Cluster {
    // Before what its processes write to.
    fleet: Fleet,
    disks: BTreeMap<String, Watched>,
    _reports: TempDir,
}

impl Cluster {
    fn form() -> Self {
        let (mut fleet, reports) = (Fleet::of(sessile().get_program(), 3), tempfile::tempdir().unwrap());
        let mut disks = BTreeMap::new();
        for name in fleet.names() {
            let (mut command, below) = (Command::new("unused"), fleet.disk(&name).canonicalize().unwrap());
            let watched = disk().under(&mut command, &below, Fault::Hanging, 0, &reports.path().join(&name)).unwrap();
            let variables = command.get_envs().map(|(name, value)| (name.to_str().unwrap(), value.unwrap()));
            let settings = fleet.settings(&name);
            settings.environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            settings.lines = NO_DEADLINES.to_owned();
            disks.insert(name, watched);
        }
        fleet.start_all();
        fleet.wait_until_formed();
        Self { fleet, disks, _reports: reports }
    }

    fn ask(&self, name: &str, method: &str, target: &str, body: &[u8]) -> Answer {
        self.fleet.client(name).request(method, target, "", body).unwrap()
    }

    /// Who leads in which term, as far as that node knows.
    fn leadership(&self, name: &str) -> [String; 2] {
        let scraped = self.ask(name, "GET", "/metrics", b"");
        assert_eq!(scraped.status, 200, "{name}: {}", scraped.text());
        let text = scraped.text();
        ["sessile_raft_term ", "sessile_raft_is_leader "].map(|gauge| {
            let line = text.lines().find(|line| line.starts_with(gauge));
            line.unwrap_or_else(|| panic!("{name} shows no {gauge}")).to_owned()
        })
    }

    fn all_leaderships(&self) -> BTreeMap<String, [String; 2]> {
        self.disks.keys().map(|name| (name.clone(), self.leadership(name))).collect()
    }
}

/// The disk of a node stalls under load, and goes on.
fn a_stall_holds_up_no_other(stalls: fn(name: &str, leader: &str) -> bool) {
    let mut cluster = Cluster::form();
    let leader = cluster.fleet.wait_for_leader();
    let names = cluster.fleet.names();
    let slow = names.iter().find(|name| stalls(name, &leader)).unwrap();
    let others: Vec<_> = names.iter().filter(|name| *name != slow).collect();
    let homes: Vec<_> = others.iter().map(|name| ((*name).clone(), cluster.fleet.http(name))).collect();
    let options = LoadOptions { clients: 8, keys: 40, think: Duration::from_millis(60), seed: seed("a stall") };
    let load = Load::start(&homes, options);
    eventually("every key is written once", || load.has_filled().then_some(()));
    let before = cluster.all_leaderships();

    cluster.disks[slow].fails_now().unwrap();
    eventually("something waits for the disk", || (cluster.disks[slow].report().unwrap().failed > 0).then_some(()));
    let mut written = 0;
    // Each answer comes while the disk is held: nothing lets go of it before.
    let end = Instant::now() + STALLED;
    while Instant::now() < end {
        assert_eq!(cluster.ask(slow, "GET", "/livez", b"").status, 200);
        assert_eq!(cluster.all_leaderships(), before, "all hear from their leader");
        assert!(cluster.fleet.status(slow).is_some(), "it tells of its cluster");
        for name in &others {
            written += 1;
            let value = written.to_string();
            let answer = cluster.ask(name, "POST", &format!("{BASE}meanwhile"), value.as_bytes());
            assert!((200..300).contains(&answer.status), "{name}: {} {}", answer.status, answer.text());
            assert_eq!(cluster.ask(name, "GET", &format!("{BASE}meanwhile"), b"").body, value.as_bytes());
        }
    }
    cluster.disks[slow].goes_on().unwrap();
    cluster.fleet.wait_until_formed();
    let seen = load.stop();
    let failed: Vec<_> = seen.samples.iter().filter(|sample| matches!(sample.verdict, Verdict::Failed(_))).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let value = cluster.ask(slow, "GET", &format!("{BASE}meanwhile"), b"").body;
    assert_eq!(value, written.to_string().as_bytes(), "it has caught up");
    cluster.fleet.wait_until_states_agree();
}

#[test]
fn a_follower_whose_disk_stalls_tells_how_it_is_and_holds_up_no_other() {
    a_stall_holds_up_no_other(|name, leader| name != leader);
}

#[test]
fn a_leader_whose_disk_stalls_leads_on() {
    a_stall_holds_up_no_other(|name, leader| name == leader);
}
