use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use tracing::{info, warn};

use super::ballast::{Ballast, flush_bytes};
use super::damage::condemn;
use super::ended::Ended;
use super::plan::{Job, choose};
use super::store::Store;
use super::throttle::{FLUSHES, MERGES, give_way};
use super::{flush, merges};
use crate::engine::guard::{Fault, Guard};
use crate::engine::{EngineError, EngineOptions, home::Home};

/// Two merges at a time: a join of young runs, which is soon done, need not wait for a merge into the base.
const MERGERS: usize = 2;
/// How often a merger looks around when nobody calls it: what has lapsed meanwhile has to go.
const LOOK: Duration = Duration::from_secs(1);
/// What "a few MiB" are.
const AT_ONCE_BYTES: usize = 4 * 1024 * 1024;
/// How long lies between two files that are removed: a file system that frees a gigabyte at once, and tells the disk so
/// (discard), made syncs of the Raft log wait for half a second. Merges replace fewer than ten tables a second.
const REMOVAL_PAUSE: Duration = Duration::from_millis(100);
/// How often a file that is to be removed is looked at, while somebody reads it.
const LOOK_AT_READERS: Duration = Duration::from_millis(50);
/// How long one that found no room waits before it tries again.
const NO_ROOM_PAUSE: Duration = Duration::from_millis(500);

/// An open store with those who work on it in the background.
pub(super) struct Background {
    pub(super) store: Store,
    guard: Guard,
    ballast: Ballast,
    flushes: Mutex<Flushes>,
    /// A flush was asked for, or has ended.
    flush_bell: Condvar,
    merges: Mutex<Merges>,
    /// There may be something to merge.
    merge_bell: Condvar,
    /// The disk had no room for what was last tried.
    is_out_of_space: AtomicBool,
}

/// Counts flushes: each that is asked for while none is waiting gets the next number.
#[derive(Default)]
struct Flushes {
    asked: u64,
    begun: u64,
    done: u64,
    /// How often there was no room for one.
    refused: u64,
    /// What the operating system said the last time.
    refusal: String,
}

#[derive(Default)]
struct Merges {
    /// How often there was something new to look at.
    calls: u64,
    /// Whether a merge waits for room, which has been said.
    lacks_room: bool,
}

impl Background {
    /// Opens a store and starts its threads.
    pub(super) fn open(home: Home, options: EngineOptions) -> Result<(Arc<Self>, Vec<JoinHandle<()>>), EngineError> {
        let background = Arc::new(Self::without_threads(home, options)?);
        background.ballast.fill(background.store.table_bytes());
        let mut threads = Vec::new();
        threads.push(background.start("flush", FLUSHES, Self::flush_until_stopped)?);
        for _ in 0..MERGERS {
            threads.push(background.start("merge", MERGES, Self::merge_until_stopped)?);
        }
        threads.push(background.start("remove", MERGES, Self::remove_until_stopped)?);
        Ok((background, threads))
    }

    /// Opens a store on which nobody works: whoever opened it flushes and merges.
    pub(super) fn without_threads(home: Home, options: EngineOptions) -> Result<Self, EngineError> {
        let guard = home.guard();
        let mut store = guard.read("opening", || Store::open(home, options))?;
        let ballast = Ballast::new(store.home().dir(), store.pace.buffer_bytes() as u64);
        store.home_mut().created()?;
        Ok(Self {
            store,
            guard,
            ballast,
            flushes: Mutex::default(),
            flush_bell: Condvar::new(),
            merges: Mutex::default(),
            merge_bell: Condvar::new(),
            is_out_of_space: AtomicBool::new(false),
        })
    }

    fn start(self: &Arc<Self>, name: &str, nice: i32, work: fn(&Self)) -> Result<JoinHandle<()>, EngineError> {
        let background = self.clone();
        let behind = move || {
            give_way(nice);
            work(&background);
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(behind);
        thread.map_err(|error| {
            self.stop();
            self.guard.error("starting a thread", error.into())
        })
    }

    /// Tells all threads to end soon.
    pub(super) fn stop(&self) {
        self.store.stop();
        // Under their locks, so that nobody looks before and sleeps after.
        drop(self.flushes.lock());
        self.flush_bell.notify_all();
        drop(self.merges.lock());
        self.merge_bell.notify_all();
    }

    /// Asks for a flush of all that was written before, if none is waiting to begin. Its number comes back.
    pub(super) fn ask_to_flush(&self) -> u64 {
        let mut flushes = self.flushes.lock();
        if flushes.asked == flushes.begun {
            flushes.asked += 1;
            self.flush_bell.notify_all();
        }
        flushes.asked
    }

    /// Waits until a flush is done, or there was no room for one.
    pub(super) fn wait_for_flush(&self, number: u64) -> Result<(), EngineError> {
        let mut flushes = self.flushes.lock();
        let refused = flushes.refused;
        loop {
            self.guard.check("writing a table")?;
            if flushes.done >= number {
                return Ok(());
            }
            if flushes.refused > refused {
                return Err(EngineError::NoRoom { dir: self.guard.dir(), reason: flushes.refusal.clone() });
            }
            if self.store.is_stopping() {
                return Err(self.guard.closed());
            }
            self.flush_bell.wait(&mut flushes);
        }
    }

    /// Waits until a write may be taken: a little, when flushes or merges are behind, and as long as the buffer is full.
    pub(super) fn wait_for_room(&self, bytes: usize) -> Result<(), EngineError> {
        let pause = self.store.pace.wait(self.store.buffered_bytes(), bytes);
        if !pause.is_zero() {
            thread::sleep(pause);
        }
        let is_full = || self.store.buffered_bytes() >= self.store.pace.buffered_max_bytes();
        if is_full() {
            let mut flushes = self.flushes.lock();
            while is_full() {
                self.guard.check("writing a table")?;
                if self.store.is_stopping() {
                    return Err(self.guard.closed());
                }
                self.flush_bell.wait(&mut flushes);
            }
        }
        self.guard.check("write")
    }

    /// Room on the disk without which merges or a flush may not be possible.
    pub(super) fn reserve_bytes(&self) -> u64 {
        self.store.shape().merge_bytes() + flush_bytes(self.store.buffered_bytes())
    }

    /// Whether a batch of a few MiB would be taken without a wait.
    pub(super) fn takes_writes_at_once(&self) -> bool {
        let buffered = self.store.buffered_bytes() + AT_ONCE_BYTES;
        let pace = &self.store.pace;
        !self.store.writing.is_locked()
            && buffered < pace.buffered_max_bytes()
            && pace.wait(buffered, AT_ONCE_BYTES).is_zero()
    }

    /// Whether the disk had no room for what was last tried.
    pub(super) fn is_out_of_space(&self) -> bool {
        self.is_out_of_space.load(Ordering::Relaxed)
    }

    /// Whether it had none, and two of three buffers wait for it.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is_out_of_space() && self.store.buffered_bytes() >= self.store.pace.buffered_max_bytes() / 3 * 2
    }

    /// Something has changed that a merge may follow from.
    pub(super) fn call_mergers(&self) {
        self.merges.lock().calls += 1;
        self.merge_bell.notify_all();
    }

    /// Lets work in the background rest, or not, by how far it is behind.
    pub(super) fn set_throttle(&self, buffered: usize) {
        self.store.throttle.set_behind(self.store.pace.is_behind(buffered));
    }

    /// From now on the store catches up, or no longer.
    pub(super) fn set_catches_up(&self, catches_up: bool) {
        let pace = &self.store.pace;
        if pace.set_catches_up(catches_up) == catches_up {
            return;
        }
        pace.set_shape(&self.store.shape());
        self.set_throttle(self.store.buffered_bytes());
        self.call_mergers();
    }

    fn flush_until_stopped(&self) {
        let mut lacks_room = false;
        loop {
            let number = {
                let mut flushes = self.flushes.lock();
                while flushes.asked == flushes.done && !self.store.is_stopping() {
                    self.flush_bell.wait(&mut flushes);
                }
                if self.store.is_stopping() {
                    return;
                }
                flushes.begun = flushes.asked;
                flushes.asked
            };
            let flushed = self.guard.attempt(|| flush::flush(&self.store));
            let mut flushes = self.flushes.lock();
            match flushed {
                Ok(Ended::Done) => {
                    self.is_out_of_space.store(false, Ordering::Relaxed);
                    flushes.done = number;
                    if std::mem::take(&mut lacks_room) {
                        info!("the disk has room for tables again: what waited in memory is in tables");
                    }
                }
                Ok(Ended::Stopped) => return,
                Err(fault) if fault.is_want_of_room() => {
                    flushes.refused += 1;
                    flushes.refusal = fault.to_string();
                    self.is_out_of_space.store(fault.is_want_of_space(), Ordering::Relaxed);
                    if !std::mem::replace(&mut lacks_room, true) {
                        warn!(
                            "there is no room for a table ({fault}): what was written waits in memory; free some room"
                        );
                    }
                    self.ballast.release();
                    self.flush_bell.notify_all();
                    self.flush_bell.wait_for(&mut flushes, NO_ROOM_PAUSE);
                    continue;
                }
                Err(fault) => {
                    self.guard.fail("writing a table", fault);
                    self.flush_bell.notify_all();
                    return;
                }
            }
            drop(flushes);
            self.flush_bell.notify_all();
            self.set_throttle(self.store.buffered_bytes());
            self.ballast.fill(self.store.table_bytes());
            self.call_mergers();
        }
    }

    fn merge_until_stopped(&self) {
        while !self.store.is_stopping() {
            let calls = self.merges.lock().calls;
            let Some(job) = self.begin_merge() else {
                let mut merges = self.merges.lock();
                if merges.calls == calls && !self.store.is_stopping() {
                    self.merge_bell.wait_for(&mut merges, LOOK);
                }
                continue;
            };
            let merged = self.guard.attempt(|| merges::run(&self.store, &job));
            self.end_merge(&job);
            self.set_throttle(self.store.buffered_bytes());
            match merged {
                Ok(Ended::Done) => {
                    if std::mem::take(&mut self.merges.lock().lacks_room) {
                        info!("the disk has room for merges again");
                    }
                    self.call_mergers();
                }
                Ok(Ended::Stopped) => return,
                Err(fault) if fault.is_want_of_room() => {
                    self.is_out_of_space.store(fault.is_want_of_space(), Ordering::Relaxed);
                    let mut merges = self.merges.lock();
                    if !std::mem::replace(&mut merges.lacks_room, true) {
                        warn!("there is no room for a merge ({fault}): it is tried again; free some room");
                    }
                    self.merge_bell.wait_for(&mut merges, NO_ROOM_PAUSE);
                }
                Err(fault) => {
                    if let Fault::Library(why) = &fault {
                        condemn(self.store.home().dir(), why);
                    }
                    self.guard.fail("merging tables", fault);
                    // Who waits for a flush is told.
                    drop(self.flushes.lock());
                    self.flush_bell.notify_all();
                    return;
                }
            }
        }
    }

    fn remove_until_stopped(&self) {
        while !self.store.is_stopping() {
            if self.store.remove_one() {
                if !self.is_out_of_space() {
                    thread::sleep(REMOVAL_PAUSE);
                }
                continue;
            }
            let again = if self.store.has_gone() { LOOK_AT_READERS } else { LOOK };
            let mut merges = self.merges.lock();
            if !self.store.is_stopping() {
                self.merge_bell.wait_for(&mut merges, again);
            }
        }
    }

    /// Chooses a merge, and keeps what it takes from others.
    fn begin_merge(&self) -> Option<Job> {
        let room = self.ballast.room_for_merges(self.store.buffered_bytes());
        let mut busy = self.store.busy.lock();
        let job = choose(&self.store.shape(), &busy, room)?;
        busy.add(&job);
        Some(job)
    }

    fn end_merge(&self, job: &Job) {
        self.store.busy.lock().remove(job);
    }
}
