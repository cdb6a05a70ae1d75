//! A disk that does not fail and does not answer either.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use sessile_testkit::{Client, FailingDisk, Fault, Process, Signal, Watched};

use crate::ledger::{Ledger, Tried};
use crate::world::{BASE, Place, seed, sentence};

/// Writes before the disk hangs: every key is there then.
const WRITES: usize = 100;
const KEYS: usize = 12;
/// Who reads at once: more than the runtime has threads, on any machine that tests run on.
const READERS: usize = 512;

struct Story {
    place: Place,
    ledger: Ledger,
    disk: FailingDisk,
}

impl Story {
    fn new(test: &str) -> Self {
        let disk = FailingDisk::build().unwrap();
        Self { place: Place::new("fjall"), ledger: Ledger::new(0, KEYS, seed(test)), disk }
    }

    /// Starts a node on a disk that may hang below that directory, and is well.
    fn start(&self, fault: Fault, below: &Path) -> (Process, SocketAddr, Watched) {
        let mut command = self.place.serve_with_default_deadlines("");
        let report = self.place.path().join("disk-report");
        let disk = self.disk.under(&mut command, below, fault, 0, &report).unwrap();
        let mut node = Process::start(command).unwrap();
        let address = node.ready();
        (node, address, disk)
    }

    fn write(&mut self, address: SocketAddr) {
        let mut client = Client::connect(address).unwrap();
        for _ in 0..WRITES {
            assert!(matches!(self.ledger.act(&mut client), Tried::Answered));
        }
    }

    /// What is at the end of a node that a watchdog ended, and that everything acknowledged is there at the next start.
    fn ends(&mut self, mut node: Process, hung: &str) {
        assert_eq!(node.ends().code(), Some(1), "{}", node.stderr());
        let stderr = node.stderr();
        let sentence = sentence(&stderr);
        assert!(sentence.contains(hung), "{sentence}");
        assert!(sentence.contains(&self.place.data_dir().display().to_string()), "{sentence}");
        assert!(node.stdout().lines().last().is_some_and(|line| line.contains(hung)), "its log says so last");
        let mut node = self.place.start();
        let mut client = Client::connect(node.ready()).unwrap();
        self.ledger.verify(&mut client);
        drop(client);
        node.signal(Signal::TERM);
        assert!(node.ends().success(), "{}", node.stderr());
    }
}

/// It would lead for ever, and nobody would get an answer to a write.
#[test]
fn a_node_whose_log_hangs_ends_and_loses_nothing() {
    let mut story = Story::new("hanging log");
    let (node, address, disk) = story.start(Fault::Hanging, &story.place.data_dir());
    story.write(address);
    disk.fails_now().unwrap();
    let mut client = Client::connect(address).unwrap();
    while let Tried::Answered = story.ledger.act(&mut client) {}
    drop(client);
    story.ends(node, "writing the Raft log has not come back");
}

/// Each read holds a thread of the runtime, until there is none left to say so.
#[test]
fn a_node_whose_reads_hang_ends_and_loses_nothing() {
    let mut story = Story::new("hanging reads");
    let state = story.place.data_dir().join("state");
    let (mut node, address, _) = story.start(Fault::HangingReads, &state);
    story.write(address);
    node.signal(Signal::TERM);
    assert!(node.ends().success(), "{}", node.stderr());
    // What it read by then is not in its memory any more.
    let (node, address, disk) = story.start(Fault::HangingReads, &state);
    disk.fails_now().unwrap();
    let reader = |reader: usize| {
        let key = format!("wiki{}:w0k{}", reader % KEYS % 3, reader % KEYS);
        thread::spawn(move || {
            let mut client = Client::connect(address)?;
            client.request("GET", &format!("{BASE}{key}"), "", b"").map(drop)
        })
    };
    let readers: Vec<_> = (0..READERS).map(reader).collect();
    story.ends(node, "giving its tasks a turn has not come back");
    // They were answered, or saw the end.
    readers.into_iter().for_each(|reader| drop(reader.join().unwrap()));
}
