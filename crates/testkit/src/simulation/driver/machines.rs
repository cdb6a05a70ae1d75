//! The simulation's machines: they end, their disks change, they start.

use std::sync::atomic::Ordering;

use rand::Rng;
use rand::rngs::SmallRng;
use sessile_core::RulesVersion;

use super::super::Defect;
use super::super::disk::{Disk, Tree};
use super::super::marks::Mark;
use super::super::planted::{forget_votes, wipe};
use super::Driver;

/// How often an operator heeds the alert of an older image before it is seen whether the member catches up.
const HEEDS_AT_ONCE: f64 = 0.3;

impl Driver {
    pub(super) fn others(&self, name: &str) -> Vec<String> {
        self.names.iter().filter(|other| *other != name).cloned().collect()
    }

    pub(super) fn cut_power(&mut self, name: &str) -> Result<(), String> {
        self.tell(&format!("{name} loses its power"));
        self.crash(name, Disk::after_power_cut)?;
        self.world.host(name).lost_power.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Ends a host at once, and takes the state of its program from it.
    pub(super) fn crash_without_state(&mut self, name: &str) -> Result<(), String> {
        self.crash(name, |disk, _| disk.without_state())?;
        self.world.host(name).state_was_taken.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Ends a host at once. What its disk holds afterwards is taken before anything of the program can end in order.
    pub(super) fn crash(
        &mut self,
        name: &str,
        left: impl Fn(&Disk, &mut SmallRng) -> std::io::Result<Tree>,
    ) -> Result<(), String> {
        let host = self.world.host(name).clone();
        let failed = |error: std::io::Error| format!("the disk of {name}: {error}");
        let left = left(&host.disk(), &mut self.rng).map_err(failed)?;
        // In silence: in which order a runtime that is dropped closes its connections depends on numbers that all runtimes of
        // this process share, and a seed is to be one story. Whoever sends to it from here on is told that nobody is there.
        let guests: Vec<String> = self.others(name).into_iter().chain(self.guests.iter().cloned()).collect();
        guests.iter().for_each(|guest| self.sim.partition(name, guest.as_str()));
        host.lost_power.store(false, Ordering::Relaxed);
        host.is_gone();
        self.sim.crash(name);
        guests.iter().for_each(|guest| self.sim.repair(name, guest.as_str()));
        for (from, to) in self.cuts.iter().filter(|(from, to)| from == name || to == name) {
            self.sim.partition_oneway(from.as_str(), to.as_str());
        }
        if let Some(held) = &mut self.held {
            // A process that has ended does not stand still any more.
            held.stands_still = held.stands_still.filter(|_| held.name != name);
            let held = held.name.clone();
            let others = if held == name { self.others(name) } else { vec![held] };
            others.iter().for_each(|other| self.sim.hold(name, other.as_str()));
        }
        let mut disk = host.disk();
        disk.fails_after = None;
        disk.becomes(&left).map_err(failed)?;
        drop(disk);
        self.down.insert(name.to_owned());
        Ok(())
    }

    pub(super) fn start(&mut self, name: &str) -> Result<(), String> {
        if self.to_wipe.remove(name) {
            self.tell(&format!("the disk of {name} is emptied"));
            wipe(self.world.host(name), self.planted)?;
            self.world.host(name).emptied.fetch_add(1, Ordering::Relaxed);
        }
        if self.planted == Some(Defect::VoteNotPersisted) {
            forget_votes(self.world.host(name))?;
        }
        // After an outage two members may go by the clock that is behind, because nobody knows which one is right, and time
        // jumps once there is a third (docs/proof.md).
        let two_may_go_on = self.up().len() + 1 < self.names.len() || !self.cuts.is_empty() || self.held.is_some();
        if self.clocks_are_wrong && two_may_go_on {
            self.clocks_are_right();
        }
        self.may_be_upgraded(name);
        self.tell(&format!("{name} starts"));
        self.sim.bounce(name);
        self.down.remove(name);
        Ok(())
    }

    /// Kills a node, and damages its state while it is down.
    pub(super) fn damage_state(&mut self, name: &str) -> Result<(), String> {
        if self.down.contains(name) {
            return Ok(());
        }
        self.tell(&format!("{name} is killed, and its state is damaged"));
        self.crash_without_state(name)?;
        self.start(name)
    }

    pub(super) fn wipe(&mut self, name: &str) -> Result<(), String> {
        self.tell(&format!("{name} is killed, to be wiped"));
        self.crash(name, |disk, _| disk.cached())?;
        self.to_wipe.insert(name.to_owned());
        self.start(name)
    }

    /// Takes an image of a disk, or brings the one back that was taken.
    pub(super) fn roll_back(&mut self, name: &str) -> Result<bool, String> {
        let Some((name, image)) = self.image.take() else {
            // One without a state would be taken for one that has lost it.
            if self.world.host(name).state_was_taken.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let image = self.world.host(name).disk().durable().map_err(|error| error.to_string())?;
            self.image = Some((name.to_owned(), image));
            return Ok(false);
        };
        if self.leader().as_ref() == Some(&name) {
            return Ok(false);
        }
        // What only one other node had besides would be on no majority any more.
        if !self.all_others_have_everything(&name) {
            self.image = Some((name, image));
            return Ok(false);
        }
        self.tell(&format!("the disk of {name} goes back to an older image"));
        let index = self.names.iter().map(|name| self.applied(name)).max().unwrap_or(0);
        self.crash(&name, |_, _| Ok(image.clone()))?;
        self.start(&name)?;
        self.rolled_back = Some((name, index));
        self.heeds_at_once = self.rng.random_bool(HEEDS_AT_ONCE);
        Ok(true)
    }

    /// Whether every other node has the newest entry that anybody has applied, the same one, and with it all before it.
    fn all_others_have_everything(&self, name: &str) -> bool {
        let newest = self.world.hosts().filter_map(|host| {
            let cluster = host.cluster()?;
            let applied = cluster.status().applied;
            cluster.log_ids().into_iter().rfind(|entry| Some(entry.index) <= applied)
        });
        let Some(newest) = newest.max_by_key(|entry| entry.index) else { return false };
        // Only who has a place: there are machines for newcomers, too.
        let others = self.others(name);
        let has_it = |other: &String| {
            let cluster = self.world.host(other).cluster();
            cluster.is_some_and(|cluster| cluster.log_ids().contains(&newest))
        };
        others.iter().all(has_it)
    }

    /// A program that has ended by itself or by order is started again by its machine; who was removed is wiped before.
    pub(super) fn restart_what_ended(&mut self) -> Result<(), String> {
        for name in self.up() {
            let Some(ended) = self.world.host(&name).ended() else { continue };
            // The place of the disks is another one at every run.
            let ended = ended.replace(&*self.scratch.path().to_string_lossy(), "");
            self.tell(&format!("{name} has ended: {ended}"));
            if ended.contains("Input/output error") {
                self.world.marks.reach(Mark::DiskFailed);
            }
            // By order, for good, or because a disk failed as it was told to. Of that openraft may know no more than that
            // its state machine has ended (`RaftCore::apply_to_state_machine` in 0.10.0-alpha.37).
            let expected = ["stopped", "was removed from", "was replaced in", "Input/output error"];
            let disk_failed = self.world.host(&name).disk().fails_after == Some(0);
            let hidden = disk_failed && ended.contains("when Write Apply") && ended.contains("channel closed");
            if !hidden && !expected.iter().any(|word| ended.contains(word)) {
                return Err(format!("{name} ended, and nothing was done to it that it should: {ended}"));
            }
            self.crash(&name, |disk, _| disk.cached())?;
            // Its image is of a member that is no more.
            if ended.contains("removed") {
                self.world.marks.reach(Mark::ToldThatRemoved);
                self.image = self.image.take().filter(|(of, _)| *of != name);
                // Others may go by newer rules since, and admit nobody who does not know them.
                self.world.host(&name).has_a_program_of(RulesVersion::SUPPORTED);
                self.to_wipe.insert(name);
            }
        }
        Ok(())
    }
}
