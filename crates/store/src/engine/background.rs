//! Work of an engine that no request waits for: the threads that answer requests go first.

use std::panic::resume_unwind;
use std::thread;

/// Where both want a processor, a thread in the background gets a tenth of what one gets that answers requests (Linux,
/// `sched(7)`: 110 parts beside 1,024). Not less: on a machine that is always busy, tables have to be written too, or
/// writes wait for room.
const NICE: i32 = 10;

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
