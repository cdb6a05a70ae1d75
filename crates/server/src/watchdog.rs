//! A watchdog: ends the process when something in it does not come back.
//!
//! A disk that fails says so, and the node stops. One that hangs says nothing: whoever asked it waits, with the locks that
//! it holds, others wait for those, and in the end nobody is answered. If it is the leader, its heartbeats go on, and the
//! whole cluster waits with it. A process that is gone is what a cluster is made for, so that is what becomes of it.
//!
//! It runs on a thread of its own, which asks nothing of the disk and takes no lock that is held across it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sessile_store::Progress;
use tokio::task::JoinSet;
use tracing::error;

use crate::exit::{self, Failure, Status};
use crate::systemd::Notifier;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So many looks in a row at the same step are too many. Looks, and not time: a process that was frozen meanwhile, or a
/// machine that was asleep, has had no time to go on. Together half a minute: longer than what the engines wait for
/// themselves before they call a disk too slow.
const LOOKS: u32 = 60;

/// What a thread or the runtime does, and the words for it.
pub(crate) type Work = (&'static str, Progress);

/// Watches for as long as it lives.
pub(crate) struct Watchdog {
    watched: Arc<Mutex<Vec<Watched>>>,
    /// Nothing is ever sent: the thread ends when this is gone.
    _alive: SyncSender<()>,
    /// The one task that beats, until this is gone.
    _heart: JoinSet<()>,
}

impl Watchdog {
    /// Watches the runtime that this is called on, and tells the service manager as long as that gives its tasks their turns.
    /// `data_dir` is for the sentence at the end.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub(crate) fn start(data_dir: &Path, notifier: Notifier) -> io::Result<Self> {
        let pulse = Progress::default();
        let runtime = Watched::new(("giving its tasks a turn", pulse.clone()));
        let watched = Arc::new(Mutex::new(vec![runtime]));
        let mut signs = SignsOfLife::new(notifier, pulse.clone());
        let (data_dir, looked_at) = (data_dir.to_owned(), Arc::clone(&watched));
        let (alive, is_alive) = sync_channel(0);
        let watch = move || {
            while is_alive.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                if let Some(stuck) = looked_at.lock().iter_mut().find_map(Watched::look) {
                    end(&sentence(stuck, &data_dir));
                }
                signs.give(Instant::now());
            }
        };
        thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
        let mut heart = JoinSet::new();
        heart.spawn(beat(pulse));
        Ok(Self { watched, _alive: alive, _heart: heart })
    }

    /// Watches that work, too.
    pub(crate) fn watch(&self, work: impl IntoIterator<Item = Work>) {
        self.watched.lock().extend(work.into_iter().map(Watched::new));
    }
}

/// What is told to the service manager while the runtime answers, twice in the time that it waits.
struct SignsOfLife {
    notifier: Notifier,
    pulse: Progress,
    /// What was under way when the last one was given. At the same step nothing has moved since.
    step: Option<u64>,
    next: Option<Instant>,
}

impl SignsOfLife {
    fn new(notifier: Notifier, pulse: Progress) -> Self {
        Self { notifier, pulse, step: None, next: None }
    }

    /// Gives one, if it is time and the runtime has moved since the last.
    fn give(&mut self, now: Instant) -> bool {
        let Some(patience) = self.notifier.watchdog() else { return false };
        let step = self.pulse.under_way();
        if step == self.step || self.next.is_some_and(|next| now < next) {
            return false;
        }
        (self.step, self.next) = (step, Some(now + patience / 2));
        self.notifier.is_alive();
        true
    }
}

/// One step follows the other for as long as the runtime gives this task its turns.
async fn beat(pulse: Progress) {
    loop {
        let _step = pulse.begin();
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Some work, and what was seen of it last.
struct Watched {
    work: Work,
    step: Option<u64>,
    looks: u32,
}

impl Watched {
    fn new(work: Work) -> Self {
        Self { work, step: None, looks: 0 }
    }

    /// What it is, if the same step was under way for too long.
    fn look(&mut self) -> Option<&'static str> {
        let (what, progress) = &self.work;
        let step = progress.under_way();
        self.looks = if step.is_some() && step == self.step { self.looks + 1 } else { 0 };
        self.step = step;
        (self.looks >= LOOKS).then_some(what)
    }
}

fn sentence(what: &str, data_dir: &Path) -> String {
    format!(
        "the node stopped, so that others need not wait for it: {what} has not come back for {} s, as when the disk or the \
         storage engine hangs; see to the disk of {}, and start it again: it finds what it acknowledged",
        (LOOK_EVERY * LOOKS).as_secs(),
        data_dir.display()
    )
}

/// Ends the process as it stands: what hangs cannot be closed, and would not come back from it.
fn end(sentence: &str) -> ! {
    error!(fatal = true, "{sentence}");
    exit::report(&Failure::new(Status::Failure, sentence).into());
    std::process::exit(Status::Failure.code().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_does_not_end_is_told_after_many_looks_and_no_other() {
        let progress = Progress::default();
        let mut watched = Watched::new(("writing", progress.clone()));
        for _ in 0..LOOKS * 2 {
            assert_eq!(watched.look(), None, "nothing is under way");
        }
        for _ in 0..LOOKS * 2 {
            let _step = progress.begin();
            assert_eq!(watched.look(), None, "each is another one");
        }
        let _step = progress.begin();
        for _ in 0..LOOKS {
            assert_eq!(watched.look(), None);
        }
        assert_eq!(watched.look(), Some("writing"));
    }
}
