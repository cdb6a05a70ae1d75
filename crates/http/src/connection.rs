use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::metrics::Closed;

/// What is going on on one connection, as its parts tell each other: the service marks requests, [`Paced`] derives
/// deadlines from them, the server tells it to finish.
///
/// [`Paced`]: crate::paced::Paced
pub(crate) struct Connection {
    epoch: Instant,
    /// Requests that have no answer yet.
    in_flight: AtomicU32,
    /// Requests so far.
    requests: AtomicU64,
    /// When the last request was answered, or the connection accepted: microseconds after `epoch`.
    quiet_since: AtomicU64,
    /// The server's: whether answers tell the client to open its next connection elsewhere.
    closing: Arc<AtomicBool>,
    http2: AtomicBool,
    unread: AtomicBool,
    finish: AtomicBool,
    /// Why this side ended it, if it did.
    ended: OnceLock<Closed>,
    pub(crate) waker: AtomicWaker,
}

/// A request without an answer yet.
pub(crate) struct InFlight(Arc<Connection>);

impl Connection {
    /// A connection accepted now. All connections of a server share its epoch.
    pub(crate) fn new(epoch: Instant, closing: Arc<AtomicBool>) -> Arc<Self> {
        let connection = Self {
            epoch,
            in_flight: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            quiet_since: AtomicU64::new(0),
            closing,
            http2: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            finish: AtomicBool::new(false),
            ended: OnceLock::new(),
            waker: AtomicWaker::new(),
        };
        connection.mark_quiet();
        Arc::new(connection)
    }

    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Since when there is no request without an answer; `None` while there is one.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        let quiet = self.in_flight.load(Ordering::Relaxed) == 0;
        quiet.then(|| self.epoch + Duration::from_micros(self.quiet_since.load(Ordering::Relaxed)))
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    pub(crate) fn speaks_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    /// Whether the client sent, or is sending, a body that nobody read.
    pub(crate) fn has_unread_body(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(crate) fn leave_body_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    /// Tells it to take no further request and to end when it has answered those it has.
    pub(crate) fn finish(&self) {
        self.finish.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn evict(&self) {
        self.end(Closed::Evicted);
        self.finish();
    }

    pub(crate) fn is_told_to_finish(&self) -> bool {
        self.finish.load(Ordering::Acquire)
    }

    /// Notes why this side ends it; the first reason stays.
    pub(crate) fn end(&self, why: Closed) {
        let _ = self.ended.set(why);
    }

    pub(crate) fn ended(&self) -> Option<Closed> {
        self.ended.get().copied()
    }

    fn mark_quiet(&self) {
        let micros = u64::try_from(self.epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.quiet_since.store(micros, Ordering::Relaxed);
    }
}

impl InFlight {
    /// Whether this request's answer is to be the last of its connection.
    pub(crate) fn is_last(&self) -> bool {
        self.0.closing.load(Ordering::Acquire)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.mark_quiet();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
