//! The session API from outside: bytes on a socket, over sessions in memory.

#![allow(clippy::unwrap_used, reason = "what a test cannot do without, it unwraps")]

mod admin;
mod bounds;
mod certificates;
mod client;
mod conditions;
mod contract;
mod documents;
mod drain;
mod fake;
mod frames;
mod hostile;
mod http2;
mod idempotency;
mod local;
mod messages;
mod namespaces;
mod observed;
mod renewals;
mod tls;
mod windows;
mod world;
