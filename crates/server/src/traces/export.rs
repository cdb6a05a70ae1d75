use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use sessile_trace::{Ended, Spans, Tracer};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::otlp::Source;
use crate::logging::wall_clock;
use crate::plain_http::{PlainUrl, connect};

/// How many spans go in one message.
const MOST: usize = 512;
/// How long a message waits for more spans than its first.
const GATHER: Duration = Duration::from_secs(1);
/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the last spans may take when the node stops.
const LAST: Duration = Duration::from_secs(1);

/// Sends spans on.
pub(crate) struct Exporter {
    endpoint: PlainUrl,
    tracer: Tracer,
    spans: Spans,
    source: Source,
    /// Whether the last message was taken.
    is_taken: bool,
}

impl Exporter {
    pub(crate) fn new(endpoint: PlainUrl, service: String, node: String) -> Self {
        let (tracer, spans) = Tracer::new();
        let source = Source { service, node, moment: (Instant::now(), wall_clock()) };
        Self { endpoint, tracer, spans, source, is_taken: true }
    }

    /// Where spans are made.
    pub(crate) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends them as they come.
    pub(crate) async fn run(&mut self) -> Infallible {
        loop {
            let mut spans = self.spans.next_many(MOST).await;
            // The first of several: a message for each request would cost more than the requests.
            sleep(GATHER).await;
            if spans.len() < MOST
                && let Ok(more) = timeout(Duration::ZERO, self.spans.next_many(MOST - spans.len())).await
            {
                spans.extend(more);
            }
            self.send(&spans).await;
        }
    }

    /// Sends what is left when the node has stopped.
    pub(crate) async fn end(mut self) {
        let last = async {
            while let Ok(spans) = timeout(Duration::ZERO, self.spans.next_many(MOST)).await {
                self.send(&spans).await;
            }
        };
        // Whoever stops a node does not wait for a collector.
        let _ = timeout(LAST, last).await;
    }

    async fn send(&mut self, spans: &[Ended]) {
        let message = Bytes::from(self.source.message(spans).to_string());
        let sent = timeout(PATIENCE, post(&self.endpoint, message)).await;
        let sent = sent.unwrap_or_else(|_| Err("it does not answer in time".to_owned()));
        let was_taken = std::mem::replace(&mut self.is_taken, sent.is_ok());
        match sent {
            Ok(()) if !was_taken => info!(collector = %self.endpoint, "the collector takes traces again"),
            Ok(()) => {}
            Err(why) => {
                self.tracer.lose(spans.len() as u64);
                if was_taken {
                    warn!(collector = %self.endpoint, why, "the collector takes no traces; they are lost until it does");
                }
            }
        }
    }
}

async fn post(endpoint: &PlainUrl, message: Bytes) -> Result<(), String> {
    let broken = |error: &dyn std::fmt::Display| error.to_string();
    let mut carriers = JoinSet::new();
    let mut open = connect(&endpoint.authority, &mut carriers).await.map_err(|error| broken(&error))?;
    let request = Request::builder()
        .method(Method::POST)
        .uri(&endpoint.path)
        .header(HOST, &endpoint.authority)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(message))
        .map_err(|error| broken(&error))?;
    let answer = open.send_request(request).await.map_err(|error| broken(&error))?;
    if answer.status().is_success() { Ok(()) } else { Err(format!("it answers {}", answer.status())) }
}
