//! What lets faults happen to the nodes, and mends them.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::Rng;
use rand::seq::{IndexedRandom, IteratorRandom};

use super::{Chaos, Fault, NODES};
use crate::{Farm, Status, Weather};

/// What a slow way adds to each piece in each direction, from less than a heartbeat to about an election; what fits
/// through it; and of a thousand pieces, how many are lost and how many break their connection on a lossy one.
const DELAY_MS: RangeInclusive<u64> = 2..=150;
const BYTES_PER_SECOND: RangeInclusive<u32> = 50_000..=2_000_000;
const LOST: RangeInclusive<u32> = 1..=60;
const BROKEN: RangeInclusive<u32> = 0..=20;
/// How wrong a clock may be, in seconds: a year either way.
const CLOCK_SHIFT: i64 = 31_557_600;

impl Chaos<'_> {
    pub(super) fn draws(&mut self) -> Fault {
        // Where there is weather at all, there is more of it.
        let weather = !self.proxies.is_empty() && self.rng.random_bool(0.2);
        if self.small.is_some() && self.rng.random_bool(0.15) {
            return Fault::DiskFull;
        }
        let among: &[Fault] = if weather { &[Fault::SlowNetwork, Fault::LossyNetwork] } else { &Fault::ALL };
        *among.choose(&mut self.rng).unwrap_or(&Fault::Kill)
    }

    /// Does it, if it can be done now. Says whether it was done.
    pub(super) fn happens(&mut self, fault: Fault) -> bool {
        let up = self.up();
        let Some(name) = up.iter().choose(&mut self.rng).cloned() else { return false };
        match fault {
            Fault::Kill => self.kills(&name),
            // It may be about to end by itself, which is no clean stop.
            Fault::Stop if self.may_end_by_itself(&name) => return false,
            Fault::Stop => {
                self.tells(&format!("{name} is told to stop"));
                self.fleet.stop(&name);
                self.down.insert(name);
            }
            Fault::Freeze => {
                self.tells(&format!("{name} is frozen"));
                self.load.is_killed(&name);
                self.fleet.freeze(&name);
                self.frozen.insert(name);
            }
            Fault::Reimage | Fault::ReimageThenKillLeader => {
                // More than one voter without its disk is beyond what a majority can promise.
                let Some(status) = self.whole() else { return false };
                self.kills(&name);
                self.tells(&format!("{name} is reimaged"));
                self.fleet.reimage(&name);
                self.starts(&name);
                if fault == Fault::ReimageThenKillLeader
                    && let Some(leader) = status.leader.filter(|leader| *leader != name)
                {
                    self.lets_time_pass();
                    self.kills(&leader);
                    self.lets_time_pass();
                    self.starts(&leader);
                }
                // Before it is a voter again, nobody else may lose a disk; other things may happen to it.
            }
            Fault::WrongClock => {
                let seconds = self.rng.random_range(-CLOCK_SHIFT..=CLOCK_SHIFT);
                // One bad clock moves nothing; two are a majority, and whatever they agree on is the time.
                for (of, clock) in &self.clocks {
                    let shift = if *of == name { seconds } else { 0 };
                    clock.is_wrong_by(shift).unwrap_or_else(|error| panic!("the clock of {of}: {error}"));
                }
                self.tells(&format!("the clock of {name} is wrong by {seconds} s, and all others are right"));
            }
            Fault::Cut | Fault::OneWayCut | Fault::Bridge => {
                if self.network.is_none() || !self.cuts.is_empty() {
                    return false;
                }
                let others: Vec<String> = self.fleet.names().into_iter().filter(|other| *other != name).collect();
                let [one, other] = &others[..] else { return false };
                let pairs = match fault {
                    Fault::Cut => vec![(&name, one), (one, &name), (&name, other), (other, &name)],
                    Fault::OneWayCut => vec![(&name, one)],
                    _ => vec![(one, other), (other, one)],
                };
                for (from, to) in pairs {
                    self.cuts(from, to);
                }
            }
            Fault::SlowNetwork | Fault::LossyNetwork => {
                if self.proxies.is_empty() {
                    return false;
                }
                let weather = self.bad_weather(fault);
                let ways = if self.rng.random() { self.fleet.names() } else { vec![name] };
                self.tells(&format!("the way to {} is {weather:?}", ways.join(", ")));
                ways.iter().filter_map(|name| self.proxies.get(name)).for_each(|proxy| proxy.has(weather));
                self.weather = true;
            }
            Fault::DiskFull => {
                let Some(small) = self.small.as_mut().filter(|small| !small.is_full) else { return false };
                let filled = small.ballast.fills();
                filled.unwrap_or_else(|error| panic!("the disk of {} cannot be filled up: {error}", small.of));
                (small.is_full, small.was_full) = (true, true);
                let full = format!("the disk of {} is full", small.of);
                self.tells(&full);
            }
            Fault::TransferLeader => {
                let said = self.fleet.run(&["cluster", "transfer-leader", "--timeout", "3s"], &name);
                self.tells(&format!("leadership is to move, asked at {name}: {:?}", said.code));
            }
            Fault::Snapshot => {
                let said = self.fleet.run(&["cluster", "snapshot", "--timeout", "3s"], &name);
                self.tells(&format!("the state of {name} is to be durable: {:?}", said.code));
            }
            Fault::Truncate => {
                let group = self.rng.random_bool(0.7).then(|| self.rng.random_range(0..Farm::GROUPS));
                let code = self.farm.truncates(&self.fleet, &name, group);
                self.tells(&format!("the second namespace is truncated, group {group:?}, asked at {name}: {code:?}"));
            }
        }
        true
    }

    /// All voters run, agree, and are ready.
    fn whole(&mut self) -> Option<Status> {
        let full = self.small.as_ref().is_some_and(|small| small.is_full);
        let all_run = self.down.is_empty() && self.frozen.is_empty() && self.cuts.is_empty() && !full;
        all_run.then(|| self.fleet.agreed()).flatten().filter(|status| status.voters().len() == NODES)
    }

    pub(super) fn kills(&mut self, name: &str) {
        self.tells(&format!("{name} is killed"));
        self.load.is_killed(name);
        self.fleet.kill(name);
        self.frozen.remove(name);
        self.down.insert(name.to_owned());
    }

    fn starts(&mut self, name: &str) {
        self.frees();
        if let Some(small) = self.small.as_mut().filter(|small| small.of == name) {
            small.was_full = false;
        }
        self.tells(&format!("{name} starts"));
        self.fleet.start(name);
        self.down.remove(name);
    }

    fn cuts(&mut self, from: &str, to: &str) {
        self.tells(&format!("{to} hears nothing of {from}"));
        if let Some(network) = &self.network {
            network.cut(from, to).unwrap_or_else(|error| panic!("{error}"));
        }
        self.cuts.insert((from.to_owned(), to.to_owned()));
    }

    /// Everybody reaches everybody.
    pub(super) fn reconnects(&mut self) {
        self.tells("the network is whole");
        for (from, to) in std::mem::take(&mut self.cuts) {
            if let Some(network) = &self.network {
                network.mend(&from, &to).unwrap_or_else(|error| panic!("{error}"));
            }
        }
    }

    fn bad_weather(&mut self, fault: Fault) -> Weather {
        if fault == Fault::SlowNetwork {
            let delay = Duration::from_millis(self.rng.random_range(DELAY_MS));
            Weather::Slow { delay, bytes_per_second: self.rng.random_range(BYTES_PER_SECOND) }
        } else {
            Weather::Lossy { lost: self.rng.random_range(LOST), broken: self.rng.random_range(BROKEN) }
        }
    }

    pub(super) fn clears_up(&mut self) {
        self.tells("the weather is fine");
        self.proxies.values().for_each(|proxy| proxy.has(Weather::Fine));
        self.weather = false;
    }

    /// There is room on every disk.
    pub(super) fn frees(&mut self) {
        if let Some(small) = self.small.as_mut().filter(|small| small.is_full) {
            small.ballast.goes().unwrap_or_else(|error| panic!("the disk of {} cannot be freed: {error}", small.of));
            small.is_full = false;
            let freed = format!("there is room on the disk of {}", small.of);
            self.tells(&freed);
        }
    }

    fn thaws(&mut self, name: &str) {
        self.tells(&format!("{name} is thawed"));
        self.fleet.thaw(name);
        self.frozen.remove(name);
    }

    /// Starts or thaws one that is down, mends the network, or clears the weather. Says whether there was anything to mend.
    pub(super) fn mends_one(&mut self) -> bool {
        if !self.cuts.is_empty() && self.rng.random_bool(0.5) {
            self.reconnects();
            return true;
        }
        if self.weather && self.rng.random_bool(0.3) {
            self.clears_up();
            return true;
        }
        let broken: Vec<String> = self.down.iter().chain(&self.frozen).cloned().collect();
        let Some(name) = broken.choose(&mut self.rng) else { return false };
        if self.frozen.contains(name) {
            self.thaws(name);
        } else {
            self.starts(name);
        }
        self.load.is_back(name);
        true
    }
}
