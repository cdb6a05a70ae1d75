//! A disk that does not fail and does not answer either.

use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use sessile_testkit::{Client, Fault, Process, Signal, Watched};

use crate::failing_disk::{Story, disk};
use crate::ledger::Tried;
use crate::world::{BASE, seed, sentence};

/// Writes before the disk hangs: every key is there then.
const WRITES: usize = 100;
/// Who reads at once: more than the runtime has threads, on any machine that tests run on.
const READERS: usize = 512;

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
