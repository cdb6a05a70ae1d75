//! Machines that begin with a program of before, and have the newest one from one of their starts on.

use rand::Rng;
use sessile_core::RulesVersion;

use super::super::marks::Mark;
use super::{Driver, WHOLE_WITHIN};

impl Driver {
    /// A machine that is about to start has the newest program by now, or not.
    pub(super) fn may_be_upgraded(&mut self, name: &str) {
        let host = self.world.host(name).clone();
        if host.follows() == RulesVersion::SUPPORTED {
            return;
        }
        if self.all_are_newest || self.versions.random_bool(self.plan.upgrade.at_a_start) {
            host.has_a_program_of(RulesVersion::SUPPORTED);
            self.tell(&format!("{name} has the newest program"));
        }
    }

    /// Whoever still has a program of before gets the newest one, one after the other, if the seed wants it. Then the newest
    /// rules are in force that all know.
    pub(super) fn ends_the_upgrade(&mut self) -> Result<(), String> {
        if self.plan.upgrade.of_all {
            self.all_are_newest = true;
            for name in self.names.clone() {
                if self.world.host(&name).follows() == RulesVersion::SUPPORTED {
                    continue;
                }
                self.tell(&format!("{name} is told to stop, to have the newest program"));
                self.world.host(&name).is_told_to_stop();
                self.until(&format!("{name} is upgraded, and all vote"), WHOLE_WITHIN, |driver| {
                    let host = driver.world.host(&name);
                    let is_newest = host.follows() == RulesVersion::SUPPORTED && host.cluster().is_some();
                    if is_newest { driver.is_whole() } else { Err(format!("{name} runs the program of before")) }
                })?;
            }
        }
        self.until("the newest rules are in force that all know", WHOLE_WITHIN, Self::goes_by_newest_rules)?;
        let are_newest = self.names.iter().all(|name| self.world.host(name).follows() == RulesVersion::SUPPORTED);
        if are_newest && !self.plan.upgrade.older.is_empty() {
            self.world.marks.reach(Mark::Upgraded);
        }
        Ok(())
    }
}
