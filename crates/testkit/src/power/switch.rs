use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::disk::{Disk, Inode};
use crate::PATIENCE;

/// A disk behind a switch that turns its power off at a certain change.
///
/// From that moment on nothing that is asked of it returns until [`Switch::turn_off`] says that whoever asks is dying:
/// so a process learns nothing from the cut that it could tell to others.
#[derive(Debug)]
pub(super) struct Switch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    disk: Disk,
    power: Power,
    /// How many changes and syncs there were.
    changes: u64,
    /// The power goes before the change of this number.
    cut_at: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    On,
    /// It is gone, and those that use the disk are still there.
    Cut,
    Off,
}

impl Switch {
    pub(super) fn new(disk: Disk) -> Self {
        let state = State { disk, power: Power::On, changes: 0, cut_at: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// The power will go before so many more changes and one have happened.
    pub(super) fn cut_after(&self, changes: u64) {
        let mut state = self.lock();
        state.cut_at = Some(state.changes + changes + 1);
    }

    /// It goes now.
    pub(super) fn cut(&self) {
        self.lock().power = Power::Cut;
        self.changed.notify_all();
    }

    /// Waits for the cut; `false` if it does not come within that time.
    pub(super) fn waits_for_cut(&self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        let mut state = self.lock();
        while state.power == Power::On {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// What waits gets an error, as does whatever is asked from now on.
    pub(super) fn turn_off(&self) {
        self.lock().power = Power::Off;
        self.changed.notify_all();
    }

    /// Power again, for a disk to which something happened while it was off.
    pub(super) fn turn_on(&self, happened: impl FnOnce(&mut Disk)) {
        let mut state = self.lock();
        happened(&mut state.disk);
        (state.power, state.cut_at) = (Power::On, None);
        self.changed.notify_all();
    }

    pub(super) fn changes(&self) -> u64 {
        self.lock().changes
    }

    pub(super) fn looks<T>(&self, look: impl FnOnce(&Disk) -> Result<T, Errno>) -> Result<T, Errno> {
        look(&self.powered(self.lock())?.disk)
    }

    pub(super) fn opens(&self, inode: Inode) -> Result<(), Errno> {
        self.powered(self.lock())?.disk.opened(inode);
        Ok(())
    }

    pub(super) fn closes(&self, inode: Inode) {
        self.lock().disk.closed(inode);
    }

    pub(super) fn changes_it<T>(&self, change: impl FnOnce(&mut Disk) -> Result<T, Errno>) -> Result<T, Errno> {
        let mut state = self.powered(self.lock())?;
        state.changes += 1;
        if state.cut_at == Some(state.changes) {
            state.power = Power::Cut;
            self.changed.notify_all();
        }
        change(&mut self.powered(state)?.disk)
    }

    /// The state while there is power. What comes after the cut waits here for its end.
    fn powered<'a>(&'a self, mut state: MutexGuard<'a, State>) -> Result<MutexGuard<'a, State>, Errno> {
        let begin = Instant::now();
        while state.power == Power::Cut && begin.elapsed() < PATIENCE {
            state = self.changed.wait_timeout(state, PATIENCE).unwrap_or_else(PoisonError::into_inner).0;
        }
        if state.power == Power::On { Ok(state) } else { Err(Errno::IO) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
