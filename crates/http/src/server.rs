use std::collections::HashMap;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::Accept;
use crate::connection::{Closing, Connection};
use crate::handshakes::Handshakes;
use crate::metrics::{Closed, ConnectionMetrics};
use crate::paced::Paced;
use crate::patience::poll_until;
use crate::service::Service;
use crate::{HttpMetrics, Limits, Tls};

/// The largest request line and headers together, and the most that is read from a connection at once. A key of 1024
/// bytes takes 3072 percent-encoded; the rest is for what proxies add.
pub const MAX_HEADER_BYTES: usize = 16 << 10;
/// The most requests at once on one HTTP/2 connection.
pub const MAX_STREAMS: u32 = 256;
/// The largest header block over HTTP/2, each field with its 32 bytes (RFC 9113, 6.5.2). It bounds CONTINUATION frames,
/// too.
const MAX_HEADER_LIST: u32 = 16 << 10;
/// How many requests an HTTP/2 client may take back before they were looked at, and how many streams may end in an error of
/// its making, before its connection is closed. They cost work and count as no request.
const MAX_UNSEEN_RESETS: usize = 20;
const MAX_ERRORS: usize = 128;
/// What an HTTP/2 client may send ahead of being read, on one stream and on all of a connection.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 256 << 10;
/// The most of an answer that waits in an HTTP/2 stream's buffer.
const SEND_BUFFER: usize = 64 << 10;
/// How often an HTTP/2 client is asked for a sign of life, and how long it may take.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How many idle connections make place at once when all places are taken, and how long is waited for them.
const EVICTED_AT_ONCE: usize = 16;
const EVICTION_PAUSE: Duration = Duration::from_millis(10);
/// How long to wait when the system has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// At shutdown, how long what stands in the listener's queue is still accepted: closing a listener resets it.
const LAST_CALL: Duration = Duration::from_millis(20);
/// How many of those are accepted: as many as the queue holds where nobody has changed `net.core.somaxconn`. Beyond it,
/// somebody keeps opening new ones.
const LAST_CONNECTIONS: usize = 4_096;

/// Serves a router on one listener: HTTP/1.0, HTTP/1.1 and HTTP/2 with prior knowledge, on the same port.
pub struct Server {
    shared: Arc<Shared>,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// How many connections had to be cut off.
    pub cut_off: usize,
}

struct Shared {
    router: Router,
    limits: Limits,
    metrics: ConnectionMetrics,
    http: Builder<Owned>,
    owned: Owned,
    places: Arc<Semaphore>,
    /// Connections that are taken over without a place when the server stops.
    last_places: Semaphore,
    streams: Arc<Semaphore>,
    tls: Option<Tls>,
    handshakes: Handshakes,
    /// How many connections there were.
    accepted: AtomicU64,
    connections: Mutex<HashMap<u64, Arc<Connection>>>,
    closing: Arc<Closing>,
    epoch: Instant,
}

/// Everything that runs for a server.
#[derive(Clone)]
struct Owned {
    tasks: TaskTracker,
    cut_off: CancellationToken,
}

impl<F> hyper::rt::Executor<F> for Owned
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let cut_off = self.cut_off.clone();
        self.tasks.spawn(async move { cut_off.run_until_cancelled(future).await });
    }
}

impl Server {
    /// A server whose connections are counted under that listener's name.
    pub fn new(router: Router, limits: Limits, metrics: &HttpMetrics, listener: &str) -> Self {
        Self::with_tls(router, limits, metrics, listener, None)
    }

    /// The same over TLS, if there is any: whoever speaks HTTP in clear then gets no answer.
    pub fn with_tls(router: Router, limits: Limits, metrics: &HttpMetrics, listener: &str, tls: Option<Tls>) -> Self {
        let owned = Owned { tasks: TaskTracker::new(), cut_off: CancellationToken::new() };
        let places = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
        let last_places = Semaphore::new(limits.last_connections.min(Semaphore::MAX_PERMITS));
        let streams = Arc::new(Semaphore::new(limits.max_streams.min(Semaphore::MAX_PERMITS)));
        Self {
            shared: Arc::new(Shared {
                router,
                limits,
                metrics: metrics.connections(listener),
                http: protocols(owned.clone()),
                owned,
                places,
                last_places,
                streams,
                tls,
                handshakes: Handshakes::default(),
                accepted: AtomicU64::new(0),
                connections: Mutex::default(),
                closing: Closing::not_yet(),
                epoch: Instant::now(),
            }),
        }
    }

    /// Accepts connections until `shutdown`, then drains them: HTTP/2 clients are told at once, HTTP/1 clients with
    /// their next answer, and what is still in flight at the end of [`Limits::drain`] is cut off. When this returns,
    /// nothing of the server is left.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) -> Drained {
        self.serve_both(listener, None, shutdown).await
    }

    /// The same, and on a Unix socket besides, which has the same places and is always in clear: who may connect there, its
    /// file's mode says.
    pub async fn serve_both(
        self,
        listener: TcpListener,
        unix: Option<UnixListener>,
        shutdown: CancellationToken,
    ) -> Drained {
        let local = async {
            if let Some(unix) = unix {
                self.accept_all(unix, None, &shutdown).await;
            }
        };
        tokio::join!(self.accept_all(listener, self.shared.tls.as_ref(), &shutdown), local);
        self.drain().await
    }

    /// Takes over what comes until `shutdown`, and what is waiting then.
    async fn accept_all<L: Accept>(&self, listener: L, tls: Option<&Tls>, shutdown: &CancellationToken) {
        while let Some(stream) = self.accept(&listener, shutdown).await {
            let Some(place) = shutdown.run_until_cancelled(self.place()).await else {
                self.shared.closing.begin(self.shared.epoch);
                self.take_over(stream, tls, None);
                break;
            };
            self.take_over(stream, tls, Some(place));
        }
        self.shared.closing.begin(self.shared.epoch);
        self.last_call(listener, tls).await;
    }

    /// Takes over what waits in the listener's queue, places or not: the system has accepted it for us, and its request
    /// may be there already.
    async fn last_call<L: Accept>(&self, listener: L, tls: Option<&Tls>) {
        let last_call = Instant::now() + LAST_CALL;
        let mut left = LAST_CONNECTIONS;
        let mut take_over = |stream| {
            let place = Arc::clone(&self.shared.places).try_acquire_owned().ok();
            if place.is_none() {
                let Ok(last) = self.shared.last_places.try_acquire() else { return false };
                last.forget();
            }
            self.take_over(stream, tls, place);
            left -= 1;
            left > 0
        };
        while let Ok(Ok(stream)) = tokio::time::timeout_at(last_call, listener.next()).await {
            if stream.is_some_and(|stream| !take_over(stream)) {
                return;
            }
        }
        let _ = listener.rest().all(take_over);
    }

    /// The next connection; `None` at shutdown.
    async fn accept<L: Accept>(&self, listener: &L, shutdown: &CancellationToken) -> Option<L::Io> {
        loop {
            match shutdown.run_until_cancelled(listener.next()).await? {
                Ok(Some(stream)) => return Some(stream),
                Ok(None) => {}
                Err(error) => {
                    self.shared.metrics.accept_errors.inc();
                    let theirs = matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
                    );
                    if !theirs {
                        tracing::warn!(%error, "a connection cannot be accepted");
                        self.shared.evict_idle();
                        shutdown.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await?;
                    }
                }
            }
        }
    }

    /// A place for one more connection; if there is none, those that are idle longest give up theirs.
    async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            let place = Arc::clone(&self.shared.places);
            if let Ok(place) = Arc::clone(&place).try_acquire_owned() {
                return place;
            }
            self.shared.evict_idle();
            if let Ok(Ok(place)) = tokio::time::timeout(EVICTION_PAUSE, place.acquire_owned()).await {
                return place;
            }
        }
    }

    /// Serves one connection that came another way than by a listener, on a network of a test's own. Returns at once; the
    /// connection ends with its client or with the runtime.
    pub fn attend(&self, number: u64, io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        self.serve_one(number, io, None, None);
    }

    fn take_over(
        &self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        tls: Option<&Tls>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        self.serve_one(self.shared.accepted.fetch_add(1, Ordering::Relaxed), io, tls, place);
    }

    fn serve_one(
        &self,
        number: u64,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        tls: Option<&Tls>,
        place: Option<OwnedSemaphorePermit>,
    ) {
        let (shared, tls) = (Arc::clone(&self.shared), tls.cloned());
        self.shared.owned.tasks.spawn(async move {
            let open = shared.open(number);
            let cut_off = shared.owned.cut_off.clone();
            let conversation = async {
                let Some(tls) = tls else { return shared.converse(io, &open.connection).await };
                match shared.handshakes.shake(number, io, &tls, &open.connection, &shared.limits).await {
                    Ok(io) => shared.converse(io, &open.connection).await,
                    Err(why) => why,
                }
            };
            let closed = cut_off.run_until_cancelled(Box::pin(conversation)).await;
            shared.metrics.closed(closed.unwrap_or(Closed::Aborted));
            drop(place);
        });
    }

    async fn drain(self) -> Drained {
        let Shared { owned, limits, .. } = &*self.shared;
        owned.tasks.close();
        let start = Instant::now();
        self.shared.tell_of_the_end();
        if tokio::time::timeout_at(start + limits.drain, owned.tasks.wait()).await.is_ok() {
            return Drained { cut_off: 0 };
        }
        let cut_off = self.shared.connections().values().filter(|connection| connection.is_busy()).count();
        owned.cut_off.cancel();
        owned.tasks.wait().await;
        Drained { cut_off }
    }
}

/// An entry among the open connections, for as long as it is held.
struct Open<'a> {
    shared: &'a Shared,
    number: u64,
    connection: Arc<Connection>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.shared.connections().remove(&self.number);
        self.shared.metrics.open.dec();
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, number: u64) -> Open<'_> {
        let connection = Connection::new(self.epoch, Arc::clone(&self.closing));
        self.connections().insert(number, Arc::clone(&connection));
        self.metrics.accepted.inc();
        self.metrics.open.inc();
        Open { shared: self, number, connection }
    }

    /// Tells HTTP/2 clients that their connections end, and has all others look how long they may stay idle.
    fn tell_of_the_end(&self) {
        for connection in self.connections().values() {
            if connection.is_http2() {
                connection.finish();
            }
            connection.waker.wake();
        }
    }

    fn evict_idle(&self) {
        let connections = self.connections();
        let idle = connections.values().filter(|connection| !connection.is_told_to_finish());
        let mut idle: Vec<_> = idle.filter_map(|connection| Some((connection.quiet_since()?, connection))).collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        idle.iter().take(EVICTED_AT_ONCE).for_each(|(_, connection)| connection.evict());
    }

    /// Serves one connection to its end.
    async fn converse(
        &self,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        connection: &Arc<Connection>,
    ) -> Closed {
        let io = TokioIo::new(Paced::new(io, Arc::clone(connection)));
        let service = Service {
            router: TowerToHyperService::new(self.router.clone()),
            connection: Arc::clone(connection),
            streams: Arc::clone(&self.streams),
        };
        let service = service_fn(|request| service.call(request));
        let mut served = pin!(self.http.serve_connection(io, service));
        let mut patience = pin!(tokio::time::sleep(self.limits.idle_timeout));
        let mut told = false;
        let ended = std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(ended) = served.as_mut().poll(cx) {
                    return Poll::Ready(ended);
                }
                connection.waker.register(cx.waker());
                // hyper would close between the first and the last byte of a header.
                if !told && connection.is_told_to_finish() && !connection.brings_its_last_request() {
                    told = true;
                    served.as_mut().graceful_shutdown();
                    if let Poll::Ready(ended) = served.as_mut().poll(cx) {
                        return Poll::Ready(ended);
                    }
                }
                if let Some(finish) = connection.finishes_at(&self.limits) {
                    ready!(poll_until(patience.as_mut(), finish, cx));
                    connection.finish();
                    continue;
                }
                let Some((deadline, what)) = connection.deadline(&self.limits) else { return Poll::Pending };
                ready!(poll_until(patience.as_mut(), deadline, cx));
                connection.end(what);
                return Poll::Ready(Ok(()));
            }
        });
        let ended = ended.await;
        connection.ended().unwrap_or_else(|| ended.map_or_else(|error| why(&*error), |()| Closed::Done))
    }
}

fn protocols(owned: Owned) -> Builder<Owned> {
    let mut http = Builder::new(owned);
    // hyper looks for the end of a connection whose request it has; what that means is for `Paced` to say.
    http.http1().max_buf_size(MAX_HEADER_BYTES).header_read_timeout(None);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS)
        .max_local_error_reset_streams(MAX_ERRORS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

/// Why a connection ended with an error. The error itself may quote what the client sent, so it is not logged.
fn why(error: &(dyn std::error::Error + 'static)) -> Closed {
    let malformed = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse);
    if malformed { Closed::Malformed } else { Closed::Broken }
}
