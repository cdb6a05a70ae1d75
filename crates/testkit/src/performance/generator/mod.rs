//! A load that takes little of a processor itself: one thread, HTTP/1.1 on connections that stay open, requests and answers
//! by the bytes that they are. `sessile bench` asks for few keys again and again; this writes each key once, without an end,
//! and tells what each window of time came to while it goes on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::future::join_all;

mod connection;
mod content;
mod tally;

use connection::Connection;
use content::Content;
pub(super) use content::KEY_BYTES;
use tally::Tally;
pub(super) use tally::median_p99_ms;
pub(crate) use tally::{Totals, WINDOW, Window};

/// Where a node serves its sessions unless it is told otherwise.
const BASE: &str = "/sessions/v1/";

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    /// Where; each connection stays at one as long as that takes connections.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) connections: usize,
    /// How many requests one connection sends before it waits for their answers.
    pub(crate) depth: usize,
    /// So many a second, at moments of their own: each wait counts from when its request was due. Left out, each connection
    /// goes on as soon as it has its answers.
    pub(crate) rate: Option<u32>,
    pub(crate) work: Work,
    /// The number of the first key.
    pub(crate) first: u64,
    /// How many requests, unless it is stopped before.
    pub(crate) count: u64,
    pub(crate) value_bytes: usize,
    /// The path that the keys are under, with a slash at both ends.
    pub(crate) base: &'static str,
}

/// A kind of request. Keys have numbers, and are in no order of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Writes the next key, which lives for so many seconds.
    Put { ttl: u32 },
    /// Reads any key of the first so many.
    Get { of: u64 },
    /// Deletes the next key.
    Delete,
}

/// The load, going on.
pub(crate) struct Generator {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<std::io::Result<()>>>,
}

struct Shared {
    order: Order,
    content: Content,
    begin: Instant,
    /// How many requests were taken by a connection.
    taken: AtomicU64,
    stopped: AtomicBool,
    tally: Mutex<Tally>,
}

impl Order {
    /// New keys on 64 connections, one request at a time on each, as fast as they are answered and without an end.
    pub(crate) fn writes(addresses: Vec<SocketAddr>, value_bytes: usize) -> Self {
        let work = Work::Put { ttl: 86_400 };
        Self {
            addresses,
            connections: 64,
            depth: 1,
            rate: None,
            work,
            first: 0,
            count: u64::MAX,
            value_bytes,
            base: BASE,
        }
    }
}

impl Generator {
    pub(crate) fn start(order: Order) -> Self {
        let content = Content::new(order.value_bytes, order.base);
        let begin = Instant::now();
        let shared = Arc::new(Shared {
            order,
            content,
            begin,
            taken: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            tally: Mutex::new(Tally::default()),
        });
        let work = shared.clone();
        let thread = Some(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let connections = (0..work.order.connections).map(|nth| Connection::new(nth, work.clone()).run());
            runtime.block_on(join_all(connections));
            Ok(())
        }));
        Self { shared, thread }
    }

    /// Whether all requests were answered.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What it came to so far.
    pub(crate) fn totals(&self) -> Totals {
        self.shared.tally().totals().clone()
    }

    /// What each window came to that is over; the last one too once nothing goes on.
    pub(crate) fn windows(&self) -> Vec<Window> {
        let mut tally = self.shared.tally();
        if self.has_ended() {
            tally.close();
        }
        tally.windows().to_vec()
    }

    /// How long it has been going on.
    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.begin.elapsed()
    }

    /// The number of the key after the last one that was asked for.
    pub(crate) fn next_key(&self) -> u64 {
        self.shared.order.first + self.shared.taken.load(Ordering::SeqCst).min(self.shared.order.count)
    }

    /// Lets every connection have its answers, and asks for nothing more.
    pub(crate) fn stop(&mut self) -> Result<Totals, String> {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.end()
    }

    /// Waits until all requests were answered.
    pub(crate) fn end(&mut self) -> Result<Totals, String> {
        if let Some(thread) = self.thread.take() {
            let ended = thread.join().map_err(|_| "the load's thread panicked")?;
            ended.map_err(|error| format!("no load: {error}"))?;
        }
        Ok(self.totals())
    }
}

impl Drop for Generator {
    fn drop(&mut self) {
        // Nobody is left to tell of what it came to.
        let _ = self.stop();
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// The next request's place in the order; `None` if there is none left.
    fn take(&self) -> Option<u64> {
        let nth = self.taken.fetch_add(1, Ordering::SeqCst);
        (nth < self.order.count).then_some(nth)
    }

    /// The next one that is due already.
    fn take_due(&self) -> Option<u64> {
        let next = self.taken.load(Ordering::SeqCst);
        self.due(next).is_none_or(|due| due <= Instant::now()).then(|| self.take()).flatten()
    }

    /// When that request is due; `None` if that is at once.
    fn due(&self, nth: u64) -> Option<Instant> {
        self.order
            .rate
            .map(|rate| self.begin + Duration::from_nanos(nth.saturating_mul(1_000_000_000 / u64::from(rate.max(1)))))
    }
}

#[cfg(test)]
mod tests;
