//! A data directory goes from an earlier version of the program to this one, and back. `tests/upgrade/run.sh` builds the
//! earlier one and names it; without it, this program is both.

use std::env;
use std::sync::mpsc::sync_channel;
use std::thread;

use sessile_testkit::{Client, PATIENCE, Process, Signal};

use crate::ledger::{Ledger, Tried};
use crate::world::{Place, seed, sessile};

/// Names the binary of an earlier version.
const PREVIOUS: &str = "SESSILE_PREVIOUS_PROGRAM";
const KEYS: usize = 24;
/// So many tries, of which a tenth reads, go before an end.
const TRIES: usize = 150;

#[derive(Clone, Copy, PartialEq)]
enum End {
    /// SIGTERM.
    Stop,
    /// `kill -9`, in the middle of a request.
    Kill,
}

fn goes_from_one_version_to_the_other(engine: &'static str) {
    let seed = seed(&format!("an upgrade on {engine}"));
    let current = sessile().get_program().to_owned();
    let previous = env::var_os(PREVIOUS).unwrap_or_else(|| current.clone());
    eprintln!("the previous version is {}, the current one {}", previous.display(), current.display());
    let mut place = Place::new(engine);
    let mut ledger = Ledger::new(0, KEYS, seed);
    let mut ended = None;
    // Each version leaves both ends to the other.
    for (program, end) in [
        (&previous, End::Stop),
        (&current, End::Stop),
        (&previous, End::Kill),
        (&current, End::Kill),
        (&previous, End::Stop),
        (&current, End::Stop),
    ] {
        place.is_run_by(program);
        let mut node = place.start();
        let mut client = Client::connect(node.ready()).unwrap();
        // With the state that was there: the log would make another one if this could not be read.
        match ended.replace(end) {
            None => {}
            // A store on sled is counted at every start.
            Some(End::Stop) if engine == "fjall" => drop(node.says("the last stop was clean")),
            Some(_) => drop(node.says("the state was checked and is whole")),
        }
        ledger.verify(&mut client);
        match end {
            End::Stop => is_stopped(&mut node, client, &mut ledger),
            End::Kill => is_killed(&mut node, client, &mut ledger),
        }
    }
}

fn is_stopped(node: &mut Process, mut client: Client, ledger: &mut Ledger) {
    for _ in 0..TRIES {
        assert!(matches!(ledger.act(&mut client), Tried::Answered));
    }
    drop(client);
    node.signal(Signal::TERM);
    assert!(node.ends().success(), "{}", node.stderr());
}

fn is_killed(node: &mut Process, mut client: Client, ledger: &mut Ledger) {
    let (enough, wait) = sync_channel(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for tries in 1.. {
                match ledger.act(&mut client) {
                    Tried::Answered => {}
                    Tried::Unanswered(_) => return,
                    refused @ Tried::Refused(_) => panic!("a healthy node refuses nothing: {refused:?}"),
                }
                if tries == TRIES {
                    let _ = enough.try_send(());
                }
            }
        });
        let reached = wait.recv_timeout(PATIENCE);
        node.kill();
        assert!(reached.is_ok(), "it was killed too early");
    });
}

#[test]
fn what_either_version_wrote_is_opened_by_the_other_on_fjall() {
    goes_from_one_version_to_the_other("fjall");
}

#[test]
fn what_either_version_wrote_is_opened_by_the_other_on_sled() {
    goes_from_one_version_to_the_other("sled");
}
