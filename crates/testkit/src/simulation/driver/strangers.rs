//! Machines that were elsewhere or were not there before: addresses that change, newcomers under new names, copies of disks.

use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use sessile_store::NodeId;

use super::super::disk::Tree;
use super::super::marks::Mark;
use super::super::operator::Wish;
use super::super::world::lock;
use super::{Driver, WHOLE_WITHIN};

/// The machine on which copies of disks are started.
pub(super) const TWIN: &str = "twin";
/// How long a copy may run before it is refused: it looks for the other one at its start.
const REFUSED_WITHIN: Duration = Duration::from_secs(30);
/// How often an operator asks for a change that has not come about.
const ASKED_EVERY: Duration = Duration::from_secs(3);

impl Driver {
    /// One, two or all of these come back at other addresses.
    pub(super) fn move_some(&mut self, mut up: Vec<String>) -> Result<(), String> {
        up.shuffle(&mut self.rng);
        let count = [1, 1, 2, up.len()].choose(&mut self.rng).copied().unwrap_or(1);
        up.truncate(count);
        for name in &up {
            self.tell(&format!("{name} is killed, to come back at another address"));
            self.crash(name, |disk, _| disk.cached())?;
            self.world.host(name).moves();
        }
        for name in up {
            let pause = Duration::from_millis(self.rng.random_range(10..500));
            self.lasts(pause)?;
            self.start(&name)?;
        }
        Ok(())
    }

    /// A machine is gone for good. Another one comes in its place, under a name of its own, and an operator has it take that
    /// place.
    pub(super) fn replace_with_newcomer(&mut self, old: &str) -> Result<bool, String> {
        let place = self.names.iter().position(|name| name == old);
        let node = self.world.host(old).cluster().map(|cluster| cluster.status().node);
        let (Some(place), Some(node)) = (place, node) else { return Ok(false) };
        let Some(new) = self.spares.pop() else { return Ok(false) };
        self.tell(&format!("{old} is gone for good, and {new} comes in its place"));
        // With one voter less every election needs all others, and none is won whose voters need longer to write a vote down
        // than openraft waits for it (docs/defects.md). Whoever sees to the machine sees to that.
        self.world.hosts().for_each(|host| host.disk_delay.store(1, Ordering::Relaxed));
        self.crash(old, |disk, _| disk.cached())?;
        self.down.remove(old);
        self.image = self.image.take().filter(|(of, _)| of != old);
        self.world.is_at(place, &new);
        self.names[place].clone_from(&new);
        self.register(&new);
        self.kill_in_change = self.rng.random_bool(0.3);
        let give_up = self.sim.elapsed() + WHOLE_WITHIN;
        while self.is_a_member(node) || self.is_settled().is_err() {
            if self.sim.elapsed() >= give_up {
                return Err(format!("{WHOLE_WITHIN:?} were not enough to replace {old} by {new}:\n{}", self.words()));
            }
            self.lasts(ASKED_EVERY)?;
            self.restart_what_ended()?;
            for name in self.down.clone() {
                self.start(&name)?;
            }
            let Some(asked) = self.up().choose(&mut self.rng).cloned() else { continue };
            if self.is_a_member(node) {
                let replace = Wish::Replace(old.to_owned(), new.clone());
                self.promoted.by_command(&new);
                let wish = if self.rng.random_bool(0.5) { replace } else { Wish::Remove(old.to_owned()) };
                self.operator(&asked, wish);
            }
        }
        self.world.marks.reach(Mark::ReplacedUnderNewName);
        Ok(true)
    }

    /// Whether anybody who runs still counts that node.
    fn is_a_member(&self, node: NodeId) -> bool {
        let counts = |status: &sessile_cluster::Status| {
            status.voters.contains(&node) || status.members.iter().any(|member| member.node == node)
        };
        self.running().iter().any(|(_, status)| counts(status))
    }

    /// Starts a copy of a running node's disk on another machine. It must be told why it may not run.
    pub(super) fn start_a_copy(&mut self, name: &str) -> Result<(), String> {
        let failed = |error: std::io::Error| error.to_string();
        let image = self.world.host(name).disk().durable().map_err(failed)?;
        self.tell(&format!("a copy of the disk of {name} is started on another machine"));
        let twin = self.world.host(TWIN).clone();
        twin.disk().becomes(&image).map_err(failed)?;
        *lock(&twin.copy_of) = Some(name.to_owned());
        twin.has_a_program_of(self.world.host(name).follows());
        twin.state_was_taken.store(self.world.host(name).state_was_taken.load(Ordering::Relaxed), Ordering::Relaxed);
        if self.registered.contains(TWIN) {
            self.sim.bounce(TWIN);
        } else {
            self.register(TWIN);
        }
        self.until("the copy is refused", REFUSED_WITHIN, |driver| match driver.world.host(TWIN).ended() {
            Some(why) if why.contains("is a copy of its own") => Ok(()),
            Some(why) => Err(format!("it ended: {why}")),
            None => Err("it runs".into()),
        })?;
        self.world.marks.reach(Mark::CopyRefused);
        self.crash(TWIN, |_, _| Ok(Tree::Directory([].into())))?;
        self.down.remove(TWIN);
        Ok(())
    }
}
