//! Traces: the spans of requests on their way to a collector, by OTLP over HTTP. Nobody waits for it, and where it is away what
//! it would have got is lost and counted.

mod export;
mod otlp;

pub(crate) use export::Exporter;
