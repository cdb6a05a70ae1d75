//! What the stories of a cluster under load have in common: the nodes, what clients ask of them, and how it is told.
//! `tests/incident/` and `tests/upgrade/` include this file.

use std::time::Duration;

use sessile_testkit::{Fleet, Load, LoadOptions, Report, Seen};

pub(crate) const NODES: [&str; 3] = ["n1", "n2", "n3"];
pub(crate) const CLIENTS: usize = 16;
/// 16 clients that rest this long ask some 250 requests a second: enough for thousands of them in each phase, and little
/// enough that three nodes in a debug build do not fill two cores.
const THINK: Duration = Duration::from_millis(60);
const KEYS: usize = 240;
/// How many requests are made in a phase at least, so that it says something: after what it is about has happened.
const REQUESTS_AFTERWARDS: Duration = Duration::from_millis(700);

/// What decides who asks for what: given, to repeat it, or drawn.
pub(crate) fn seed() -> u64 {
    std::env::var("SESSILE_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap())
}

/// How much is asked of `NODES` in most stories.
pub(crate) fn load(seed: u64) -> LoadOptions {
    LoadOptions { clients: CLIENTS, keys: KEYS, think: THINK, seed }
}

pub(crate) fn member_id(fleet: &mut Fleet, name: &str) -> String {
    fleet.wait_until(&format!("{name} is a member"), |fleet| Some(fleet.status(name)?.member(name)?.id.clone()))
}

/// Clients that ask from the beginning to the end, and what is told of it: each event as it happens, all of it in the end.
pub(crate) struct Telling {
    pub(crate) load: Load,
    report: Report,
}

impl Telling {
    /// Clients on those nodes, each at its home.
    pub(crate) fn begin(fleet: &Fleet, nodes: &[&str], options: LoadOptions) -> Self {
        let nodes: Vec<_> = nodes.iter().map(|name| ((*name).to_owned(), fleet.http(name))).collect();
        Self { load: Load::start(&nodes, options), report: Report::default() }
    }

    pub(crate) fn phase(&mut self, what: &str) {
        self.report.phase(self.load.elapsed(), what);
    }

    pub(crate) fn happened(&mut self, what: impl Into<String>) {
        let (at, what) = (self.load.elapsed(), what.into());
        eprintln!("{:>8.2} s  {what}", at.as_secs_f64());
        self.report.event(at, what);
    }

    /// Clients go on for a while, so that the phase shows what came after. Nothing hangs on how long.
    pub(crate) fn go_on(&self) {
        self.go_on_for(REQUESTS_AFTERWARDS);
    }

    pub(crate) fn go_on_for(&self, time: Duration) {
        std::thread::sleep(time);
    }

    /// The clients stop. What they saw, and the whole report.
    pub(crate) fn end(mut self) -> (Seen, Report) {
        self.report.end(self.load.elapsed());
        let seen = self.load.stop();
        self.report.count(&seen.samples);
        (seen, self.report)
    }
}
