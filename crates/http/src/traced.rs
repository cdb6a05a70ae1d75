//! The span of a request, where its caller or the configuration wants one.

use http::request::Parts;
use http::{HeaderName, StatusCode};
use sessile_trace::{Span, Value};

use crate::Traces;

/// By what the spans of a request are one trace (W3C Trace Context, 3.2).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Begins it. A request with two of these headers has none (W3C Trace Context, 3.2).
pub(crate) fn begin(traces: Option<&Traces>, parts: &Parts, method: &'static str) -> Option<Span> {
    let traces = traces?;
    let mut headers = parts.headers.get_all(TRACEPARENT).iter();
    let header = headers.next().filter(|_| headers.next().is_none());
    traces.tracer.answer(method, header.map(http::HeaderValue::as_bytes), traces.one_of)
}

/// Ends it with what was answered (OpenTelemetry, semantic conventions for HTTP). Nothing of the key is noted.
pub(crate) fn end(mut span: Span, method: &'static str, status: StatusCode) {
    span.note("http.request.method", Value::Text(method.to_owned()));
    span.note("http.response.status_code", Value::Number(status.as_u16().into()));
    if status.is_server_error() {
        span.fails();
    }
}
