//! Spans as OTLP has them (OpenTelemetry Protocol 1.3, JSON Protobuf encoding).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use sessile_trace::{Ended, Kind, Value};
use tokio::time::Instant;

/// Who the spans are of.
pub(super) struct Source {
    /// What the service is called, and which of its nodes this is.
    pub(super) service: String,
    pub(super) node: String,
    /// One moment by both clocks.
    pub(super) moment: (Instant, SystemTime),
}

impl Source {
    pub(super) fn message(&self, spans: &[Ended]) -> Json {
        let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
        let version = env!("CARGO_PKG_VERSION");
        let resource = [
            text("service.name", &self.service),
            text("service.instance.id", &self.node),
            text("service.version", version),
        ];
        let spans: Vec<Json> = spans.iter().map(|span| self.span(span)).collect();
        let scope = json!({ "name": "sessile", "version": version });
        json!({ "resourceSpans": [{
            "resource": { "attributes": resource },
            "scopeSpans": [{ "scope": scope, "spans": spans }],
        }] })
    }

    fn span(&self, span: &Ended) -> Json {
        let attribute = |(key, value): &(&str, Value)| {
            let value = match value {
                Value::Text(text) => json!({ "stringValue": text }),
                // 64-bit numbers are strings in that encoding.
                Value::Number(number) => json!({ "intValue": number.to_string() }),
            };
            json!({ "key": key, "value": value })
        };
        let kind = match span.kind {
            Kind::Internal => 1,
            Kind::Server => 2,
            Kind::Client => 3,
        };
        json!({
            "traceId": format!("{:032x}", span.context.trace),
            "spanId": format!("{:016x}", span.context.span),
            "parentSpanId": span.parent.map(|parent| format!("{parent:016x}")).unwrap_or_default(),
            "name": span.name,
            "kind": kind,
            "startTimeUnixNano": self.nanoseconds(span.begun),
            "endTimeUnixNano": self.nanoseconds(span.ended),
            "attributes": span.attributes.iter().map(attribute).collect::<Vec<_>>(),
            "status": { "code": if span.failed { 2 } else { 0 } },
        })
    }

    fn nanoseconds(&self, at: Instant) -> String {
        let (known, wall) = self.moment;
        let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = at.saturating_duration_since(known);
        let before: Duration = known.saturating_duration_since(at);
        (wall + since).saturating_sub(before).as_nanos().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sessile_trace::Tracer;

    #[tokio::test(flavor = "current_thread")]
    async fn a_span_is_what_the_protocol_has() {
        let (tracer, mut spans) = Tracer::new();
        let header = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let mut span = tracer.answer("GET", Some(header), 0).unwrap();
        span.note("http.response.status_code", Value::Number(503));
        span.fails();
        drop(span);
        let span = spans.next_many(1).await.remove(0);
        let moment = (span.begun, UNIX_EPOCH + Duration::from_secs(1_790_000_000));
        let source = Source { service: "sessile".into(), node: "n1".into(), moment };
        let message = source.message(&[span]);
        let resource = &message["resourceSpans"][0];
        assert_eq!(resource["resource"]["attributes"][1]["value"]["stringValue"], "n1");
        let sent = &resource["scopeSpans"][0]["spans"][0];
        assert_eq!(sent["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(sent["parentSpanId"], "00f067aa0ba902b7");
        assert_eq!((&sent["name"], &sent["kind"], &sent["status"]["code"]), (&json!("GET"), &json!(2), &json!(2)));
        assert_eq!(sent["startTimeUnixNano"], "1790000000000000000");
        assert_eq!(
            sent["attributes"][0],
            json!({ "key": "http.response.status_code", "value": { "intValue": "503" } })
        );
        let id = sent["spanId"].as_str().unwrap();
        assert!(id.len() == 16 && id != "00f067aa0ba902b7");
    }
}
