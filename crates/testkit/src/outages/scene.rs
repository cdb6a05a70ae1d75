//! What the five have in common: three nodes, Prometheus, clients with MediaWiki's mix, and what is written down.

use std::thread;
use std::time::{Duration, Instant};

use super::alerts::Alert;
use super::prometheus::Prometheus;
use super::promises::Promises;
use super::timeline::{Buckets, Gauge, Timeline};
use super::told::Told;
use super::{OutagesOptions, Tell, logs, wall};
use crate::{Action, Fleet, Load, LoadOptions, Network, Outcome, Report, Seen, Verdict, looks_for};

pub(super) const NODES: [&str; 3] = ["n1", "n2", "n3"];
/// 16 clients that rest this long ask some 250 requests a second: a tenth of all wikis', so that a machine whose two
/// processors carry clients and nodes is no part of the outage.
const CLIENTS: usize = 16;
const THINK: Duration = Duration::from_millis(60);
const KEYS: usize = 240;
const SEED: u64 = 20_220_915;
/// How long all is well before something happens, and after it is over.
pub(super) const CALM: Duration = Duration::from_secs(20);
/// The right alert comes within a minute.
pub(super) const MINUTE: Duration = Duration::from_secs(60);
/// How long an alert that does not come in time is waited for all the same, so that the report tells when it came.
const LATE: Duration = Duration::from_secs(60);
/// An alert ends when its cause is gone: a scrape, an evaluation, and the longest window of a rate that tells of nodes.
const ENDS: Duration = Duration::from_secs(180);
/// Prometheus has asked every node within three scrapes.
const SCRAPED: Duration = Duration::from_secs(90);
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// The answers that say that there is no room.
const NO_ROOM: &str = "POST: 507";

/// A replay that goes on.
pub(super) struct Scene<'a> {
    pub(super) fleet: Fleet,
    /// After the nodes that run on it.
    pub(super) network: Option<Network>,
    pub(super) prometheus: Prometheus,
    pub(super) load: Load,
    pub(super) promises: Promises,
    /// What the report says of how it was replayed.
    pub(super) about: Vec<String>,
    pub(super) gauge: Option<Gauge>,
    report: Report,
    events: Vec<(Duration, String)>,
    expected: Vec<Expected>,
    /// When the load began, by the wall clock.
    began: f64,
    tell: Tell<'a>,
}

/// An alert that must fire.
struct Expected {
    name: &'static str,
    /// When its cause was there.
    cause: Duration,
    limit: Duration,
}

/// Nodes that are a cluster, and a Prometheus that has scraped each: what clients come to.
pub(super) struct Set {
    pub(super) fleet: Fleet,
    pub(super) network: Option<Network>,
    pub(super) prometheus: Prometheus,
}

impl Set {
    /// Starts the nodes of a fleet and Prometheus beside them.
    pub(super) fn of(
        options: &OutagesOptions,
        mut fleet: Fleet,
        network: Option<Network>,
        before: Option<&str>,
    ) -> Result<Self, String> {
        fleet.start_all();
        fleet.wait_until_formed();
        let prometheus = Prometheus::start(&options.rules, &places(&fleet), before)?;
        wait(SCRAPED, "Prometheus has scraped every node", || {
            Ok(prometheus.value("sum(sessile_ready{job=\"sessile\"})")? == Some(3.0))
        })?;
        Ok(Self { fleet, network, prometheus })
    }

    /// Clients begin.
    pub(super) fn begin(self, tell: Tell<'_>) -> Scene<'_> {
        let Self { fleet, network, prometheus } = self;
        let options = LoadOptions { clients: CLIENTS, keys: KEYS, think: THINK, seed: SEED };
        let load = Load::start(&places(&fleet), options);
        let mut scene = Scene {
            fleet,
            network,
            prometheus,
            load,
            promises: Promises::default(),
            about: Vec::new(),
            gauge: None,
            report: Report::default(),
            events: Vec::new(),
            expected: Vec::new(),
            began: wall::seconds(),
            tell,
        };
        scene.phase("all is well");
        scene.go_on(CALM);
        scene
    }
}

impl Scene<'_> {
    pub(super) fn phase(&mut self, what: &str) {
        self.phase_since(self.load.elapsed(), what);
    }

    /// The phase began then, as is known now.
    pub(super) fn phase_since(&mut self, at: Duration, what: &str) {
        self.report.phase(at, what);
    }

    /// Something happens now: when that was is given.
    pub(super) fn happens(&mut self, what: impl Into<String>) -> Duration {
        let (at, what) = (self.load.elapsed(), what.into());
        (self.tell)(&format!("{:>8.2} s  {what}", at.as_secs_f64()));
        self.report.event(at, what.clone());
        self.events.push((at, what));
        at
    }

    /// Clients go on for a while. Nothing is waited for.
    pub(super) fn go_on(&self, time: Duration) {
        thread::sleep(time);
    }

    /// An alert must fire within `limit` of its cause. Waits until it does, or is late.
    pub(super) fn must_fire(&mut self, name: &'static str, cause: Duration, limit: Duration) -> Result<(), String> {
        self.expected.push(Expected { name, cause, limit });
        let time = (cause + limit + LATE).saturating_sub(self.load.elapsed());
        let fires =
            looks_for(time, LOOK_AGAIN, || self.prometheus.fires(name).map(|fires| fires.then_some(())).transpose());
        match fires.transpose()? {
            Some(()) => self.happens(format!("{name} fires")),
            None => self.happens(format!("{name} does not fire")),
        };
        Ok(())
    }

    /// An alert must end, because its cause is gone.
    pub(super) fn must_end(&mut self, name: &str) -> Result<(), String> {
        let ended = wait(ENDS, "", || self.prometheus.fires(name).map(|fires| !fires)).is_ok();
        let seen = if ended { "it did" } else { "it goes on" };
        self.promises.note(format!("{name} ends when its cause is gone"), ended, seen);
        Ok(())
    }

    /// The clients stop. What they saw, to be held against what was promised, and the rest of the scene.
    pub(super) fn close(mut self) -> Result<Closed, String> {
        let end = self.load.elapsed();
        self.report.end(end);
        let alerts = self.prometheus.alerts(self.began, self.began + end.as_secs_f64())?;
        for Expected { name, cause, limit } in &self.expected {
            let fired = alerts.iter().find(|alert| alert.name == *name && alert.fired >= cause.as_secs_f64());
            let after = fired.map(|alert| alert.fired - cause.as_secs_f64());
            let seen = after.map_or("it did not".to_owned(), |after| format!("after {after:.0} s"));
            let kept = after.is_some_and(|after| after <= limit.as_secs_f64());
            self.promises.note(format!("{name} fires within {} s", limit.as_secs()), kept, seen);
        }
        let seen = self.load.stop();
        self.report.count(&seen.samples);
        Ok(Closed {
            seen,
            alerts,
            end,
            fleet: self.fleet,
            _network: self.network,
            promises: self.promises,
            report: self.report,
            events: self.events,
            about: self.about,
            gauge: self.gauge,
            began: self.began,
        })
    }
}

/// A replay after its clients have stopped.
pub(super) struct Closed {
    pub(super) fleet: Fleet,
    _network: Option<Network>,
    pub(super) seen: Seen,
    pub(super) promises: Promises,
    alerts: Vec<Alert>,
    end: Duration,
    report: Report,
    events: Vec<(Duration, String)>,
    about: Vec<String>,
    gauge: Option<Gauge>,
    began: f64,
}

impl Closed {
    /// What an outage must not be: no client may have noticed anything but a wait, and nobody may have been woken but by these.
    pub(super) fn nobody_noticed(mut self, pages: &[&str]) -> Told {
        self.nobody_failed();
        self.nothing_is_lost_or_stale();
        self.pages_only(pages);
        self.told()
    }

    /// No request of the clients may have failed.
    fn nobody_failed(&mut self) {
        let failed = self.report.failed();
        let seen = format!("{failed} of {}", self.seen.samples.len());
        self.promises.note("no request fails at live nodes", failed == 0, seen);
    }

    /// Every key is read at each node once more, and then what all clients saw must be what one store would have shown.
    fn nothing_is_lost_or_stale(&mut self) {
        for name in self.fleet.running() {
            self.seen.read_everything(CLIENTS, self.fleet.http(&name));
        }
        let checked = self.seen.history.check();
        let seen = checked.as_ref().map_or_else(ToString::to_string, |()| {
            format!("{} operations are linearizable", self.seen.history.operations().len())
        });
        self.promises.note("no write is lost, no read is stale", checked.is_ok(), seen);
    }

    /// Nobody may have been woken but by these.
    pub(super) fn pages_only(&mut self, expected: &[&str]) {
        let others = self.alerts.iter().filter(|alert| alert.pages && !expected.contains(&alert.name.as_str()));
        let others: Vec<_> = others.map(|alert| alert.name.as_str()).collect();
        let seen = if others.is_empty() { "nothing else paged".to_owned() } else { others.join(", ") };
        let what = match expected {
            [] => "nobody is woken".to_owned(),
            expected => format!("nobody is woken but by {}", expected.join(", ")),
        };
        self.promises.note(what, others.is_empty(), seen);
    }

    /// Requests may have failed that were writes without room, and no others.
    pub(super) fn only_writes_without_room_failed(&mut self) {
        let failures = self.report.phases().iter().flat_map(|phase| &phase.failures);
        let others: Vec<_> = failures.filter(|failure| !failure.starts_with(NO_ROOM)).collect();
        let seen = others.first().map_or("none did".to_owned(), |first| format!("{} × {first}", others.len()));
        self.promises.note("no request fails but writes that have no room", others.is_empty(), seen);
    }

    /// Between these two moments reads and deletes were answered.
    pub(super) fn reads_and_logouts_were_served(&mut self, from: Duration, to: Duration) {
        let (mut reads, mut logouts, mut not) = (0, 0, 0);
        let operations = self.seen.history.operations().iter();
        for operation in operations.filter(|operation| (from..to).contains(&operation.start)) {
            match (operation.action, operation.outcome) {
                (Action::Get(_), Outcome::Ok) => reads += 1,
                (Action::Delete, Outcome::Ok) => logouts += 1,
                (Action::Get(_) | Action::Delete, _) => not += 1,
                _ => {}
            }
        }
        let kept = reads > 0 && logouts > 0 && not == 0;
        let seen = format!("{reads} reads and {logouts} logouts, {not} not");
        self.promises.note("reads and logouts are served while writes are refused", kept, seen);
    }

    /// All that is to be told.
    pub(super) fn told(self) -> Told {
        let mut buckets = Buckets::of(self.end);
        for sample in &self.seen.samples {
            match &sample.verdict {
                Verdict::Failed(why) if why.starts_with(NO_ROOM) => buckets.refused(sample.start, sample.took),
                Verdict::Failed(_) => buckets.failed(sample.start, sample.took),
                Verdict::Answered | Verdict::CutOff => buckets.answered(sample.start, sample.took),
            }
        }
        let logs = self.fleet.names().into_iter().map(|name| {
            let words = self.fleet.words(&name);
            (name, logs::since(self.began, &words))
        });
        Told {
            title: "",
            about: self.about,
            logs: logs.collect(),
            timeline: Timeline { end: self.end, buckets, gauge: self.gauge, events: self.events, alerts: self.alerts },
            report: self.report,
            promises: self.promises,
        }
    }
}

/// Where clients and Prometheus find each node.
pub(super) fn places(fleet: &Fleet) -> Vec<(String, std::net::SocketAddr)> {
    fleet.names().into_iter().map(|name| (name.clone(), fleet.http(&name))).collect()
}

/// Looks until it is so. An error says what was not so in that time.
pub(super) fn wait(
    time: Duration,
    what: &str,
    mut is_so: impl FnMut() -> Result<bool, String>,
) -> Result<Duration, String> {
    let begin = Instant::now();
    let found = looks_for(time, LOOK_AGAIN, || match is_so() {
        Ok(false) => None,
        Ok(true) => Some(Ok(())),
        Err(why) => Some(Err(why)),
    });
    found.unwrap_or_else(|| Err(format!("did not happen within {} s: {what}", time.as_secs())))?;
    Ok(begin.elapsed())
}
