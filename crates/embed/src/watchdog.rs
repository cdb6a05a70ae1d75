//! A watchdog: tells when something in a node does not come back.
//!
//! A disk that fails says so, and the node stops. One that hangs says nothing: whoever asked it waits, with the locks that
//! it holds, others wait for those, and in the end nobody is answered. If it is the leader, its heartbeats go on, and the
//! whole cluster waits with it.
//!
//! It runs on a thread of its own, which asks nothing of the disk and takes no lock that is held across it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use sessile_store::Progress;

/// So many looks in a row at the same step are too many. Looks, and not time: a process that was frozen meanwhile, or a
/// machine that was asleep, has had no time to go on. Together half a minute: longer than what the engines wait for
/// themselves before they call a disk too slow.
const LOOKS: u32 = 60;

/// What a thread or the runtime does, one step at a time, and the words for it.
pub type Work = (&'static str, Progress);

/// What is called with a sentence when something hangs.
pub type OnHang = Box<dyn FnOnce(&str) + Send>;

/// What a program adds to the watchdog of its node. By default nothing: the node then has a fault when something hangs.
#[derive(Default)]
pub struct Watch {
    /// Work of the program's own that is watched, too.
    pub also: Vec<Work>,
    /// Called after each look that found nothing, on the watchdog's thread.
    pub after_each_look: Option<Box<dyn FnMut() + Send>>,
    /// Called on the watchdog's thread, with a sentence, when something hangs. The runtime may be what hangs. If it returns,
    /// the node has a fault, as without it.
    pub hangs: Option<OnHang>,
}

impl Watch {
    /// How often the watchdog looks.
    pub const LOOK_EVERY: Duration = Duration::from_millis(500);
}

/// Watches for as long as it lives.
pub(crate) struct Watchdog {
    watched: Arc<Mutex<Vec<Watched>>>,
    /// Nothing is ever sent: the thread ends when this is gone.
    _alive: SyncSender<()>,
}

impl Watchdog {
    /// Watches what the program adds, and calls `tell` with a sentence when something hangs. `data_dir` is for the sentence.
    ///
    /// # Errors
    /// If there is no thread for it.
    pub(crate) fn start(data_dir: &Path, watch: Watch, tell: impl FnOnce(String) + Send + 'static) -> io::Result<Self> {
        let Watch { also, after_each_look, hangs } = watch;
        let watched = Arc::new(Mutex::new(also.into_iter().map(Watched::new).collect()));
        let (alive, is_alive) = sync_channel(0);
        let round = Round { watched: Arc::clone(&watched), data_dir: data_dir.to_owned(), after_each_look };
        let watch = move || {
            let mut round = round;
            while is_alive.recv_timeout(Watch::LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
                if let Some(sentence) = round.look() {
                    if let Some(hangs) = hangs {
                        hangs(&sentence);
                    }
                    return tell(sentence);
                }
            }
        };
        thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
        Ok(Self { watched, _alive: alive })
    }

    /// Watches that work, too.
    pub(crate) fn watch(&self, work: impl IntoIterator<Item = Work>) {
        self.watched.lock().extend(work.into_iter().map(Watched::new));
    }
}

/// What the thread does again and again.
struct Round {
    watched: Arc<Mutex<Vec<Watched>>>,
    data_dir: PathBuf,
    after_each_look: Option<Box<dyn FnMut() + Send>>,
}

impl Round {
    /// A sentence, if something hangs.
    fn look(&mut self) -> Option<String> {
        if let Some(stuck) = self.watched.lock().iter_mut().find_map(Watched::look) {
            return Some(sentence(stuck, &self.data_dir));
        }
        if let Some(after) = &mut self.after_each_look {
            after();
        }
        None
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
        (Watch::LOOK_EVERY * LOOKS).as_secs(),
        data_dir.display()
    )
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

    #[test]
    fn a_look_that_finds_nothing_is_told_and_one_that_finds_something_ends_in_a_sentence() {
        let (progress, looks) = (Progress::default(), Arc::new(Mutex::new(0)));
        let seen = Arc::clone(&looks);
        let mut round = Round {
            watched: Arc::new(Mutex::new(vec![Watched::new(("writing", progress.clone()))])),
            data_dir: PathBuf::from("/data"),
            after_each_look: Some(Box::new(move || *seen.lock() += 1)),
        };
        let _step = progress.begin();
        let said = (0..=LOOKS).find_map(|_| round.look()).unwrap();
        assert!(said.contains("writing has not come back for 30 s") && said.contains("/data"), "{said}");
        assert_eq!(*looks.lock(), LOOKS);
    }
}
