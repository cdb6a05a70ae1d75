//! The session API from outside: bytes on a socket, over sessions in memory.

mod bounds;
mod client;
mod conditions;
mod contract;
mod documents;
mod drain;
mod fake;
mod hostile;
mod http2;
mod observed;
mod world;
