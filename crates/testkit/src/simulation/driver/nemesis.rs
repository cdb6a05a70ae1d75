//! What happens to the nodes: draws a fault, and does it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::super::operator::{self, Wish};
use super::super::{Fault, clients};
use super::{CLOCKS_FORGOTTEN, Driver, Held};

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;
const MINUTE_MS: i64 = 60_000;
/// How long a leader is out of sight that is to be followed by another one: an election takes a second, and a wiped voter has
/// a vote again after a few.
const OUT_OF_SIGHT: Duration = Duration::from_secs(5);
/// So many entries at once are many.
const ROUND: usize = 10;
const MAX_STEPS_TO_A_ROUND: usize = 100;
/// After how many bytes a state is broken off, at least, as a power of two.
const BROKEN_AFTER: std::ops::RangeInclusive<u32> = 0..=15;

impl Driver {
    /// The next thing that happens: something is mended, or a fault.
    pub(super) fn next(&mut self) -> Result<(), String> {
        self.restart_what_ended()?;
        // Two of three have what the third has lost, as long as they stay.
        if let Some((name, index)) = self.rolled_back.clone() {
            if self.heeds_at_once && self.alerts_of_older_images().contains(&name) {
                self.heeds_at_once = false;
                return self.replace_older_image(&name);
            }
            if self.applied(&name) >= index {
                self.rolled_back = None;
            }
            return Ok(());
        }
        if !self.in_turn.is_empty() {
            if self.is_settled().is_ok()
                && let Some(name) = self.in_turn.pop()
            {
                self.wipe(&name)?;
            }
            return Ok(());
        }
        if self.rng.random_bool(self.plan.mends) && self.mend_one()? {
            return Ok(());
        }
        let fault = self.plan.draw_fault(&mut self.rng);
        self.drawn += 1;
        if self.only.as_ref().is_some_and(|only| !only.contains(&self.drawn)) {
            return Ok(());
        }
        if fault.needs_all_well() && !self.all_is_well() {
            if self.rng.random_bool(0.5) {
                return Ok(());
            }
            self.mend()?;
            self.until_whole("all are voters again", Self::is_settled)?;
        }
        if self.happens(fault)? {
            *self.faults.entry(fault).or_default() += 1;
        }
        Ok(())
    }

    /// Does it, if it can be done now. Says whether it was done.
    pub(super) fn happens(&mut self, fault: Fault) -> Result<bool, String> {
        let up = self.up();
        let Some(name) = up.choose(&mut self.rng).cloned() else { return Ok(false) };
        match fault {
            Fault::Kill => {
                self.tell(&format!("{name} is killed"));
                self.crash(&name, |disk, _| disk.cached())?;
            }
            Fault::PowerCut => self.cut_power(&name)?,
            Fault::PowerCutOfAll => {
                if self.rng.random_bool(0.5) {
                    self.tell("writes to all disks take long");
                    let delay = self.rng.random_range(20..600);
                    self.world.hosts().for_each(|host| host.disk_delay.store(delay, Ordering::Relaxed));
                    let meanwhile = Duration::from_millis(self.rng.random_range(100..2_000));
                    self.lasts(meanwhile)?;
                    self.world.hosts().for_each(|host| host.disk_delay.store(1, Ordering::Relaxed));
                }
                for name in up {
                    self.cut_power(&name)?;
                }
            }
            Fault::Stop => {
                self.tell(&format!("{name} is told to stop"));
                self.world.host(&name).is_told_to_stop();
            }
            Fault::Wipe if self.plan.constants.chunks.is_some() && self.rng.random_bool(0.5) => {
                self.wipe(&name)?;
                self.break_a_transfer_to(&name)?;
            }
            Fault::Wipe => {
                self.wipe(&name)?;
                self.kill_in_change = self.rng.random_bool(0.5);
            }
            Fault::WipeThenKillLeader if self.names.len() > 3 && self.rng.random_bool(0.5) => {
                self.wipe_and_kill_the_next_leader(&name)?;
            }
            Fault::WipeThenKillLeader => {
                let leader = self.leader().filter(|leader| *leader != name);
                self.wipe(&name)?;
                if let Some(leader) = leader {
                    let pause = Duration::from_millis(self.rng.random_range(20..3_000));
                    self.lasts(pause)?;
                    self.tell(&format!("{leader}, which led, is killed"));
                    self.crash(&leader, |disk, _| disk.cached())?;
                }
            }
            Fault::WipeAllInTurn => {
                self.in_turn = self.names.clone();
                self.in_turn.shuffle(&mut self.rng);
                self.tell("all are to be wiped, one after the other");
            }
            // A leader of openraft that notices it panics in a build with debug assertions.
            Fault::Rollback if !cfg!(debug_assertions) => return self.roll_back(&name),
            Fault::DamagedState => match self.leader() {
                Some(leader) if self.rng.random_bool(0.5) => self.damage_a_leader_left_behind(&leader)?,
                _ => self.damage_state(&name)?,
            },
            Fault::Hold if self.held.is_none() && self.cuts.is_empty() => {
                let time = Duration::from_millis(self.rng.random_range(50..3_000));
                self.tell(&format!("{name} is held up for {time:?}"));
                self.hold(name, time, None);
            }
            Fault::StandsStill if self.held.is_none() && self.cuts.is_empty() => {
                let time = Duration::from_millis(self.rng.random_range(50..6_000));
                self.tell(&format!("{name} stands still for {time:?}"));
                // Nor does anything become durable.
                let delay = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                self.world.host(&name).disk_delay.store(delay, Ordering::Relaxed);
                self.hold(name, time, Some(time));
            }
            Fault::Moves => self.move_some(up)?,
            Fault::Newcomer => return self.replace_with_newcomer(&name),
            Fault::Copy => self.start_a_copy(&name)?,
            Fault::Cut | Fault::OneWayCut | Fault::Bridge if self.cuts.is_empty() && self.held.is_none() => {
                let mut others = self.others(&name);
                others.shuffle(&mut self.rng);
                let one = others[0].clone();
                let pairs: Vec<(String, String)> = match fault {
                    Fault::Cut => others.iter().flat_map(|other| both(&name, other)).collect(),
                    Fault::OneWayCut => vec![(name, one)],
                    _ => both(&one, &others[1]).to_vec(),
                };
                for (from, to) in pairs {
                    self.tell(&format!("{to} hears nothing of {from}"));
                    self.sim.partition_oneway(from.as_str(), to.as_str());
                    self.cuts.insert((from, to));
                }
            }
            Fault::SlowLink if self.slow.is_none() => {
                let other = self.others(&name).choose(&mut self.rng).cloned().unwrap_or_default();
                let latency = Duration::from_millis(self.rng.random_range(20..400));
                self.tell(&format!("between {name} and {other} messages take up to {latency:?} longer"));
                let place = |name: &String| self.names.iter().position(|known| known == name).unwrap_or(0);
                let (_, most) = self.plan.distance.latency(place(&name), place(&other));
                self.sim.set_link_max_message_latency(name.as_str(), other.as_str(), most + latency);
                self.slow = Some((name, other));
            }
            Fault::WrongClock | Fault::ClocksApart if self.clocks_are_wrong => {
                self.clocks_are_right();
                return Ok(false);
            }
            Fault::WrongClock if self.sim.elapsed() >= self.clocks_right_at + CLOCKS_FORGOTTEN => {
                let error = match self.rng.random_range(0..3) {
                    0 => self.rng.random_range(-60_000..60_000),
                    1 => self.rng.random_range(-3_600_000..7_200_000),
                    _ => self.rng.random_range(-365 * DAY_MS..365 * DAY_MS),
                };
                self.clocks_are_wrong = true;
                self.tell(&format!("the clock of {name} is wrong by {error} ms, and all others are right"));
                self.world.host(&name).clock_error.store(error, Ordering::Relaxed);
            }
            Fault::ClocksApart
                if self.all_are_heard() && self.sim.elapsed() >= self.clocks_right_at + CLOCKS_FORGOTTEN =>
            {
                self.clocks_are_apart();
            }
            Fault::SlowDisk => {
                let delay = self.rng.random_range(20..700);
                self.tell(&format!("a write to the disk of {name} takes {delay} ms"));
                self.world.host(&name).disk_delay.store(delay, Ordering::Relaxed);
            }
            Fault::FailedSync => {
                let after = self.rng.random_range(0..20);
                self.tell(&format!("the disk of {name} fails after {after} more fsyncs"));
                self.world.host(&name).disk().fails_after = Some(after);
            }
            Fault::TransferLeader => self.operator(&name, Wish::TransferLeader),
            Fault::Snapshot => self.operator(&name, Wish::Snapshot),
            Fault::Remove => {
                let member = self.names.choose(&mut self.rng).cloned().unwrap_or_default();
                self.operator(&name, Wish::Remove(member));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether nobody is down or out of the others' sight.
    fn all_are_heard(&self) -> bool {
        self.down.is_empty() && self.cuts.is_empty() && self.held.is_none()
    }

    /// Sets the clocks of a majority ahead by more than an hour, each elsewhere: what they want no majority agrees on, so time
    /// waits. One that is less than an hour ahead would take it along.
    fn clocks_are_apart(&mut self) {
        let mut wrong = self.names.clone();
        wrong.shuffle(&mut self.rng);
        wrong.truncate(self.names.len() / 2 + 1);
        self.clocks_are_wrong = true;
        let mut error = HOUR_MS;
        for name in wrong {
            error += self.rng.random_range(5 * MINUTE_MS..30 * DAY_MS);
            self.tell(&format!("the clock of {name} is {error} ms ahead, and no majority agrees"));
            self.world.host(&name).clock_error.store(error, Ordering::Relaxed);
        }
    }

    /// A voter comes back empty. Before it has a vote again, the leader is out of sight, and the next one is killed as soon as
    /// that one has heard of it: the first leads on, as far as it knows, and a node without a vote knows a newer term.
    fn wipe_and_kill_the_next_leader(&mut self, wiped: &str) -> Result<(), String> {
        self.wipe(wiped)?;
        self.soon(|driver| driver.is_without_a_vote(wiped))?;
        let Some(first) = self.leader().filter(|leader| leader != wiped && self.held.is_none()) else { return Ok(()) };
        let term = self.term();
        self.tell(&format!("{first}, which leads, is held up for {OUT_OF_SIGHT:?}"));
        self.hold(first.clone(), OUT_OF_SIGHT, None);
        let next = |driver: &Self| {
            let mut running = driver.running().into_iter();
            running.find_map(|(host, status)| (status.leads_in > Some(term)).then(|| host.name.clone()))
        };
        self.soon(|driver| {
            let knows = driver.world.host(wiped).cluster().is_some_and(|cluster| cluster.status().term > term);
            knows && next(driver).is_some()
        })?;
        let Some(next) = next(self).filter(|next| next != wiped && self.is_without_a_vote(wiped)) else {
            return Ok(());
        };
        self.tell(&format!("{next}, which leads since, is killed"));
        self.crash(&next, |disk, _| disk.cached())
    }

    /// Cuts a node off as soon as it receives a state: what came is kept, and gone on with when it is heard again.
    fn break_a_transfer_to(&mut self, name: &str) -> Result<(), String> {
        // Its first part is rows, and is sent again: from the sessions on it is gone on with.
        let bytes = 1 << self.rng.random_range(BROKEN_AFTER);
        let receives = |driver: &Self| {
            let status = driver.world.host(name).cluster().map(|cluster| cluster.status());
            status.is_some_and(|status| status.receiving_bytes >= Some(bytes))
        };
        self.soon(receives)?;
        if !receives(self) || !self.cuts.is_empty() || self.held.is_some() {
            return Ok(());
        }
        for (from, to) in self.others(name).iter().flat_map(|other| both(name, other)) {
            self.tell(&format!("{to}, in the middle of a state, hears nothing of {from}"));
            self.sim.partition_oneway(from.as_str(), to.as_str());
            self.cuts.insert((from, to));
        }
        self.lasts(OUT_OF_SIGHT)?;
        self.reconnect();
        Ok(())
    }

    /// Whether it is in a cluster and has no vote there.
    fn is_without_a_vote(&self, name: &str) -> bool {
        let status = self.world.host(name).cluster().map(|cluster| cluster.status());
        status.is_some_and(|status| status.has_leader && !status.voters.contains(&status.node))
    }

    /// Lets time go on until that is so, for a while at the most.
    fn soon(&mut self, holds: impl Fn(&Self) -> bool) -> Result<(), String> {
        let give_up = self.sim.elapsed() + OUT_OF_SIGHT;
        while !holds(self) && self.sim.elapsed() < give_up {
            self.step()?;
        }
        Ok(())
    }

    /// From now on nothing that a node says arrives, nor does it hear anything.
    fn hold(&mut self, name: String, time: Duration, stands_still: Option<Duration>) {
        for other in self.others(&name) {
            self.sim.hold(name.as_str(), other.as_str());
        }
        self.held = Some(Held { name, until: self.sim.elapsed() + time, stands_still });
    }

    /// Cuts a leader off in the middle of many writes, which nobody else has, and damages its state before it hears of its
    /// successor: its log ends in entries that are none.
    fn damage_a_leader_left_behind(&mut self, leader: &str) -> Result<(), String> {
        self.tell(&format!("{leader}, which leads, is asked for many writes and cut off"));
        let place = self.names.iter().position(|name| name == leader).unwrap_or(0);
        let (clients, nth) = (self.clients.clone(), self.drawn);
        self.guests.push(format!("crowd{nth}"));
        self.sim.client(format!("crowd{nth}"), async move {
            clients::crowd(clients, place, nth).await;
            Ok(())
        });
        // A round of writes is in its log, and on its way to the others.
        for _ in 0..MAX_STEPS_TO_A_ROUND {
            if self.uncommitted(leader) >= ROUND {
                break;
            }
            self.step()?;
        }
        for other in self.others(leader) {
            self.sim.partition(leader, other.as_str());
        }
        let time = Duration::from_millis(self.rng.random_range(300..1_500));
        self.lasts(time)?;
        self.crash_without_state(leader)?;
        for other in self.others(leader) {
            self.sim.repair(leader, other.as_str());
        }
        self.tell(&format!("{leader} is killed, and its state is damaged"));
        self.start(leader)
    }

    fn uncommitted(&self, name: &str) -> usize {
        let Some(cluster) = self.world.host(name).cluster() else { return 0 };
        let committed = cluster.status().committed;
        cluster.log_ids().iter().filter(|entry| Some(entry.index) > committed).count()
    }

    pub(super) fn operator(&mut self, node: &str, wish: Wish) {
        self.tell(&format!("an operator asks {node} for {wish:?}"));
        let (world, node, nth) = (self.world.clone(), node.to_owned(), self.guests.len());
        world.operators.fetch_add(1, Ordering::Relaxed);
        self.guests.push(format!("operator{nth}"));
        self.sim.client(format!("operator{nth}"), async move {
            operator::asks(world, node, wish).await;
            Ok(())
        });
    }
}

fn both(one: &str, other: &str) -> [(String, String); 2] {
    [(one.into(), other.into()), (other.into(), one.into())]
}
