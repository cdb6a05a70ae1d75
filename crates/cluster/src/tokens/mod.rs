//! Secrets that both sides of a connection prove to know, without knowing connections, nodes or operators. Nobody sends one:
//! each side proves that it knows it, for this connection and no other, first the one that was called.

mod operators;
mod secret;

pub use operators::{OperatorToken, Operators, Right};
pub use secret::Secret;
pub(crate) use secret::{Purpose, Side};
