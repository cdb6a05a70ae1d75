use std::sync::Arc;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::HttpMetrics;
use crate::connection::Connection;
use crate::problem::Problem;
use crate::room::{Held, Room};

/// An answer over HTTP/1 that is larger takes room until its client has taken it. The system takes a smaller one from
/// this process at once, whatever the client does: the buffer of a socket is as large from the beginning.
const LARGE_ANSWER: usize = 16 << 10;
/// Over HTTP/2 all the answers of a connection may wait for their client to let them come.
const LARGE_ANSWER_HTTP2: usize = 1 << 10;

/// The answers of one HTTP/2 connection take one part in so many of what all answers may take: one client that takes none
/// of its answers leaves room for others.
const CONNECTION_PART: usize = 8;
const NO_ROOM: (Problem, &str) = (Problem::Overloaded, "answers that clients have not taken take all the room");

/// Bodies up to this size have a room of their own, so that sessions are stored whatever large bodies do: a client that
/// announces one and does not send it holds its room until the body's time is up. Nine of ten sessions are smaller.
const SMALL_BODY: usize = 16 << 10;
/// That room is one part in so many of what all bodies may take.
const SMALL_PART: usize = 4;

/// The room for bodies.
pub(crate) struct BodyRooms {
    small: Arc<Room>,
    large: Arc<Room>,
}

impl BodyRooms {
    pub(crate) fn new(max_bytes: usize, metrics: &HttpMetrics) -> Self {
        let small = max_bytes / SMALL_PART;
        Self {
            small: Room::new(small, metrics.room("small_bodies")),
            large: Room::new(max_bytes - small, metrics.room("large_bodies")),
        }
    }

    /// Room for so large a body, before anything of it is read.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Held, (Problem, &'static str)> {
        let room = if bytes <= SMALL_BODY { &self.small } else { &self.large };
        room.take(bytes).await.ok_or((Problem::NoRoom, "the bodies of other requests take all the room"))
    }
}

/// A value, and the room that it takes.
pub(crate) struct Received {
    pub(crate) value: Bytes,
    _held: Held,
}

/// Whether the request says itself that its value is too large. Asked before anything of the body is read, so that a
/// client that waits for `100 Continue` does not send it.
pub(crate) fn check_declared(body: &Body, max: usize) -> Result<(), (Problem, &'static str)> {
    let too_large = body.size_hint().lower() > max as u64;
    if too_large { Err((Problem::PayloadTooLarge, "the declared value is too large")) } else { Ok(()) }
}

/// How large the value is, as the request says, or how large it may be at most.
pub(crate) fn size(body: &Body, max: usize) -> usize {
    declared(body).map_or(max, |bytes| bytes.min(max))
}

fn declared(body: &Body) -> Option<usize> {
    body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok())
}

/// Whether a body that should have nothing in it has nothing in it.
pub(crate) async fn is_empty(mut body: Body) -> bool {
    while let Some(frame) = body.frame().await {
        let data = frame.ok().map(http_body::Frame::into_data);
        // Trailers say nothing; whatever else cannot be read is not nothing.
        match data {
            Some(Ok(data)) if data.is_empty() => {}
            Some(Err(_trailers)) => {}
            _ => return false,
        }
    }
    true
}

/// Reads the value; a body of one frame, which most are, is not copied.
pub(crate) async fn receive(mut body: Body, max: usize, mut held: Held) -> Result<Received, (Problem, &'static str)> {
    let expected = declared(&body).unwrap_or(0).min(max);
    let mut value = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| (Problem::BadRequest, "the body was cut short or is malformed"))?;
        let Ok(data) = frame.into_data() else { continue };
        if value.len() + joined.len() + data.len() > max {
            return Err((Problem::PayloadTooLarge, "the value is too large"));
        }
        if value.is_empty() && joined.is_empty() {
            value = data;
            continue;
        }
        if joined.is_empty() {
            // At once as large as it will be: one that grows is up to twice as large, and copied on the way.
            joined.reserve(expected.max(value.len() + data.len()));
        }
        joined.extend_from_slice(&std::mem::take(&mut value));
        joined.extend_from_slice(&data);
    }
    if !joined.is_empty() {
        value = joined.freeze();
    }
    if value.is_empty() {
        return Err((Problem::BadRequest, "the value is empty"));
    }
    held.shrink(value.len());
    Ok(Received { value, _held: held })
}

/// The value of an answer, which takes room until its last byte is with the system or its client is gone.
pub(crate) async fn weigh(
    value: Bytes,
    connection: Option<&Arc<Connection>>,
    room: &Arc<Room>,
) -> Result<Bytes, (Problem, &'static str)> {
    if value.len() <= small_answer(connection) {
        return Ok(value);
    }
    Ok(AnswerRoom::take(value.len(), connection, room).await?.fill(value))
}

fn small_answer(connection: Option<&Arc<Connection>>) -> usize {
    if connection.is_some() { LARGE_ANSWER_HTTP2 } else { LARGE_ANSWER }
}

/// Room for an answer: of what all answers have, and over HTTP/2, with its connection, of what those of its connection
/// have.
pub(crate) struct AnswerRoom {
    held: Held,
    share: Option<Held>,
    small: usize,
}

impl AnswerRoom {
    pub(crate) async fn take(
        bytes: usize,
        connection: Option<&Arc<Connection>>,
        room: &Arc<Room>,
    ) -> Result<Self, (Problem, &'static str)> {
        let share = match connection.map(|connection| connection.share(room.part(CONNECTION_PART))) {
            Some(share) => Some(share.take(bytes).await.ok_or(NO_ROOM)?),
            None => None,
        };
        let held = room.take(bytes).await.ok_or(NO_ROOM)?;
        Ok(Self { held, share, small: small_answer(connection) })
    }

    /// The value in its room; what it does not need of that is given back.
    pub(crate) fn fill(self, value: Bytes) -> Bytes {
        let Self { mut held, mut share, small } = self;
        if value.len() <= small {
            return value;
        }
        held.shrink(value.len());
        share.iter_mut().for_each(|share| share.shrink(value.len()));
        Bytes::from_owner(Sent { value, _held: held, _share: share })
    }
}

struct Sent {
    value: Bytes,
    _held: Held,
    _share: Option<Held>,
}

impl AsRef<[u8]> for Sent {
    fn as_ref(&self) -> &[u8] {
        &self.value
    }
}
