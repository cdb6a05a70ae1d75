//! A disk that fails at the Nth call.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use sessile_testkit::{Client, FailingDisk, Fault, FaultReport, Process, Signal};

use crate::ledger::{Ledger, Tried};
use crate::world::{Place, seed};

/// Writes of one run, if nothing fails.
const WRITES: usize = 25;
/// After the fault, how many requests may pass before it must have shown.
const WRITES_AFTER: usize = 40;
const KEYS: usize = 6;
/// Each of the first calls of a first start fails once.
const EACH_OF_FIRST: u64 = 60;
/// Of the calls of a later start every so many-th.
const EVERY: usize = 3;
/// So many more anywhere.
const SAMPLED: usize = 25;

pub(crate) fn disk() -> &'static FailingDisk {
    static DISK: OnceLock<FailingDisk> = OnceLock::new();
    DISK.get_or_init(|| FailingDisk::build().unwrap())
}

/// One node, its disk, and what clients know.
pub(crate) struct Story {
    pub(crate) place: Place,
    pub(crate) ledger: Ledger,
}

/// How a run on the failing disk went.
struct Ran {
    seen: FaultReport,
    /// Its exit code.
    ended: Option<i32>,
    stderr: String,
    /// What the client read that was refused.
    told: Option<String>,
    /// The errors in its log.
    errors: Vec<String>,
}

impl Story {
    pub(crate) fn new(engine: &'static str, seed: u64) -> Self {
        Self { place: Place::new(engine), ledger: Ledger::new(0, KEYS, seed) }
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.place.path().join("disk-report")
    }

    /// Starts, writes, and stops if nothing came between; the `at`th call fails.
    fn run(&mut self, fault: Fault, at: u64) -> Ran {
        // Whoever waits for a node that cannot go on must not make the test wait.
        let mut command = self.place.serve_with_default_deadlines("");
        let watched = disk().under(&mut command, &self.place.data_dir(), fault, at, &self.report()).unwrap();
        let failed = || watched.report().unwrap().failed > 0;
        let mut node = Process::start(command).unwrap();
        let mut told = None;
        if let Some(mut client) = node.address().and_then(|address| Client::connect(address).ok()) {
            for write in 0.. {
                let enough = if failed() { write >= WRITES + WRITES_AFTER } else { write >= WRITES };
                if enough {
                    break;
                }
                match self.ledger.act(&mut client) {
                    Tried::Answered => {}
                    Tried::Refused(answer) if answer.status == 503 => {
                        told = Some(answer.text());
                        break;
                    }
                    Tried::Unanswered(_) => break,
                    Tried::Refused(answer) => panic!("{fault:?} at {at}: {answer:?}"),
                }
            }
            drop(client);
            if !failed() || fault == Fault::Hiccup || fault == Fault::Unreadable {
                node.signal(Signal::TERM);
            }
        }
        let status = node.ends();
        let is_error = |line: &&str| line.contains(r#""level":"ERROR""#);
        Ran {
            seen: watched.report().unwrap(),
            ended: status.code(),
            stderr: node.stderr(),
            told,
            errors: node.stdout().lines().filter(is_error).map(str::to_owned).collect(),
        }
    }

    /// On a disk that is well it starts by itself, and everything that was acknowledged is there; also when the state is
    /// lost, because it was in the log before it was acknowledged.
    fn recover(&mut self, rng: &mut SmallRng) {
        let state = self.place.data_dir().join("state");
        if rng.random() && state.exists() {
            std::fs::remove_dir_all(state).unwrap();
        }
        self.restart(rng.random());
    }

    /// Starts on a disk that is well, finds what was acknowledged, and stops or is killed.
    pub(crate) fn restart(&mut self, stop: bool) {
        let mut node = self.place.start();
        let address = node.ready();
        let mut client = Client::connect(address).unwrap();
        self.ledger.verify(&mut client);
        drop(client);
        if stop {
            node.signal(Signal::TERM);
            assert!(node.ends().success(), "{}", node.stderr());
        } else {
            node.kill();
        }
    }
}

/// From the Nth call on nothing can be changed: the node stops, says why, and loses nothing.
fn stops_and_loses_nothing(engine: &'static str) {
    let seed = seed(&format!("failing disk under {engine}"));
    let begin = Instant::now();
    let mut rng = SmallRng::seed_from_u64(seed);
    let faults = [Fault::Broken, Fault::Full, Fault::Torn];

    let mut counted = Story::new(engine, seed);
    let whole = counted.run(Fault::Broken, 0);
    assert_eq!((whole.ended, whole.stderr.as_str()), (Some(0), ""), "with a disk that is well");
    let again = counted.run(Fault::Broken, 0);
    let (fresh, existing) = (whole.seen.calls, again.seen.calls);

    let mut runs = 0;
    let mut slowest = std::time::Duration::ZERO;
    let mut findings = Findings::default();
    let mut check = |story: &mut Story, fault, at, rng: &mut SmallRng| {
        let began = Instant::now();
        let ran = story.run(fault, at);
        slowest = slowest.max(began.elapsed());
        findings.judge(story, &ran, fault);
        story.recover(rng);
        runs += 1;
    };
    let sampled: Vec<u64> = (0..SAMPLED).map(|_| rng.random_range(EACH_OF_FIRST + 1..=fresh)).collect();
    for at in (1..=EACH_OF_FIRST).chain(sampled) {
        check(&mut Story::new(engine, seed), *faults.choose(&mut rng).unwrap(), at, &mut rng);
    }
    let sampled: Vec<u64> = (0..SAMPLED).map(|_| rng.random_range(1..=existing)).collect();
    for at in (1..=existing / 2).step_by(EVERY).chain(sampled) {
        check(&mut counted, *faults.choose(&mut rng).unwrap(), at, &mut rng);
    }
    eprintln!(
        "{engine}: {runs} runs, first start {fresh} calls, later {existing}, {:.0?}, slowest {slowest:.1?}",
        begin.elapsed()
    );
    findings.assert_none();
}

/// What a run did otherwise than promised, and how often. All of them are gathered before the test fails: which calls
/// they are is what one wants to know.
#[derive(Default)]
struct Findings(BTreeMap<String, u32>);

impl Findings {
    fn judge(&mut self, story: &Story, ran: &Ran, fault: Fault) {
        let finding = match wrong(story, ran) {
            None => return,
            Some(what) => format!("{fault:?} at {}: {what}", ran.seen.first),
        };
        let finding = finding.replace(&story.place.data_dir().display().to_string(), "DIR");
        *self.0.entry(without_numbers(&finding)).or_default() += 1;
    }

    #[track_caller]
    fn assert_none(self) {
        let lines: Vec<_> = self.0.iter().map(|(finding, times)| format!("{times} × {finding}\n")).collect();
        assert!(lines.is_empty(), "{}", lines.concat());
    }
}

/// Terms, indices and thread ids differ from run to run.
fn without_numbers(text: &str) -> String {
    text.split(|c: char| c.is_ascii_digit()).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("#")
}

fn wrong(story: &Story, ran: &Ran) -> Option<String> {
    let (ended, stderr) = (ran.ended, ran.stderr.as_str());
    let dir = story.place.data_dir().display().to_string();
    match ran.seen.failed {
        0 if ended == Some(0) && stderr.is_empty() => None,
        0 => Some(format!("nothing failed, but it ended with {ended:?}: {stderr}")),
        _ if !matches!(ended, Some(1..)) => Some(format!("it ended with {ended:?}: {stderr}")),
        _ if !stderr.starts_with("sessile: ") || stderr.lines().count() != 1 => {
            Some(format!("no one sentence, and {ended:?}: {stderr}"))
        }
        _ if !stderr.contains(&dir) => Some(format!("it names no file: {stderr}")),
        _ => None,
    }
}

#[test]
fn whatever_call_the_disk_begins_to_fail_at_fjall_loses_nothing() {
    stops_and_loses_nothing("fjall");
}

#[test]
fn whatever_call_the_disk_begins_to_fail_at_sled_loses_nothing() {
    stops_and_loses_nothing("sled");
}

/// One call fails and the next one works: what a retry, or not looking, would hide. Whether the node stops or not,
/// nothing that was acknowledged is lost; and where the log's own write or sync failed, it does stop.
fn does_not_overlook_one_failure(engine: &'static str) {
    let seed = seed(&format!("one failure under {engine}"));
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut story = Story::new(engine, seed);
    story.run(Fault::Hiccup, 0);
    let calls = story.run(Fault::Hiccup, 0).seen.calls;
    let mut findings = Findings::default();
    let mut overlooked: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..2 * SAMPLED {
        let at = rng.random_range(1..=calls);
        let ran = story.run(Fault::Hiccup, at);
        if ran.ended == Some(0) && ran.seen.failed > 0 {
            assert!(!ran.seen.first.contains(" /log/"), "a failure in the log was overlooked: {}", ran.seen.first);
            let noted = ran.errors.iter().filter_map(|line| line.split(r#"","appname""#).next()).collect::<Vec<_>>();
            let noted = format!("{}, and the log says {noted:?}", ran.seen.first);
            *overlooked.entry(without_numbers(&noted)).or_default() += 1;
        } else {
            findings.judge(&story, &ran, Fault::Hiccup);
        }
        story.recover(&mut rng);
    }
    eprintln!("{engine}: of {} single failures these changed nothing: {overlooked:#?}", 2 * SAMPLED);
    findings.assert_none();
}

#[test]
fn one_failed_call_is_not_overlooked_on_fjall() {
    does_not_overlook_one_failure("fjall");
}

#[test]
fn one_failed_call_is_not_overlooked_on_sled() {
    does_not_overlook_one_failure("sled");
}

/// What cannot be read is not taken for absent.
fn does_not_guess_what_it_cannot_read(engine: &'static str) {
    let seed = seed(&format!("unreadable disk under {engine}"));
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut story = Story::new(engine, seed);
    story.run(Fault::Unreadable, 0);
    story.restart(true);
    let calls = story.run(Fault::Unreadable, 0).seen.calls;
    let mut findings = Findings::default();
    for sample in 0..SAMPLED {
        let at = if sample == 0 { 1 } else { rng.random_range(1..=calls) };
        let ran = story.run(Fault::Unreadable, at);
        findings.judge(&story, &ran, Fault::Unreadable);
        story.recover(&mut rng);
    }
    eprintln!("{engine}: {calls} reads of a start");
    findings.assert_none();
}

#[test]
fn what_cannot_be_read_is_not_taken_for_absent_on_fjall() {
    does_not_guess_what_it_cannot_read("fjall");
}

#[test]
fn what_cannot_be_read_is_not_taken_for_absent_on_sled() {
    does_not_guess_what_it_cannot_read("sled");
}

/// A node that cannot go on says so to who waits, and ends; it does not let them wait for what cannot come.
#[test]
fn who_waits_when_the_log_fails_is_told_that_the_node_stops() {
    let mut story = Story::new("fjall", seed("waiting while the log fails"));
    story.restart(true);
    let mut told = 0;
    for at in (1..).step_by(EVERY) {
        let ran = story.run(Fault::Broken, at);
        if ran.seen.failed == 0 {
            break;
        }
        if let Some(answer) = ran.told {
            let known = ["errors/shutting_down", "errors/outcome_unknown"].iter().any(|kind| answer.contains(kind));
            assert!(known, "{}: {answer}", ran.seen.first);
            told += 1;
        }
    }
    assert!(told > 0, "somebody waited");
}
