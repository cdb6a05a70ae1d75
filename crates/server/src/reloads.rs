//! What SIGHUP reloads: each part that can be reloaded says how.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::systemd::Notifier;

/// Reads anew what it was given, and puts it in use only if it is sound. May block. Says what is in use now, or why that is
/// still what was in use before.
type Reload = Box<dyn Fn() -> Result<String, String> + Send>;

/// The parts of a process that can be reloaded. Cheap to clone; clones share them.
#[derive(Clone, Default)]
pub struct Reloads {
    parts: Arc<Mutex<Vec<(&'static str, Reload)>>>,
    asked: Arc<Notify>,
}

impl Reloads {
    /// From here on `reload` runs whenever all is reloaded. It may block. `what` names it in the log.
    pub fn add(&self, what: &'static str, reload: impl Fn() -> Result<String, String> + Send + 'static) {
        self.parts.lock().push((what, Box::new(reload)));
    }

    /// Asks for all to be reloaded, and does not wait for it. Asked again meanwhile, it is done once more.
    pub(crate) fn ask(&self) {
        self.asked.notify_one();
    }

    /// Reloads whenever it is asked for.
    pub(crate) async fn run(&self, notifier: &Notifier) -> Infallible {
        loop {
            self.asked.notified().await;
            notifier.reloading();
            let reloads = self.clone();
            // A part that panics has kept what it had; the panic is in the log.
            let _ = spawn_blocking(move || reloads.tell()).await;
            notifier.ready();
        }
    }

    /// Reloads, and says in one line what came of it.
    fn tell(&self) {
        let (line, is_whole) = self.reload();
        if is_whole {
            info!("reloaded: {line}");
        } else {
            warn!("not all was reloaded: {line}");
        }
    }

    /// A sentence with a part for each, and whether every one was reloaded.
    fn reload(&self) -> (String, bool) {
        let parts = self.parts.lock();
        let done: Vec<_> = parts.iter().map(|(what, reload)| (what, reload())).collect();
        let words = done.iter().map(|(what, done)| match done {
            Ok(now) => format!("{what}: {now}"),
            Err(why) => format!("{what}: as before, because {why}"),
        });
        let line = words.collect::<Vec<_>>().join("; ");
        (if line.is_empty() { "nothing can be".to_owned() } else { line }, done.iter().all(|(_, done)| done.is_ok()))
    }
}

impl fmt::Debug for Reloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reloads").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_says_what_is_in_use_and_one_that_fails_keeps_none_of_the_others_from_it() {
        let reloads = Reloads::default();
        assert_eq!(reloads.reload(), ("nothing can be".to_owned(), true));
        reloads.add("log level", || Ok("debug".to_owned()));
        assert_eq!(reloads.reload(), ("log level: debug".to_owned(), true));
        reloads.add("certificates", || Err("cert.pem holds none".to_owned()));
        reloads.add("tokens", || Ok("2".to_owned()));
        let line = "log level: debug; certificates: as before, because cert.pem holds none; tokens: 2";
        assert_eq!(reloads.reload(), (line.to_owned(), false));
    }
}
