//! Work of an engine that no request waits for: the threads that answer requests go first.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fjall::compaction::filter::{CompactionFilter, CompactionFilterResult, Context, Factory, ItemAccessor, Verdict};

/// Where both want a processor, a thread in the background gets a tenth of what one gets that answers requests (Linux,
/// `sched(7)`: 110 parts beside 1,024). Not less: on a machine that is always busy, tables have to be written too, or
/// writes wait for room.
const NICE: i32 = 10;

/// So long it works at a time. Linux moves threads that wait to a processor when it becomes idle: without rests, those who
/// answer requests were seen to queue at the other one for as long as a merge took.
const STRETCH: Duration = Duration::from_millis(1);
/// So long it rests then: it takes a quarter of a processor, which a node that is busy has left.
const REST: Duration = Duration::from_millis(3);

/// Whether work in the background should be done soon, and not rest.
#[derive(Clone, Default)]
pub(super) struct Hurry(Arc<AtomicBool>);

/// Work in the background that is done a stretch at a time.
pub(super) struct Stretches {
    hurry: Hurry,
    began: Instant,
}

impl Hurry {
    pub(super) fn set(&self, hurry: bool) {
        self.0.store(hurry, Ordering::Relaxed);
    }

    pub(super) fn stretches(&self) -> Stretches {
        Stretches { hurry: self.clone(), began: Instant::now() }
    }
}

impl Stretches {
    /// To be called between any two small parts of the work.
    pub(super) fn rest(&mut self) {
        if self.began.elapsed() >= STRETCH && !self.hurry.0.load(Ordering::Relaxed) {
            thread::sleep(REST);
            self.began = Instant::now();
        }
    }
}

/// fjall asks a filter what becomes of each record that it merges: this one keeps them all, and has the merge rest.
impl Factory for Hurry {
    fn name(&self) -> &str {
        "stretches"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(self.stretches())
    }
}

impl CompactionFilter for Stretches {
    fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> CompactionFilterResult {
        self.rest();
        Ok(Verdict::Keep)
    }
}

/// Work that is begun from several places, and done by one thread at a time.
#[derive(Clone, Default)]
pub(super) struct OneAtATime(Arc<AtomicBool>);

impl OneAtATime {
    /// Does it on a thread of that name, unless one is at it or there is no thread to be had.
    pub(super) fn begin(&self, name: &str, work: impl FnOnce() + Send + 'static) {
        if self.0.swap(true, Ordering::AcqRel) {
            return;
        }
        let at_it = self.0.clone();
        let work = move || {
            work();
            at_it.store(false, Ordering::Release);
        };
        if thread::Builder::new().name(name.to_owned()).spawn(work).is_err() {
            self.0.store(false, Ordering::Release);
        }
    }
}

/// Lets the calling thread, and those that it starts, go behind the others for as long as they live.
pub(super) fn go_to_background() {
    // Where it is not allowed, they take their turn like everybody else.
    let _ = rustix::process::nice(NICE);
}

/// Does work on a thread in the background, and waits for it.
pub(super) fn in_background<T: Send>(work: impl Fn() -> T + Sync) -> T {
    let work = &work;
    thread::scope(|scope| {
        let behind = move || {
            go_to_background();
            work()
        };
        match thread::Builder::new().name("background".to_owned()).spawn_scoped(scope, behind) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            // There is no thread to be had.
            Err(_) => work(),
        }
    })
}

#[cfg(test)]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    #[test]
    fn work_in_the_background_rests_after_a_stretch_unless_it_is_in_a_hurry() {
        let hurry = Hurry::default();
        let mut work = hurry.stretches();
        let began = work.began;
        hurry.set(true);
        thread::sleep(STRETCH);
        work.rest();
        assert_eq!(work.began, began, "it goes on");
        hurry.set(false);
        work.rest();
        assert!(began.elapsed() >= STRETCH + REST && work.began > began, "it rested, and begins another stretch");
    }

    #[test]
    fn work_in_the_background_and_the_threads_that_it_starts_go_behind_and_whoever_waits_for_it_does_not() {
        let own = getpriority_process(None).unwrap();
        let (work, started) = in_background(|| {
            let started = thread::scope(|scope| scope.spawn(|| getpriority_process(None).unwrap()).join().unwrap());
            (getpriority_process(None).unwrap(), started)
        });
        assert_eq!((work, started), ((own + NICE).min(19), (own + NICE).min(19)));
        assert_eq!(getpriority_process(None).unwrap(), own);
    }
}
