//! A cluster in one thread and in virtual time: the real program from the session API to the log, over a simulated network
//! ([turmoil]) and disks that forget what was not synced, on its worst day. Everything that chance decides comes from one
//! seed, so a run can be repeated to the last message.
//!
//! ```text
//!  clients ── HTTP ──┐      one thread, one seed, virtual time
//!                    ▼
//!   n1 ── gRPC ── n2 ── gRPC ── n3      sessile-http, -cluster, -store, -core as they ship
//!   │             │             │
//!  disk          disk          disk     files in memory; a power cut takes what no fsync covered
//! ```
//!
//! It simulates no process that stands still while its machine's time goes on: "held up" is a node whose messages, in both
//! directions, are.

mod clients;
mod disk;
mod driver;
mod engine;
mod faults;
mod interpose;
mod invariants;
mod lock;
mod marks;
mod namespaces;
mod net;
mod node;
mod operator;
mod plan;
mod planted;
mod rare_states;
mod versions;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

pub use faults::Fault;
pub use marks::Mark;
use marks::Marks;
use plan::Plan;
pub use planted::Defect;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use sessile_core::injected::{Decisions, inject, pause_before_applying, send_in};
pub use sessile_store::engine::Step;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

/// A simulation's thread does everything, futures within futures.
const STACK_BYTES: usize = 16 << 20;

/// How often it is looked whether there was a step, each of which takes a fraction of a millisecond, and how often in a row
/// there may be none. Looks, not time: a process that is stopped for an hour comes to one look.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const STANDS_STILL: u64 = 60;

/// Set, it shows what the nodes log, on stderr.
pub const LOG: &str = "SESSILE_SIMULATION_LOG";

/// What came of one seed.
#[derive(Debug, Clone, Default)]
pub struct Ran {
    /// What was done to the nodes.
    pub faults: BTreeMap<Fault, usize>,
    /// Operations of clients.
    pub operations: usize,
    /// Of these, how many were refused or got no answer.
    pub unanswered: usize,
    /// How much virtual time passed.
    pub lasted: Duration,
    /// Checksums that were seen at two nodes at one entry.
    pub compared: usize,
    /// What engines did that run in steps. [`Step::FoundUnlisted`] counts after a power cut only.
    pub steps: BTreeMap<Step, usize>,
    /// How often it came to each rare state.
    pub marks: BTreeMap<Mark, usize>,
    /// Everything that happened, line by line; the same seed gives the same lines.
    pub trace: Vec<String>,
}

/// A seed that found something.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What does not hold.
    pub what: String,
    /// What was done to the nodes until then, in order.
    pub story: Vec<String>,
    /// How many faults were drawn, whether they could be done or not.
    pub drawn: usize,
    /// Everything that happened.
    pub trace: Vec<String>,
}

/// How a seed is run.
#[derive(Debug, Clone, Default)]
pub struct SimulationOptions {
    /// Of the faults that the seed draws, by their order, only these happen; `None` for all.
    pub only: Option<std::collections::BTreeSet<usize>>,
    /// A defect that is planted, to see whether it is found.
    pub planted: Option<Defect>,
}

/// Runs one seed on a thread of its own. One that stands still at one moment of virtual time, because something asks
/// again and again without a pause, has failed as well; its thread cannot be ended and goes on.
pub fn simulate(seed: u64, options: &SimulationOptions) -> Result<Ran, Box<Failure>> {
    let (options, steps) = (options.clone(), Arc::new(AtomicU64::new(0)));
    let thread = std::thread::Builder::new().name(format!("seed {seed}")).stack_size(STACK_BYTES);
    let (ended, end) = mpsc::sync_channel(1);
    let so_far = steps.clone();
    let started = thread.spawn(move || {
        // Nobody waits any more for one that stood still.
        let _ = ended.send(run(seed, &options, steps));
    });
    if let Err(error) = started {
        return Err(failed(format!("no thread can be started: {error}"), Vec::new()));
    }
    let (mut before, mut looks) = (0, 0);
    while looks < STANDS_STILL {
        match end.recv_timeout(LOOK_AGAIN) {
            Ok(ended) => return ended,
            Err(RecvTimeoutError::Disconnected) => return Err(failed("a panic".into(), Vec::new())),
            Err(RecvTimeoutError::Timeout) => {
                let now = so_far.load(Ordering::Relaxed);
                looks = if now == before { looks + 1 } else { 0 };
                before = now;
            }
        }
    }
    Err(failed(format!("it stands still: no step after step {before}, in {looks} looks"), Vec::new()))
}

fn run(seed: u64, options: &SimulationOptions, steps: Arc<AtomicU64>) -> Result<Ran, Box<Failure>> {
    interpose::seed_this_thread(seed);
    inject(options.planted.map_or(Decisions::OWN, Defect::decisions));
    engine::plant(options.planted);
    let mut busy = SmallRng::seed_from_u64(!seed);
    let mut of_versions = SmallRng::seed_from_u64(seed.rotate_left(32) ^ !0);
    let plan = Plan::draw(&mut busy, &mut of_versions);
    versions::begin();
    let mut story = vec![plan.to_string()];
    let (one_in, most) = (plan.constants.busy_one_in, plan.constants.busy_ms);
    send_in(plan.constants.chunks);
    pause_before_applying(move || {
        busy.random_ratio(1, one_in).then(|| Duration::from_millis(busy.random_range(1..=most)))
    });
    let marks = Marks::default();
    let _log = read_logs(&marks);
    let ended =
        catch_unwind(AssertUnwindSafe(|| driver::run((seed, of_versions), plan, options, (steps, marks), &mut story)));
    interpose::sync_by_the_kernel();
    engine::choose_memory();
    engine::plant(None);
    ended.unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        Err(failed(words.unwrap_or_else(|| "a panic".into()), story))
    })
}

/// Reads what the nodes log, and shows it where somebody wants it.
fn read_logs(marks: &Marks) -> DefaultGuard {
    let reader = tracing_subscriber::registry().with(marks.reader());
    if std::env::var_os(LOG).is_none() {
        return tracing::subscriber::set_default(reader);
    }
    // A filter of its own, so that what is not read is shown.
    let log = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::stderr).without_time();
    let shown = tracing_subscriber::registry().with(log.with_filter(LevelFilter::INFO));
    tracing::subscriber::set_default(shown)
}

fn failed(what: String, story: Vec<String>) -> Box<Failure> {
    Box::new(Failure { what, story, drawn: 0, trace: Vec::new() })
}
