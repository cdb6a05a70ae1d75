//! What happens to one request between hyper and the router: it is counted on its connection, refused if HTTP forbids it
//! and hyper does not say so, and its answer is watched until its client has it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Request, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::connection::Connection;
use crate::messages::Framing;
use crate::problem::Problem;
use crate::target;
use crate::told::Told;

/// How many requests a connection over HTTP/2 may have at once where all of them together have as many as there may be.
/// So those that take them all keep nobody out.
const SPARE_STREAMS: usize = 4;

/// The requests of one connection.
pub(crate) struct Service {
    pub(crate) router: TowerToHyperService<Router>,
    pub(crate) connection: Arc<Connection>,
    /// Places for requests over HTTP/2, on all connections together.
    pub(crate) streams: Arc<Semaphore>,
}

impl Service {
    /// The answer to a request. An error is the reason with which its HTTP/2 stream is refused; over HTTP/1 there is none.
    pub(crate) fn call(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Told>, h2::Error>> + use<> {
        let connection = Arc::clone(&self.connection);
        let in_flight = connection.begin(framing(request.body()));
        let http2 = request.version() == Version::HTTP_2;
        let stream = if http2 { self.stream() } else { Ok(None) };
        let refusal = if http2 { None } else { refusal(&request, &connection) };
        let mut request = request.map(|body| Watched { body, connection: Arc::clone(&connection) });
        if http2 {
            request.extensions_mut().insert(Arc::clone(&connection));
        }
        let answer = match (&stream, refusal) {
            (Ok(_), None) => Ok(self.router.call(request)),
            (_, refusal) => Err(refusal),
        };
        async move {
            let stream = stream?;
            let mut answer = match answer {
                Ok(answer) => answer.await.unwrap_or_else(|never| match never {}),
                Err(refusal) => refusal.unwrap_or_default(),
            };
            if http2 {
                return Ok(answer.map(|body| Told::http2(body, &connection, stream)));
            }
            if in_flight.is_last() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer.map(|body| Told::http1(body, &connection)))
        }
    }

    /// A place for a request over HTTP/2, or none within what every connection has. A stream that is refused has not been
    /// looked at, and its client may send it again (RFC 9113, 8.7).
    fn stream(&self) -> Result<Option<OwnedSemaphorePermit>, h2::Error> {
        match Arc::clone(&self.streams).try_acquire_owned() {
            Ok(place) => Ok(Some(place)),
            Err(_) if self.connection.streams() <= SPARE_STREAMS => Ok(None),
            Err(_) => Err(h2::Reason::REFUSED_STREAM.into()),
        }
    }
}

/// What an HTTP/1 request gets that hyper takes and HTTP forbids, on which its connection ends: a fragment in the target,
/// of which hyper shows nothing, so that another key would be meant than was sent (RFC 9112, 3.2), no `Host` in HTTP/1.1,
/// or two of them, which a proxy in front may have understood otherwise (the same).
fn refusal(request: &Request<Incoming>, connection: &Connection) -> Option<Response> {
    let (has_fragment, hosts) = (connection.take_fragment(), request.headers().get_all(HOST).iter().count());
    if !has_fragment && (hosts == 1 || (hosts == 0 && request.version() < Version::HTTP_11)) {
        return None;
    }
    connection.note_refusal();
    let mut refusal = Problem::BadRequest.response(&target::instance(request.uri().path()), request.version());
    refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(refusal)
}

fn framing(body: &Incoming) -> Framing {
    if body.is_end_stream() {
        return Framing::Length(0);
    }
    body.size_hint().exact().map_or(Framing::Chunked, Framing::Length)
}

/// A request's body that tells its connection if it is dropped before its end.
struct Watched {
    body: Incoming,
    connection: Arc<Connection>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            self.connection.leave_body_unread();
        }
    }
}
