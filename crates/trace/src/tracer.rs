use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::{Ended, Kind, Span, TraceContext, TraceParent};

/// How many spans wait to be sent on. What comes beyond is lost, and counted: nobody waits for a collector.
const WAITING: usize = 4_096;

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

    /// Begins the first span of a request here, if it is to be traced: where its caller wants that, by its header, or, where it
    /// has none, one in `one_of` (0 for none).
    pub fn answer(&self, name: &'static str, header: Option<&[u8]>, one_of: u64) -> Option<Span> {
        let parent = header.and_then(TraceParent::parse);
        let is_wanted = match parent {
            Some(parent) => parent.sampled,
            None => one_of > 0 && self.counts.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(one_of),
        };
        is_wanted.then(|| Span::new(self, name, Kind::Server, parent.map(|parent| parent.context)))
    }

    /// Begins a step of a request that another member works for.
    pub fn go_on(&self, name: &'static str, of: TraceContext) -> Span {
        Span::new(self, name, Kind::Server, Some(of))
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
    /// The next one; `None` when nobody makes any more.
    pub async fn next(&mut self) -> Option<Ended> {
        self.0.recv().await
    }

    /// As many as have come, at least one and at most `most`; none when nobody makes any more.
    pub async fn next_many(&mut self, most: usize) -> Vec<Ended> {
        let mut spans = Vec::new();
        self.0.recv_many(&mut spans, most).await;
        spans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const NOT_SAMPLED: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

    #[tokio::test(flavor = "current_thread")]
    async fn the_caller_decides_and_where_it_says_nothing_one_of_so_many_is_traced() {
        let (tracer, _spans) = Tracer::new();
        for one_of in [0, 1, 10] {
            let span = tracer.answer("GET", Some(SAMPLED), one_of).unwrap();
            assert_eq!(format!("{:032x}", span.context().trace), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert!(tracer.answer("GET", Some(NOT_SAMPLED), one_of).is_none());
        }
        let traced = |one_of| (0..20).filter(|_| tracer.answer("GET", Some(b"nonsense"), one_of).is_some()).count();
        assert_eq!((traced(0), traced(1), traced(10)), (0, 20, 2));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nobody_waits_for_a_collector_and_what_is_lost_is_counted() {
        let (tracer, mut spans) = Tracer::new();
        for _ in 0..WAITING + 5 {
            drop(tracer.answer("GET", None, 1));
        }
        assert_eq!((spans.next_many(WAITING * 2).await.len(), tracer.lost()), (WAITING, 5));
        drop(spans);
        drop(tracer.answer("GET", None, 1));
        assert_eq!(tracer.lost(), 6);
    }
}
