use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;

use crate::problem::Problem;

/// What the values of the requests under way weigh together, and may weigh at most.
pub(crate) struct InFlightBytes {
    bytes: AtomicUsize,
    max: usize,
}

/// A value, and its share of [`InFlightBytes`].
pub(crate) struct Received {
    pub(crate) value: Bytes,
    _share: Share,
}

struct Share {
    of: Arc<InFlightBytes>,
    bytes: usize,
}

impl InFlightBytes {
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { bytes: AtomicUsize::new(0), max })
    }
}

impl Share {
    fn grow(&mut self, bytes: usize) -> Result<(), (Problem, &'static str)> {
        self.bytes += bytes;
        let before = self.of.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.of.max {
            return Err((Problem::Overloaded, "the values under way weigh too much"));
        }
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Whether the request says itself that its value is too large. Asked before anything of the body is read, so that a
/// client that waits for `100 Continue` does not send it.
pub(crate) fn check_declared(body: &Body, max: usize) -> Result<(), (Problem, &'static str)> {
    let too_large = body.size_hint().lower() > max as u64;
    if too_large { Err((Problem::PayloadTooLarge, "the declared value is too large")) } else { Ok(()) }
}

/// Reads the value; a body of one frame, which most are, is not copied.
pub(crate) async fn receive(
    mut body: Body,
    max: usize,
    in_flight: &Arc<InFlightBytes>,
) -> Result<Received, (Problem, &'static str)> {
    let mut share = Share { of: Arc::clone(in_flight), bytes: 0 };
    let mut value = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| (Problem::BadRequest, "the body was cut short or is malformed"))?;
        let Ok(data) = frame.into_data() else { continue };
        if value.len() + joined.len() + data.len() > max {
            return Err((Problem::PayloadTooLarge, "the value is too large"));
        }
        share.grow(data.len())?;
        if value.is_empty() && joined.is_empty() {
            value = data;
            continue;
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
    Ok(Received { value, _share: share })
}
