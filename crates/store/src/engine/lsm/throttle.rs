//! Work of an engine that no request waits for: the threads that answer requests go first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Where both want a processor, a merge gets a tenth of what one gets that answers requests (Linux,
/// `sched(7)`: 110 parts beside 1,024). Not less: on a machine that is always busy, tables have to be written too, or
/// writes wait for room.
pub(super) const MERGES: i32 = 10;
/// A flush goes before merges (335 parts): writes wait for room behind it.
pub(super) const FLUSHES: i32 = 5;

/// So long it works at a time. Linux moves threads that wait to a processor when it becomes idle: without rests, those who
/// answer requests were seen to queue at the other one for as long as a merge took.
const STRETCH: Duration = Duration::from_millis(1);
/// So long it rests then: it takes a quarter of a processor, which a node that is busy has left.
const REST: Duration = Duration::from_millis(3);

/// Whether work in the background is behind, and so should not rest.
#[derive(Clone, Default)]
pub(super) struct Throttle(Arc<AtomicBool>);

/// Work in the background that rests after each stretch.
pub(super) struct Stretches {
    throttle: Throttle,
    began: Instant,
}

impl Throttle {
    pub(super) fn set_behind(&self, is_behind: bool) {
        self.0.store(is_behind, Ordering::Relaxed);
    }

    pub(super) fn stretches(&self) -> Stretches {
        Stretches { throttle: self.clone(), began: Instant::now() }
    }
}

impl Stretches {
    /// To be called between any two small parts of the work.
    pub(super) fn rest(&mut self) {
        if self.began.elapsed() >= STRETCH && !self.throttle.0.load(Ordering::Relaxed) {
            thread::sleep(REST);
            self.began = Instant::now();
        }
    }
}

/// Lets the calling thread, and those that it starts, go behind the others for as long as they live.
pub(super) fn give_way(nice: i32) {
    // Where it is not allowed, they take their turn like everybody else.
    let _ = rustix::process::nice(nice);
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn work_in_the_background_rests_after_a_stretch_unless_it_is_behind() {
        let throttle = Throttle::default();
        let mut work = throttle.stretches();
        let began = work.began;
        throttle.set_behind(true);
        thread::sleep(STRETCH);
        work.rest();
        assert_eq!(work.began, began, "it goes on");
        throttle.set_behind(false);
        work.rest();
        assert!(began.elapsed() >= STRETCH + REST && work.began > began, "it rested, and begins another stretch");
    }

    #[test]
    fn work_in_the_background_goes_behind_and_whoever_waits_for_it_does_not() {
        let own = getpriority_process(None).unwrap();
        let behind = thread::spawn(|| {
            give_way(MERGES);
            getpriority_process(None).unwrap()
        });
        assert_eq!(behind.join().unwrap(), (own + MERGES).min(19));
        assert_eq!(getpriority_process(None).unwrap(), own);
    }
}
