use std::num::NonZeroU64;

use tokio::time::Instant;

use crate::{TraceContext, Tracer};

tokio::task_local! {
    /// Within which span this task works, if its request is traced.
    static WITHIN: (Tracer, TraceContext);
}

/// Whose part a span is (OpenTelemetry, SpanKind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What a node does by itself.
    Internal,
    /// Answering somebody.
    Server,
    /// Asking somebody.
    Client,
}

/// What is noted of a span. Never a key or a value of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word.
    Text(String),
    /// A number.
    Number(i64),
}

/// A step of a request, under way. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    tracer: Tracer,
    ended: Ended,
}

/// A step that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What it is called.
    pub name: &'static str,
    /// Whose part it is.
    pub kind: Kind,
    /// Which it is.
    pub context: TraceContext,
    /// The span that it is a part of.
    pub parent: Option<NonZeroU64>,
    /// When it began.
    pub begun: Instant,
    /// When it ended.
    pub ended: Instant,
    /// What was noted.
    pub attributes: Vec<(&'static str, Value)>,
    /// Whether it failed.
    pub failed: bool,
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

/// Within which span this task works; `None` if its request is not traced.
pub fn context() -> Option<TraceContext> {
    WITHIN.try_with(|(_, of)| *of).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_begun_within_a_span_is_a_part_of_it_and_outside_of_one_nothing_is() {
        let (tracer, mut spans) = Tracer::new();
        assert!(begin("nothing", Kind::Internal).is_none() && context().is_none());
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
        let (first, second) = (spans.next().await.unwrap(), spans.next().await.unwrap());
        assert_eq!((first.name, first.context, first.parent, first.failed), ("read", inner, Some(outer.span), true));
        assert_eq!((second.name, second.context, second.parent), ("GET", outer, None));
        assert_eq!(second.attributes, [("status", Value::Number(200))]);
        assert_eq!(inner.trace, outer.trace);
    }
}
