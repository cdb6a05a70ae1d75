//! What this program adds to the watchdog of its node: it watches the runtime, gives the service manager signs of life, and
//! ends the process when something does not come back. A process that is gone is what a cluster is made for.

use std::time::Instant;

use sessile_embed::Watch;
use sessile_store::Progress;
use tokio::task::JoinSet;
use tracing::error;

use crate::exit::{self, Failure, Status};
use crate::systemd::Notifier;

/// The one task that beats, until this is gone.
pub(crate) struct Heart {
    _beats: JoinSet<()>,
}

/// Has the runtime watched that this is called on, and the service manager told as long as that gives its tasks their turns.
pub(crate) fn watch(notifier: Notifier) -> (Watch, Heart) {
    let pulse = Progress::default();
    let mut signs = SignsOfLife::new(notifier, pulse.clone());
    let watch = Watch {
        also: vec![("giving its tasks a turn", pulse.clone())],
        after_each_look: Some(Box::new(move || signs.give(Instant::now()))),
        hangs: Some(Box::new(|sentence| end(sentence))),
    };
    let mut beats = JoinSet::new();
    beats.spawn(beat(pulse));
    (watch, Heart { _beats: beats })
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
    fn give(&mut self, now: Instant) {
        let Some(patience) = self.notifier.watchdog() else { return };
        let step = self.pulse.under_way();
        if step == self.step || self.next.is_some_and(|next| now < next) {
            return;
        }
        (self.step, self.next) = (step, Some(now + patience / 2));
        self.notifier.is_alive();
    }
}

/// One step follows the other for as long as the runtime gives this task its turns.
async fn beat(pulse: Progress) {
    loop {
        let _step = pulse.begin();
        tokio::time::sleep(Watch::LOOK_EVERY).await;
    }
}

/// Ends the process as it stands: what hangs cannot be closed, and would not come back from it.
fn end(sentence: &str) -> ! {
    error!(fatal = true, "{sentence}");
    exit::report(&Failure::new(Status::Failure, sentence).into());
    std::process::exit(Status::Failure.code().into())
}
