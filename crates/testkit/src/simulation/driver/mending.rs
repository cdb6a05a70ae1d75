//! What mends the damage of the nemesis.

use std::sync::atomic::Ordering;

use rand::Rng;
use rand::seq::IteratorRandom;

use super::super::marks::Mark;
use super::{Driver, Held};

impl Driver {
    /// Mends one thing. Says whether there was anything to mend.
    pub(super) fn mend_one(&mut self) -> Result<bool, String> {
        if !self.cuts.is_empty() && self.rng.random_bool(0.4) {
            self.reconnect();
            return Ok(true);
        }
        if self.slow.is_some() && self.rng.random_bool(0.3) {
            self.hasten();
            return Ok(true);
        }
        let Some(name) = self.down.iter().choose(&mut self.rng).cloned() else { return Ok(false) };
        self.start(&name)?;
        Ok(true)
    }

    pub(super) fn mend(&mut self) -> Result<(), String> {
        self.tell("everything is mended");
        self.release();
        self.reconnect();
        self.hasten();
        self.clocks_are_right();
        for host in self.world.hosts() {
            host.disk_delay.store(1, Ordering::Relaxed);
            host.disk().fails_after = None;
        }
        self.in_turn.clear();
        self.kill_in_change = false;
        self.restart_what_ended()?;
        for name in self.down.clone() {
            self.start(&name)?;
        }
        Ok(())
    }

    pub(super) fn release(&mut self) {
        let Some(Held { name, stands_still, .. }) = self.held.take() else { return };
        self.tell(&format!("{name} goes on"));
        for other in self.others(&name) {
            self.sim.release(name.as_str(), other.as_str());
        }
        if let Some(time) = stands_still {
            if self.is_deposed(&name) {
                self.world.marks.reach(Mark::StoodStillAsLeader);
            }
            let host = self.world.host(&name);
            host.disk_delay.store(1, Ordering::Relaxed);
            host.stood_still(time);
        }
    }

    pub(super) fn reconnect(&mut self) {
        for (from, to) in std::mem::take(&mut self.cuts) {
            self.tell(&format!("{to} hears {from} again"));
            self.sim.repair_oneway(from.as_str(), to.as_str());
        }
    }

    pub(super) fn hasten(&mut self) {
        if let Some((one, other)) = self.slow.take() {
            self.tell(&format!("between {one} and {other} messages are as fast as ever"));
            self.is_as_far_as_ever(&one, &other);
        }
    }

    /// Between these two messages take as long as their places are far.
    pub(super) fn is_as_far_as_ever(&self, one: &str, other: &str) {
        let place = |name: &str| self.names.iter().position(|known| known == name).unwrap_or(0);
        let (least, most) = self.plan.distance.latency(place(one), place(other));
        self.sim.set_link_latency(one, other, least);
        self.sim.set_link_max_message_latency(one, other, most);
    }

    pub(super) fn clocks_are_right(&mut self) {
        self.tell("all clocks are right");
        (self.clocks_are_wrong, self.clocks_right_at) = (false, self.sim.elapsed());
        self.world.hosts().for_each(|host| host.clock_error.store(0, Ordering::Relaxed));
    }
}
