use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::Limits;
use crate::messages::Framing;
use crate::metrics::Closed;
use crate::room::Room;
use crate::unsent::Unsent;

/// How long what a refused client still sends is swallowed after the answer.
const LINGER: Duration = Duration::from_secs(2);
/// How long a client may take to agree that its idle connection ends. Over HTTP/2 it is asked; who does not answer keeps
/// the place of somebody else.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long the other requests of an HTTP/2 connection may take after one of its answers was given up: about as long as a
/// request may take.
const LAST_REQUESTS: Duration = Duration::from_secs(3);
/// A client that takes bytes so slowly that these are not gone within the write timeout takes nothing.
const PROGRESS: usize = 16 << 10;
/// [`Framing::Chunked`] among lengths.
const CHUNKED: u64 = u64::MAX;
/// A point in time that has not come.
const NEVER: u64 = u64::MAX;

/// What is going on on one connection, as its parts tell each other: the service marks requests, [`Paced`] marks what
/// comes and goes, the server tells it to finish and asks how long to wait for what.
///
/// hyper's own header timeout also runs while a kept-alive connection is idle, and allocates a timer for each request;
/// and hyper does not always ask its socket again between two requests, so a deadline kept there could be missed.
///
/// Points in time are microseconds after `epoch`.
///
/// [`Paced`]: crate::paced::Paced
pub(crate) struct Connection {
    epoch: Instant,
    /// Requests that have no answer yet.
    in_flight: AtomicU32,
    /// Requests so far.
    requests: AtomicU64,
    /// When the last request was answered, or the connection accepted.
    quiet_since: AtomicU64,
    /// When the first bytes after a request came, and after how many requests that was.
    header_since: AtomicU64,
    header_after: AtomicU64,
    /// What follows the header of the last request.
    framing: AtomicU64,
    /// HTTP/1 requests whose answers hyper does not have whole yet.
    unanswered: AtomicU32,
    /// Since when the client has closed its half, while a request has no answer.
    left_since: AtomicU64,
    /// Since when the client has taken nothing of an answer to speak of, and how much that was.
    stalled_since: AtomicU64,
    progress: AtomicUsize,
    /// Answers over HTTP/2 that their client has not let come.
    pub(crate) unsent: Unsent,
    /// What large answers over HTTP/2 may take.
    share: OnceLock<Arc<Room>>,
    told_since: AtomicU64,
    lingering_since: AtomicU64,
    /// The server's.
    closing: Arc<Closing>,
    http2: AtomicBool,
    /// The target of the request that comes next has a `#`.
    fragment: AtomicBool,
    unread: AtomicBool,
    finish: AtomicBool,
    /// Why this side ended it, if it did.
    ended: OnceLock<Closed>,
    pub(crate) waker: AtomicWaker,
}

/// Since when a server is closing: from then on answers tell the client to open its next connection elsewhere.
pub(crate) struct Closing(AtomicU64);

/// A request without an answer yet.
pub(crate) struct InFlight(Arc<Connection>);

impl Connection {
    /// A connection accepted now. All connections of a server share its epoch.
    pub(crate) fn new(epoch: Instant, closing: Arc<Closing>) -> Arc<Self> {
        let connection = Self {
            epoch,
            in_flight: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            quiet_since: AtomicU64::new(0),
            header_since: AtomicU64::new(NEVER),
            header_after: AtomicU64::new(NEVER),
            framing: AtomicU64::new(0),
            unanswered: AtomicU32::new(0),
            left_since: AtomicU64::new(NEVER),
            stalled_since: AtomicU64::new(NEVER),
            progress: AtomicUsize::new(0),
            unsent: Unsent::default(),
            share: OnceLock::new(),
            told_since: AtomicU64::new(NEVER),
            lingering_since: AtomicU64::new(NEVER),
            closing,
            http2: AtomicBool::new(false),
            fragment: AtomicBool::new(false),
            unread: AtomicBool::new(false),
            finish: AtomicBool::new(false),
            ended: OnceLock::new(),
            waker: AtomicWaker::new(),
        };
        connection.mark_quiet();
        Arc::new(connection)
    }

    /// A request whose header is whole.
    pub(crate) fn begin(self: &Arc<Self>, framing: Framing) -> InFlight {
        let framing = match framing {
            Framing::Length(bytes) => bytes.min(CHUNKED - 1),
            Framing::Chunked => CHUNKED,
        };
        self.framing.store(framing, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    /// What follows the header of the last request.
    pub(crate) fn framing(&self) -> Framing {
        match self.framing.load(Ordering::Relaxed) {
            CHUNKED => Framing::Chunked,
            bytes => Framing::Length(bytes),
        }
    }

    /// Until this is dropped, hyper does not have the whole answer.
    pub(crate) fn answer(self: &Arc<Self>) -> Unanswered {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        Unanswered(Arc::clone(self))
    }

    /// Whether hyper has the answers to all requests.
    pub(crate) fn has_answered(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) == 0 && self.in_flight.load(Ordering::Relaxed) == 0
    }

    /// Requests without an answer, and answers over HTTP/2 that are not gone.
    pub(crate) fn streams(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed) as usize + self.unsent.count()
    }

    /// The room for this connection's large answers, made with so many bytes when it is asked for first.
    pub(crate) fn share(&self, bytes: usize) -> &Arc<Room> {
        self.share.get_or_init(|| Room::unmeasured(bytes))
    }

    /// Since when there is no request without an answer; `None` while there is one.
    pub(crate) fn quiet_since(&self) -> Option<Instant> {
        let quiet = self.in_flight.load(Ordering::Relaxed) == 0 && self.unsent.count() == 0;
        quiet.then(|| self.at(&self.quiet_since)).flatten()
    }

    /// Until when to wait for the client, and for what.
    pub(crate) fn deadline(&self, limits: &Limits) -> Option<(Instant, Closed)> {
        if let Some(since) = self.at(&self.lingering_since) {
            return Some((since + LINGER, Closed::Done));
        }
        let writing = self.at(&self.stalled_since).map(|since| (since + limits.write_timeout, Closed::WriteTimeout));
        let unsent = self.stuck_since().map(|since| {
            let others = self.in_flight.load(Ordering::Relaxed) > 0;
            let deadline = since + limits.write_timeout + if others { LAST_REQUESTS } else { Duration::ZERO };
            (deadline, Closed::WriteTimeout)
        });
        let is_waited_for = self.in_flight.load(Ordering::Relaxed) > 0;
        let left = self.at(&self.left_since).filter(|_| is_waited_for);
        let left = left.map(|since| (since + limits.leave_timeout, Closed::Left));
        let told = self.at(&self.told_since).filter(|_| self.ended() == Some(Closed::Evicted) && !is_waited_for);
        let told = told.map(|since| (since + FAREWELL, Closed::Evicted));
        let reading =
            self.quiet_since().map(|quiet| match self.at(&self.header_since).filter(|_| self.is_in_header()) {
                // Of one that came before its time, behind another request, from the answer to that.
                Some(since) => (since.max(quiet) + limits.header_timeout, Closed::HeaderTimeout),
                None => (quiet + limits.idle_timeout, Closed::Idle),
            });
        [writing, unsent, left, told, reading].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }

    /// Since when the answer that waits longest for its client has not moved.
    fn stuck_since(&self) -> Option<Instant> {
        self.unsent.oldest().map(|micros| self.epoch + Duration::from_micros(micros))
    }

    /// When it is to be told to finish because the server stops and no request comes; `None` while one is there or on its
    /// way. A client that sends just when its connection is being closed sees an error, and one that does not look before
    /// it sends again sees one whenever that is. So a connection in use is given time for the request whose answer ends
    /// it.
    ///
    /// An HTTP/2 connection with an answer that its client does not let come is told so at the write timeout: its other
    /// requests are answered, and the next ones go elsewhere.
    pub(crate) fn finishes_at(&self, limits: &Limits) -> Option<Instant> {
        if self.is_told_to_finish() {
            return None;
        }
        if self.is_http2() {
            return self.stuck_since().map(|since| since + limits.write_timeout);
        }
        if self.is_in_header() {
            return None;
        }
        let (closing, quiet) = (self.at(&self.closing.0)?, self.quiet_since()?);
        let is_in_use = quiet + limits.drain_used >= closing;
        Some(closing.max(quiet) + if is_in_use { limits.drain_used.max(limits.drain_idle) } else { limits.drain_idle })
    }

    /// Whether a request is there or on its way.
    pub(crate) fn is_busy(&self) -> bool {
        self.quiet_since().is_none() || self.is_in_header()
    }

    /// Whether a part of a request's header has come, and the server, which stops, answers it all the same: the answer
    /// then ends the connection.
    pub(crate) fn brings_its_last_request(&self) -> bool {
        self.closing.has_begun() && self.quiet_since().is_some() && self.is_in_header()
    }

    fn is_in_header(&self) -> bool {
        !self.is_http2() && self.header_after.load(Ordering::Relaxed) == self.requests()
    }

    /// Bytes of a header came.
    pub(crate) fn note_head(&self) {
        let requests = self.requests();
        if self.header_after.load(Ordering::Relaxed) != requests {
            self.header_since.store(self.now(), Ordering::Relaxed);
            self.header_after.store(requests, Ordering::Relaxed);
        }
    }

    /// The whole preface of HTTP/2 came.
    pub(crate) fn note_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    /// The target of the request that comes next has a `#`, of which nothing is left when it is parsed.
    pub(crate) fn note_fragment(&self) {
        self.fragment.store(true, Ordering::Relaxed);
    }

    /// Whether it had one. Asked once a request.
    pub(crate) fn take_fragment(&self) -> bool {
        self.fragment.swap(false, Ordering::Relaxed)
    }

    /// The client has closed its half, and waits for an answer or for nothing.
    pub(crate) fn note_leaving(&self) {
        if self.left_since.load(Ordering::Relaxed) == NEVER {
            self.left_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// The client was offered bytes, and took so many.
    pub(crate) fn note_taken(&self, bytes: usize) {
        if self.stalled_since.load(Ordering::Relaxed) != NEVER
            && self.progress.fetch_add(bytes, Ordering::Relaxed) + bytes >= PROGRESS
        {
            self.note_flushed();
        }
    }

    /// The client was offered bytes, and took none.
    pub(crate) fn note_stall(&self) {
        if self.stalled_since.load(Ordering::Relaxed) == NEVER {
            self.stalled_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// There is nothing more that the client could take.
    pub(crate) fn note_flushed(&self) {
        self.stalled_since.store(NEVER, Ordering::Relaxed);
        self.progress.store(0, Ordering::Relaxed);
    }

    /// Everything is said; what still comes is swallowed.
    pub(crate) fn note_linger(&self) {
        if self.lingering_since.load(Ordering::Relaxed) == NEVER {
            self.lingering_since.store(self.now(), Ordering::Relaxed);
        }
    }

    pub(crate) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
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
        if self.told_since.load(Ordering::Relaxed) == NEVER {
            self.told_since.store(self.now(), Ordering::Relaxed);
        }
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

    /// A request is refused that should not have been sent.
    pub(crate) fn note_refusal(&self) {
        self.end(Closed::Malformed);
    }

    /// Notes why this side ends it; the first reason stays.
    pub(crate) fn end(&self, why: Closed) {
        let _ = self.ended.set(why);
    }

    pub(crate) fn ended(&self) -> Option<Closed> {
        self.ended.get().copied()
    }

    pub(crate) fn mark_quiet(&self) {
        self.quiet_since.store(self.now(), Ordering::Relaxed);
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Microseconds since the epoch.
    pub(crate) fn now(&self) -> u64 {
        micros_since(self.epoch)
    }

    fn at(&self, moment: &AtomicU64) -> Option<Instant> {
        let micros = moment.load(Ordering::Relaxed);
        (micros != NEVER).then(|| self.epoch + Duration::from_micros(micros))
    }
}

impl Closing {
    pub(crate) fn not_yet() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(NEVER)))
    }

    /// It begins now. The same epoch as the connections'.
    pub(crate) fn begin(&self, epoch: Instant) {
        self.0.store(micros_since(epoch), Ordering::Release);
    }

    fn has_begun(&self) -> bool {
        self.0.load(Ordering::Acquire) != NEVER
    }
}

fn micros_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_micros()).unwrap_or(NEVER)
}

/// An answer over HTTP/1 that hyper does not have whole.
pub(crate) struct Unanswered(Arc<Connection>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.unanswered.fetch_sub(1, Ordering::Relaxed);
    }
}

impl InFlight {
    /// Whether this request's answer is to be the last of its connection.
    pub(crate) fn is_last(&self) -> bool {
        self.0.closing.has_begun()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.mark_quiet();
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LIMITS: fn() -> Limits =
        || Limits { drain_idle: Duration::from_secs(1), drain_used: Duration::from_secs(3), ..Limits::default() };

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_used_lately_is_given_longer_for_one_more_request() {
        for (quiet, seconds) in [(0, 3), (3_000, 3), (3_001, 1), (60_000, 1)] {
            let (epoch, closing) = (Instant::now(), Closing::not_yet());
            let connection = Connection::new(epoch, Arc::clone(&closing));
            drop(connection.begin(Framing::Length(0)));
            advance(Duration::from_millis(quiet)).await;
            assert_eq!(connection.finishes_at(&LIMITS()), None, "while nobody stops it");
            closing.begin(epoch);
            let finishes = connection.finishes_at(&LIMITS()).map(|at| at - Instant::now());
            assert_eq!(finishes, Some(Duration::from_secs(seconds)), "quiet for {quiet} ms");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_a_request_under_way_is_not_told_to_finish() {
        let (epoch, closing) = (Instant::now(), Closing::not_yet());
        let connection = Connection::new(epoch, Arc::clone(&closing));
        closing.begin(epoch);
        let request = connection.begin(Framing::Length(0));
        assert_eq!((connection.finishes_at(&LIMITS()), request.is_last()), (None, true));
        drop(request);
        assert!(connection.finishes_at(&LIMITS()).is_some());
        connection.note_head();
        assert_eq!((connection.finishes_at(&LIMITS()), connection.is_busy()), (None, true), "half a header is there");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_little_of_an_answer_is_waited_for_as_who_takes_nothing() {
        let connection = Connection::new(Instant::now(), Closing::not_yet());
        let _request = connection.begin(Framing::Length(0));
        let waits = || connection.deadline(&LIMITS()).map(|(deadline, why)| (deadline - Instant::now(), why));
        assert_eq!(waits(), None, "nothing is offered");
        connection.note_stall();
        advance(Duration::from_secs(20)).await;
        connection.note_taken(PROGRESS - 1);
        connection.note_stall();
        assert_eq!(waits(), Some((Duration::from_secs(10), Closed::WriteTimeout)));
        connection.note_taken(1);
        assert_eq!(waits(), None, "that is enough");
        connection.note_stall();
        connection.note_flushed();
        assert_eq!(waits(), None, "it has taken the rest");
    }
}
