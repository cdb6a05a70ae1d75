//! A new node takes the whole state from a leader that has no log for it any more, while clients go on.
//!
//! `SESSILE_SNAPSHOT_SESSIONS` says how many sessions there are (20,000):
//!
//! ```text
//! SESSILE_SNAPSHOT_SESSIONS=500000 SESSILE_PROGRAM=$PWD/target/dist/sessile \
//!     cargo test --release -p sessile --test incident joining -- --nocapture
//! ```
//!
//! `--release` is for the clients: those of a debug build need more of the processor than the nodes that they ask.

use std::time::{Duration, Instant};

use sessile_testkit::{Fleet, LoadOptions, Phase, Report};

use crate::story::{NODES, Telling, seed};
use crate::{alone, given_program, program};

const NEWCOMER: &str = "n4";
/// Several times the 5,000 entries that a log keeps, and more of their bytes than a segment of it has.
const SESSIONS: usize = 20_000;
/// So many write the sessions in batches that are worth an fsync.
const CLIENTS: usize = 64;
/// With this they ask no more of a debug build than those of the incident; a release build carries six times that.
const THINK: Duration = Duration::from_millis(240);
const THINK_OF_A_RELEASE: Duration = Duration::from_millis(40);
/// How long the mix is measured before the node comes; a release build merges what was filled in for a while.
const BEFORE: Duration = Duration::from_secs(4);
const BEFORE_OF_A_RELEASE: Duration = Duration::from_secs(20);
/// What the median may grow by while a state is on its way, if there is a program whose figures count.
const MEDIAN_GROWS_AT_MOST: f64 = 2.0;
/// What the newcomer logs when the transfer is over.
const RECEIVED: &str = "the state of another member was received";
/// How far a voter may be behind and still be called caught up: less than the log's own bound on what is kept.
const SMALL_LAG: u64 = 1_000;
/// How long any step of half a million sessions may take. It bounds a test that has failed.
const LARGE_PATIENCE: Duration = Duration::from_secs(900);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How the phases that are compared are called.
const BEFORE_IT: &str = "before";
const DURING_IT: &str = "n4 takes the state";

#[test]
fn a_new_node_takes_the_whole_state_while_requests_go_on() {
    let _alone = alone();
    let sessions = std::env::var("SESSILE_SNAPSHOT_SESSIONS").map_or(SESSIONS, |sessions| sessions.parse().unwrap());
    let seed = seed();
    eprintln!("a new node: SESSILE_SNAPSHOT_SESSIONS={sessions} SESSILE_SEED={seed}");
    let (think, before) =
        if given_program().is_some() { (THINK_OF_A_RELEASE, BEFORE_OF_A_RELEASE) } else { (THINK, BEFORE) };
    let mut fleet = Fleet::of(program(), NODES.len());
    for name in NODES {
        // So that there is no log for the newcomer.
        fleet.settings(name).log_keep_minutes = Some(0);
    }
    fleet.start_all();
    fleet.wait_until_formed();
    fleet.add(NEWCOMER);

    // The clients of the newcomer find that nobody listens there, and go on to the others until it is back.
    let nodes = [&NODES[..], &[NEWCOMER]].concat();
    let telling = Telling::begin(&fleet, &nodes, LoadOptions { clients: CLIENTS, keys: sessions, think, seed });
    let mut story = Joining { fleet, telling };
    story.fills(sessions);
    story.telling.phase(BEFORE_IT);
    story.telling.go_on_for(before);
    let transfer = story.newcomer_takes_the_state();
    story.telling.phase("n4 serves, too");
    story.telling.load.is_back(NEWCOMER);
    story.telling.go_on();
    story.end(sessions, &transfer);
}

struct Joining {
    fleet: Fleet,
    telling: Telling,
}

/// How long it took from the newcomer's start.
struct Transfer {
    received: Duration,
    voter: Duration,
}

impl Joining {
    /// Every session is written, and the log behind them is gone.
    fn fills(&mut self, sessions: usize) {
        self.telling.phase("sessions are written");
        self.wait_long("every session is written", |story| story.telling.load.has_filled().then_some(()));
        self.telling.happened(format!("{sessions} sessions are written"));
        for name in NODES {
            let first = self.fleet.data_dir(name).join("log/0000000001.seg");
            self.wait_long("the log is short", |story| {
                story.fleet.succeed(&["cluster", "snapshot", "--timeout", "15s"], name);
                (!first.exists()).then_some(())
            });
        }
        self.telling.happened("every state is durable, and the log behind it is gone");
    }

    fn newcomer_takes_the_state(&mut self) -> Transfer {
        self.telling.phase(DURING_IT);
        let begin = Instant::now();
        self.fleet.start(NEWCOMER);
        self.telling.happened(format!("{NEWCOMER} starts with an empty disk"));
        self.wait_long(RECEIVED, |story| {
            assert!(!story.fleet.process(NEWCOMER).has_ended(), "{NEWCOMER} ended");
            story.fleet.words(NEWCOMER).contains(RECEIVED).then_some(())
        });
        let received = begin.elapsed();
        self.telling.happened(format!("{NEWCOMER} has received a state"));
        let index = self.wait_long("the newcomer is a voter that keeps up", |story| {
            let status = story.fleet.status(NODES[0])?;
            let member = status.voter(NEWCOMER).filter(|member| member.lag < SMALL_LAG && member.applied > 0)?;
            story.fleet.agreed().map(|_| member.applied)
        });
        self.telling.happened(format!("{NEWCOMER} is a voter, at entry {index}"));
        Transfer { received, voter: begin.elapsed() }
    }

    /// The states are the same, and what clients felt is what was promised.
    fn end(self, sessions: usize, transfer: &Transfer) {
        let Self { mut fleet, telling } = self;
        let (seen, report) = telling.end();
        let (index, checksum) = fleet.wait_until_states_agree();
        let bytes = bytes_of(&fleet, NEWCOMER);
        let checked = seen.history.check();
        eprintln!("\n{report}");
        let [before, during] = [BEFORE_IT, DURING_IT].map(|name| phase(&report, name));
        let ratio = during.quantile(0.5).as_secs_f64() / before.quantile(0.5).as_secs_f64();
        let ms = |wait: Duration| wait.as_secs_f64() * 1e3;
        #[expect(clippy::cast_precision_loss, reason = "for a person")]
        let mb = bytes as f64 / 1e6;
        eprintln!("{sessions} sessions of {mb:.0} MB, {:.0} bytes each", mb * 1e6 / sessions as f64);
        eprintln!(
            "received {:.1} s after the start, a voter after {:.1} s",
            transfer.received.as_secs_f64(),
            transfer.voter.as_secs_f64()
        );
        for (name, phase) in [("before", before), ("during", during)] {
            let [median, high] = [0.5, 0.99].map(|quantile| ms(phase.quantile(quantile)));
            let (longest, failed) = (ms(phase.longest()), phase.failures.len());
            eprintln!("{name}: median {median:.2} ms, p99 {high:.1} ms, longest {longest:.0} ms, {failed} failed");
        }
        eprintln!("the median grew by a factor of {ratio:.2}");
        eprintln!("all four have the checksum {checksum} at entry {index}");
        if let Err(violation) = checked {
            panic!("a write was lost, or a read was stale: {violation}");
        }
        assert_eq!(report.failed(), 0, "no request fails while a state is on its way");
        assert!(report.phases().iter().all(|phase| phase.answered > 0), "every phase says something");
        if given_program().is_some() {
            assert!(ratio <= MEDIAN_GROWS_AT_MOST, "the median grew by a factor of {ratio:.2}");
        }
    }

    fn wait_long<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(begin.elapsed() < LARGE_PATIENCE, "did not happen within {LARGE_PATIENCE:?}: {what}");
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

fn phase<'a>(report: &'a Report, name: &str) -> &'a Phase {
    report.phases().iter().find(|phase| phase.name == name).unwrap()
}

/// What the sessions come to, as that node counts them.
fn bytes_of(fleet: &Fleet, name: &str) -> u64 {
    let metrics = fleet.client(name).request("GET", "/metrics", "", b"").unwrap().text();
    let counted = metrics.lines().filter(|line| line.starts_with("sessile_bytes{"));
    counted.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}
