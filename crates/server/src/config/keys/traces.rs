use super::key::{Fallback, Key, KeyBlock, Number, Takes};

pub(super) const TRACES: KeyBlock = KeyBlock {
    name: "traces",
    words: "Spans of requests, by OTLP, to a collector. A request is traced where its caller wants that by the header \
            `traceparent` (W3C Trace Context), through the node that it reaches and the leader. Nobody waits for the \
            collector: what it does not take is lost, and counted in `sessile_trace_spans_lost_total`.",
    keys: &[
        Key {
            name: "endpoint",
            takes: Takes::Text(|| "http://HOST:PORT/PATH, where a collector takes OTLP over HTTP".to_owned()),
            default: Fallback::Follows("nothing is traced"),
            words: "Where they go: JSON, in clear, so the collector is one on this machine or in a trusted network.",
        },
        Key {
            name: "one_of",
            takes: Takes::Number(Number {
                unit: "",
                range: 0..=1_000_000_000,
                least: "only what callers want",
                most: "one in a thousand million",
            }),
            default: Fallback::Number(0),
            words: "Besides, one in so many of the requests whose callers do not say whether they want it.",
        },
    ],
};
