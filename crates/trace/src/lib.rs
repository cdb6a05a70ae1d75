//! What a request did, and when, for those requests that are traced: spans, and the header by which they are one trace (W3C
//! Trace Context). It deliberately knows nothing of HTTP, of Raft, and of where spans are sent.
//!
//! Whoever is asked makes the first span of a request, and what is done for the request runs within it ([`Span::scope`]): a
//! value of the task, so no call has to pass it on. Where a request is not traced, asking for it costs a look at that value.

mod context;
mod ended;
mod span;
mod tracer;

pub use context::{TraceContext, TraceParent};
pub use ended::{Ended, Kind, Value};
pub use span::{Span, begin};
pub use tracer::{Spans, Tracer};
