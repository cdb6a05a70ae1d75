//! The sessile program: its configuration, command line, logs and signals, and the wiring of a node.
//!
//! It deliberately knows nothing of how sessions are stored, replicated or served: it reads what it was told, hands it
//! to the node and turns how that ends into an exit code.

pub mod config;
pub mod logging;
pub mod output;
