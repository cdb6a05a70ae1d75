use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::Client;

/// The pace of one.
const PAUSE: Duration = Duration::from_millis(200);
/// MediaWiki gives up after that.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
const SESSION: &str = "/sessions/v1/enwiki%3AMWSession%3A00000000000000000000000000000042";

/// A client that asks one node for one session again and again, ready or not, as clients did in January 2023.
pub(super) struct Insistent {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Asked>,
}

/// What it was told.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// How many answers of each status; 0 stands for none.
    pub(super) statuses: BTreeMap<u16, usize>,
    pub(super) longest: Duration,
}

impl Insistent {
    /// Stores its session at one node.
    pub(super) fn store(at: SocketAddr) -> Result<(), String> {
        let stored = Client::connect(at).and_then(|mut client| client.request("POST", SESSION, "", b"session"));
        match stored.map_err(|error| format!("{at}: {error}"))?.status {
            201 => Ok(()),
            status => Err(format!("{at} stores nothing: {status}")),
        }
    }

    /// Begins to ask.
    pub(super) fn ask(at: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let mut asked = Asked::default();
            while !stopped.load(Ordering::SeqCst) {
                let begin = Instant::now();
                let answer = Client::connect_patiently(at, PATIENCE)
                    .and_then(|mut client| client.request("GET", SESSION, "", b""));
                *asked.statuses.entry(answer.map_or(0, |answer| answer.status)).or_default() += 1;
                asked.longest = asked.longest.max(begin.elapsed());
                thread::sleep(PAUSE);
            }
            asked
        });
        Self { stop, thread }
    }

    /// Asks nothing more.
    pub(super) fn stop(self) -> Result<Asked, String> {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| "the insistent client panicked".to_owned())
    }
}
