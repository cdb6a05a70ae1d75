use tokio::time::Instant;

use crate::context::{TraceContext, TraceParent};
use crate::ended::{Ended, Kind, Value};
use crate::tracer::Tracer;

tokio::task_local! {
    /// Within which span this task works, if its request is traced.
    static WITHIN: (Tracer, TraceContext);
}

/// A step of a request, under way. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    tracer: Tracer,
    ended: Ended,
}

impl Span {
    pub(crate) fn new(tracer: &Tracer, name: &'static str, kind: Kind, of: Option<TraceContext>) -> Self {
        let trace = of.map_or_else(rand::random, |of| of.trace);
        let context = TraceContext { trace, span: rand::random() };
        let now = Instant::now();
        let parent = of.map(|of| of.span);
        let ended =
            Ended { name, kind, context, parent, begun: now, ended: now, attributes: Vec::new(), failed: false };
        Self { tracer: tracer.clone(), ended }
    }

    /// Which it is: what others who work for it are told.
    pub fn context(&self) -> TraceContext {
        self.ended.context
    }

    /// Notes something of it.
    pub fn note(&mut self, name: &'static str, value: Value) {
        self.ended.attributes.push((name, value));
    }

    /// It failed.
    pub fn fails(&mut self) {
        self.ended.failed = true;
    }

    /// Does something within it: what that begins is a part of it.
    pub fn scope<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        WITHIN.scope((self.tracer.clone(), self.context()), work)
    }
}

impl Tracer {
    /// Begins the first span of a request here, if it is to be traced: where its caller wants that, by its header, or, where it
    /// has none, one in `one_of` (0 for none).
    pub fn answer(&self, name: &'static str, header: Option<&[u8]>, one_of: u64) -> Option<Span> {
        let parent = header.and_then(TraceParent::parse);
        let is_wanted = match parent {
            Some(parent) => parent.sampled,
            None => self.is_one(one_of),
        };
        is_wanted.then(|| Span::new(self, name, Kind::Server, parent.map(|parent| parent.context)))
    }

    /// Begins a step of a request that another member works for.
    pub fn go_on(&self, name: &'static str, of: TraceContext) -> Span {
        Span::new(self, name, Kind::Server, Some(of))
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        self.ended.ended = Instant::now();
        self.tracer.take(self.ended.clone());
    }
}

/// Begins a step of the request that this task works for; `None` if that is not traced.
pub fn begin(name: &'static str, kind: Kind) -> Option<Span> {
    WITHIN.try_with(|(tracer, of)| Span::new(tracer, name, kind, Some(*of))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_begun_within_a_span_is_a_part_of_it_and_outside_of_one_nothing_is() {
        let (tracer, mut spans) = Tracer::new();
        assert!(begin("nothing", Kind::Internal).is_none());
        let mut request = tracer.answer("GET", None, 1).unwrap();
        request.note("status", Value::Number(200));
        let inner = request.scope(async {
            let mut inner = begin("read", Kind::Client).unwrap();
            inner.fails();
            inner.context()
        });
        let inner = inner.await;
        let outer = request.context();
        drop(request);
        let ended = spans.next_many(2).await;
        let (first, second) = (&ended[0], &ended[1]);
        assert_eq!((first.name, first.context, first.parent, first.failed), ("read", inner, Some(outer.span), true));
        assert_eq!((second.name, second.context, second.parent), ("GET", outer, None));
        assert_eq!(second.attributes, [("status", Value::Number(200))]);
        assert_eq!(inner.trace, outer.trace);
    }

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
        for _ in 0..crate::tracer::WAITING + 5 {
            drop(tracer.answer("GET", None, 1));
        }
        assert_eq!(
            (spans.next_many(crate::tracer::WAITING * 2).await.len(), tracer.lost()),
            (crate::tracer::WAITING, 5)
        );
        drop(spans);
        drop(tracer.answer("GET", None, 1));
        assert_eq!(tracer.lost(), 6);
    }
}
