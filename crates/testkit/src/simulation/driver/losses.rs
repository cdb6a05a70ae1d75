//! Losses that stay: some never come back, and what is left must serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::Rng;
use rand::seq::SliceRandom;

use super::super::clients;
use super::super::disk::Tree;
use super::super::marks::Mark;
use super::{Driver, LOOK_EVERY};

/// How long what is left may take until it serves: what an election takes, and again if the first one came to nothing, besides
/// twenty round trips.
const SERVES_WITHIN: Duration = Duration::from_secs(10);
const ROUND_TRIPS: u32 = 20;
/// How long it goes on before it is asked again, when nothing may fail any more.
const GOES_ON: Duration = Duration::from_secs(4);

impl Driver {
    /// Takes away as many as a majority can do without, for good: dead, emptied, or cut off. Says who is left.
    pub(super) fn lose_some_for_good(&mut self) -> Result<Vec<String>, String> {
        if self.plan.is_calm() || self.rng.random_bool(0.4) {
            return Ok(self.names.clone());
        }
        let mut left = self.names.clone();
        left.shuffle(&mut self.rng);
        let lost = left.split_off(left.len() - self.rng.random_range(1..=(left.len() - 1) / 2));
        for name in &lost {
            match self.rng.random_range(0..3) {
                0 => {
                    self.tell(&format!("{name} is dead, for good"));
                    self.crash(name, |disk, _| disk.cached())?;
                }
                1 => {
                    self.tell(&format!("{name} is dead and empty, for good"));
                    self.crash(name, |_, _| Ok(Tree::Directory([].into())))?;
                }
                _ => {
                    self.tell(&format!("{name} is cut off, for good"));
                    for other in self.others(name) {
                        self.sim.partition(name.as_str(), other.as_str());
                    }
                }
            }
        }
        // Nobody starts them again.
        self.down.retain(|name| !lost.contains(name));
        self.serves("what is left serves", &left, true)?;
        self.lasts(GOES_ON)?;
        self.serves("what is left goes on to serve", &left, false)?;
        self.world.marks.reach(Mark::ServedWithoutSome);
        left.sort();
        Ok(left)
    }

    /// Waits until a write and a read of it were answered by each of these; tried again when they were not, or not.
    fn serves(&mut self, what: &str, left: &[String], again: bool) -> Result<(), String> {
        let within = SERVES_WITHIN + ROUND_TRIPS * self.plan.distance.max_rtt();
        let places: Vec<usize> = self.places_of(left);
        let (served, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (common, done, gave_up) = (self.clients.clone(), served.clone(), failed.clone());
        let nth = self.guests.len();
        self.guests.push(format!("survivor{nth}"));
        self.sim.client(format!("survivor{nth}"), async move {
            for place in places {
                while !clients::is_served(common.clone(), place, nth).await {
                    gave_up.store(!again, Ordering::Relaxed);
                }
            }
            done.store(true, Ordering::Relaxed);
            Ok(())
        });
        let give_up = self.sim.elapsed() + within;
        while !served.load(Ordering::Relaxed) {
            if failed.load(Ordering::Relaxed) {
                return Err(format!("{what}, and one of its answers was none\n{}", self.words()));
            }
            if self.sim.elapsed() >= give_up {
                return Err(format!("{within:?} were not enough until {what}\n{}", self.words()));
            }
            for _ in 0..LOOK_EVERY {
                self.step()?;
            }
            self.restart_what_ended()?;
        }
        Ok(())
    }

    pub(super) fn places_of(&self, names: &[String]) -> Vec<usize> {
        let at = |name: &String| self.names.iter().position(|known| known == name);
        names.iter().filter_map(at).collect()
    }
}
