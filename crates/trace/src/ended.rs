use std::num::NonZeroU64;

use tokio::time::Instant;

use crate::context::TraceContext;

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
