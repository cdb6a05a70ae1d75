use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::ended::Ended;

/// How many spans wait to be sent on. What comes beyond is lost, and counted: nobody waits for a collector.
pub(crate) const WAITING: usize = 4_096;

/// Takes spans that have ended to whoever sends them on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tracer {
    spans: mpsc::Sender<Ended>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    lost: AtomicU64,
}

/// The spans that have ended, as they come.
#[derive(Debug)]
pub struct Spans(mpsc::Receiver<Ended>);

impl Tracer {
    /// One, and where its spans come out.
    pub fn new() -> (Self, Spans) {
        let (spans, coming) = mpsc::channel(WAITING);
        (Self { spans, counts: Arc::default() }, Spans(coming))
    }

    /// Whether a request whose caller does not say so is one of those that are traced: one in `one_of`, 0 for none.
    pub(crate) fn is_one(&self, one_of: u64) -> bool {
        one_of > 0 && self.counts.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_of)
    }

    /// How many spans were lost because too many waited.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    /// So many more were lost on their way.
    pub fn lose(&self, spans: u64) {
        self.counts.lost.fetch_add(spans, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, span: Ended) {
        if self.spans.try_send(span).is_err() {
            self.lose(1);
        }
    }
}

impl Spans {
    /// As many as have come, at least one and at most `most`; none when nobody makes any more.
    pub async fn next_many(&mut self, most: usize) -> Vec<Ended> {
        let mut spans = Vec::new();
        self.0.recv_many(&mut spans, most).await;
        spans
    }
}
