//! `performance distance`.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::figures::median;
use super::scrape::sum_at;
use super::{PerformanceOptions, Shape, Tell};
use crate::{Client, DelayLine, Fleet, Network, eventually, looks_for};

/// Under this the sessions are.
const BASE: &str = "/sessions/v1/";
/// What a value is.
const VALUE: [u8; 200] = [b'v'; 200];
/// How often nodes are asked whether they are ready.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long a cluster may take to form, many times the bar, so that a figure is told and not a panic.
const FORMS_WITHIN: Duration = Duration::from_secs(60);
/// How many clients write at each node that is left when the leader is killed, and how long before that they begin.
const WRITERS: usize = 2;
const INTO_IT: Duration = Duration::from_secs(1);
/// What the program has as its default, in milliseconds.
const DEFAULT_MAX_RTT: u64 = 40;
const DEFAULT_DEADLINE: u64 = 2_000;

/// Three voters that are far from each other: whether they form, keep their leader, take every write, how long reads and
/// writes take, and how long writes wait when the leader is killed. Needs root: each node has a network of its own, and a
/// way to each other one that is as long as it should be.
pub fn distance(options: &PerformanceOptions, tell: Tell<'_>) -> Result<(), String> {
    tell(
        "| shape | round trip ms | formed s | leader changes | writes | GET p50, leader / followers ms | SET p50 | leader killed: longest wait ms | bar | failed |",
    );
    tell("|---|---|---|---|---|---|---|---|---|---|");
    for shape in &options.shapes {
        for round_trip in &options.round_trips {
            let line = Apart::of(options, *shape, *round_trip)?.measure(options)?;
            tell(&line);
        }
    }
    Ok(())
}

impl Shape {
    fn name(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::FarFollower => "one far",
            Self::FarLeader => "one far, leading",
        }
    }

    /// Whether the ways of the node with that number are long; between two others they are not.
    fn is_far(self, node: usize) -> bool {
        self == Self::Equal || node == 3
    }
}

/// Three nodes, and what stands between them.
struct Apart {
    shape: Shape,
    round_trip: u64,
    fleet: Fleet,
    _lines: Vec<DelayLine>,
    _network: Network,
}

/// What a client met.
#[derive(Default)]
struct Met {
    done: usize,
    failed: usize,
    spans: Vec<(Instant, Instant)>,
}

impl Apart {
    fn of(options: &PerformanceOptions, shape: Shape, round_trip: u64) -> Result<Self, String> {
        let fault = |error: std::io::Error| format!("networks cannot be made: {error}");
        let network = Network::of(&["n1", "n2", "n3"]).map_err(fault)?;
        let mut fleet = Fleet::on(&network, &options.program, 3);
        let names = fleet.names();
        let address = |nth: usize| network.host(&names[nth - 1]).address;
        let hosts = [address(1), address(2), address(3)];
        let way = Duration::from_millis(round_trip);
        let mut lines = Vec::new();
        for (nth, name) in (1..).zip(&names) {
            let far = move |from: IpAddr| {
                let from = hosts.iter().position(|host| *host == from).map_or(nth, |nth| nth + 1);
                let is_far = from != nth && (shape.is_far(from) || shape.is_far(nth));
                if is_far { way } else { Duration::ZERO }
            };
            let at = SocketAddr::new(network.own_address(), 0);
            lines.push(DelayLine::start(at, fleet.grpc(name), Arc::new(far)).map_err(fault)?);
        }
        let seeds: Vec<_> = lines.iter().map(|line| line.address().to_string()).collect();
        let deadline = deadline(round_trip);
        for (name, advertise) in names.iter().zip(&seeds) {
            let settings = fleet.settings(name);
            (settings.advertise, settings.seeds) = (Some(advertise.clone()), seeds.clone());
            settings.max_rtt_ms = Some(round_trip.max(DEFAULT_MAX_RTT));
            settings.lines = format!("log_level: warning\nhttp: {{ request_timeout_ms: {deadline} }}\n");
        }
        Ok(Self { shape, round_trip, fleet, _lines: lines, _network: network })
    }

    fn measure(mut self, options: &PerformanceOptions) -> Result<String, String> {
        let formed = self.forms()?;
        if self.shape == Shape::FarLeader {
            self.leads("n3");
        } else if self.shape == Shape::FarFollower {
            self.leads("n1");
        }
        let before = self.leader_changes();
        thread::sleep(options.idle);
        let changes = self.leader_changes() - before;
        let leader = self.fleet.wait_for_leader();
        let wanted = options.writes * 3;
        let written: usize = self.fleet.names().iter().map(|name| self.writes(name, options.writes)).sum();
        let names = self.fleet.names();
        let (leads, follows): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| *name == leader);
        let p50 = |names: &[String], method: &str| -> f64 {
            let each = names.iter().map(|name| self.asks_alone(name, method, options.alone).waits_since(None));
            each.filter_map(median).fold(0.0, f64::max)
        };
        let (get_leader, get) = (p50(&leads, "GET"), p50(&follows, "GET"));
        let (set_leader, set) = (p50(&leads, "POST"), p50(&follows, "POST"));
        let (met, killed) = self.loses(&leader)?;
        let longest = met.waits_since(Some(killed)).into_iter().fold(0.0, f64::max);
        Ok(format!(
            "| {} | {} | {formed:.1} | {changes:.0} | {written} of {wanted} | {get_leader:.1} / {get:.1} | \
             {set_leader:.1} / {set:.1} | {longest:.0} | {} | {} of {} |",
            self.shape.name(),
            self.round_trip,
            bar(self.round_trip),
            met.failed,
            met.failed + met.done,
        ))
    }

    /// Starts all, and says after how many seconds the last one was ready.
    fn forms(&mut self) -> Result<f64, String> {
        let begin = Instant::now();
        self.fleet.start_all();
        let fleet = &self.fleet;
        let ready = || fleet.names().iter().all(|name| fleet.readiness(name) == Some(200)).then(|| begin.elapsed());
        let formed = looks_for(FORMS_WITHIN, ASK_AGAIN, ready);
        formed.map(|time| time.as_secs_f64()).ok_or_else(|| {
            format!("{} at {} ms is no cluster\n{}", self.shape.name(), self.round_trip, self.fleet.describe())
        })
    }

    fn leads(&mut self, wanted: &str) {
        self.fleet.wait_until("leadership moves", |fleet| {
            let leader = fleet.status("n1")?.leader;
            if leader.as_deref() != Some(wanted) {
                let _ = fleet.run(&["cluster", "transfer-leader", wanted, "--timeout", "5s"], "n1");
            }
            (leader.as_deref() == Some(wanted)).then_some(())
        });
    }

    /// Of all nodes, since they started.
    fn leader_changes(&self) -> f64 {
        let each = self.fleet.names();
        each.iter().filter_map(|name| sum_at(&self.fleet, name, "sessile_raft_leader_changes_total")).sum()
    }

    /// How many of so many writes a node takes, a few at a time.
    fn writes(&self, name: &str, count: usize) -> usize {
        const AT_A_TIME: usize = 20;
        let address = self.fleet.http(name);
        let write = |nth: usize| {
            let mut client = Client::connect(address).ok()?;
            let key = |number: usize| format!("{BASE}many-{name}-{number}");
            let is_stored = |number: &usize| {
                client.request("POST", &key(*number), "", &VALUE).is_ok_and(|answer| answer.status == 201)
            };
            Some((nth..count).step_by(AT_A_TIME).filter(is_stored).count())
        };
        thread::scope(|scope| {
            let write = &write;
            let writers: Vec<_> = (0..AT_A_TIME).map(|nth| scope.spawn(move || write(nth))).collect();
            writers.into_iter().filter_map(|writer| writer.join().ok().flatten()).sum()
        })
    }

    /// One request after the other, and nobody else.
    fn asks_alone(&self, name: &str, method: &str, count: usize) -> Met {
        let mut met = Met::default();
        let Ok(mut client) = Client::connect(self.fleet.http(name)) else { return met };
        (0..count).for_each(|_| met.asks(&mut client, method, &format!("{BASE}alone-{name}")));
        met
    }

    /// Kills the leader while clients write at the others, each one after the other and until one of its writes was begun
    /// after that.
    fn loses(&mut self, leader: &str) -> Result<(Met, Instant), String> {
        let killed = AtomicBool::new(false);
        let left: Vec<_> = self.fleet.names().into_iter().filter(|name| name != leader).collect();
        let at: Vec<_> = left.iter().map(|name| self.fleet.http(name)).collect();
        let (at_the_end, all) = thread::scope(|scope| {
            let writers: Vec<_> = (0..at.len() * WRITERS)
                .map(|nth| {
                    let (address, killed) = (at[nth % at.len()], &killed);
                    scope.spawn(move || writes_until(address, nth, killed))
                })
                .collect();
            thread::sleep(INTO_IT);
            let at_the_end = Instant::now();
            self.fleet.kill(leader);
            killed.store(true, Ordering::SeqCst);
            let all = writers.into_iter().map(|writer| writer.join().map_err(|_| "a writer panicked".to_owned()));
            (at_the_end, all.collect::<Result<Vec<Met>, String>>())
        });
        let mut sum = Met::default();
        for met in all? {
            sum.done += met.done;
            sum.failed += met.failed;
            sum.spans.extend(met.spans);
        }
        eventually("the others have a leader", || (self.fleet.readiness(&left[0]) == Some(200)).then_some(()));
        Ok((sum, at_the_end))
    }
}

fn writes_until(address: SocketAddr, nth: usize, killed: &AtomicBool) -> Met {
    let mut met = Met::default();
    let Ok(mut client) = Client::connect(address) else { return met };
    loop {
        let is_last = killed.load(Ordering::SeqCst);
        met.asks(&mut client, "POST", &format!("{BASE}killed-{nth}"));
        if is_last {
            return met;
        }
    }
}

impl Met {
    fn asks(&mut self, client: &mut Client, method: &str, target: &str) {
        let begin = Instant::now();
        let body: &[u8] = if method == "POST" { &VALUE } else { b"" };
        let answer = client.request(method, target, "", body);
        let is_done = answer.is_ok_and(|answer| matches!(answer.status, 200 | 201 | 404));
        if is_done {
            self.done += 1;
        } else {
            self.failed += 1;
        }
        self.spans.push((begin, Instant::now()));
    }

    /// How long each took, in milliseconds: all of it, or what of it was after that moment.
    fn waits_since(&self, moment: Option<Instant>) -> Vec<f64> {
        let wait = |(begin, end): &(Instant, Instant)| {
            end.saturating_duration_since(moment.map_or(*begin, |at| at.max(*begin)))
        };
        self.spans.iter().map(|span| wait(span).as_secs_f64() * 1_000.0).collect()
    }
}

/// How long writes may wait when a leader is killed, in milliseconds.
fn bar(round_trip: u64) -> u64 {
    1_000 + 8 * round_trip
}

/// The deadline of requests in milliseconds: the default, or what `sessile check-config` asks for.
fn deadline(round_trip: u64) -> u64 {
    (600 + 23 * round_trip / 2).max(DEFAULT_DEADLINE)
}
